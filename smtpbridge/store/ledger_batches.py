"""Batches in SQL.  Every function works inside the caller's transaction and on its connection."""

import sqlite3
from collections.abc import Sequence
from itertools import accumulate

from smtpbridge.store.ledger import Batch, DeadBatch, TargetCounts
from smtpbridge.store.ledger_schema import DEAD, DELIVERED, SENDING
from smtpbridge.store.rows import storable

_OF = "target = (SELECT row FROM target WHERE name = ?)"
_WAITING = "SELECT event FROM delivery WHERE target = ? AND batch = 0 ORDER BY event LIMIT ?"
_PUT = f"UPDATE delivery SET batch = ? WHERE target = ? AND event IN ({_WAITING})"
# One row for all: each gives the interpreter away and takes it back (see `insertion`).  The first condition is for the
# index, which holds no events that are in no batch.
_EVENTS = """
    SELECT group_concat(length(octets)), CAST(group_concat(octets, '') AS BLOB) FROM (
        SELECT octets FROM delivery JOIN payload ON payload.event = delivery.event
        WHERE delivery.batch > 0 AND delivery.batch = ? ORDER BY delivery.event
    )
"""
_DUE = f"""
    SELECT row, id, attempts, created_at FROM batch
    WHERE {_OF} AND standing = {SENDING} AND next_attempt <= ? ORDER BY next_attempt, row LIMIT 1
"""
_OLDEST = f"""
    SELECT at FROM delivery JOIN event ON event.row = delivery.event
    WHERE {_OF} AND batch = 0 ORDER BY delivery.event LIMIT 1
"""
# Events are numbered in the order of their coming, so the first of each batch is its oldest.
_OLDEST_SENDING = f"""
    SELECT min(at) FROM event WHERE row IN (
        SELECT (SELECT min(event) FROM delivery WHERE delivery.batch > 0 AND delivery.batch = batch.row)
        FROM batch WHERE {_OF} AND standing = {SENDING}
    )
"""
_EVENTS_OF_BATCHES = f"SELECT coalesce(sum(events), 0) FROM batch WHERE {_OF} AND standing ="
_DEAD_BATCHES = f"""
    SELECT id, target.name, events, attempts, created_at, answer
    FROM batch JOIN target ON target.row = batch.target WHERE standing = {DEAD}
"""


def form(connection: sqlite3.Connection, batch_id: str, target: str, most: int, now: float) -> Batch | None:
    """Put the events that have waited for longest into a batch."""
    found = connection.execute("SELECT row, waiting FROM target WHERE name = ?", (target,)).fetchone()
    if found is None or not found[1]:
        return None
    number, waiting = found
    events = min(most, waiting)
    row = connection.execute(
        "INSERT INTO batch (id, target, standing, created_at, next_attempt, events) VALUES (?, ?, ?, ?, ?, ?)",
        (batch_id, number, SENDING, now, now, events),
    ).lastrowid
    connection.execute(_PUT, (row, number, number, events))
    connection.execute("UPDATE target SET waiting = waiting - ? WHERE row = ?", (events, number))
    return Batch(batch_id, target, 0, _octets(connection, row), now)


def due(connection: sqlite3.Connection, target: str, now: float) -> Batch | None:
    """Find the open batch whose time came first."""
    found = connection.execute(_DUE, (target, now)).fetchone()
    if found is None:
        return None
    row, batch_id, attempts, created_at = found
    return Batch(batch_id, target, attempts, _octets(connection, row), created_at)


def waiting(connection: sqlite3.Connection, target: str) -> tuple[int, float | None]:
    """Return how many events are in no batch, and when the oldest of them came."""
    found = connection.execute("SELECT waiting FROM target WHERE name = ?", (target,)).fetchone()
    oldest = connection.execute(_OLDEST, (target,)).fetchone()
    return found[0] if found else 0, oldest[0] if oldest else None


def delivered(connection: sqlite3.Connection, batch_id: str) -> bool:
    """End a batch well."""
    return _change(connection, f"standing = {DELIVERED}", (), batch_id)


def retry(connection: sqlite3.Connection, batch_id: str, at: float, answer: str) -> bool:
    """Note an attempt that failed."""
    changes = "attempts = attempts + 1, next_attempt = ?, answer = ?"
    return _change(connection, changes, (at, storable(answer)), batch_id)


def dead(connection: sqlite3.Connection, batch_id: str, answer: str) -> bool:
    """Give a batch up."""
    changes = f"standing = {DEAD}, attempts = attempts + 1, answer = ?"
    return _change(connection, changes, (storable(answer),), batch_id)


def dead_list(connection: sqlite3.Connection, target: str | None) -> tuple[DeadBatch, ...]:
    """Return the batches that were given up."""
    statement, values = (_DEAD_BATCHES, ()) if target is None else (f"{_DEAD_BATCHES} AND target.name = ?", (target,))
    return tuple(DeadBatch(*row) for row in connection.execute(f"{statement} ORDER BY batch.row", values))


def counts(connection: sqlite3.Connection) -> tuple[TargetCounts, ...]:
    """Count the events of each target that has ever had one."""
    names = [name for (name,) in connection.execute("SELECT name FROM target ORDER BY name").fetchall()]
    return tuple(_counts(connection, name) for name in names)


def _counts(connection: sqlite3.Connection, target: str) -> TargetCounts:
    number, oldest = waiting(connection, target)
    ((oldest_sending,),) = connection.execute(_OLDEST_SENDING, (target,)).fetchall()
    sending, dead = (_events_of(connection, target, standing) for standing in (SENDING, DEAD))
    return TargetCounts(
        target, number, min((at for at in (oldest, oldest_sending) if at is not None), default=None), sending, dead
    )


def _events_of(connection: sqlite3.Connection, target: str, standing: int) -> int:
    # Not a parameter: only a constant makes SQLite use the index of those few.
    return int(connection.execute(f"{_EVENTS_OF_BATCHES} {standing}", (target,)).fetchone()[0])


def _octets(connection: sqlite3.Connection, row: int | None) -> tuple[bytes, ...]:
    lengths, joined = connection.execute(_EVENTS, (row,)).fetchone()
    ends = list(accumulate(map(int, lengths.split(","))))
    return tuple([joined[start:end] for start, end in zip([0, *ends], ends, strict=False)])


def _change(connection: sqlite3.Connection, changes: str, values: Sequence[object], batch_id: str) -> bool:
    statement = f"UPDATE batch SET {changes} WHERE id = ? AND standing = {SENDING}"
    return connection.execute(statement, (*values, batch_id)).rowcount > 0
