"""
The store on SQLite: one folder with a database and the files of long bodies.

`SqliteStore` is a `Store` (see `interface`) that waits for its `SqliteWriter`,
and answers questions on connections of its own.  Several processes may open
the same folder; each opens it for itself, after it was forked.

The room knows no clock and no chance: times are arguments, ids come from a
source that the caller gives.  It writes no log: what went wrong is in the error.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from smtpbridge.store import rows
from smtpbridge.store.bodies import BodyFiles, BodyInFile, BodyInMemory
from smtpbridge.store.commits import GroupCommit
from smtpbridge.store.database import Database
from smtpbridge.store.errors import NotKept, store_error
from smtpbridge.store.readers import Readers
from smtpbridge.store.values import Attempt, Body, Counts, Filter, Kept, Parcel, Purged
from smtpbridge.store.writer import SqliteWriter

# Bodies up to this are in the database: one sync for everything.  Longer ones would be written twice, log and database.
THRESHOLD = 65_536

# The sub-folder of long bodies.
BODIES = "bodies"

# How many parcels a listing holds at a time.
_PAGE = 200

_EVERYTHING = Filter()


def _no_step(_name: str) -> None:
    pass


class SqliteStore:
    """A `Store` in a folder."""

    def __init__(
        self,
        folder: Path,
        new_id: Callable[[], str],
        *,
        busy_seconds: float = 5.0,
        threshold: int = THRESHOLD,
        steps: Callable[[str], None] = _no_step,
    ) -> None:
        """
        Open the store, and make it where there is none; raise `StoreError`.

        `new_id` gives names that no other process gives and that sort by time; it is called from several threads.
        `steps` is called with a name before each step of a change that a crash can separate from the next.
        """
        try:
            database = Database(folder, busy_seconds)
            # A fault of the folder or of the schema shows now, not with the first message.
            database.connect().close()
        except (sqlite3.Error, OSError) as error:
            raise store_error("the store cannot be opened", error) from error
        self._files = BodyFiles(folder / BODIES, steps)
        self._readers = Readers(database)
        self._writer = SqliteWriter(GroupCommit(database, steps), self._files, self._readers, new_id, threshold)

    @property
    def writer(self) -> SqliteWriter:
        """See `Store.writer`."""
        return self._writer

    def put(self, parcels: Sequence[Parcel], body: Body, now: float) -> tuple[str, ...]:
        """See `Store.put`."""
        return self._writer.put(parcels, body, now).result()

    def claim(
        self, now: float, limit: int, lease_until: float, owner: str, without: Collection[str] = ()
    ) -> tuple[Kept, ...]:
        """See `Store.claim`."""
        return self._writer.claim(now, limit, lease_until, owner, without).result()

    def renew(self, owner: str, until: float) -> int:
        """See `Store.renew`."""
        return self._writer.renew(owner, until).result()

    def done(self, kept_id: str) -> bool:
        """See `Store.done`."""
        return self._writer.done(kept_id).result()

    def retry(
        self, kept_id: str, owner: str, at: float, remaining: Collection[str], attempt: Attempt, certain: bool = True
    ) -> bool:
        """See `Store.retry`."""
        return self._writer.retry(kept_id, owner, at, remaining, attempt, certain).result()

    def give_up(self, kept_id: str) -> bool:
        """See `Store.give_up`."""
        return self._writer.give_up(kept_id).result()

    def hold(self, kept_id: str) -> bool:
        """See `Store.hold`."""
        return self._writer.hold(kept_id).result()

    def release(self, kept_id: str, now: float) -> bool:
        """See `Store.release`."""
        return self._writer.release(kept_id, now).result()

    def remember(self, key: bytes, answer: str, until: float) -> None:
        """See `Store.remember`."""
        self._writer.remember(key, answer, until).result()

    def recall(self, key: bytes, now: float) -> str | None:
        """See `Store.recall`."""
        with self._readers.lent() as connection:
            return rows.recall(connection, key, now)

    def remembered_until(self) -> float:
        """See `Store.remembered_until`."""
        with self._readers.lent() as connection:
            return rows.remembered_until(connection)

    def purge(self, now: float) -> Purged:
        """See `Store.purge`."""
        return self._writer.purge(now).result()

    def list(self, wanted: Filter = _EVERYTHING) -> Iterator[Kept]:
        """See `Store.list`."""
        last = 0
        while True:
            # A connection for each page: a reader that stays in one snapshot lets the log grow without end.
            with self._readers.lent() as connection:
                page, last = rows.page(connection, wanted, last, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return

    def show(self, kept_id: str) -> Kept:
        """See `Store.show`."""
        with self._readers.lent() as connection:
            found = rows.show(connection, kept_id)
        if found is None:
            raise NotKept(f"nothing is kept as {kept_id}")
        return found

    def body(self, kept_id: str) -> BodyInMemory | BodyInFile:
        """See `Store.body`."""
        with self._readers.lent() as connection:
            found = rows.body(connection, kept_id)
        match found:
            case None:
                raise NotKept(f"nothing is kept as {kept_id}")
            case size, str() as file:
                try:
                    return self._files.open(file, size)
                except OSError as error:
                    raise store_error(f"the body of {kept_id} cannot be read", error) from error
            case _, octets:
                return BodyInMemory(octets)

    def counts(self) -> Counts:
        """See `Store.counts`."""
        with self._readers.lent() as connection:
            return rows.counts(connection)

    def close(self) -> None:
        """See `Store.close`."""
        self._writer.close()
        self._readers.close()
