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
def test_all_rows_are_there_and_no_others(number: int) -> None:
    connection = table()
    rows = [(at, f"name {at}", b"octets %d" % at) for at in range(1, number + 1)]

    assert insert(connection, "one", rows) == number

    kept = connection.execute("SELECT row, name, octets FROM one ORDER BY row").fetchall()
    assert kept == rows


@given(st.lists(st.integers(0, 400), max_size=600))
def test_rows_that_are_there_already_are_not_counted(numbers: list[int]) -> None:
    connection = table()
    rows = [(at, str(number), b"") for at, number in enumerate(numbers, 1)]

    assert insert(connection, "one", rows, "ON CONFLICT DO NOTHING") == len(set(numbers))

    kept = [name for (name,) in connection.execute("SELECT name FROM one ORDER BY row")]
    assert kept == list(dict.fromkeys(name for _, name, _ in rows))


def test_the_first_value_may_be_octets_even_none() -> None:
    connection = table()

    assert insert(connection, "one (octets, name)", [(b"", "a"), (b"\0", "b"), (b"c", "c")]) == 3


@pytest.mark.parametrize(("number", "statements"), [(1, 1), (255, 1), (256, 1), (257, 2), (768, 3)])
def test_statements_are_few(number: int, statements: int) -> None:
    connection, seen = table(), list[str]()
    connection.set_trace_callback(seen.append)

    insert(connection, "one", [(at + 1, str(at), b"") for at in range(number)])

    assert len(seen) == statements
