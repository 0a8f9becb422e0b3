"""
Read one member of an object whose writer is not strict about types.

How it works: each function takes what JSON gave and returns the value, or `None` (for text: nothing) where there is
none to be had.  Nothing here fails.  Ids come as numbers or as text, times in several spellings of their zone, booleans
as words.

What must not be known here: which member means what.
"""

import re
from datetime import UTC, datetime

from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.number import Number

MOST_OF_ID = 512  # an address has 254 (RFC 5321, 4.5.3.1.3), an id of Infobip 200
MOST_OF_TEXT = 16_384  # a receiving server's reply has lines of 512 octets; a click's address has no limit

# No store and no consumer takes half of a character; some stores take no NUL.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_INTEGER = re.compile(r"([+-]?[0-9]{1,15})(?:\.0*)?")
_YEAR_10000 = 253_402_300_800
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})


def text(value: Json, most: int = MOST_OF_TEXT) -> str:
    """Return text or a number's spelling, without white space around it and cut to `most` characters."""
    if not isinstance(value, str):
        return ""
    return _UNSTORABLE.sub("\ufffd", value[:most].strip())


def short(value: Json) -> str:
    """Return an id, a name or an address."""
    return text(value, MOST_OF_ID)


def integer(value: Json) -> int | None:
    """Return a whole number, given as one or as text, of at most 15 digits."""
    match = _INTEGER.fullmatch(value[:32].strip()) if isinstance(value, str) else None
    return int(match[1]) if match else None


def boolean(value: Json) -> bool | None:
    """Return what true, "true" and 1, or their opposites, say."""
    if isinstance(value, bool):
        return value
    word = value[:8].strip().lower() if isinstance(value, str) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def moment(value: Json) -> float | None:
    """Return the seconds since the epoch of an ISO 8601 time (without a zone: UTC) or of a number of milliseconds."""
    if isinstance(value, Number) or (isinstance(value, str) and value.isdigit()):
        milliseconds = integer(value)
        return _sane(milliseconds / 1000) if milliseconds else None
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value[:40].strip())
    except ValueError:
        return None
    return _sane((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def members(value: Json) -> dict[str, Json]:
    """Return an object, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _sane(seconds: float) -> float | None:
    return seconds if 0 < seconds < _YEAR_10000 else None
