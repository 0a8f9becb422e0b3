"""
What several processes show, as one.

Counts are added up, label by label.  What all processes share (the queue in the store) is taken from one of
them.  Verdicts are put into one order by their time.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from heapq import nlargest

from smtpbridge.ops.sight import MOST_FAULTS, MOST_FOUND, MOST_ROWS, Door, Found, Place, Pool, Row, Sight, Totals


def newest(rows: Iterable[Row], most: int) -> tuple[Row, ...]:
    """Return the newest of all, the newest first."""
    return tuple(nlargest(most, rows, key=lambda row: row.at))


def together(sights: Sequence[Sight]) -> Sight:
    """Return several as one."""
    totals = Totals()
    for one in sights:
        totals = totals.plus(one.totals)
    known = [one for one in sights if one.queue is not None]
    return Sight(
        totals,
        _doors(sights),
        _pools(sights),
        known[0].queue if known else None,
        "" if known else next((one.queue_fault for one in sights if one.queue_fault), ""),
        sum(one.under_way for one in sights),
        sum(one.memory for one in sights),
        sum(one.temporary for one in sights),
        sum(one.held_up for one in sights),
        newest((row for one in sights for row in one.verdicts), MOST_ROWS),
        newest((row for one in sights for row in one.faults), MOST_FAULTS),
    )


def found_together(results: Collection[Found]) -> Found:
    """Return several results as one; all processes look into the same store."""
    kept = {row.id: row for one in results for row in one.kept}
    return Found(
        newest((row for one in results for row in one.verdicts), MOST_FOUND),
        tuple(list(kept.values())[:MOST_FOUND]),
        tuple(dict.fromkeys(fault for one in results for fault in one.faults)),
    )


def _doors(sights: Iterable[Sight]) -> tuple[Door, ...]:
    sums: dict[str, int] = {}
    for door in (door for one in sights for door in one.doors):
        sums[door.name] = sums.get(door.name, 0) + door.sessions
    return tuple(Door(name, sessions) for name, sessions in sums.items())


def _pools(sights: Iterable[Sight]) -> tuple[Pool, ...]:
    by_name: dict[str, Pool] = {}
    for pool in (pool for one in sights for pool in one.pools):
        was = by_name.get(pool.name)
        by_name[pool.name] = pool if was is None else _both(was, pool)
    return tuple(by_name.values())


def _both(one: Pool, other: Pool) -> Pool:
    return replace(
        one,
        most=one.most + other.most,
        waiting=one.waiting + other.waiting,
        state=one.state or other.state,
        fault=one.fault or other.fault,
        places=tuple(_both_places(mine, theirs) for mine, theirs in zip(one.places, other.places, strict=False)),
    )


def _both_places(one: Place, other: Place) -> Place:
    return Place(
        one.name,
        one.dialling + other.dialling,
        one.idle + other.idle,
        one.leased + other.leased,
        max(one.resting, other.resting),
    )
