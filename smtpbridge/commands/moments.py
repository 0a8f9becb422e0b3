"""
Moments as people write them at a terminal, and as they are shown.

An age ("90m", "2h", "3d") or a date and time in ISO 8601.  What names no zone is UTC, as everything that the commands
show.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

_AGE = re.compile(r"(\d{1,9})([smhdw])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


class Moment(click.ParamType[float]):
    """Text of an option to seconds since 1970; `now` is the clock."""

    name = "time"

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `click.ParamType.convert`."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        if (age := _AGE.fullmatch(text)) is not None:
            return self._now() - int(age[1]) * _UNITS[age[2]]
        try:
            found = datetime.fromisoformat(text)
            return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail(f'"{text}" is no time; write 2h, 3d, 2026-11-20 or 2026-11-20T06:30 (UTC)', param, ctx)


def shown_moment(at: float) -> str:
    """Return a time to the second; what is no date of any calendar as the number that it is."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"
