"""Entries and notices in SQL.  Every function works inside the caller's transaction and on its connection."""

import sqlite3
from collections.abc import Sequence

from smtpbridge.store.insertion import insert
from smtpbridge.store.ledger import Entry, Found, Notice

_FIND = """
    SELECT at, common, own FROM entry LEFT JOIN copy ON copy.entry = entry.row AND copy.recipient = ? WHERE token = ?
"""


def enter(connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Write entries down."""
    ((last,),) = connection.execute("SELECT coalesce(max(row), 0) FROM entry").fetchall()
    numbered = list(enumerate(entries, last + 1))
    insert(connection, "entry", [(row, one.token, one.at, one.common) for row, one in numbered])
    copies = [(row, copy.recipient, copy.own) for row, one in numbered for copy in one.copies]
    insert(connection, "copy", copies)


def find(connection: sqlite3.Connection, token: bytes, recipient: str) -> Found | None:
    """Look up an entry and one of its copies."""
    found = connection.execute(_FIND, (recipient, token)).fetchone()
    return None if found is None else Found(*found)


def take_in(connection: sqlite3.Connection, octets: bytes, received_at: float) -> int:
    """Keep a notice."""
    row = connection.execute("INSERT INTO notice (received_at, octets) VALUES (?, ?)", (received_at, octets)).lastrowid
    connection.execute("UPDATE tally SET notices = notices + 1")
    # Absent only where nothing was inserted.
    return row or 0


def take_in_all(connection: sqlite3.Connection, notices: Sequence[tuple[bytes, float]]) -> None:
    """Keep notices."""
    insert(connection, "notice (octets, received_at)", notices)
    connection.execute("UPDATE tally SET notices = notices + ?", (len(notices),))


def notices(connection: sqlite3.Connection, limit: int, after: int) -> tuple[Notice, ...]:
    """Return notices in the order of their coming."""
    rows = connection.execute(
        "SELECT row, octets, received_at FROM notice WHERE row > ? ORDER BY row LIMIT ?", (after, limit)
    )
    return tuple(Notice(*row) for row in rows)


def forget(connection: sqlite3.Connection, notice_id: int) -> None:
    """Remove a notice, where it is still there."""
    gone = connection.execute("DELETE FROM notice WHERE row = ?", (notice_id,)).rowcount
    connection.execute("UPDATE tally SET notices = notices - ?", (gone,))


def count_entries(connection: sqlite3.Connection) -> tuple[int, float | None]:
    """Return how many entries there are, and when the oldest was made."""
    # The rows are without gaps (see `ledger_schema`), and the first and the last of a table cost nothing to find.
    number, oldest = connection.execute(
        "SELECT coalesce((SELECT max(row) FROM entry) - (SELECT min(row) FROM entry) + 1, 0),"
        " (SELECT at FROM entry ORDER BY row LIMIT 1)"
    ).fetchone()
    return number, oldest


def count_notices(connection: sqlite3.Connection) -> tuple[int, float | None]:
    """Return how many notices there are, and when the first of them came."""
    number, oldest = connection.execute(
        "SELECT notices, (SELECT received_at FROM notice ORDER BY row LIMIT 1) FROM tally"
    ).fetchone()
    return number, oldest
