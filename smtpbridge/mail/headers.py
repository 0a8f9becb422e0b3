"""
A header block as raw fields: order, case and folding kept.

Theory of operation
-------------------

The block is cut once, at every line end that no white space follows: a line
that begins with white space belongs to the field before it (RFC 5322, 2.2.3).
Where nothing is folded every line is a field; else one regular expression cuts,
because joining lines one by one would cost the square of a field's length.

A program that sends mail writes the same names in the same order into each
message.  So the names met last in a block of so many fields are kept, and tried
first: a block whose lines all begin with them is cut already.

Each field keeps its octets, line ends included, and beside them stands its
name in lower case, so a question about a name is a comparison and a field that
nobody asks about leaves byte for byte as it came.

A line that cannot begin a field (no colon, or a character that a name cannot
hold) keeps its place under the empty name: it is somebody's content.  Only a
block whose first line is such a line holds no fields at all; `split` then
gives everything to the body, as Postfix does.

What must not be known here: what any field means.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import getitem

from smtpbridge.values import value

# RFC 5322, 3.6.8: printable ASCII but the colon; 4.5.3 (obsolete syntax) lets white space stand before the colon.
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_NAMES = re.compile(rb"[!-9;-~]+(?>(?:\n[!-9;-~]+)*)")
# RFC 5322, 2.2.3: a line end before white space is a fold, inside a field.
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
# A line that goes on with the one before it, or is empty.
_NOT_A_FIELD = re.compile(rb"\r\n[ \t\r]")
# Of all names of a block together; a usual one has two hundred octets.
_LONGEST_KNOWN = 1_024
_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+|(?<=\r\n)(?:\r\n)+")
# What a mailbox file writes above a message; some senders leave it on top of the header.
_MBOX_LINE = re.compile(rb">?From ")


@value
class HeaderBlock:
    """
    The fields of one message.

    `names` and `fields` run side by side: the name in lower case (empty for a line that is no field), and the
    field's octets with every line end, the last included.
    """

    names: tuple[bytes, ...]
    fields: tuple[bytes, ...]

    @classmethod
    def parse(cls, octets: bytes) -> "HeaderBlock":
        """Read a block of CRLF lines without the empty line that ends it; never fails."""
        known = _met.get(octets.count(b"\r\n"))
        if known is not None:
            lines = octets.splitlines(keepends=True)
            # As many lines as line ends: no line ends in another way.
            if len(lines) == len(known.beginnings) and known.begin(lines):
                return cls(known.names, tuple(lines))
        fields = _cut(octets)
        return cls(_names(fields), tuple(fields))

    def __contains__(self, name: bytes) -> bool:
        """Tell whether a field of that lower-case name is there."""
        return name in self.names

    def values(self, name: bytes) -> list[bytes]:
        """Return the raw values of the fields of that lower-case name: folds kept, colon and last line end gone."""
        names, fields = self.names, self.fields
        match names.count(name):
            case 0:
                return []
            case 1:
                return [_value(fields[names.index(name)])]
        return [_value(field) for found, field in self if found == name]

    def count(self, name: bytes) -> int:
        """Return how many fields have that lower-case name."""
        return self.names.count(name)

    def without(self, gone: Iterable[bytes]) -> "HeaderBlock":
        """Return the block less the fields of these lower-case names."""
        unwanted = frozenset(gone)
        kept = [(name, field) for name, field in self if name not in unwanted]
        return HeaderBlock(tuple(name for name, _ in kept), tuple(field for _, field in kept))

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Go over (name in lower case, octets of the field)."""
        return zip(self.names, self.fields, strict=True)

    def octets(self) -> bytes:
        """Return the block as it goes on the wire, without the empty line that ends it."""
        return b"".join(self.fields)

    def value_at(self, at: int) -> bytes:
        """Return the raw value of a field, counted from 0; it has a name."""
        return _value(self.fields[at])


@value
class _Known:
    """The names of a block: in lower case, as written with their colons, and where the latter stand in a line."""

    names: tuple[bytes, ...]
    beginnings: list[bytes]
    places: list[slice]

    def begin(self, fields: list[bytes]) -> bool:
        """Tell whether fields, as many as there are names, have these."""
        return list(map(getitem, fields, self.places)) == self.beginnings


# By how many they are, the last names met for each number of fields up to `_MOST_MET`: below a mebibyte.
_met: dict[int, _Known] = {}
_MOST_MET = 64


def _value(field: bytes) -> bytes:
    return field[field.index(b":") + 1 : -2]


def _cut(octets: bytes) -> list[bytes]:
    """Return the fields, each with its line ends."""
    if octets.startswith(b"\r\n") or _NOT_A_FIELD.search(octets):
        if b"\r\n\r\n" in octets or octets.startswith(b"\r\n"):
            # An empty line inside would end the header for whoever reads it next.
            octets = _EMPTY_LINES.sub(b"", octets)
        lines = _FIELD_END.split(octets)
    else:
        lines = octets.split(b"\r\n")
    return [line + b"\r\n" for line in lines if line]


def _names(fields: list[bytes]) -> tuple[bytes, ...]:
    """Return the name of each field in lower case; nothing for a line that is no field."""
    if not fields:
        return ()
    known = _met.get(len(fields))
    if known is not None and known.begin(fields):
        return known.names
    written, colons, _ = zip(*[field.partition(b":") for field in fields], strict=True)
    together = b"\n".join(written)
    if all(colons) and len(together) <= _LONGEST_KNOWN:
        names = _sound_names(together)
        if len(names) == len(fields):
            if len(fields) <= _MOST_MET:
                _met[len(fields)] = _Known(
                    names, [name + b":" for name in written], [slice(len(name) + 1) for name in written]
                )
            return names
    found = [_NAME.match(field) for field in fields]
    return tuple([match[1].lower() if match else b"" for match in found])


# A program that sends mail writes the same names in the same order into each message.  Half a mebibyte at most.
@lru_cache(maxsize=256)
def _sound_names(together: bytes) -> tuple[bytes, ...]:
    """Return names that stand one a line in lower case; none where one of them is no name, or has a blank behind it."""
    return tuple(together.lower().split(b"\n")) if _NAMES.fullmatch(together) else ()


def unfold(value: bytes) -> bytes:
    """Return a field's value as one line, blanks around it gone (RFC 5322, 2.2.3: only the line ends go)."""
    return value.replace(b"\r\n", b"").strip(b" \t")


def count_fields(octets: bytes) -> int:
    """Return how many fields a block of CRLF lines has, lines that are no field counted too; nothing is cut for it."""
    # RFC 5322, 2.2.3: a line end before white space is a fold, inside a field.
    return octets.count(b"\r\n") - octets.count(b"\r\n ") - octets.count(b"\r\n\t")


def end_of_header(octets: bytes) -> tuple[int, int]:
    """
    Return (length of the header block, start of the body) for content in CRLF lines.

    The body starts behind the empty line.  Content without one is all header; content that begins with an empty
    line, or with a line that is no field, has none and is all body.
    """
    if octets.startswith(b"\r\n"):
        return 0, 2
    if octets and not _NAME.match(octets) and not _MBOX_LINE.match(octets):
        return 0, 0
    at = octets.find(b"\r\n\r\n")
    if at < 0:
        return len(octets), len(octets)
    return at + 2, at + 4
