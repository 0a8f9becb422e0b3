"""
One writer in one thread, and what waits is committed together.

Theory of operation
-------------------

A commit costs one fsync, whatever is in it.  While the thread syncs, requests
pile up; it takes all of them into the next transaction, so the disk sets the
pace and not the number of requests.  One that comes alone is committed at
once: nobody waits for company.

Each request runs in a savepoint of its own, but for one that comes alone: for a
savepoint SQLite copies each page that changes.  One that is wrong by itself (an
id that exists already) fails alone.  A fault of the database or of the disk fails
the whole group, and then the connection is closed: after a failed write or sync
nothing that it believes about its file is trusted.  The next group opens a new
one, so work goes on by itself when the cause is gone.

The thread does not know what the requests do.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from smtpbridge.store.database import Connection, Database
from smtpbridge.store.errors import CommitFailed, StoreClosed, StoreError, store_error

T = TypeVar("T")

# Above this a group gains nothing from being larger, and a fault would fail more at once.
_GROUP = 256

_WHAT = "the store cannot be written"


@dataclass(slots=True)
class Transaction:
    """What a request writes with, and what it wants done once that is durable."""

    connection: Connection
    after_commit: list[Callable[[], None]] = field(default_factory=list)


@dataclass(slots=True)
class _Request(Generic[T]):
    work: Callable[[Transaction], T]
    future: Future[T]
    # Set when the work succeeded; it counts only after the commit.
    value: T | None = None
    error: Exception | None = None

    def settle(self) -> None:
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)  # type: ignore[arg-type]  # set by the work, whose type includes None

    def fail(self, error: StoreError) -> None:
        # Each its own: an exception collects the traceback of everybody who raises it.
        own = type(error)(*error.args)
        own.cause, own.__cause__ = error.cause, error.cause
        self.future.set_exception(own)


class GroupCommit:
    """The thread that writes."""

    def __init__(self, database: Database, steps: Callable[[str], None]) -> None:
        """Write to `database`; `steps` hears "commit" and "after-commit".  The thread starts with the first request."""
        self._database = database
        self._steps = steps
        self._requests: queue.SimpleQueue[_Request[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._connection: Connection | None = None

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Have `work` done in the next commit; the future has its value, or an error, after that."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(StoreClosed("the store is closed"))
                return future
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="smtpbridge store", daemon=True)
                self._thread.start()
            self._requests.put(_Request(work, future))
        return future

    def close(self) -> None:
        """Commit what waits, and end the thread."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._requests.put(None)
            thread.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            first = self._requests.get()
            group = []
            while first is not None:
                if first.future.set_running_or_notify_cancel():
                    group.append(first)
                if len(group) == _GROUP or self._requests.empty():
                    break
                first = self._requests.get_nowait()
            open_ = first is not None
            if group:
                self._serve(group)
        self._forget()

    def _serve(self, group: list[_Request[Any]]) -> None:
        try:
            # The commit may copy the log into the database, which also belongs under the lock.
            with self._database.writing():
                transaction = self._begin()
                for request in group:
                    _work(request, transaction, alone=len(group) == 1)
                self._commit(transaction)
        except Exception as error:
            # Whatever it is: those who wait must hear of it, and the thread must live for the next group.
            fault = store_error(_WHAT, error)
            self._forget()
            for request in group:
                request.fail(fault)
            return
        for act in transaction.after_commit:
            act()
        for request in group:
            request.settle()

    def _begin(self) -> Transaction:
        if self._connection is not None and not self._connection.is_current():
            self._forget()
        if self._connection is None:
            self._connection = self._database.connect()
        # At once, not with the first write: a transaction that began by reading cannot wait for a lock.
        self._connection.execute("BEGIN IMMEDIATE")
        return Transaction(self._connection)

    def _commit(self, transaction: Transaction) -> None:
        try:
            self._steps("commit")
            if not transaction.connection.is_current():
                raise StoreError("the database has vanished from its place")
            transaction.connection.execute("COMMIT")
            self._steps("after-commit")
        except Exception as error:
            raise CommitFailed(_WHAT, error) from error

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # Not left to `close`, which waits for statements that somebody may still hold.
        for act in (connection.rollback, connection.close):
            try:
                act()
            except sqlite3.Error:
                pass


def _work(request: _Request[Any], transaction: Transaction, *, alone: bool) -> None:
    """Run one request; raise what is no fault of its own."""
    connection, wanted = transaction.connection, len(transaction.after_commit)
    if not alone:
        connection.execute("SAVEPOINT request")
    try:
        request.value = request.work(transaction)
    except Exception as error:
        if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
            raise
        for statement in ("ROLLBACK", "BEGIN IMMEDIATE") if alone else ("ROLLBACK TO request",):
            connection.execute(statement)
        del transaction.after_commit[wanted:]
        is_ours = isinstance(error, sqlite3.Error | OSError)
        request.error = store_error("the store refuses", error) if is_ours else error
    if not alone:
        connection.execute("RELEASE request")
