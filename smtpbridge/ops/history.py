"""
The last hour, from numbers that only grow.

Every ten seconds the totals are put aside, for an hour; a rate is the difference of two of them
over the time between them.  So a process that counts pays nothing for a plot, and what is kept is the same however much
mail there is.  A look that comes late makes a longer step and no gap.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from smtpbridge.ops.sight import BOUNDS, Totals

EVERY_SECONDS = 10.0
SPAN_SECONDS = 3600.0
# A point of a plot: 120 of them.
_POINT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Point:
    """
    What happened in the time up to `ago` seconds before now.

    Rates are in messages a second; the times to the verdict, in seconds, are `None` where there was none.
    """

    ago: float
    accepted: float
    refused: float
    median: float | None
    slow: float | None


class History:
    """The totals of an hour."""

    def __init__(self) -> None:
        """Know nothing; the first totals are what later ones are compared with."""
        self._kept: deque[tuple[float, Totals]] = deque(maxlen=int(SPAN_SECONDS / EVERY_SECONDS) + 1)

    def due(self, now: float) -> bool:
        """Tell whether totals should be put aside."""
        return not self._kept or now - self._kept[-1][0] >= EVERY_SECONDS

    def take(self, now: float, totals: Totals) -> None:
        """Put them aside; `now` is any clock's seconds."""
        if self.due(now):
            self._kept.append((now, totals))

    def points(self, now: float) -> list[Point]:
        """Return the hour, oldest first."""
        points = []
        steps = [one for one in self._kept if now - one[0] <= SPAN_SECONDS]
        began: tuple[float, Totals] | None = None
        for at, totals in steps:
            if began is None:
                began = at, totals
            elif at - began[0] >= _POINT_SECONDS:
                points.append(_between(began, (at, totals), now))
                began = at, totals
        return points

    def latest(self, now: float, totals: Totals) -> Point | None:
        """Return what happened lately, up to `totals`, which are those of now; `None` just after the start."""
        before = [one for one in self._kept if now - one[0] >= 2.0]
        if not before:
            return None
        # Half a minute where there is as much: a rate over less jumps.
        began = next((one for one in before if now - one[0] <= _POINT_SECONDS), before[-1])
        return _between(began, (now, totals), now)


def quantile(times: Sequence[int], part: float) -> float | None:
    """Return the time that `part` of all stayed under, by the middle of its class; `None` where there is none."""
    whole = sum(times)
    if not whole:
        return None
    rest = whole * part
    for place, count in enumerate(times):
        rest -= count
        if count and rest <= 0:
            below = BOUNDS[place - 1] if place else 0.0
            return (below + BOUNDS[place]) / 2 if place < len(BOUNDS) else below
    return BOUNDS[-1]


def _between(one: tuple[float, Totals], other: tuple[float, Totals], now: float) -> Point:
    (since, before), (until, after) = one, other
    seconds = until - since
    times = [more - less for less, more in zip(before.times, after.times, strict=True)]
    refused = after.refused + after.later - before.refused - before.later
    return Point(
        ago=now - until,
        accepted=(after.accepted - before.accepted) / seconds,
        refused=refused / seconds,
        median=quantile(times, 0.5),
        slow=quantile(times, 0.99),
    )
