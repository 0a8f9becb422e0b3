"""
Find the leaf parts of a MIME body (RFC 2046, 5.1) as spans of its octets.

Theory of operation
-------------------

A body is anything that has a length and gives slices: `bytes`, or a file that
reads them.  The delimiter lines of a multipart are found with one search each,
so a large attachment costs a search and is never copied; only the first octets
of each part are taken, to read its header.

Nothing is decoded, and nothing fails: what cannot be understood is a leaf of a
type that nobody asks for, or no leaf at all.  Attached messages stay closed.
The number of steps and the depth are bounded, because a body may be made of
delimiter lines; what lies behind the bound is not found.

The octets are in wire form.  That makes no difference here: no delimiter and no
header field begins with a dot.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from smtpbridge.mail.encodings import Encoding, encoding_named
from smtpbridge.mail.headers import HeaderBlock, end_of_header, unfold

BLOCK = 262_144
"""How much of a body is looked at in one go."""
_FIRST_BLOCK = 8_192
# A part whose header is longer than this is left closed.
_LONGEST_HEADER = 16_384
_MOST_STEPS = 4_000
_DEEPEST = 16

_TYPE = re.compile(rb"\s*([^\s;/()<>@,:\\\"\[\]?=]+/[^\s;/()<>@,:\\\"\[\]?=]+)")
_PARAMETER = re.compile(rb";\s*([^\s;=\"]+)\s*=\s*(?:\"((?>(?:[^\"\\]|\\.)*))\"|([^\s;\"]*))", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
# RFC 2046, 5.1.1: blanks may stand behind a boundary.  No delimiter line in use comes near this length.
_REST_OF_DELIMITER = re.compile(rb"(--)?[ \t]*(?:\r\n|\Z)")
_LONGEST_PADDING = 128
# CRLF, two dashes, and the first octet of a boundary.
_QUICKLY_FOUND = 5


class Octets(Protocol):
    """A body, in memory or not."""

    def __len__(self) -> int:
        """Return how many octets there are."""

    def __getitem__(self, where: slice, /) -> bytes:
        """Return a span of them; `where` has no step."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type field: the type in lower case, and the parameters that matter here."""

    name: bytes
    charset: bytes = b""
    boundary: bytes = b""


@dataclass(frozen=True, slots=True)
class Part:
    """
    A leaf: its content, transfer encoding on, lies in [start, end) of the body and begins at a line's start.

    `signed` says that it lies in a multipart/signed, where a change would break the signature (RFC 1847, 2.1);
    `delimiters` are those of the multiparts around it, which none of its lines may begin with (RFC 2046, 5.1.1).
    """

    start: int
    end: int
    media: MediaType
    encoding: Encoding
    attachment: bool
    signed: bool
    delimiters: tuple[bytes, ...] = ()


_PLAIN_TEXT = MediaType(b"text/plain")
_UNREADABLE = MediaType(b"application/octet-stream")
_MESSAGE = MediaType(b"message/rfc822")


def media_type(value: bytes) -> MediaType:
    """Read a Content-Type field; one that cannot be read is of a type that nobody asks for."""
    value = unfold(value)
    found = _TYPE.match(value)
    if not found:
        return _UNREADABLE
    parameters = {
        one[1].lower(): _QUOTED_PAIR.sub(rb"\1", one[2]) if one[2] is not None else one[3]
        for one in _PARAMETER.finditer(value, found.end())
    }
    return MediaType(found[1].lower(), parameters.get(b"charset", b"").lower(), parameters.get(b"boundary", b""))


def leaves(header: HeaderBlock, body: Octets) -> Iterator[Part]:
    """Yield the leaf parts of a message in order; never fails."""
    return _Search(body).inside(header, _Place(0, len(body), _PLAIN_TEXT))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the content of an entity lies, and how it lies in others."""

    start: int
    end: int
    default: MediaType
    delimiters: tuple[bytes, ...] = ()
    signed: bool = False


class _Search:
    """One walk over one body."""

    def __init__(self, body: Octets) -> None:
        self._body = body
        self._steps = _MOST_STEPS

    def inside(self, header: HeaderBlock, place: _Place) -> Iterator[Part]:
        """Yield the leaves of an entity with this header."""
        types = header.values(b"content-type")
        media = media_type(types[0]) if types else place.default
        encodings = header.values(b"content-transfer-encoding")
        encoding = encoding_named(unfold(encodings[0])) if encodings else Encoding.IDENTITY
        if not media.name.startswith(b"multipart/"):
            yield Part(place.start, place.end, media, encoding, _is_attachment(header), place.signed, place.delimiters)
        elif media.boundary and encoding is Encoding.IDENTITY and len(place.delimiters) < _DEEPEST:
            default = _MESSAGE if media.name == b"multipart/digest" else _PLAIN_TEXT
            signed = place.signed or media.name == b"multipart/signed"
            delimiters = (*place.delimiters, b"--" + media.boundary)
            for start, end in self._between_delimiters(delimiters[-1], place):
                yield from self._part(_Place(start, end, default, delimiters, signed))

    def _part(self, place: _Place) -> Iterator[Part]:
        """Yield the leaves of a part that begins with its own header."""
        beginning = self._body[place.start : min(place.end, place.start + _LONGEST_HEADER)]
        length, content = end_of_header(beginning)
        if content == len(beginning) and place.start + content < place.end:
            return
        inner = _Place(place.start + content, place.end, place.default, place.delimiters, place.signed)
        yield from self.inside(HeaderBlock.parse(beginning[:length]), inner)

    def _between_delimiters(self, delimiter: bytes, place: _Place) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of each part, its header included; the line end before a delimiter belongs to that."""
        part: int | None = None
        for at, line_end, closing in self._delimiters(delimiter, place):
            if part is not None and at > part:
                yield part, at
            if closing:
                return
            part = line_end
        if part is not None and part < place.end:
            yield part, place.end

    def _delimiters(self, delimiter: bytes, place: _Place) -> Iterator[tuple[int, int, bool]]:
        """Yield (end of the text before it, end of its line, whether it closes) for each delimiter line."""
        needle = b"\r\n" + delimiter
        length = len(delimiter)
        at = place.start - 2  # the very first line may be one: what stands before it is not looked at
        if self._body[place.start : place.start + length] != delimiter:
            at = find(self._body, needle, place.start, place.end)
        while at != -1 and self._steps > 0:
            self._steps -= 1
            behind = at + 2 + length
            rest = _REST_OF_DELIMITER.match(self._body[behind : min(behind + _LONGEST_PADDING, place.end)])
            if rest:
                yield max(at, place.start), behind + rest.end(), rest[1] is not None
                # One line end may stand between two delimiters.
                behind = max(behind, behind + rest.end() - 2)
            at = find(self._body, needle, behind, place.end)


def find(body: Octets, needle: bytes, start: int, end: int) -> int:
    """Return where `needle` begins first within [start, end), or -1."""
    if isinstance(body, bytes):
        return _find(body, needle, start, end)
    size = _FIRST_BLOCK
    while start + len(needle) <= end:
        block = body[start : min(start + size, end)]
        at = _find(block, needle, 0, len(block))
        if at >= 0:
            return start + at
        start += size - len(needle) + 1
        size = BLOCK
    return -1


def _find(octets: bytes, needle: bytes, start: int, end: int) -> int:
    """
    Return what `bytes.find` does.

    That prepares itself for more than five octets in a long text, which is made for worst cases, and then takes up to
    ten times as long as for the first five.
    """
    beginning = needle[:_QUICKLY_FOUND]
    at = octets.find(beginning, start, end)
    while at >= 0 and not octets.startswith(needle, at, end):
        at = octets.find(beginning, at + 1, end)
    return at


def _is_attachment(header: HeaderBlock) -> bool:
    return any(value.strip()[:10].lower() == b"attachment" for value in header.values(b"content-disposition"))
