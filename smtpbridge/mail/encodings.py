"""
Take off and put on a MIME part's transfer encoding (RFC 2045, 6), and SMTP's doubled dots (RFC 5321, 4.5.2).

How it works: `decode` gives the content of a part as its author meant it, or
`None` where something would be lost on the way: base64 with foreign characters
in it, or with data behind its end.  `encode` makes lines of at most 76
characters; for every content, `decode(encode(content))` is the content.  Both
do all their work in C, whole parts at a time.

What must not be known here: where a part begins, and what its content means.
"""

import binascii
import re
from enum import Enum, auto

# RFC 2045, 6.8: lines of at most 76 characters.
_LINE = re.compile(rb".{1,76}")
# Base64 as every writer makes it; what else stands in it would be lost.
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]*+={0,2}\s*+")
# binascii writes a line end as an encoded CR and an encoded LF, perhaps with a soft line break between them.
_ENCODED_LINE_END = re.compile(rb"=0D(?:=\r\n)?=0A")
_OVERLONG = re.compile(rb"[^\r\n]{77}")
_BLANK_AT_END = re.compile(rb"[ \t](?=\r\n|\Z)")
_ENCODED_BLANK = {b" ": b"=20", b"\t": b"=09"}


class Encoding(Enum):
    """A transfer encoding; UNKNOWN is one that nobody here can read."""

    IDENTITY = auto()
    QUOTED_PRINTABLE = auto()
    BASE64 = auto()
    UNKNOWN = auto()


_NAMES = {
    b"": Encoding.IDENTITY,
    b"7bit": Encoding.IDENTITY,
    b"8bit": Encoding.IDENTITY,
    b"binary": Encoding.IDENTITY,
    b"quoted-printable": Encoding.QUOTED_PRINTABLE,
    b"base64": Encoding.BASE64,
}


def encoding_named(value: bytes) -> Encoding:
    """Return the encoding that a Content-Transfer-Encoding field names; without one it is 7bit (RFC 2045, 6.1)."""
    return _NAMES.get(value.strip().lower(), Encoding.UNKNOWN)


def decode(octets: bytes, encoding: Encoding) -> bytes | None:
    """Return the content, or `None` where it cannot be had without loss."""
    match encoding:
        case Encoding.IDENTITY:
            return octets
        case Encoding.QUOTED_PRINTABLE:
            return binascii.a2b_qp(octets)
        case Encoding.BASE64 if _BASE64.fullmatch(octets):
            try:
                return binascii.a2b_base64(octets)
            except binascii.Error:
                return None
    return None


def encode(content: bytes, encoding: Encoding) -> bytes:
    """Return content in an encoding that `decode` reads; the last line has no line end of its own."""
    match encoding:
        case Encoding.QUOTED_PRINTABLE:
            return _quoted_printable(content)
        case Encoding.BASE64:
            return b"\r\n".join(_LINE.findall(binascii.b2a_base64(content, newline=False)))
    return content


def plain(wire: bytes) -> bytes:
    """Return lines as they are meant, from lines in which leading dots are doubled; `wire` begins at a line's start."""
    if wire.startswith(b"."):
        wire = wire[1:]
    return wire.replace(b"\r\n.", b"\r\n") if b"\n." in wire else wire


def wire(lines: bytes) -> bytes:
    """Return lines with their leading dots doubled; `lines` begin at a line's start."""
    if lines.startswith(b"."):
        lines = b"." + lines
    return lines.replace(b"\r\n.", b"\r\n..") if b"\n." in lines else lines


def _quoted_printable(content: bytes) -> bytes:
    # Not in text mode, which takes every lone LF for a line end.  The soft breaks are like the first line end in it.
    encoded = binascii.b2a_qp(content, istext=False).replace(b"=\n", b"=\r\n")
    # Before a LF, which it means to write as it is, binascii sees no need for a soft break.
    encoded = _OVERLONG.sub(_broken, encoded)
    # Lines only become shorter here, and a blank that comes to stand at an end takes less room than `=0D` did.
    lines = _ENCODED_LINE_END.sub(b"\r\n", encoded)
    return _BLANK_AT_END.sub(lambda found: _ENCODED_BLANK[found[0]], lines)


def _broken(found: re.Match[bytes]) -> bytes:
    """Return a line that ends in a soft break as two, of which the second has its last character."""
    line = found[0][:-1]
    last = line[-3:] if line[-3:-2] == b"=" else line[-1:]
    return line.removesuffix(last) + b"=\r\n" + last + b"="
