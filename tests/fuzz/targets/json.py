"""
JSON read strictly and leniently.

The strict reader is compared with the scanner that the standard library has
in Python for want of the one in C; the lenient one has to agree wherever the
strict one reads; what was read is written, and read as the same again.
"""

import json
import re
from json.scanner import py_make_scanner  # type: ignore[attr-defined] # not in typeshed, and the point of it all
from typing import Any, NoReturn

from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.jsontext import MOST_LEVELS, BadJson, read_lenient, read_strict, write
from smtpbridge.dialect.number import Number

_REASON = re.compile(r"[ -~]{1,80}")


def run(octets: bytes) -> None:
    """Read `octets` as text in both ways."""
    text = octets.decode("utf-8", "replace")
    strict = _read(read_strict, text)
    expected = _reference(text)
    lenient = _read(read_lenient, text)
    if isinstance(expected, RecursionError):
        return
    assert isinstance(strict, BadJson) == isinstance(expected, ValueError), f"{strict!r} where {expected!r} is due"
    if not isinstance(strict, BadJson):
        assert _tagged(strict) == expected
        assert not isinstance(lenient, BadJson), f"strict JSON is refused by the lenient grammar: {lenient}"
        assert _tagged(lenient) == expected
    if not isinstance(lenient, BadJson):
        _write(lenient)


def _read(reader: Any, text: str) -> Any:
    try:
        return reader(text)
    except BadJson as error:
        assert 0 <= error.position <= len(text), f"{error.position} is no place in {len(text)} characters"
        assert _REASON.fullmatch(error.reason)
        return error


def _write(value: Json) -> None:
    written = write(value)
    assert written.isascii()
    assert written.isprintable()
    again = read_strict(written)
    assert _tagged(again) == _tagged(value), "what is written is read otherwise"
    assert write(again) == written


def _reference(text: str) -> Any:
    """Return what the standard library reads, tagged, or the error that it raises."""
    decoder = json.JSONDecoder(parse_int=_Digits, parse_float=_Digits, parse_constant=_refuse)
    decoder.scan_once = py_make_scanner(decoder)  # type: ignore[attr-defined] # set in __init__, not in typeshed
    try:
        value = _tagged(decoder.decode(text))
        return ValueError("too deep") if _depth(value) > MOST_LEVELS else value
    except (ValueError, RecursionError) as error:
        return error


class _Digits(str):
    """A number as it was written."""

    __slots__ = ()


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _tagged(value: Any) -> Any:
    """Return a value in which `1`, `"1"` and `true` are three things, and the order of names counts."""
    match value:
        case _Digits() | Number():
            return ("number", str(value))
        case str() | bool() | None:
            return (type(value).__name__, value)
        case list():
            return ("list", [_tagged(entry) for entry in value])
        case dict():
            return ("dict", [(name, _tagged(member)) for name, member in value.items()])
        case _:
            raise AssertionError(f"{value!r} is no JSON")


def _depth(tagged: Any) -> int:
    kind, value = tagged
    if kind == "list":
        return 1 + max(map(_depth, value), default=0)
    if kind == "dict":
        return 1 + max((_depth(member) for _, member in value), default=0)
    return 0
