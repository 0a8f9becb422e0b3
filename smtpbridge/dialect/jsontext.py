"""
JSON as text: read strictly, read as SparkPost's parser reads it, written compactly.

Theory of operation
-------------------

`read_strict` is RFC 8259 by the C scanner of the standard library, with
numbers kept as they are written.

`read_lenient` accepts what json-c accepts outside its strict mode, since a
header that SparkPost understood must be understood here: trailing commas, both
kinds of comment, single quotes, literals in any case, raw control characters
in strings, leading zeros, and any text behind the value.  It is one pass of one
expression over the text with the open containers on a stack, so neither depth
nor length can hurt.

`write` gives ASCII without white space: every control character and every
character outside ASCII is an escape, lone surrogates included.

What must not be known here: what any member means.
"""

import re
from json import JSONDecodeError, JSONDecoder
from json.encoder import encode_basestring_ascii as quote
from typing import NoReturn, TypeAlias

from smtpbridge.dialect.instructions import Json, Number
from smtpbridge.errors import SmtpbridgeError

MOST_LEVELS = 100  # nobody's metadata is that deep, and walking down costs stack


class BadJson(SmtpbridgeError, ValueError):
    """Text that is not JSON: `position` counts the characters before the fault, `reason` is a constant text."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"{reason} at character {position + 1}")
        self.position = position
        self.reason = reason


def _refuse_constant(name: str) -> NoReturn:
    # RFC 8259, 6: neither NaN nor an infinity is a number.  The scanner does not tell where it met one.
    raise BadJson(0, f"{name} is no JSON")


_STRICT = JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)
_LOOSE_STRING = JSONDecoder(strict=False)

# What means nothing between tokens.
_SKIP = r"(?:[ \t\n\v\f\r]++|/\*(?:[^*]++|\*(?!/))*+\*/|//[^\n]*+)*+"
_QUOTED = r""" "(?:[^"\\]++|\\.)*+" | '(?:[^'\\]++|\\.)*+' """
# A member or an entry with the comma behind it, or the end of a container with the comma behind that.
_TOKEN = re.compile(
    rf"""{_SKIP}(?:
      (?:
        (?:({_QUOTED}){_SKIP}:{_SKIP})?+  # the name of a member
        (?:
          ({_QUOTED})
        | (-?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?![\w.+-]))
        | ([A-Za-z]++(?![\w.]))
        | ([\[{{])
        )
      | ([\]}}])
      )({_SKIP},)?+
    | (.|\Z)  # anything else, or the end
    )""",
    re.VERBOSE | re.DOTALL,
)
_Container: TypeAlias = list[Json] | dict[str, Json]
_LITERALS = {"true": True, "false": False, "null": None}
_SINGLE_QUOTED = re.compile(r'\\.|"', re.DOTALL)
_LEADING_ZEROS = re.compile(r"\A(-?)0+(?=[0-9])")


def read_strict(text: str) -> Json:
    """Return the value of a JSON text (RFC 8259); of two equal names the last counts; raise `BadJson`."""
    try:
        value: Json = _STRICT.decode(text)
    except JSONDecodeError as error:
        raise BadJson(error.pos, "not JSON") from error
    except RecursionError as error:
        raise BadJson(0, "nested too deeply") from error
    # Fewer openings than levels allowed: nothing can be too deep, and usually that settles it.
    if text.count("{") + text.count("[") > MOST_LEVELS and _is_too_deep(value):
        raise BadJson(0, "nested too deeply")
    return value


def read_lenient(text: str) -> Json:
    """Return the value at the start of a text by json-c's grammar; raise `BadJson`."""
    containers: list[_Container] = []
    inside: _Container | None = None
    ready = True  # an entry may follow: the container has just begun, or there was a comma
    for token in _TOKEN.finditer(text):
        name, quoted, number, word, opening, closing, comma, _ = token.groups()
        if closing:
            if inside is None or isinstance(inside, list) != (closing == "]"):
                raise BadJson(token.start(6), "unexpected bracket")
            containers.pop()
            if not containers:
                return inside
            inside, ready = containers[-1], comma is not None
            continue
        value: Json
        if quoted:
            value = quoted[1:-1] if "\\" not in quoted else _unescape(quoted, token.start(2))
        elif number:
            value = Number(number)
        elif opening:
            value = [] if opening == "[" else {}
        elif word and word.lower() in _LITERALS:
            value = _LITERALS[word.lower()]
        else:
            raise _unexpected(token)
        if inside is None and not opening and not name:
            return value
        _put(value, inside, name, ready, token)
        ready = comma is not None
        if isinstance(value, (list, dict)):
            if comma or len(containers) == MOST_LEVELS:
                raise BadJson(token.start(5), "nested too deeply" if not comma else "comma without a value before it")
            containers.append(value)
            inside, ready = value, True
    raise BadJson(len(text), "unexpected end")


def write(value: Json) -> str:
    """Return compact ASCII JSON with its numbers and the order of its names as they were given."""
    match value:
        case Number():
            # What only the lenient grammar takes would not be JSON any more (RFC 8259, 6).
            return _LEADING_ZEROS.sub(r"\1", value) if value[:1] in "-0" else value
        case str():
            return quote(value)
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case list():
            return f"[{','.join([write(entry) for entry in value])}]"
        case dict():
            return f"{{{','.join([f'{quote(name)}:{write(member)}' for name, member in value.items()])}}}"


def _is_too_deep(value: Json) -> bool:
    level: list[Json] = [value]
    for _ in range(MOST_LEVELS + 1):
        containers = [entry for entry in level if isinstance(entry, (list, dict))]
        level = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
        if not containers:
            return False
    return True


def _put(value: Json, inside: _Container | None, name: str | None, ready: bool, token: re.Match[str]) -> None:
    """Add an entry to its container, which must be ready for one and of the kind that has or has not names."""
    if not ready:
        raise BadJson(_start(token), "comma missing")
    if isinstance(inside, dict) != (name is not None):
        raise BadJson(_start(token), "name outside an object" if name else "name missing in an object")
    if isinstance(inside, list):
        inside.append(value)
    elif inside is not None and name:
        inside[name[1:-1] if "\\" not in name else _unescape(name, token.start(1))] = value


def _start(token: re.Match[str]) -> int:
    """Return where a token begins behind what is skipped."""
    return min(token.start(group) for group in range(1, 9) if token[group] is not None)


def _unexpected(token: re.Match[str]) -> BadJson:
    match token[8]:
        case "":
            reason = "unexpected end"
        case '"' | "'":
            reason = "string without an end, or name without a value"
        case _:
            reason = "unexpected character"
    return BadJson(_start(token), reason)


def _unescape(quoted: str, at: int) -> str:
    if quoted[0] == "'":
        inner = _SINGLE_QUOTED.sub(lambda found: '\\"' if found[0] == '"' else found[0], quoted[1:-1])
        quoted = f'"{inner}"'
    try:
        text: str = _LOOSE_STRING.decode(quoted)
    except JSONDecodeError as error:
        raise BadJson(at + error.pos, "unknown escape") from error
    return text
