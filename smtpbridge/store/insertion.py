"""
Insert many rows with one statement.

Each statement that runs, and each row that it returns, gives the interpreter away and has to get it back, from a thread
that is busy with the next messages; that costs more than the rows.  So rows go in by the hundred.  A statement has room
for a power of two of them, and what is too much room stays empty: the statements are then always the same few, and
SQLite has parsed them before.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain

# SQLite takes 32,766 values in one statement.
_MOST = 256


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[object]], rest: str = "") -> int:
    """
    Insert `rows`, which are of one length, `into` a table (with its columns), and return how many were inserted.

    The first value of a row is octets or a number above 0.  `rest` stands behind the rows.
    """
    inserted = 0
    for start in range(0, len(rows), _MOST):
        part = rows[start : start + _MOST]
        columns, room = len(part[0]), 1 << (len(part) - 1).bit_length()
        # `sqlite3` takes a bytearray as it is, and asks around what to do with bytes.
        values = [bytearray(one) if type(one) is bytes else one for one in chain.from_iterable(part)]
        values += [0] * (columns * (room - len(part)))
        inserted += connection.execute(_statement(into, columns, room, rest), values).rowcount
    return inserted


@cache
def _statement(into: str, columns: int, rows: int, rest: str) -> str:
    row = f"({', '.join('?' * columns)})"
    given = ", ".join([row] * rows)
    # SQLite names the columns of VALUES so; to it any octets are more than a number.
    return f"INSERT INTO {into} SELECT * FROM (VALUES {given}) WHERE column1 > 0 {rest}"
