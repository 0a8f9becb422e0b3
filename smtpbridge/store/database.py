"""
Where the database is, what is in it, and how a connection to it is opened.

A commit must survive a power cut (`synchronous=FULL` syncs the write-ahead log
with every commit), and readers must not hinder the writer (`journal_mode=WAL`).
Transactions are begun and ended by hand: Python's own would begin them late,
when another process may have written already.

Later schemas are reached by more entries in `MIGRATIONS`, never by a change to
one that was released.  `PRAGMA user_version` says how many have been applied.

SQLite before 3.51.3 can corrupt a database when one connection copies the log
into it (a checkpoint, part of some commits) in the moment in which another
begins to write (sqlite.org/wal.html, "WAL-reset bug").  So that no installed
version matters, whoever writes holds a lock of ours over transaction and
checkpoint, in whatever process.

A folder can vanish while the files in it are open: then commits still
succeed, into files that nobody will ever find.  `Connection.is_current` tells.
A folder that has vanished is never made anew, because what took its place may
be an empty mount point; an empty folder on the same file system is taken for
the operator's fresh start.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from urllib.parse import quote

from smtpbridge.store.errors import SchemaTooNew, StoreBusy, StoreError

DATABASE = "queue.sqlite3"

# How long to sleep before the lock is tried again: no longer than a commit takes on a quick disk.
_POLL_SECONDS = 0.001

# What changes with every attempt (parcel) lies apart from what never changes (header, octets): a page of the database
# then holds many parcels, and a claim of a hundred writes few pages.
# `next_attempt` is also the end of a lease, so that one index answers what is due.
_V1 = (
    "CREATE TABLE body (row INTEGER PRIMARY KEY, size INTEGER NOT NULL, file TEXT)",
    "CREATE TABLE octets (body INTEGER PRIMARY KEY REFERENCES body ON DELETE CASCADE, octets BLOB NOT NULL)",
    """
    CREATE TABLE parcel (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        body INTEGER NOT NULL REFERENCES body,
        message_id TEXT NOT NULL,
        upstream TEXT NOT NULL,
        sender TEXT NOT NULL,
        original_sender TEXT NOT NULL,
        recipients TEXT NOT NULL,
        eight_bit INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        source TEXT NOT NULL,
        expires_at REAL NOT NULL,
        not_before REAL NOT NULL,
        certain INTEGER NOT NULL,
        last_reply TEXT NOT NULL,
        created_at REAL NOT NULL,
        next_attempt REAL NOT NULL,
        held INTEGER NOT NULL DEFAULT 0,
        owner TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        interruptions INTEGER NOT NULL DEFAULT 0,
        history TEXT NOT NULL DEFAULT '[]'
    )
    """,
    "CREATE TABLE header (parcel INTEGER PRIMARY KEY REFERENCES parcel ON DELETE CASCADE, octets BLOB NOT NULL)",
    "CREATE INDEX parcel_by_body ON parcel (body)",
    "CREATE INDEX parcel_by_lane ON parcel (priority, upstream, source, next_attempt) WHERE held = 0",
    "CREATE INDEX parcel_by_owner ON parcel (owner) WHERE owner IS NOT NULL",
    "CREATE TABLE answer (key BLOB PRIMARY KEY, answer TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX answer_by_time ON answer (until)",
)
MIGRATIONS: Sequence[Sequence[str]] = (_V1,)


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells one database in a folder from another: its file, its lock, and how its schema came to be."""

    file: str
    lock: str
    migrations: Sequence[Sequence[str]]


QUEUE = Kind(DATABASE, "writing.lock", MIGRATIONS)

# After a burst the write-ahead log is cut back to this; below it, its space is kept and used again.
_LOG_SIZE = 64 * 1024 * 1024


class Connection(sqlite3.Connection):
    """A connection that can tell whether it still leads to the file that bears the name."""

    path: Path
    identity: tuple[int, int]

    def is_current(self) -> bool:
        """Tell whether the database is still where it was opened.  While it is open, its inode is not given away."""
        try:
            return _identity(self.path) == self.identity
        except OSError:
            return False


class Database:
    """A database in a folder."""

    def __init__(self, folder: Path, busy_seconds: float, kind: Kind = QUEUE) -> None:
        """Make the folder where it is missing, readable for nobody else; wait `busy_seconds` for locks of others."""
        self.folder = folder
        self._kind = kind
        self._path = folder / kind.file
        self._busy_seconds = busy_seconds
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(folder.parent)
        self._device = folder.stat().st_dev

    def connect(self) -> Connection:
        """Open a connection with the newest schema; raise `SchemaTooNew`, `StoreError`, `OSError`, `sqlite3.Error`."""
        if not self._path.exists():
            self._create()
        uri = f"file:{quote(str(self._path))}?mode=rw"
        # One thread has a connection at a time, not always the same one.
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
        try:
            connection.path, connection.identity = self._path, _identity(self._path)
            _prepare(connection)
            migrate(connection, self._kind.migrations)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer of all processes inside the block; raise `StoreBusy`, `OSError`."""
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
        descriptor = os.open(self.folder / self._kind.lock, flags, 0o600)
        try:
            self._lock(descriptor)
            yield
        finally:
            # The lock ends with the descriptor.
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        # flock has no time-out of its own, and the holder may be stopped for ever.
        for _ in range(1 + int(self._busy_seconds / _POLL_SECONDS)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                sleep(_POLL_SECONDS)
        raise StoreBusy(f"another process has been writing for {self._busy_seconds} seconds")

    def _create(self) -> None:
        if self.folder.stat().st_dev != self._device:
            raise StoreError(f"{self.folder} is on another file system than before, and without a database")
        # SQLite gives the log the mode of the database.
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        sync_folder(self.folder)


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> None:
    """Apply the migrations that are missing, all or none; raise `SchemaTooNew`."""
    if _version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been faster.
        version = _version(connection)
        if version > len(migrations):
            raise SchemaTooNew(f"the store has schema {version}, and this program knows {len(migrations)} at most")
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        # A PRAGMA takes no parameters.
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    with _open_folder(folder) as descriptor:
        os.fsync(descriptor)


def _prepare(connection: Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        # Of two that change it at a time, SQLite lets one fail without a wait.
        with _alone_in(connection.path.parent):
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"{connection.path} cannot have a write-ahead log: the journal mode is {mode}")
    connection.execute("PRAGMA synchronous = FULL")
    # What a statement changes is copied, to undo it; otherwise into a file that is made for it.
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_SIZE}")


@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    with _open_folder(folder) as descriptor:
        # The lock ends with the descriptor.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
