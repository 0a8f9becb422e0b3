"""
Take values out of parsed JSON by type, and say what is wrong in SparkPost's words.

`Refused` carries a refusal up to `sparkpost.read`, which is its only exit: to
everybody else a refusal is a value.  Its texts are those of SparkPost where
one is known, and follow its pattern where none is.
"""

import re
from json.encoder import encode_basestring_ascii as quote

from smtpbridge.dialect.instructions import Json, Refusal
from smtpbridge.dialect.number import Number
from smtpbridge.errors import SmtpbridgeError

# C0, DEL and C1: what neither a header nor a command may ever hold (RFC 5322, 2.2; RFC 5321, 4.1.2).
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

_LONGEST_QUOTE = 200  # leaves room for the rest of a reply of 510 octets

_ON_AND_OFF = {"true": True, "1": True, "false": False, "0": False}


class Refused(SmtpbridgeError):
    """The header cannot be obeyed.  `mendable`: it might be if it had not been folded where it was."""

    def __init__(self, refusal: Refusal, *, mendable: bool = False) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal
        self.mendable = mendable


def wrong_type(field: str, wanted: str) -> Refused:
    """Return SparkPost's complaint about the type of a field."""
    return Refused(Refusal(f"X-MSYS-API '{field}' must be of type '{wanted}'", kind="type"))


def quoted(text: str) -> str:
    """Return text as printable ASCII between quotes, escaped as in JSON and cut."""
    inner = quote(text[:_LONGEST_QUOTE])
    if len(text) <= _LONGEST_QUOTE and len(inner) <= _LONGEST_QUOTE:
        return inner
    return f'{inner[: _LONGEST_QUOTE - 4]}..."'


def boolean(value: Json, field: str) -> bool | None:
    """Return a switch, which may come as true, 1, "1" or "true" and their opposites; None when it is absent."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str) and value in _ON_AND_OFF:
        return _ON_AND_OFF[value]
    raise wrong_type(field, "json boolean")


def string(value: Json, field: str) -> str | None:
    """Return text; None when it is absent or empty, which says as little."""
    if value is None:
        return None
    if not isinstance(value, str) or isinstance(value, Number):
        raise wrong_type(field, "json string")
    return value or None


def array(value: Json, field: str) -> list[Json] | None:
    """Return an array; None when it is absent."""
    if value is not None and not isinstance(value, list):
        raise wrong_type(field, "json array")
    return value


def json_object(value: Json, field: str) -> dict[str, Json] | None:
    """Return an object; None when it is absent."""
    if value is not None and not isinstance(value, dict):
        raise wrong_type(field, "json object")
    return value
