"""How a database comes to its schema, and what its connections promise."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from smtpbridge.store.database import DATABASE, MIGRATIONS, Database, migrate
from smtpbridge.store.errors import SchemaTooNew, StoreError
from tests.store.samples import NOW, opened, parcel, short

FIRST = ("CREATE TABLE old (name TEXT)", "INSERT INTO old VALUES ('kept')")
SECOND = ("ALTER TABLE old ADD COLUMN size INTEGER", "UPDATE old SET size = 4")


def version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def test_a_commit_is_synced_and_readers_do_not_hinder_it(folder: Path) -> None:
    connection = Database(folder, 1).connect()

    pragmas = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 1000}
    connection.close()


def test_migrations_go_forward_from_any_version_and_keep_what_is_there() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)

    migrate(connection, [FIRST])
    assert version(connection) == 1
    migrate(connection, [FIRST, SECOND])
    migrate(connection, [FIRST, SECOND])

    assert version(connection) == 2
    assert connection.execute("SELECT * FROM old").fetchall() == [("kept", 4)]
    connection.close()


def test_a_migration_that_fails_leaves_the_old_schema() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, [FIRST])

    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, [FIRST, SECOND, ("CREATE TABLE new (name TEXT)", "NOT SQL")])

    assert version(connection) == 1
    assert connection.execute("SELECT * FROM old").fetchall() == [("kept",)]
    assert not connection.in_transaction
    connection.close()


def test_an_empty_database_becomes_the_newest(folder: Path) -> None:
    folder.mkdir()
    sqlite3.connect(folder / DATABASE).close()
    store = opened(folder)

    assert len(store.put([parcel()], short(), NOW)) == 1
    store.close()
    connection = sqlite3.connect(folder / DATABASE)
    assert version(connection) == len(MIGRATIONS) == 1
    connection.close()


def test_a_newer_schema_is_refused_and_not_touched(folder: Path) -> None:
    opened(folder).close()
    connection = sqlite3.connect(folder / DATABASE)
    connection.execute("PRAGMA user_version = 7")

    with pytest.raises(SchemaTooNew, match="schema 7, and this program knows 1"):
        opened(folder)

    assert version(connection) == 7
    connection.close()


def test_what_is_no_database_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / DATABASE).write_bytes(b"this is not a database" * 100)

    with pytest.raises(StoreError, match="not a database"):
        opened(folder)


def test_processes_that_open_a_new_folder_together_all_get_a_store(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.store.samples import NOW, ids, opened, parcel, short\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "store = opened(Path(sys.argv[1]), new_id=ids(sys.argv[2]), busy_seconds=30)\n"
        "for _ in range(20): store.put([parcel()], short(), NOW)\n"
        "store.close()\n"
    )
    root = Path(__file__).resolve().parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, folder, name], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in "abcd"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)

    assert [process.returncode for process in processes] == [0] * 4
    store = opened(folder)
    assert store.counts().depth == 80
    store.close()
