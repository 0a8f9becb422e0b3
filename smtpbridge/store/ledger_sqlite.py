"""
The ledger on SQLite: a database beside that of the queue, with a lock and connections of its own.

`SqliteLedger` is a `Ledger` (see there) that waits for its `SqliteLedgerWriter`, and answers questions on connections
that only read.  Several processes may open the same folder; each opens it for itself, after it was forked.

The room knows no clock and no chance: times are arguments, and ids of batches come from a source that the caller gives.
It writes no log: what went wrong is in the error.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from smtpbridge.store import ledger_batches, ledger_entries, ledger_events
from smtpbridge.store.commits import GroupCommit, Transaction
from smtpbridge.store.database import Database
from smtpbridge.store.errors import NotKept, store_error
from smtpbridge.store.ledger import (
    EVERYTHING,
    Batch,
    DeadBatch,
    Entry,
    EventFilter,
    Found,
    Kept,
    LedgerCounts,
    LedgerPurged,
    Notice,
    Outgoing,
)
from smtpbridge.store.ledger_purge import Purge, used
from smtpbridge.store.ledger_schema import LEDGER
from smtpbridge.store.readers import Readers

# How many events a listing holds, and a replay changes, at a time.
_PAGE = 200


def _no_step(_name: str) -> None:
    pass


class SqliteLedgerWriter:
    """A `LedgerWriter` (see there) on SQLite."""

    def __init__(self, commits: GroupCommit, new_id: Callable[[], str]) -> None:
        """Give the work to that thread."""
        self._commits = commits
        self._new_id = new_id
        self._purge = Purge()

    def enter(self, entry: Entry) -> Future[None]:
        """See `LedgerWriter.enter`."""
        return self.enter_all([entry])

    def enter_all(self, entries: Sequence[Entry], events: Sequence[Outgoing] = ()) -> Future[None]:
        """See `LedgerWriter.enter_all`."""

        def work(transaction: Transaction) -> None:
            ledger_entries.enter(transaction.connection, entries)
            if events:
                ledger_events.add(transaction.connection, events)

        return self._commits.submit(work)

    def take_in(self, octets: bytes, received_at: float) -> Future[int]:
        """See `LedgerWriter.take_in`."""
        return self._commits.submit(
            lambda transaction: ledger_entries.take_in(transaction.connection, octets, received_at)
        )

    def take_in_all(self, notices: Sequence[tuple[bytes, float]]) -> Future[None]:
        """See `LedgerWriter.take_in_all`."""
        return self._commits.submit(lambda transaction: ledger_entries.take_in_all(transaction.connection, notices))

    def translated(self, notice_id: int, events: Sequence[Outgoing]) -> Future[None]:
        """See `LedgerWriter.translated`."""

        def work(transaction: Transaction) -> None:
            ledger_events.add(transaction.connection, events)
            ledger_entries.forget(transaction.connection, notice_id)

        return self._commits.submit(work)

    def add(self, events: Sequence[Outgoing]) -> Future[None]:
        """See `LedgerWriter.add`."""
        return self._commits.submit(lambda transaction: ledger_events.add(transaction.connection, events))

    def form_batch(self, target: str, most: int, now: float) -> Future[Batch | None]:
        """See `LedgerWriter.form_batch`."""
        return self._commits.submit(
            lambda transaction: ledger_batches.form(transaction.connection, self._new_id(), target, most, now)
        )

    def delivered(self, batch_id: str) -> Future[bool]:
        """See `LedgerWriter.delivered`."""
        return self._commits.submit(lambda transaction: ledger_batches.delivered(transaction.connection, batch_id))

    def retry(self, batch_id: str, at: float, answer: str) -> Future[bool]:
        """See `LedgerWriter.retry`."""
        return self._commits.submit(
            lambda transaction: ledger_batches.retry(transaction.connection, batch_id, at, answer)
        )

    def dead(self, batch_id: str, answer: str) -> Future[bool]:
        """See `LedgerWriter.dead`."""
        return self._commits.submit(lambda transaction: ledger_batches.dead(transaction.connection, batch_id, answer))

    def replay(self, rows: Sequence[int], wanted: EventFilter) -> Future[int]:
        """Let these events wait again, as far as they are wanted; see `Ledger.replay`."""
        return self._commits.submit(lambda transaction: ledger_events.replay(transaction.connection, rows, wanted))

    def purge(self, before: float, max_bytes: int) -> Future[LedgerPurged]:
        """See `LedgerWriter.purge`."""
        return self._commits.submit(lambda transaction: self._purge.step(transaction.connection, before, max_bytes))

    def close(self) -> None:
        """Finish what was asked so far."""
        self._commits.close()


class SqliteLedger:
    """A `Ledger` in a folder."""

    def __init__(
        self,
        folder: Path,
        new_id: Callable[[], str],
        *,
        busy_seconds: float = 5.0,
        steps: Callable[[str], None] = _no_step,
    ) -> None:
        """
        Open the ledger, and make it where there is none; raise `StoreError`.

        `new_id` gives batches names that nobody else gives; it is called in a thread of the ledger.  `steps` is called
        with a name before and after each commit.
        """
        try:
            database = Database(folder, busy_seconds, LEDGER)
            # A fault of the folder or of the schema shows now, not with the first message.
            database.connect().close()
        except (sqlite3.Error, OSError) as error:
            raise store_error("the ledger cannot be opened", error) from error
        self._readers = Readers(database)
        self._writer = SqliteLedgerWriter(GroupCommit(database, steps), new_id)

    @property
    def writer(self) -> SqliteLedgerWriter:
        """See `Ledger.writer`."""
        return self._writer

    def enter(self, entry: Entry) -> None:
        """See `Ledger.enter`."""
        self._writer.enter(entry).result()

    def find(self, token: bytes, recipient: str) -> Found | None:
        """See `Ledger.find`."""
        with self._readers.lent() as connection:
            return ledger_entries.find(connection, token, recipient)

    def take_in(self, octets: bytes, received_at: float) -> int:
        """See `Ledger.take_in`."""
        return self._writer.take_in(octets, received_at).result()

    def notices(self, limit: int, after: int = 0) -> tuple[Notice, ...]:
        """See `Ledger.notices`."""
        with self._readers.lent() as connection:
            return ledger_entries.notices(connection, limit, after)

    def translated(self, notice_id: int, events: Sequence[Outgoing]) -> None:
        """See `Ledger.translated`."""
        self._writer.translated(notice_id, events).result()

    def add(self, events: Sequence[Outgoing]) -> None:
        """See `Ledger.add`."""
        self._writer.add(events).result()

    def form_batch(self, target: str, most: int, now: float) -> Batch | None:
        """See `Ledger.form_batch`."""
        return self._writer.form_batch(target, most, now).result()

    def due(self, target: str, now: float) -> Batch | None:
        """See `Ledger.due`."""
        with self._readers.lent() as connection:
            return ledger_batches.due(connection, target, now)

    def waiting(self, target: str) -> tuple[int, float | None]:
        """See `Ledger.waiting`."""
        with self._readers.lent() as connection:
            return ledger_batches.waiting(connection, target)

    def delivered(self, batch_id: str) -> bool:
        """See `Ledger.delivered`."""
        return self._writer.delivered(batch_id).result()

    def retry(self, batch_id: str, at: float, answer: str) -> bool:
        """See `Ledger.retry`."""
        return self._writer.retry(batch_id, at, answer).result()

    def dead(self, batch_id: str, answer: str) -> bool:
        """See `Ledger.dead`."""
        return self._writer.dead(batch_id, answer).result()

    def list(self, wanted: EventFilter = EVERYTHING) -> Iterator[Kept]:
        """See `Ledger.list`."""
        for rows in self._pages(wanted):
            with self._readers.lent() as connection:
                found = ledger_events.kept(connection, rows)
            yield from found

    def show(self, event_id: str) -> Kept:
        """See `Ledger.show`."""
        with self._readers.lent() as connection:
            found = ledger_events.show(connection, event_id)
        if found is None:
            raise NotKept(f"there is no event {event_id}")
        return found

    def replay(self, wanted: EventFilter) -> int:
        """See `Ledger.replay`."""
        return sum(self._writer.replay(rows, wanted).result() for rows in self._pages(wanted))

    def dead_list(self, target: str | None = None) -> tuple[DeadBatch, ...]:
        """See `Ledger.dead_list`."""
        with self._readers.lent() as connection:
            return ledger_batches.dead_list(connection, target)

    def counts(self) -> LedgerCounts:
        """See `Ledger.counts`."""
        with self._readers.lent() as connection:
            # One moment for all of it.
            connection.execute("BEGIN")
            try:
                return LedgerCounts(
                    *ledger_entries.count_entries(connection),
                    *ledger_entries.count_notices(connection),
                    ledger_events.count(connection),
                    used(connection),
                    ledger_batches.counts(connection),
                )
            finally:
                connection.execute("ROLLBACK")

    def purge(self, before: float, max_bytes: int) -> LedgerPurged:
        """See `Ledger.purge`."""
        return self._writer.purge(before, max_bytes).result()

    def close(self) -> None:
        """See `Ledger.close`."""
        self._writer.close()
        self._readers.close()

    def _pages(self, wanted: EventFilter) -> Iterator[Sequence[int]]:
        """Yield the rows of events, a few at a time; a reader that stays in one snapshot lets the log grow on."""
        last = ledger_events.START
        while True:
            with self._readers.lent() as connection:
                page = ledger_events.page(connection, wanted, last, _PAGE)
            yield [row for _, row in page]
            if len(page) < _PAGE:
                return
            last = page[-1]
