"""Events in SQL.  Every function works inside the caller's transaction and on its connection."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from smtpbridge.store.insertion import insert
from smtpbridge.store.ledger import Delivery, EventFilter, Kept, Outgoing, Standing
from smtpbridge.store.ledger_schema import DEAD, DELIVERED, SENDING, STANDINGS
from smtpbridge.store.rows import storable

# Before the first of all: where a listing begins.
START = (-1e300, 0)

# No number is given again (see `ledger_schema`); SQLite keeps the highest of them here.
_LAST = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'"
_LET_WAIT = "UPDATE target SET waiting = waiting + ? WHERE name = ? RETURNING row"
_NEW_TARGET = "INSERT INTO target (waiting, name) VALUES (?, ?) RETURNING row"
_KEPT = """
    SELECT row, id, type, payload.octets, at, recipient, subaccount FROM event JOIN payload ON payload.event = event.row
"""
_DELIVERIES = """
    SELECT target.name, standing, batch.id, attempts, next_attempt, answer
    FROM delivery JOIN target ON target.row = delivery.target LEFT JOIN batch ON batch.row = delivery.batch
    WHERE event = ? ORDER BY target.row
"""
_AT_A_TARGET = """
    EXISTS (SELECT 1 FROM delivery LEFT JOIN batch ON batch.row = delivery.batch WHERE delivery.event = event.row
"""
_AGAIN = f"""
    SELECT event, delivery.target, delivery.batch FROM delivery JOIN batch ON batch.row = delivery.batch
    WHERE event = ? AND standing IN ({DELIVERED}, {DEAD})
"""
_OF = "target = (SELECT row FROM target WHERE name = ?)"


def add(connection: sqlite3.Connection, events: Sequence[Outgoing]) -> None:
    """Add events, and let each wait for its targets; leave those that are there already as they are."""
    ((last,),) = connection.execute(_LAST).fetchall()
    new = list(enumerate(events, last + 1))
    rows = [(row, one.id, one.type, one.at, storable(one.recipient), one.subaccount) for row, one in new]
    if insert(connection, "event", rows, "ON CONFLICT DO NOTHING") < len(rows):
        added = {row for (row,) in connection.execute("SELECT row FROM event WHERE row > ?", (last,))}
        new = [(row, one) for row, one in new if row in added]
    insert(connection, "payload", [(row, one.octets) for row, one in new])
    waiting = Counter([name for _, one in new for name in dict.fromkeys(one.targets)])
    numbers = {name: _let_wait(connection, name, number) for name, number in waiting.items()}
    deliveries = [(row, numbers[name], 0) for row, one in new for name in dict.fromkeys(one.targets)]
    insert(connection, "delivery", deliveries)
    connection.execute("UPDATE tally SET events = events + ?", (len(new),))


def page(
    connection: sqlite3.Connection, wanted: EventFilter, after: tuple[float, int], limit: int
) -> list[tuple[float, int]]:
    """Return time and row of the events that are wanted behind those of another, in this order."""
    conditions, values = _conditions(wanted)
    return connection.execute(
        f"SELECT at, row FROM event WHERE (at, row) > (?, ?) {conditions} ORDER BY at, row LIMIT ?",
        (*after, *values, limit),
    ).fetchall()


def kept(connection: sqlite3.Connection, rows: Collection[int]) -> list[Kept]:
    """Return those of the events that are still there."""
    found = (connection.execute(_KEPT + "WHERE row = ?", (row,)).fetchone() for row in rows)
    return [_kept(connection, row) for row in found if row is not None]


def show(connection: sqlite3.Connection, event_id: str) -> Kept | None:
    """Find one event."""
    row = connection.execute(_KEPT + "WHERE id = ?", (event_id,)).fetchone()
    return None if row is None else _kept(connection, row)


def replay(connection: sqlite3.Connection, rows: Iterable[int], wanted: EventFilter) -> int:
    """Take the deliveries of these events that are done with out of their batches; return how many."""
    conditions, values = _delivery_conditions(wanted)
    again = [found for row in rows for found in connection.execute(f"{_AGAIN} {conditions}", (row, *values)).fetchall()]
    connection.executemany(
        "UPDATE delivery SET batch = 0 WHERE event = ? AND target = ?", ((event, target) for event, target, _ in again)
    )
    waiting, batched = Counter(target for _, target, _ in again), Counter(batch for *_, batch in again)
    _note(connection, waiting, Counter({batch: -number for batch, number in batched.items()}))
    return len(again)


def remove(connection: sqlite3.Connection, rows: Sequence[int]) -> None:
    """Remove events, and the batches that are left empty."""
    of = [(row,) for row in rows]
    waiting, batched = Counter[int](), Counter[int]()
    for row in of:
        for target, batch in connection.execute("SELECT target, batch FROM delivery WHERE event = ?", row):
            if batch:
                batched[batch] -= 1
            else:
                waiting[target] -= 1
    for table, column in (("delivery", "event"), ("payload", "event"), ("event", "row")):
        connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", of)
    connection.execute("UPDATE tally SET events = events - ?", (len(of),))
    _note(connection, waiting, batched)


def count(connection: sqlite3.Connection) -> int:
    """Return how many events there are."""
    return int(connection.execute("SELECT events FROM tally").fetchone()[0])


def _note(connection: sqlite3.Connection, waiting: Counter[int], batched: Counter[int]) -> None:
    """Change how many events wait for targets and are in batches, and remove the batches that are empty now."""
    connection.executemany(
        "UPDATE target SET waiting = waiting + ? WHERE row = ?", ((number, row) for row, number in waiting.items())
    )
    connection.executemany(
        "UPDATE batch SET events = events + ? WHERE row = ?", ((number, row) for row, number in batched.items())
    )
    connection.executemany("DELETE FROM batch WHERE row = ? AND events = 0", ((row,) for row in batched))


def _let_wait(connection: sqlite3.Connection, target: str, number: int) -> int:
    """Let so many more events wait for a target, which may be a new one, and return its row."""
    values = (number, target)
    found = connection.execute(_LET_WAIT, values).fetchall()
    ((row,),) = found or connection.execute(_NEW_TARGET, values).fetchall()
    return int(row)


def _kept(connection: sqlite3.Connection, row: Sequence[Any]) -> Kept:
    number, event_id, type_, octets, at, recipient, subaccount = row
    deliveries = tuple(_delivery(*found) for found in connection.execute(_DELIVERIES, (number,)))
    return Kept(event_id, type_, octets, at, recipient, subaccount, deliveries)


def _delivery(
    target: str, standing: int | None, batch: str, attempts: int, next_attempt: float, answer: str
) -> Delivery:
    if standing is None:
        return Delivery(target, Standing.WAITING)
    return Delivery(target, STANDINGS[standing], batch, attempts, next_attempt if standing == SENDING else None, answer)


def _conditions(wanted: EventFilter) -> tuple[str, list[object]]:
    conditions, values = "", list[object]()
    for column, value in (
        ("at >=", wanted.since),
        ("at <", wanted.until),
        ("recipient =", None if wanted.recipient is None else wanted.recipient.lower()),
        ("type =", wanted.type),
        ("subaccount =", wanted.subaccount),
    ):
        if value is not None:
            conditions += f" AND {column} ?"
            values.append(value)
    at_a_target, more = _delivery_conditions(wanted)
    if at_a_target:
        conditions += f" AND {_AT_A_TARGET} {at_a_target})"
    return conditions, values + more


def _delivery_conditions(wanted: EventFilter) -> tuple[str, list[object]]:
    conditions, values = "", list[object]()
    if wanted.target is not None:
        conditions += f" AND delivery.{_OF}"
        values.append(wanted.target)
    match wanted.standing:
        case None:
            pass
        case Standing.WAITING:
            conditions += " AND delivery.batch = 0"
        case Standing.SENDING:
            conditions += f" AND standing = {SENDING}"
        case Standing.DELIVERED:
            conditions += f" AND standing = {DELIVERED}"
        case Standing.DEAD:
            conditions += f" AND standing = {DEAD}"
    return conditions, values
