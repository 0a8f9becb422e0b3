"""
What a balancer says in front of a connection: the PROXY protocol of HAProxy, versions 1 and 2.  No I/O.

Theory of operation
-------------------

Before the client's first octet a balancer sends one header that says whose
connection it carries.  `HeaderReader` takes octets, cut anywhere, until the
header is whole or can no longer become one; what came behind it is handed back.

Only a balancer's word counts, so who may speak is decided before anything is
read here, and what is read is taken exactly: the source address decides who may
relay, and a text that two programs read differently would be a way around that.
There is no guessing whether a header is there (2 of the specification): its
absence is an error.

A header without a TCP address (LOCAL, UNKNOWN, a Unix socket, UDP) is right, and
says that the connection's own address holds.  Nothing else in it is believed.

What must not be known here: who is a balancer, and what follows from an address.
Sections are those of HAProxy's doc/proxy-protocol.txt.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.smtp.replies import printable

# 2.1: the longest line, with its CRLF.
_MOST_IN_LINE = 107
# Version 2 may have 65,551 octets.  2.2 wants it smaller than a segment; what balancers add in practice (a name, a
# certificate's name, a checksum, an id of the cloud) stays below one as well.
MOST_OCTETS = 2048
_LONGEST_NAME = 255
_LONGEST_VERSION = 32

_LINE_START = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# What a header of either version begins with.
BEGINNINGS = (_LINE_START, _SIGNATURE)
_LEAD = struct.Struct("!12sBBH")
_PORT = rb"(0|[1-9][0-9]{0,4})"
_TCP4 = re.compile(rb"PROXY TCP4 ([0-9.]+) ([0-9.]+) %b %b" % (_PORT, _PORT))
_TCP6 = re.compile(rb"PROXY TCP6 ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) %b %b" % (_PORT, _PORT))
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: .*)?", re.DOTALL)

# 2.2: the lower half of the 13th octet, and the 14th.
_LOCAL, _PROXY = 0, 1
_ADDRESSES = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}
_MOST_FAMILY, _MOST_TRANSPORT = 3, 2
# 2.2: the types of its fields that mean something here.
_AUTHORITY, _CRC32C, _SSL, _SSL_VERSION, _SSL_CN = 0x02, 0x03, 0x20, 0x21, 0x22
_READ_ONCE = frozenset({_AUTHORITY, _CRC32C, _SSL, _SSL_VERSION, _SSL_CN})
# 2.2.6: bits of the octet that says how the client came.
_OVER_TLS, _CERTIFICATE = 0x01, 0x02 | 0x04


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection; an IPv4 address in IPv6 clothes is written as IPv4."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Tls:
    """The client came over TLS that ended at the balancer; `client_name` is that of a certificate it verified."""

    version: str = ""
    client_name: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """
    Whose connection it is.

    Without a `source` the balancer speaks for itself or cannot tell: the connection's own address holds.  Without
    `tls` nothing was said of it, or that there was none.  `server_name` is the name that the client asked for.
    """

    source: Peer | None = None
    destination: Peer | None = None
    tls: Tls | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Whole:
    """The header is complete; `rest` is what came behind it."""

    header: Header
    rest: bytes


@dataclass(frozen=True, slots=True)
class BadHeader:
    """This is no header; `why` is for the log, and the connection is to be ended without a word."""

    why: str


class _Bad(SmtpbridgeError):
    """What is wrong with a header."""


class HeaderReader:
    """Turn the first octets of a connection into one header."""

    def __init__(self) -> None:
        """Begin."""
        self._held = b""

    @property
    def begun(self) -> bool:
        """Tell whether anything has come."""
        return bool(self._held)

    def feed(self, octets: bytes) -> Whole | BadHeader | None:
        """Return the header or what is wrong, `None` while more is needed.  Feed nothing more after an answer."""
        held = self._held = self._held + octets
        try:
            if held.startswith(_SIGNATURE[: len(held)]):
                return _read_binary(held)
            if held.startswith(_LINE_START[: len(held)]):
                return _read_line(held)
            raise _Bad(f"no PROXY header, but {printable(held[:50].decode('latin-1'), 40)}")
        except _Bad as bad:
            return BadHeader(str(bad))


# Version 1


def _read_line(held: bytes) -> Whole | None:
    end = held.find(b"\n", 0, _MOST_IN_LINE)
    if end < 0:
        if len(held) >= _MOST_IN_LINE:
            raise _Bad(f"a PROXY line over {_MOST_IN_LINE} octets")
        return None
    if held[end - 1 : end] != b"\r":
        raise _Bad("a PROXY line that a bare LF ends")
    return Whole(_header_of_line(held[: end - 1]), held[end + 1 :])


def _header_of_line(line: bytes) -> Header:
    if _UNKNOWN.fullmatch(line):
        # 2.1: what stands behind the word is to be ignored.
        return Header()
    try:
        if match := _TCP4.fullmatch(line):
            source, destination, *ports = (text.decode() for text in match.groups())
            return Header(_peer(IPv4Address(source), ports[0]), _peer(IPv4Address(destination), ports[1]))
        if match := _TCP6.fullmatch(line):
            source, destination, *ports = (text.decode() for text in match.groups())
            return Header(_peer(IPv6Address(source), ports[0]), _peer(IPv6Address(destination), ports[1]))
    except ValueError:
        pass
    raise _Bad(f"a PROXY line that is not as specified: {printable(line.decode('latin-1'), _MOST_IN_LINE)}")


def _peer(ip: IPv4Address | IPv6Address, port: int | str) -> Peer:
    number = int(port)
    if number > 0xFFFF:
        raise ValueError("no port")
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return Peer(str(mapped or ip), number)


# Version 2


def _read_binary(held: bytes) -> Whole | None:
    if len(held) < _LEAD.size:
        return None
    _, first, family, length = _LEAD.unpack_from(held)
    version, command = first >> 4, first & 0x0F
    if version != 2:
        raise _Bad(f"a header of version {version} in binary form")
    if command not in (_LOCAL, _PROXY):
        raise _Bad(f"an unknown command, {command}")
    # 2.2: with LOCAL the family is ignored.
    if command == _PROXY and (family >> 4 > _MOST_FAMILY or family & 0x0F > _MOST_TRANSPORT):
        raise _Bad(f"an unknown address family or transport, 0x{family:02x}")
    end = _LEAD.size + length
    if end > MOST_OCTETS:
        raise _Bad(f"a header of {end} octets, over the {MOST_OCTETS} that are read")
    if len(held) < end:
        return None
    layout = _ADDRESSES.get(family) if command == _PROXY else None
    # 2.2: what is not TCP is taken as if nothing were known, and its block is skipped whatever it holds.
    header = Header() if layout is None else _header_of_block(held[:end], layout)
    return Whole(header, held[end:])


def _header_of_block(octets: bytes, layout: struct.Struct) -> Header:
    if len(octets) < _LEAD.size + layout.size:
        raise _Bad(f"{len(octets) - _LEAD.size} octets of addresses, too few")
    source, destination, source_port, destination_port = layout.unpack_from(octets, _LEAD.size)
    make = IPv4Address if len(source) == 4 else IPv6Address
    fields = _fields(octets, _LEAD.size + layout.size)
    if _CRC32C in fields:
        _verify(octets, *fields[_CRC32C])
    return Header(
        _peer(make(source), source_port),
        _peer(make(destination), destination_port),
        _tls(octets[slice(*fields[_SSL])]) if _SSL in fields else None,
        _text(octets, fields.get(_AUTHORITY), _LONGEST_NAME),
    )


def _fields(octets: bytes, at: int) -> dict[int, tuple[int, int]]:
    """Return begin and end of each field that is read here, by its type; one that comes twice could mean two things."""
    found: dict[int, tuple[int, int]] = {}
    for kind, begin, end in _walk(octets, at):
        if kind not in _READ_ONCE:
            continue
        if kind in found:
            raise _Bad(f"field 0x{kind:02x} twice")
        found[kind] = begin, end
    return found


def _walk(octets: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    while at < len(octets):
        begin = at + 3
        end = begin + int.from_bytes(octets[at + 1 : begin], "big")
        if end > len(octets):
            raise _Bad("a field that is cut off")
        yield octets[at], begin, end
        at = end


def _tls(value: bytes) -> Tls | None:
    """Read a field of 2.2.6."""
    if len(value) < 5:
        raise _Bad("a TLS field that is too short")
    client, verify = value[0], value[1:5]
    fields = _fields(value, 5)
    if not client & _OVER_TLS:
        return None
    # 2.2.6: zero says that there was a certificate and that it was verified; the bits say whether there was one.
    named = client & _CERTIFICATE and verify == b"\0\0\0\0"
    return Tls(
        _text(value, fields.get(_SSL_VERSION), _LONGEST_VERSION),
        _text(value, fields.get(_SSL_CN), _LONGEST_NAME) if named else "",
    )


def _text(octets: bytes, where: tuple[int, int] | None, limit: int) -> str:
    return printable(octets[slice(*where)].decode("latin-1"), limit) if where else ""


def _verify(octets: bytes, begin: int, end: int) -> None:
    """Compare the checksum of 2.2.3, which was made while zeros stood in its place."""
    if end - begin != 4:
        raise _Bad(f"a checksum of {end - begin} octets")
    if _crc32c(octets[:begin] + b"\0\0\0\0" + octets[end:]) != int.from_bytes(octets[begin:end], "big"):
        raise _Bad("a checksum that does not fit")


def _crc32c(octets: bytes) -> int:
    """Return the checksum of RFC 4960, Appendix B; one header in a connection, so a loop over it is bearable."""
    table, remainder = _crc32c_table(), 0xFFFFFFFF
    for octet in octets:
        remainder = table[(remainder ^ octet) & 0xFF] ^ remainder >> 8
    return remainder ^ 0xFFFFFFFF


@cache
def _crc32c_table() -> tuple[int, ...]:
    table = []
    for remainder in range(256):
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
        table.append(remainder)
    return tuple(table)
