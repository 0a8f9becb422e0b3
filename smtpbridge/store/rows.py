"""
What is asked of the database, in SQL.  Every function works inside the caller's transaction and on its connection.

A parcel is due when its `next_attempt` has come and it is not held.  A lease
moves `next_attempt` to its own end and names an owner; so a lease that ran out
needs no care of its own, and a parcel that is claimed while it has an owner was
interrupted.
"""

import json
import sqlite3
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from smtpbridge.store.values import Attempt, Counts, Filter, Kept, Parcel, State

# How many attempts are told one by one; a parcel that lives for five days at one an hour has more.
_HISTORY = 30

_INSERT = """
    INSERT INTO parcel (id, body, message_id, upstream, sender, original_sender, recipients, eight_bit, priority,
        source, expires_at, not_before, certain, last_reply, held, created_at, next_attempt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_KEPT = """
    SELECT parcel.row, parcel.id, message_id, upstream, sender, original_sender, recipients, header.octets, eight_bit,
        priority, source, expires_at, not_before, certain, last_reply, held, owner, attempts, next_attempt, created_at,
        interruptions, history, body.size
    FROM parcel JOIN header ON header.parcel = parcel.row JOIN body ON body.row = parcel.body
"""
# All four columns of the index, the last one infinite: with three, SQLite begins inside the lane and walks through it.
_NEXT_LANE = """
    SELECT priority, upstream, source FROM parcel
    WHERE held = 0 AND (priority, upstream, source, next_attempt) > (?, ?, ?, 9e999)
    ORDER BY priority, upstream, source, next_attempt LIMIT 1
"""
_DUE = """
    SELECT row FROM parcel
    WHERE held = 0 AND priority = ? AND upstream = ? AND source = ? AND next_attempt <= ? ORDER BY next_attempt, row
"""
_LEASE = """
    UPDATE parcel SET interruptions = interruptions + (owner IS NOT NULL), owner = ?, next_attempt = ? WHERE row = ?
"""


def insert(
    connection: sqlite3.Connection,
    ids: Sequence[str],
    parcels: Sequence[Parcel],
    size: int,
    content: bytes | str,
    now: float,
) -> None:
    """Keep parcels that share a body: its octets, or the name of the file that holds them."""
    file = content if isinstance(content, str) else None
    body = connection.execute("INSERT INTO body (size, file) VALUES (?, ?)", (size, file)).lastrowid
    if file is None:
        connection.execute("INSERT INTO octets VALUES (?, ?)", (body, content))
    for kept_id, parcel in zip(ids, parcels, strict=True):
        row = connection.execute(_INSERT, (kept_id, body, *_columns(parcel), now, parcel.not_before)).lastrowid
        connection.execute("INSERT INTO header VALUES (?, ?)", (row, parcel.header))


class Turns:
    """Whose turn it is: remembers between claims which source was served last."""

    def __init__(self) -> None:
        """Nobody has been served."""
        self._last: dict[int, tuple[str, str]] = {}

    def due(self, connection: sqlite3.Connection, now: float, limit: int, without: Collection[str]) -> list[int]:
        """Return the rows of up to `limit` due parcels, in the order in which they are to be served."""
        rows: list[int] = []
        for priority, lanes in groupby(_lanes(connection), itemgetter(0)):
            if len(rows) >= limit:
                break
            names = [(upstream, source) for _, upstream, source in lanes if upstream not in without]
            last = self._last.get(priority, ("", ""))
            # Upstream and source in their order, beginning behind the last one served.
            names.sort(key=lambda lane: (lane <= last, lane))
            rows += self._round_robin(connection, priority, names, now, limit - len(rows))
        return rows

    def _round_robin(
        self, connection: sqlite3.Connection, priority: int, names: list[tuple[str, str]], now: float, limit: int
    ) -> list[int]:
        # Each lane is a statement that is stepped only as far as it is needed.
        turns = deque((name, connection.execute(_DUE, (priority, *name, now))) for name in names)
        rows: list[int] = []
        while turns and len(rows) < limit:
            name, due = turns.popleft()
            found = due.fetchone()
            if found is not None:
                rows.append(found[0])
                self._last[priority] = name
                turns.append((name, due))
        for _, due in turns:
            due.close()
        return rows


def lease(connection: sqlite3.Connection, rows: Sequence[int], owner: str, until: float) -> tuple[Kept, ...]:
    """Give parcels to an owner until that time."""
    connection.executemany(_LEASE, [(owner, until, row) for row in rows])
    return tuple(_kept(connection.execute(_KEPT + "WHERE parcel.row = ?", (row,)).fetchone()) for row in rows)


def renew(connection: sqlite3.Connection, owner: str, until: float) -> int:
    """Move the end of all leases of an owner."""
    return connection.execute("UPDATE parcel SET next_attempt = ? WHERE owner = ?", (until, owner)).rowcount


def remove(connection: sqlite3.Connection, kept_id: str) -> tuple[bool, str | None]:
    """Remove a parcel, and its body with the last one: whether it was there, and a file that is needed no more."""
    found = connection.execute("SELECT row, body FROM parcel WHERE id = ?", (kept_id,)).fetchone()
    if found is None:
        return False, None
    row, body = found
    connection.execute("DELETE FROM parcel WHERE row = ?", (row,))
    if connection.execute("SELECT 1 FROM parcel WHERE body = ? LIMIT 1", (body,)).fetchone():
        return True, None
    (file,) = connection.execute("SELECT file FROM body WHERE row = ?", (body,)).fetchone()
    connection.execute("DELETE FROM body WHERE row = ?", (body,))
    return True, file


def note_attempt(
    connection: sqlite3.Connection,
    kept_id: str,
    owner: str,
    at: float,
    remaining: Collection[str],
    attempt: Attempt,
    certain: bool,
) -> tuple[str, ...] | None:
    """Write an attempt down and end the lease of its owner; return the recipients that are left, None: not there."""
    found = connection.execute(
        "SELECT row, recipients, owner, next_attempt, history FROM parcel WHERE id = ?", (kept_id,)
    ).fetchone()
    if found is None:
        return None
    row, recipients, holder, lease_end, history = found
    wanted = frozenset(remaining)
    # Never more than before: another owner may have served some meanwhile.
    left = tuple(recipient for recipient in recipients.split("\n") if recipient in wanted)
    told = [*json.loads(history), [attempt.at, attempt.host, attempt.phase, attempt.reply]][-_HISTORY:]
    is_ours = holder is None or holder == owner
    connection.execute(
        "UPDATE parcel SET recipients = ?, owner = ?, next_attempt = ?, certain = certain AND ?, last_reply = ?,"
        " attempts = attempts + 1, history = ? WHERE row = ?",
        (
            "\n".join(left),
            None if is_ours else holder,
            at if is_ours else lease_end,
            certain,
            storable(attempt.reply),
            json.dumps(told),
            row,
        ),
    )
    return left


def hold(connection: sqlite3.Connection, kept_id: str) -> bool:
    """Set the hold of a parcel."""
    return connection.execute("UPDATE parcel SET held = 1 WHERE id = ?", (kept_id,)).rowcount > 0


def release(connection: sqlite3.Connection, kept_id: str, now: float) -> bool:
    """Lift the hold of a parcel, and make it due unless it is leased."""
    statement = (
        "UPDATE parcel SET held = 0, next_attempt = CASE WHEN owner IS NULL THEN ? ELSE next_attempt END WHERE id = ?"
    )
    return connection.execute(statement, (now, kept_id)).rowcount > 0


def remember(connection: sqlite3.Connection, key: bytes, answer: str, until: float) -> None:
    """Keep an answer."""
    connection.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", (key, storable(answer), until))


def recall(connection: sqlite3.Connection, key: bytes, now: float) -> str | None:
    """Find an answer whose time has not passed."""
    found = connection.execute("SELECT answer FROM answer WHERE key = ? AND until > ?", (key, now)).fetchone()
    return None if found is None else str(found[0])


def remembered_until(connection: sqlite3.Connection) -> float:
    """Return the time at which the last answer expires, 0 when none is kept."""
    return float(connection.execute("SELECT COALESCE(MAX(until), 0) FROM answer").fetchone()[0])


def purge(connection: sqlite3.Connection, now: float) -> tuple[int, int]:
    """Remove answers past their time and bodies of no parcel; return how many of each."""
    answers = connection.execute("DELETE FROM answer WHERE until <= ?", (now,)).rowcount
    bodies = connection.execute("DELETE FROM body WHERE row NOT IN (SELECT body FROM parcel)").rowcount
    return answers, bodies


def files(connection: sqlite3.Connection) -> set[str]:
    """Return the names of all files that hold bodies."""
    return {name for (name,) in connection.execute("SELECT file FROM body WHERE file IS NOT NULL")}


def page(connection: sqlite3.Connection, wanted: Filter, after: int, limit: int) -> tuple[list[Kept], int]:
    """Return the parcels that are wanted behind a row, up to `limit`, and the row of the last one."""
    conditions, values = _conditions(wanted)
    rows = connection.execute(
        f"{_KEPT} WHERE parcel.row > ? {conditions} ORDER BY parcel.row LIMIT ?", (after, *values, limit)
    ).fetchall()
    return [_kept(row) for row in rows], rows[-1][0] if rows else after


def show(connection: sqlite3.Connection, kept_id: str) -> Kept | None:
    """Find one parcel."""
    row = connection.execute(_KEPT + "WHERE parcel.id = ?", (kept_id,)).fetchone()
    return None if row is None else _kept(row)


def body(connection: sqlite3.Connection, kept_id: str) -> tuple[int, bytes | str] | None:
    """Find the body of a parcel: its size, and its octets or the name of its file."""
    found = connection.execute(
        "SELECT size, file, octets.octets FROM parcel JOIN body ON body.row = parcel.body"
        " LEFT JOIN octets ON octets.body = body.row WHERE parcel.id = ?",
        (kept_id,),
    ).fetchone()
    if found is None:
        return None
    size, file, octets = found
    return size, octets if file is None else file


def counts(connection: sqlite3.Connection) -> Counts:
    """Count what is kept."""
    # Rows are numbered in the order of their coming.
    return Counts(
        *connection.execute(
            "SELECT (SELECT count(*) FROM parcel),"
            " (SELECT count(*) FROM parcel) - (SELECT count(*) FROM parcel WHERE held = 0),"
            " (SELECT created_at FROM parcel ORDER BY row LIMIT 1),"
            " (SELECT coalesce(sum(size), 0) FROM body)"
        ).fetchone()
    )


def _lanes(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str]]:
    """Yield every (priority, upstream, source) of parcels that are not held: one step in the index for each."""
    lane: Any = (-(2**63), "", "")
    while lane := connection.execute(_NEXT_LANE, lane).fetchone():
        yield lane


def _columns(parcel: Parcel) -> tuple[object, ...]:
    return (
        parcel.message_id,
        parcel.upstream,
        parcel.sender,
        parcel.original_sender,
        "\n".join(parcel.recipients),
        parcel.eight_bit,
        parcel.priority,
        parcel.source,
        parcel.expires_at,
        parcel.not_before,
        parcel.certain,
        storable(parcel.last_reply),
        parcel.held,
    )


def _kept(row: Sequence[Any]) -> Kept:
    parcel = Parcel(
        message_id=row[2],
        upstream=row[3],
        sender=row[4],
        original_sender=row[5],
        recipients=tuple(row[6].split("\n")),
        header=row[7],
        eight_bit=bool(row[8]),
        priority=row[9],
        source=row[10],
        expires_at=row[11],
        not_before=row[12],
        certain=bool(row[13]),
        last_reply=row[14],
        held=bool(row[15]),
    )
    held, owner, attempts, next_attempt, created_at, interruptions, history, size = row[15:]
    return Kept(
        id=row[1],
        parcel=parcel,
        state=State.HELD if held else State.QUEUED if owner is None else State.LEASED,
        attempts=attempts,
        next_attempt=next_attempt,
        created_at=created_at,
        owner=owner or "",
        interruptions=interruptions,
        history=tuple(Attempt(*told) for told in json.loads(history)),
        body_size=size,
    )


def _conditions(wanted: Filter) -> tuple[str, list[object]]:
    conditions, values = "", []
    for column in ("upstream", "source", "message_id"):
        value = getattr(wanted, column)
        if value is not None:
            conditions += f" AND {column} = ?"
            values.append(value)
    if wanted.original_sender is not None:
        conditions += " AND lower(original_sender) = ?"
        values.append(wanted.original_sender.lower())
    if wanted.recipient is not None:
        conditions += " AND instr(char(10) || lower(recipients) || char(10), ?)"
        values.append(f"\n{wanted.recipient.lower()}\n")
    match wanted.state:
        case State.HELD:
            conditions += " AND held = 1"
        case State.LEASED:
            conditions += " AND held = 0 AND owner IS NOT NULL"
        case State.QUEUED:
            conditions += " AND held = 0 AND owner IS NULL"
    return conditions, values


def storable(text: str) -> str:
    """Return text that the database takes: a reply may have octets that are not UTF-8, and come as lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
