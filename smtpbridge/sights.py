"""
What one process shows of itself on the status page: from the objects of the relay to `ops.sight`.

A look reads numbers that are there anyway.  A search reads the store in a thread, one at a time, because whoever
searches must not hold up who delivers.
"""

from contextlib import suppress
from itertools import islice
from typing import Any

from twisted.internet.threads import deferToThreadPool

from smtpbridge.ops.recent import Recent
from smtpbridge.ops.sight import (
    MOST_FAULTS,
    MOST_FOUND,
    MOST_ROWS,
    Door,
    Found,
    KeptRow,
    Place,
    Pool,
    Queue,
    Row,
    Sight,
    Whole,
    few,
)
from smtpbridge.relay.pool import Pool as Upstream
from smtpbridge.relay.service import RelayService
from smtpbridge.store.errors import NotKept, StoreError
from smtpbridge.store.interface import Store
from smtpbridge.store.values import Filter, Kept
from smtpbridge.vitals import Depth

BUSY = "Another search is under way; try again in a moment."


class Process:
    """This process, for whoever shows it."""

    def __init__(self, relay: RelayService, recent: Recent, depth: Depth, reactor: Any) -> None:
        """Look at `relay`, at what `recent` has heard of it, and at `depth`, which somebody else keeps up to date."""
        self._relay = relay
        self._recent = recent
        self._reactor = reactor
        self._depth = depth
        self._searching = False

    async def look(self) -> Whole:
        """See `Source`."""
        return Whole(self.sight())

    async def find(self, words: str) -> Found:
        """See `Source`."""
        rows = tuple(map(_brief, self._recent.find(words, MOST_FOUND)))
        store = None if self._relay.keeper is None else self._relay.keeper.store
        if store is None:
            return Found(rows, faults=("The store is not open: what is kept there cannot be searched.",))
        if self._searching:
            return Found(rows, faults=(BUSY,))
        self._searching = True
        try:
            pool = self._reactor.getThreadPool()
            found = await deferToThreadPool(self._reactor, pool, self._in_thread, store, words)
        except StoreError as error:
            return Found(rows, faults=(f"The store could not be searched: {error}",))
        return Found(rows, tuple(map(_kept_row, found)))

    def _in_thread(self, store: Store, words: str) -> list[Kept]:
        try:
            return _kept(store, words)
        finally:
            # Not when the answer is no longer wanted, but when the thread is free again.
            self._reactor.callFromThread(self._free)

    def _free(self) -> None:
        self._searching = False

    def sight(self) -> Sight:
        """Return how this process is."""
        relay = self._relay
        counts = self._depth.counts
        return Sight(
            totals=self._recent.totals,
            doors=tuple(Door(door.description, len(door.gate.sessions)) for door in relay.doors),
            pools=tuple(map(_pool, relay.pools)),
            queue=Queue(counts.depth, counts.held, counts.oldest, counts.octets) if counts is not None else None,
            queue_fault=relay.keeper.fault if relay.keeper is not None else "",
            under_way=relay.under_way,
            memory=relay.budget.memory,
            temporary=relay.budget.temporary,
            held_up=relay.budget.waiting,
            verdicts=tuple(map(_brief, self._recent.newest(MOST_ROWS))),
            faults=tuple(map(_brief, self._recent.faults(MOST_FAULTS))),
        )


def _brief(row: Row) -> Row:
    """Return the row with as many recipients as are shown."""
    return Row(
        row.at, row.id, row.client, row.sender, few(row.recipients), row.count, row.code, row.reply, row.via,
        row.seconds, row.queued,
    )  # fmt: skip


def _pool(pool: Upstream) -> Pool:
    standing = pool.standing
    state = "login refused" if standing.login_refused else "unreachable" if standing.unreachable else ""
    places = tuple(Place(label, one.dialling, one.idle, one.leased, one.resting) for label, one in pool.host_counts())
    return Pool(pool.name, pool.max_connections, pool.counts().waiting, state, standing.fault, places)


def _kept(store: Store, words: str) -> list[Kept]:
    """Look for a message in the store, by each of what it may be.  Waits for the disk."""
    with suppress(NotKept):
        return [store.show(words)]
    wanted = (Filter(message_id=words), Filter(recipient=words), Filter(original_sender=words))
    found = {one.id: one for each in wanted for one in islice(store.list(each), MOST_FOUND)}
    return list(found.values())[:MOST_FOUND]


def _kept_row(kept: Kept) -> KeptRow:
    parcel = kept.parcel
    return KeptRow(
        kept.id,
        parcel.message_id,
        kept.created_at,
        parcel.original_sender,
        few(parcel.recipients),
        len(parcel.recipients),
        kept.state.value,
        kept.attempts,
        kept.next_attempt,
        parcel.last_reply,
    )
