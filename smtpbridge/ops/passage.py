"""
A `Sight` and a `Found` on their way from one process to another, as JSON.

Both ends are this program, of the same version; what does not fit is `NotASight`.  What is sent is bounded: a
packet has no room for whatever peers wrote, so rows are left out, the oldest first, until it fits.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.ops.sight import BOUNDS, Door, Found, KeptRow, Place, Pool, Queue, Row, Sight, Totals

# In octets of JSON.  What a kernel takes in one piece is some 200 KB by default (net.core.wmem_default).
MOST_OCTETS = 65_536


class NotASight(SmtpbridgeError):
    """What another process sent is none."""


def sight_written(sight: Sight) -> dict[str, Any]:
    """Return it fit for JSON, and for a packet."""
    while len(json.dumps(content := asdict(sight))) > MOST_OCTETS and (sight.verdicts or sight.faults):
        sight = replace(sight, verdicts=_half(sight.verdicts), faults=_half(sight.faults))
    return content


def found_written(found: Found) -> dict[str, Any]:
    """Return it fit for JSON, and for a packet."""
    while len(json.dumps(content := asdict(found))) > MOST_OCTETS and (found.verdicts or found.kept):
        kept = found.kept[: len(found.kept) // 2]
        found = replace(found, verdicts=_half(found.verdicts), kept=kept, faults=(*found.faults[:5], "There are more."))
    return content


def sight_of(content: Any) -> Sight:
    """Return what another process has written; raise `NotASight`."""
    try:
        pools = (Pool(**{**one, "places": tuple(Place(**two) for two in one["places"])}) for one in content["pools"])
        more = {
            "totals": Totals(**{**content["totals"], "times": _times(content["totals"]["times"])}),
            "doors": tuple(Door(**one) for one in content["doors"]),
            "pools": tuple(pools),
            "queue": None if content["queue"] is None else Queue(**content["queue"]),
            "verdicts": _rows(content["verdicts"]),
            "faults": _rows(content["faults"]),
        }
        return Sight(**{**content, **more})
    except (TypeError, ValueError, KeyError) as error:
        raise NotASight("a sight that is none") from error


def found_of(content: Any) -> Found:
    """Return what another process has written; raise `NotASight`."""
    try:
        kept = tuple(KeptRow(**{**one, "recipients": tuple(one["recipients"])}) for one in content["kept"])
        return Found(_rows(content["verdicts"]), kept, tuple(content["faults"]))
    except (TypeError, ValueError, KeyError) as error:
        raise NotASight("a result that is none") from error


def _half(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return rows[: len(rows) // 2]


def _times(numbers: Iterable[int]) -> tuple[int, ...]:
    times = tuple(map(int, numbers))
    if len(times) != len(BOUNDS) + 1:
        raise ValueError("other classes")
    return times


def _rows(rows: Iterable[Mapping[str, Any]]) -> tuple[Row, ...]:
    return tuple(Row(**{**one, "recipients": tuple(one["recipients"])}) for one in rows)
