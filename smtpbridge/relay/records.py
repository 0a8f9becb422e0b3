"""
TLS records in and out of OpenSSL's connection, with as few calls as there can be.

Theory of operation
-------------------

pyOpenSSL asks after each call of OpenSSL whether one of its callbacks has failed, what kind of error
there is, and takes new memory for each answer. Behind the handshake no callback is left, and the
common answer says itself that it is none of the errors. So what is under pyOpenSSL's connection
is called directly, as Twisted does in places, and pyOpenSSL is asked about a failure when there
is one. Memory is one piece for the whole process: a call fills it, and what it filled is copied
out, or sent from there, before the next one.

The names that are used for that are pyOpenSSL's own. Where one of them is missing, its public methods do.
"""

from typing import Any
from typing import Protocol as Contract

from OpenSSL import SSL
from OpenSSL.SSL import Connection

# The most that one TLS record carries (RFC 8446, 5.1), and what it may grow by (5.2), with its header.
RECORD = 16_384
_GROWTH = 256 + 5
# What a stream writes at a time, as records.
_ROOM = 5 * (RECORD + _GROWTH)


class Sealed(Contract):
    """Octets in memory that others will be put into."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __buffer__(self, flags: int, /) -> memoryview:
        """Show them."""

    def __getitem__(self, where: slice, /) -> bytes:
        """Return some of them to keep."""


class Records(Contract):
    """The records of one connection whose handshake is complete; each method raises `OpenSSL.SSL.Error`."""

    def seal(self, data: bytes) -> Sealed:
        """Return the records that carry `data`, which are some octets; they stay as they are until the next call."""

    def take(self, data: bytes) -> None:
        """Keep what the peer sent."""

    def open(self) -> bytes:
        """Return what the next record carries; it raises `WantReadError` where none has come whole."""

    def more(self) -> bool:
        """Tell whether there is any use in opening another one: to ask OpenSSL in vain costs as much as a record."""


class PublicRecords:
    """By pyOpenSSL's public methods."""

    def __init__(self, tls: Connection) -> None:
        """Use `tls`."""
        self._tls = tls

    def seal(self, data: bytes) -> Sealed:
        """See `Records`."""
        self._tls.sendall(data)
        return self._tls.bio_read(_room_for(data))

    def take(self, data: bytes) -> None:
        """See `Records`."""
        self._tls.bio_write(data)

    def open(self) -> bytes:
        """See `Records`."""
        return self._tls.recv(RECORD)

    def more(self) -> bool:
        """See `Records`; nobody knows."""
        return True


class DirectRecords:
    """By OpenSSL's own functions."""

    __slots__ = ("_from", "_into", "_ssl", "_tls")
    # Of the process; nothing is in it between two calls.
    _buffer: Any = None
    _place: Any = None

    def __init__(self, tls: Connection) -> None:
        """Use what is under `tls`; raise `AttributeError` where that has other names."""
        inner: Any = tls
        self._tls = inner
        self._ssl, self._into, self._from = inner._ssl, inner._into_ssl, inner._from_ssl
        if DirectRecords._buffer is None:
            DirectRecords._buffer, DirectRecords._place = _ffi.new("char[]", _ROOM), _ffi.new("char **")

    def seal(self, data: bytes) -> Sealed:
        """See `Records`."""
        octets: Any = data if len(data) <= RECORD else _ffi.from_buffer(data)
        at, size = 0, len(data)
        while at < size:
            # One record is written at a time.
            written = _lib.SSL_write(self._ssl, octets + at if at else octets, size - at)
            if written <= 0:
                self._tls._raise_ssl_error(self._ssl, written)
            at += written
        room = _room_for(data)
        buffer = self._buffer if room <= _ROOM else _ffi.new("char[]", room)
        sealed: Sealed = _ffi.buffer(buffer, _lib.BIO_read(self._from, buffer, room))
        return sealed

    def take(self, data: bytes) -> None:
        """See `Records`."""
        _lib.BIO_write(self._into, data, len(data))

    def open(self) -> bytes:
        """See `Records`."""
        count = _lib.SSL_read(self._ssl, self._buffer, RECORD)
        if count <= 0:
            self._tls._raise_ssl_error(self._ssl, count)
        opened: bytes = _ffi.unpack(self._buffer, count)
        return opened

    def more(self) -> bool:
        """See `Records`; OpenSSL reads a record at a time, so what has come beside it still lies there."""
        return bool(_lib.BIO_get_mem_data(self._into, self._place))


_lib: Any = getattr(SSL, "_lib", None)
_ffi: Any = getattr(SSL, "_ffi", None)
_DIRECT = all(
    hasattr(_lib, name) for name in ("SSL_write", "SSL_read", "BIO_write", "BIO_read", "BIO_get_mem_data")
) and hasattr(Connection, "_raise_ssl_error")


def records_of(tls: Connection) -> Records:
    """Return the records of a connection over memory, read and written in the quickest way that there is."""
    try:
        return DirectRecords(tls) if _DIRECT else PublicRecords(tls)
    except AttributeError:
        return PublicRecords(tls)


def _room_for(data: bytes) -> int:
    """Return how many octets the records that carry `data` may have."""
    return len(data) + (len(data) // RECORD + 1) * _GROWTH
