"""Many rows with few statements, and all of them."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.store.insertion import insert


def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE one (row INTEGER PRIMARY KEY, name TEXT UNIQUE, octets BLOB)")
    return connection


@given(st.integers(0, 1100))
def test_the_rows_are_there_in_their_order_and_numbered_one_by_one(number: int) -> None:
    connection = table()
    rows = [(f"name {at}", b"octets %d" % at) for at in range(number)]

    assert insert(connection, "one (name, octets)", rows) == number

    kept = connection.execute("SELECT row, name, octets FROM one ORDER BY row").fetchall()
    assert kept == [(at, *row) for at, row in enumerate(rows, 1)]


@given(st.lists(st.integers(0, 400), max_size=600))
def test_rows_that_are_there_already_are_not_counted(numbers: list[int]) -> None:
    connection = table()
    rows = [(str(number), b"") for number in numbers]

    assert insert(connection, "one (name, octets)", rows, "ON CONFLICT DO NOTHING") == len(set(numbers))

    kept = [name for (name,) in connection.execute("SELECT name FROM one ORDER BY row")]
    assert kept == list(dict.fromkeys(name for name, _ in rows))


@pytest.mark.parametrize(("number", "statements"), [(1, 1), (255, 1), (256, 1), (257, 2), (768, 3)])
def test_statements_are_few(number: int, statements: int) -> None:
    connection, seen = table(), list[str]()
    connection.set_trace_callback(seen.append)

    insert(connection, "one (name, octets)", [(str(at), b"") for at in range(number)])

    assert len(seen) == statements
