"""
Insert many rows with few statements.

Each statement that runs gives the interpreter away and has to get it back, from a thread that is busy with the next
messages; that costs more than the rows.  So rows go in by the hundred.  Where there are fewer, they go in by powers of
two: the statements are then always the same few, and SQLite has parsed them before.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

# SQLite takes 32,766 values in one statement.
_MOST = 256


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[object]], rest: str = "") -> list[Any]:
    """
    Insert `rows`, which are of one length, `into` a table (with its columns) in their order.

    `rest` stands behind the values; what it makes the statements return is returned.
    """
    returned: list[Any] = []
    for part in _parts(rows):
        statement = _statement(into, len(part[0]), len(part), rest)
        returned += connection.execute(statement, list(chain.from_iterable(part))).fetchall()
    return returned


def _parts(rows: Sequence[Sequence[object]]) -> Iterator[Sequence[Sequence[object]]]:
    at, left = 0, len(rows)
    while left:
        # The largest power of two that is left.
        number = min(_MOST, 1 << left.bit_length() - 1)
        yield rows[at : at + number]
        at, left = at + number, left - number


@cache
def _statement(into: str, columns: int, rows: int, rest: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * rows)} {rest}"
