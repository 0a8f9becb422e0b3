"""
What the store promises, whatever it is built on.

`Store` waits: a call that returns has happened and will survive a power cut.
`Writer` is the same for a caller that must not wait: every call returns a
`concurrent.futures.Future` at once.  Its callbacks run in a thread of the
store; they must be short and must not call a `Store`, which would wait for
itself.

Both raise (or put into the future) `StoreError`; its class says more.  After
an error the change is not in force, and the same call may be made again: the
store opens its files anew by itself.

A lease is a promise for a time.  `claim` gives parcels to an owner until
`lease_until`; `renew` prolongs; when it runs out, the parcel is due again for
anybody, so a process that dies needs no successor who knows of it.
"""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from typing import Protocol

from smtpbridge.store.values import Attempt, Body, Counts, Filter, Kept, Parcel, Purged


class BodyReader(Protocol):
    """One body, read by position, so that several can read it at a time."""

    @property
    def size(self) -> int:
        """All octets of the body."""

    @property
    def in_memory(self) -> bytes | None:
        """The body, where it is in memory."""

    def read(self, at: int) -> bytes:
        """Return up to 64 KiB from that position on, none at the end; raise `StoreError`."""

    def close(self) -> None:
        """Give the file back.  The body can be read until then, even when its parcels are removed."""


class Writer(Protocol):
    """What changes the store, and the one question of the hot path, without waiting."""

    def put(self, parcels: Sequence[Parcel], body: Body, now: float) -> Future[tuple[str, ...]]:
        """
        See `Store.put`.

        `body.blocks` is read before the future is done, a long one in another thread: what it reads from must stay
        open until then.
        """

    def claim(
        self, now: float, limit: int, lease_until: float, owner: str, without: Collection[str] = ()
    ) -> Future[tuple[Kept, ...]]:
        """See `Store.claim`."""

    def renew(self, owner: str, until: float) -> Future[int]:
        """See `Store.renew`."""

    def done(self, kept_id: str) -> Future[bool]:
        """See `Store.done`."""

    def retry(
        self, kept_id: str, owner: str, at: float, remaining: Collection[str], attempt: Attempt, certain: bool = True
    ) -> Future[bool]:
        """See `Store.retry`."""

    def give_up(self, kept_id: str) -> Future[bool]:
        """See `Store.give_up`."""

    def hold(self, kept_id: str) -> Future[bool]:
        """See `Store.hold`."""

    def release(self, kept_id: str, now: float) -> Future[bool]:
        """See `Store.release`."""

    def remember(self, key: bytes, answer: str, until: float) -> Future[None]:
        """See `Store.remember`."""

    def recall(self, key: bytes, now: float) -> Future[str | None]:
        """See `Store.recall`."""

    def purge(self, now: float) -> Future[Purged]:
        """See `Store.purge`."""


class Store(Protocol):
    """Everything that must survive.  Safe to call from any thread; each call waits."""

    @property
    def writer(self) -> Writer:
        """The same store for who must not wait."""

    def put(self, parcels: Sequence[Parcel], body: Body, now: float) -> tuple[str, ...]:
        """Keep the parcels of one message, all or none, and return their ids in that order, once they are durable."""

    def claim(
        self, now: float, limit: int, lease_until: float, owner: str, without: Collection[str] = ()
    ) -> tuple[Kept, ...]:
        """
        Lease up to `limit` parcels that are due to `owner`, which must be a name that nobody else has.

        The smaller priority comes first.  Within one, each source has one parcel after the other in turn, starting
        after the source that was served last; within a source, the parcel that has been due for longest is first.
        Parcels for the upstreams in `without` are left alone.
        """

    def renew(self, owner: str, until: float) -> int:
        """Prolong all leases of `owner`, and return how many there are."""

    def done(self, kept_id: str) -> bool:
        """Remove a parcel whose recipients are all the provider's now; False when it is not there."""

    def retry(
        self, kept_id: str, owner: str, at: float, remaining: Collection[str], attempt: Attempt, certain: bool = True
    ) -> bool:
        """
        Report an attempt and end the lease: `remaining` is to be tried again from `at` on.

        Recipients that are not in `remaining` are never tried again; when none is left, the parcel is removed.
        `certain` is False when the attempt may have been taken.  Where another owner has the lease by now, it stays
        with that one, but the rest is noted.  False when the parcel is not kept (any more).
        """

    def give_up(self, kept_id: str) -> bool:
        """Remove a parcel that is not to be tried again and has been reported; False when it is not there."""

    def hold(self, kept_id: str) -> bool:
        """Let a parcel lie until it is released; an attempt that is being made goes on.  False: not there."""

    def release(self, kept_id: str, now: float) -> bool:
        """End a hold, and make a parcel due at `now` unless somebody has a lease on it.  False: not there."""

    def remember(self, key: bytes, answer: str, until: float) -> None:
        """Keep the answer to a message that `key` stands for until that time; a newer answer replaces an older."""

    def recall(self, key: bytes, now: float) -> str | None:
        """Return the answer that is remembered at `now`."""

    def remembered_until(self) -> float:
        """Return the time from which on no answer that is kept now will be remembered; 0 when there is none."""

    def list(self, wanted: Filter = ...) -> Iterator[Kept]:
        """Yield what is kept, oldest first, a few at a time, without bodies; what comes or goes meanwhile may show."""

    def show(self, kept_id: str) -> Kept:
        """Return one parcel; raise `NotKept`."""

    def body(self, kept_id: str) -> BodyReader:
        """Open the body of a parcel; raise `NotKept`."""

    def counts(self) -> Counts:
        """Return how much is kept."""

    def purge(self, now: float) -> Purged:
        """Remove expired answers and bodies that a crash left without a parcel.  Call at the start and now and then."""

    def close(self) -> None:
        """Finish what was asked so far, and give everything back.  Whatever is asked later is refused."""
