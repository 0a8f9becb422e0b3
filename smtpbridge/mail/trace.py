"""
Write the fields that tell which way a message came: `Received`, and `Message-ID` and `Date` where they are missing.

How it works: `Trace` holds what the listener knows of one message, and three
functions turn it into the octets of a field.  What the peer said of itself is
cut and reduced to the characters of a host name or an address literal, so
nothing that it says can end the line, open a comment or begin another field.

What must not be known here: sockets and the clock.  The time comes in as text
that `rfc5322_date` made.
"""

from datetime import UTC, datetime
from functools import lru_cache

from smtpbridge.values import value

# RFC 5321, 4.5.3.1.2: a domain has at most 255 octets.
_LONGEST_NAME = 255
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Everything that a domain or an address literal (RFC 5321, 4.1.2 and 4.1.3) can hold; "_" because real hosts have it.
_HOST_OCTETS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]"
_HOST = bytes(octet if octet in _HOST_OCTETS else ord("?") for octet in range(256))


@value
class Trace:
    """
    How one message reached the bridge.

    `from_name` is the peer's HELO or EHLO argument, `from_address` its IP address (empty for a local socket),
    `protocol` a word of RFC 3848 ("ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"), or "SMTP", `id` the bridge's own name for
    the message, and `date` what `rfc5322_date` gave.  Recipients are left out on purpose: a `for` clause would show
    one of them to the others (RFC 5321, 7.6).
    """

    by_host: str
    from_name: str
    from_address: str
    protocol: str
    id: str
    date: str


def received(trace: Trace) -> bytes:
    """Return the `Received` field (RFC 5321, 4.4), folded, with its last line end."""
    way = _way(trace.from_name[:_LONGEST_NAME], trace.from_address, trace.by_host, trace.protocol)
    return b"%b id %b;\r\n %b\r\n" % (way, _host(trace.id), trace.date.encode("ascii"))


def message_id(trace: Trace) -> bytes:
    """Return a `Message-ID` field (RFC 5322, 3.6.4) for a message that came without one."""
    return b"Message-ID: <%b@%b>\r\n" % (_host(trace.id), _host(trace.by_host))


def date(trace: Trace) -> bytes:
    """Return a `Date` field (RFC 5322, 3.6.1) for a message that came without one: the time of its arrival."""
    return b"Date: " + trace.date.encode("ascii") + b"\r\n"


def rfc5322_date(seconds: float) -> str:
    """Return that time since the epoch as RFC 5322, 3.3 writes it, in UTC; the locale plays no part."""
    return _date_of(int(seconds))


# Many messages arrive within one second.
@lru_cache(maxsize=8)
def _date_of(seconds: int) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02} {month} {at.year:04} {at.hour:02}:{at.minute:02}:{at.second:02} +0000"


# A session brings many messages.
@lru_cache(maxsize=256)
def _way(from_name: str, from_address: str, by_host: str, protocol: str) -> bytes:
    """Return the beginning of the `Received` field, which is one for all messages of a session."""
    name = _host(from_name) or b"unknown"
    seen = b" (" + _literal(from_address) + b")" if from_address else b""
    return b"Received: from %b%b\r\n by %b with %b" % (name, seen, _host(by_host), _host(protocol))


def _host(text: str) -> bytes:
    return text[:_LONGEST_NAME].encode("ascii", "replace").translate(_HOST)


def _literal(address: str) -> bytes:
    # RFC 5321, 4.1.3: an IPv6 literal carries its tag.
    return (b"[IPv6:%b]" if ":" in address else b"[%b]") % _host(address)
