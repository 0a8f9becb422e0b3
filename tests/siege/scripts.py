"""
What hostile peers do, one script for each kind of them.

A script is a generator of `Step`s.  It says what is to be written or waited for;
`camp` owns the sockets and the clock, and sends what was heard back into it.
A script that ends closes its connection.

What must not be known here: sockets, time.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from typing import TypeAlias

from OpenSSL import SSL


@dataclass(frozen=True, slots=True)
class Say:
    """Go on when these octets have been handed to the system."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Hear:
    """Go on when the peer has sent this, or anything at all where it is empty; the octets that came are the answer."""

    ending: bytes = b""


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after so many seconds; what comes meanwhile is dropped."""

    seconds: float


Step: TypeAlias = Say | Hear | Pause
Script: TypeAlias = Generator[Step, bytes, None]


@dataclass(frozen=True, slots=True)
class Kind:
    """
    A kind of peer.

    One that is cut off comes back after `again` seconds.  A `deaf` one never reads once it has begun to flood: its
    script says all that it hears before.
    """

    name: str
    script: Callable[[], Script]
    again: float = 1.0
    deaf: bool = False


_FOR_EVER = 3600.0
_BLOCK = 65_536


def _hello() -> Script:
    yield Hear(b"\r\n")
    yield Say(b"EHLO siege.example.net\r\n")
    yield Hear(b"250 HELP\r\n")


def _in_data() -> Script:
    yield from _hello()
    yield Say(b"MAIL FROM:<siege@example.net>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\n")
    yield Hear(b"354")


def _whole(unit: bytes) -> bytes:
    return unit * (_BLOCK // len(unit))


def idle() -> Script:
    """Say EHLO and nothing more."""
    yield from _hello()
    yield Pause(_FOR_EVER)


def idle_under_tls() -> Script:
    """Finish a handshake and say nothing more."""
    tls = SSL.Connection(_context(), None)
    yield from _starttls()
    yield from _shake(tls)
    yield Pause(_FOR_EVER)


def slow_command() -> Script:
    """Send a command that never ends, an octet a second."""
    yield from _hello()
    for octet in repeat(b"N"):
        yield Say(octet)
        yield Pause(1.0)


def slow_data() -> Script:
    """Send a body, an octet a second."""
    yield from _in_data()
    yield Say(b"Subject: slow\r\n\r\n")
    for octet in repeat(b"a"):
        yield Say(octet)
        yield Pause(1.0)


def slow_header() -> Script:
    """Send header fields, one a second."""
    yield from _in_data()
    for field in repeat(b"X-Slow: a\r\n"):
        yield Say(field)
        yield Pause(1.0)


def endless_header() -> Script:
    """Send header fields as fast as they are taken, and no end of them."""
    yield from _in_data()
    block = _whole(b"X-A: " + b"a" * 57 + b"\r\n")
    while True:
        yield Say(block)


def endless_line() -> Script:
    """Send one header field without any line end, as fast as it is taken."""
    yield from _in_data()
    yield Say(b"X-MSYS-API: ")
    block = b"a" * _BLOCK
    while True:
        yield Say(block)


def endless_command() -> Script:
    """Send a command line of a gigabyte."""
    yield from _hello()
    block = b"N" * _BLOCK
    for _ in range((1 << 30) // _BLOCK):
        yield Say(block)


def command_flood() -> Script:
    """Pipeline commands that bring no message nearer."""
    yield from _hello()
    block = _whole(b"RSET\r\nNOOP\r\n")
    while True:
        yield Say(block)


def recipient_flood() -> Script:
    """Name recipients without end."""
    yield from _hello()
    yield Say(b"MAIL FROM:<siege@example.net>\r\n")
    block = _whole(b"RCPT TO:<ann@example.net>\r\n")
    while True:
        yield Say(block)


def silent_handshake() -> Script:
    """Ask for TLS, and then say nothing."""
    yield from _starttls()
    yield Pause(_FOR_EVER)


def half_handshake() -> Script:
    """Send half a ClientHello."""
    yield from _starttls()
    hello = _client_hello()
    yield Say(hello[: len(hello) // 2])
    yield Pause(_FOR_EVER)


def stalled_handshake() -> Script:
    """Send a ClientHello, and never what has to follow."""
    yield from _starttls()
    yield Say(_client_hello())
    yield Pause(_FOR_EVER)


def renegotiation() -> Script:
    """Shake hands with TLS 1.2, ask for another handshake within the connection, and wait for it."""
    tls = SSL.Connection(_context(SSL.TLS1_2_VERSION), None)
    yield from _starttls()
    yield from _shake(tls)
    while tls.renegotiate():
        try:
            yield from _shake(tls)
        except SSL.Error:
            return  # refused: what was asked for did not begin


def _starttls() -> Script:
    yield from _hello()
    yield Say(b"STARTTLS\r\n")
    yield Hear(b"\r\n")


@cache
def _context(version: int | None = None) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    if version is not None:
        context.set_max_proto_version(version)
    return context


def _client_hello() -> bytes:
    tls = SSL.Connection(_context(), None)
    tls.set_connect_state()
    try:
        tls.do_handshake()
    except SSL.WantReadError:
        pass
    return tls.bio_read(_BLOCK)


def _shake(tls: SSL.Connection) -> Script:
    """Shake hands; raise `SSL.Error` when the peer will not."""
    if tls.get_state_string().startswith(b"before"):
        tls.set_connect_state()
    while True:
        try:
            tls.do_handshake()
            done = True
        except SSL.WantReadError:
            done = False
        try:
            yield Say(tls.bio_read(_BLOCK))
        except SSL.WantReadError:
            pass
        if done:
            return
        tls.bio_write((yield Hear()))
