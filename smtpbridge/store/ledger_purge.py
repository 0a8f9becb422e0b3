"""
Which part of a ledger has to go, one small step at a time.  The steps run in the thread that writes.

Theory of operation
-------------------

By age, entries and events go from the oldest on, whatever became of the events.

By size, the older of the oldest entry and the oldest event says which kind goes, so that both reach back about as far.
Of events, those go first that have reached all their targets, then those that were given up at some, then the others;
within each of the three, the oldest first.  To find them, a step looks at a window of events and the next one goes on
behind it: however many events wait in front, no step is long.  What becomes of an event behind the window is seen when
the ledger was below the size again, for then the search begins anew.

A page of the file is free when all that was on it is gone, so the file is not exactly as large as was asked for.
"""

import sqlite3
from collections.abc import Sequence

from smtpbridge.store import ledger_events
from smtpbridge.store.ledger import LedgerPurged
from smtpbridge.store.ledger_schema import DEAD, DELIVERED

# Entries or events that one step removes, and events that it looks at: some milliseconds, which is what writers wait.
_STEP = 200
_WINDOW = 2_000

# Which events go first, and which after them: the standings in which all their deliveries are.
_DELIVERED = f"({DELIVERED})"
_FIRST = (_DELIVERED, f"({DELIVERED}, {DEAD})")

_NOT_ALL_IN = """
    EXISTS (
        SELECT 1 FROM delivery LEFT JOIN batch ON batch.row = delivery.batch
        WHERE delivery.event = event.row AND (standing IS NULL OR standing NOT IN {})
    )
"""
_ALL_IN = f"SELECT row FROM event WHERE row > ? AND row <= ? AND NOT {_NOT_ALL_IN} ORDER BY row LIMIT ?"
_UNDELIVERED = f"SELECT 1 FROM event WHERE row = ? AND {_NOT_ALL_IN.format(_DELIVERED)}"


class Purge:
    """The steps, and how far the search for events has come."""

    def __init__(self) -> None:
        """Begin from the start."""
        self._after: dict[str, int] = {}

    def step(self, connection: sqlite3.Connection, before: float, max_bytes: int) -> LedgerPurged:
        """Remove some of what came before that time; if there was nothing, some of what is too much."""
        entries = _remove_entries(connection, before)
        events = _rows(connection, "SELECT row FROM event WHERE at < ? ORDER BY at, row LIMIT ?", before, _STEP)
        if entries or events:
            return LedgerPurged(entries, *_remove_events(connection, events), more=True)
        if used(connection) <= max_bytes:
            self._after = {}
            return LedgerPurged()
        return self._step_by_size(connection)

    def _step_by_size(self, connection: sqlite3.Connection) -> LedgerPurged:
        entry, event = connection.execute(
            "SELECT (SELECT at FROM entry ORDER BY row LIMIT 1), (SELECT min(at) FROM event)"
        ).fetchone()
        if event is None and entry is None:
            return LedgerPurged()
        if event is None or (entry is not None and entry <= event):
            return LedgerPurged(_remove_entries(connection, float("inf")), more=True)
        return LedgerPurged(0, *_remove_events(connection, self._next_events(connection)), more=True)

    def _next_events(self, connection: sqlite3.Connection) -> Sequence[int]:
        """Return those of the next window that may go; none when the search has to go on behind it."""
        for standings in _FIRST:
            after = self._after.get(standings, 0)
            window = _rows(connection, "SELECT row FROM event WHERE row > ? ORDER BY row LIMIT ?", after, _WINDOW)
            if window:
                search = _ALL_IN.format(standings)
                fit = _rows(connection, search, after, window[-1], _STEP)
                self._after[standings] = fit[-1] if len(fit) == _STEP else window[-1]
                return fit
        return _rows(connection, "SELECT row FROM event ORDER BY row LIMIT ?", _STEP)


def used(connection: sqlite3.Connection) -> int:
    """Return how many octets of the file hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _remove_entries(connection: sqlite3.Connection, before: float) -> int:
    """Remove the oldest entries, up to the first that is not before that time; return how many."""
    rows = []
    for row, at in connection.execute("SELECT row, at FROM entry ORDER BY row LIMIT ?", (_STEP,)):
        if at >= before:
            break
        rows.append(row)
    if rows:
        connection.execute("DELETE FROM copy WHERE entry <= ?", (rows[-1],))
        connection.execute("DELETE FROM entry WHERE row <= ?", (rows[-1],))
    return len(rows)


def _remove_events(connection: sqlite3.Connection, rows: Sequence[int]) -> tuple[int, int]:
    undelivered = sum(connection.execute(_UNDELIVERED, (row,)).fetchone() is not None for row in rows)
    ledger_events.remove(connection, rows)
    return len(rows), undelivered


def _rows(connection: sqlite3.Connection, statement: str, *values: object) -> list[int]:
    return [row for (row,) in connection.execute(statement, values)]
