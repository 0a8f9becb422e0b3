"""
JSON as text: read strictly, read as SparkPost's parser reads it, written compactly.

Theory of operation
-------------------

`read_strict` is RFC 8259 by the C scanner of the standard library, with
numbers kept as they are written.

`read_lenient` accepts what json-c accepts outside its strict mode, since a
header that SparkPost understood must be understood here: trailing commas, both
kinds of comment, single quotes, literals in any case, raw control characters
in strings, leading zeros, and any text behind the value.  One expression steps
from one such thing to the next and puts strict JSON in its place, of the same
length where it can, so that positions hold; then the same scanner reads it.
The first thing that neither grammar knows ends the mending: the scanner stops
there, or has already seen the end of the value.

Octets cost next to nothing here, values and steps of mending cost about a
microsecond each, so both are bounded: by a count of commas and openings before
anything is built, and while mending.  Only where a text holds more of these
characters than values are allowed are they looked for outside of strings.

`write` gives ASCII without white space: every control character and every
character outside ASCII is an escape, lone surrogates included.

What must not be known here: what any member means.
"""

import re
from collections.abc import Callable
from itertools import islice
from json import JSONDecodeError, JSONDecoder
from json.encoder import encode_basestring_ascii as quote
from typing import NoReturn

from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.number import Number
from smtpbridge.errors import SmtpbridgeError

MOST_LEVELS = 100  # nobody's metadata is that deep, and walking down costs stack
# Five times what a thousand copies in the longest form hold: each two objects, an address and a name.
MOST_VALUES = 20_000


class BadJson(SmtpbridgeError, ValueError):
    """Text that is not JSON: `position` counts the characters before the fault, `reason` is a constant text."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"{reason} at character {position + 1}")
        self.position = position
        self.reason = reason


class TooMuch(BadJson):
    """Text with more of something than is read: reading it in another way would not help."""


class TooManyValues(TooMuch):
    """Text with more values than are read, or wrong in more places than are mended."""

    def __init__(self) -> None:
        super().__init__(0, "too many values")


class TooDeep(TooMuch):
    """Text that is nested deeper than is read."""

    def __init__(self) -> None:
        super().__init__(0, "nested too deeply")


def _refuse_constant(name: str) -> NoReturn:
    # RFC 8259, 6: neither NaN nor an infinity is a number.  The scanner does not tell where it met one.
    raise BadJson(0, f"{name} is no JSON")


_STRICT = JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)
_LENIENT = JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant, strict=False)
# `raw_decode` does no more than to call it; typeshed does not know it.
_scan_strictly: Callable[[str, int], tuple[Json, int]] = vars(_STRICT)["scan_once"]
# What the scanner says, in our words; whatever else it says is "not JSON".
_REASONS = {
    "Expecting ',' delimiter": "comma missing",
    "Expecting ':' delimiter": "colon missing",
    "Expecting property name enclosed in double quotes": "name missing",
    "Expecting value": "value missing",
    "Unterminated string starting at": "string without an end",
    "Invalid \\escape": "unknown escape",
    "Invalid \\uXXXX escape": "unknown escape",
}

# Nothing here is to be given back.  A group that is repeated says so by `(?>...)`, because before 3.11.5 Python goes on
# behind the half of a `(...)*+` that it had found last (python/cpython#106052).
_COMMENT = r"/\*(?>(?:[^*]++|\*(?!/))*)\*/|//[^\n]*+"
_SKIP = rf"(?>(?:[ \t\n\v\f\r]++|{_COMMENT})*)"  # what means nothing between tokens
# What commas and brackets count for nothing in.  Where the end is missing nobody reads on, and looking for it from each
# beginning would cost the square of the length.
_OPAQUE = re.compile(
    r"""\"(?>(?:[^"\\]++|\\.)*)"?+|'(?>(?:[^'\\]++|\\.)*)'?+|/\*(?>(?:[^*]++|\*(?!/))*)(?:\*/)?|//[^\n]*+""", re.DOTALL
)
_ODDITY = re.compile(
    rf"""
    (?>(?:  # what is strict JSON already
        [ \t\n\r:\]}}]++
      | "(?>(?:[^"\\]++|\\.)*)"?+
      | -?(?:[1-9][0-9]*+|0(?![0-9]))(?:[.eE][0-9.eE+-]*+)?
      | ,(?:(?![ \t\n\v\f\r/\]}}])|(?!{_SKIP}[\]}}]))
      | [\[{{](?:{_SKIP},)?  # the comma is an error and must stay one
      | (?:true|false|null)(?![\w.])
    )*)
    (?:
        ((?:[\v\f]|{_COMMENT}){_SKIP})
      | ('[^'"\\]*+'(?>(?:[ ,]*+'[^'"\\]*+')*))  # several at once: a mebibyte of them is as many steps less
      | ('(?>(?:[^'\\]++|\\.)*)')
      | (,)
      | ((?i:true|false|null)(?![\w.]))
      | (-?0+)(?=[0-9])
      | (.|\Z)  # what nobody knows, or the end
    )""",
    re.VERBOSE | re.DOTALL,
)
_BLANKS, _PLAIN_QUOTED, _SINGLE_QUOTED, _COMMA, _LITERAL, _ZEROS, _UNKNOWN = range(1, 8)
_BLANKS_OF_JSON = " \t\n\r"  # RFC 8259, 2


def read_strict(text: str, most_values: int = MOST_VALUES, most_levels: int = MOST_LEVELS) -> Json:
    """Return the value of a JSON text (RFC 8259); of two equal names the last counts; raise `BadJson`."""
    _check_count(text, most_values)
    value: Json
    try:
        value, end = _scan_strictly(text, len(text) - len(text.lstrip(_BLANKS_OF_JSON)))
    except StopIteration as nothing:
        raise BadJson(nothing.value, "not JSON") from nothing
    except JSONDecodeError as error:
        raise BadJson(error.pos, "not JSON") from error
    except RecursionError as depth:
        raise TooDeep from depth
    if end < len(text) and (rest := text[end:].lstrip(_BLANKS_OF_JSON)):
        raise BadJson(len(text) - len(rest), "not JSON")
    _check_depth(value, text, most_levels)
    return value


def read_lenient(text: str, most_values: int = MOST_VALUES, most_levels: int = MOST_LEVELS) -> Json:
    """Return the value at the start of a text by json-c's grammar; raise `BadJson`."""
    _check_count(text, most_values)
    mended, longer = _mend(text, most_values)
    value: Json
    try:
        value, _ = _LENIENT.raw_decode(mended, len(mended) - len(mended.lstrip(_BLANKS_OF_JSON)))
    except JSONDecodeError as error:
        position = error.pos - sum(added for end, added in longer if end <= error.pos)
        at_end = error.pos >= len(mended.rstrip())
        reason = "unexpected end" if at_end else _REASONS.get(error.msg, "not JSON")
        raise BadJson(position, reason) from error
    except RecursionError as depth:
        raise TooDeep from depth
    _check_depth(value, mended, most_levels)
    return value


def write(value: Json) -> str:
    """Return compact ASCII JSON with its numbers and the order of its names as they were given."""
    match value:
        case dict():
            # Members are nearly always text, and a text needs no further look.
            members = [
                f"{quote(name)}:{quote(member) if type(member) is str else write(member)}"
                for name, member in value.items()
            ]
            return f"{{{','.join(members)}}}"
        case list():
            return f"[{','.join([write(entry) for entry in value])}]"
        case Number():
            return value
        case str():
            return quote(value)
        case bool():
            return "true" if value else "false"
        case None:
            return "null"


def _mend(text: str, most: int) -> tuple[str, list[tuple[int, int]]]:
    """
    Return the text with strict JSON for what only json-c takes; and (where it ends, by how much) it got longer.

    Raise `TooManyValues` when that is to be done in more than `most` places.
    """
    parts: list[str] = []
    longer: list[tuple[int, int]] = []
    at = added = 0
    for odd in islice(_ODDITY.finditer(text), most + 1):
        kind = odd.lastindex or _UNKNOWN
        if kind == _UNKNOWN:
            break
        start, end = odd.span(kind)
        if kind in (_BLANKS, _COMMA):
            new = " " * (end - start)
        elif kind == _PLAIN_QUOTED:
            new = odd[kind].replace("'", '"')
        elif kind == _SINGLE_QUOTED:
            new = _double_quoted(odd[kind])
            if len(new) > end - start:
                longer.append((end + added, len(new) - (end - start)))
                added += len(new) - (end - start)
        elif kind == _LITERAL:
            new = odd[kind].lower()
        else:
            # Blanks for the zeros; a minus goes behind them.
            new = odd[kind].replace("0", "").rjust(end - start)
        parts += (text[at:start], new)
        at = end
    else:
        # The last thing found is always one that nobody knows, the end of the text if nothing else.
        raise TooManyValues
    parts.append(text[at:])
    return "".join(parts), longer


def _check_count(text: str, most: int) -> None:
    # A value takes a character, so a short text holds few; then all commas and openings, and at last those that count.
    if len(text) > most and _count(text) > most and _count(_OPAQUE.sub("", text)) > most:
        raise TooManyValues


def _count(text: str) -> int:
    """Return at least how many values are inside of containers, and how many containers there are."""
    return text.count(",") + text.count("[") + text.count("{")


def _check_depth(value: Json, text: str, most: int) -> None:
    # Fewer openings than levels allowed: nothing can be too deep, and usually that settles it.
    if text.count("{") + text.count("[") > most and _is_too_deep(value, most):
        raise TooDeep


def _is_too_deep(value: Json, most: int) -> bool:
    level: list[Json] = [value]
    for _ in range(most + 1):
        containers = [entry for entry in level if isinstance(entry, (list, dict))]
        level = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
        if not containers:
            return False
    return True


def _double_quoted(single_quoted: str) -> str:
    inner = single_quoted[1:-1]
    if '"' in inner:
        # Between escaped backslashes a backslash belongs to what follows it: quotes lose theirs, then all get one.
        pieces = inner.split("\\\\")
        inner = "\\\\".join(
            [piece.replace('\\"', '"').replace('"', '\\"') if '"' in piece else piece for piece in pieces]
        )
    return f'"{inner}"'
