"""
The `Writer` of the store on SQLite.

Most changes are a function of `rows` that the committing thread runs.  A long
body is written to its file by another thread first, which then waits for the
commit of its rows: so one large message does not hold up the small ones, and
the file is guarded until it is known what became of the rows.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from smtpbridge.store import rows
from smtpbridge.store.bodies import BodyFiles, octets_of
from smtpbridge.store.commits import GroupCommit, Transaction
from smtpbridge.store.errors import StoreClosed, StoreError, store_error
from smtpbridge.store.readers import Readers
from smtpbridge.store.values import Attempt, Body, Kept, Parcel, Purged

T = TypeVar("T")

# Long bodies that are written at a time; more would only make the disk seek.
_HANDS = 4


class SqliteWriter:
    """A `Writer` (see there) on SQLite."""

    def __init__(
        self, commits: GroupCommit, files: BodyFiles, readers: Readers, new_id: Callable[[], str], threshold: int
    ) -> None:
        """Put the parts together; bodies over `threshold` octets become files."""
        self._commits = commits
        self._files = files
        self._readers = readers
        # No thread starts before there is work.
        self._hands = ThreadPoolExecutor(_HANDS, "smtpbridge store")
        self._new_id = new_id
        self._threshold = threshold
        self._turns = rows.Turns()

    def put(self, parcels: Sequence[Parcel], body: Body, now: float) -> Future[tuple[str, ...]]:
        """See `Writer.put`."""
        if not parcels:
            raise ValueError("a body without a parcel would be lost")
        ids = tuple(self._new_id() for _ in parcels)
        insert = partial(_insert, ids, parcels, body.size, now)
        if body.size > self._threshold:
            return self._in_hands(partial(self._put_file, insert, ids[0], body))
        try:
            octets = octets_of(body)
        except Exception as error:
            # Here and below: whatever the caller's blocks raise, the body is not kept.
            return _failed(store_error("the body cannot be read", error))
        return self._commits.submit(partial(insert, octets))

    def claim(
        self, now: float, limit: int, lease_until: float, owner: str, without: Collection[str] = ()
    ) -> Future[tuple[Kept, ...]]:
        """See `Writer.claim`."""

        def work(transaction: Transaction) -> tuple[Kept, ...]:
            due = self._turns.due(transaction.connection, now, limit, without)
            return rows.lease(transaction.connection, due, owner, lease_until)

        return self._commits.submit(work)

    def renew(self, owner: str, until: float) -> Future[int]:
        """See `Writer.renew`."""
        return self._commits.submit(lambda transaction: rows.renew(transaction.connection, owner, until))

    def done(self, kept_id: str) -> Future[bool]:
        """See `Writer.done`."""
        return self._commits.submit(partial(self._remove, kept_id))

    def retry(
        self, kept_id: str, owner: str, at: float, remaining: Collection[str], attempt: Attempt, certain: bool = True
    ) -> Future[bool]:
        """See `Writer.retry`."""

        def work(transaction: Transaction) -> bool:
            left = rows.note_attempt(transaction.connection, kept_id, owner, at, remaining, attempt, certain)
            if left == ():
                self._remove(kept_id, transaction)
            return bool(left)

        return self._commits.submit(work)

    def give_up(self, kept_id: str) -> Future[bool]:
        """See `Writer.give_up`."""
        return self._commits.submit(partial(self._remove, kept_id))

    def hold(self, kept_id: str) -> Future[bool]:
        """See `Writer.hold`."""
        return self._commits.submit(lambda transaction: rows.hold(transaction.connection, kept_id))

    def release(self, kept_id: str, now: float) -> Future[bool]:
        """See `Writer.release`."""
        return self._commits.submit(lambda transaction: rows.release(transaction.connection, kept_id, now))

    def remember(self, key: bytes, answer: str, until: float) -> Future[None]:
        """See `Writer.remember`."""
        return self._commits.submit(lambda transaction: rows.remember(transaction.connection, key, answer, until))

    def recall(self, key: bytes, now: float) -> Future[str | None]:
        """See `Writer.recall`."""
        return self._in_hands(partial(self._recall, key, now))

    def purge(self, now: float) -> Future[Purged]:
        """See `Writer.purge`."""

        def work(transaction: Transaction) -> Purged:
            answers, bodies = rows.purge(transaction.connection, now)
            return Purged(answers, bodies, self._files.remove_orphans(rows.files(transaction.connection)))

        return self._commits.submit(work)

    def close(self) -> None:
        """Finish what was asked so far.  The long bodies come first, for they still need a commit."""
        self._hands.shutdown()
        self._commits.close()

    def _remove(self, kept_id: str, transaction: Transaction) -> bool:
        was_there, file = rows.remove(transaction.connection, kept_id)
        if file is not None:
            transaction.after_commit.append(partial(self._files.remove, file))
        return was_there

    def _put_file(self, insert: Callable[[bytes | str, Transaction], T], name: str, body: Body) -> T:
        try:
            with self._files.written(name, body):
                return self._commits.submit(partial(insert, name)).result()
        except StoreError:
            raise
        except Exception as error:
            raise store_error("a body cannot be written", error) from error

    def _recall(self, key: bytes, now: float) -> str | None:
        with self._readers.lent() as connection:
            return rows.recall(connection, key, now)

    def _in_hands(self, call: Callable[[], T]) -> Future[T]:
        try:
            return self._hands.submit(call)
        except RuntimeError as error:
            # This is how an executor says that it was shut down.
            return _failed(StoreClosed("the store is closed", error))


def _insert(
    ids: tuple[str, ...],
    parcels: Sequence[Parcel],
    size: int,
    now: float,
    content: bytes | str,
    transaction: Transaction,
) -> tuple[str, ...]:
    rows.insert(transaction.connection, ids, parcels, size, content, now)
    return ids


def _failed(error: Exception) -> Future[T]:
    future: Future[T] = Future()
    future.set_exception(error)
    return future
