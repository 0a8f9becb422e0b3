"""
Deliver what the store keeps.

Theory of operation
-------------------

The runner claims parcels that are due, as many as their upstream's pace has room
for, and sends each through the same pool that senders use.  What becomes of one is
told to the store (`telling`): done, to be tried again later, or given up with a report.

It looks for work when something was put, when a delivery has ended, and every few
seconds, because another process or an operator may have changed what is due.  While
a claim is under way another is only noted, so there is never more than one.

A lease is kept alive as long as the process lives.  What dies with a lease was
perhaps taken by the provider: the store says so, and the log names it when it is
sent again.
"""

from collections.abc import Callable, Mapping
from typing import Protocol as Contract

from twisted.logger import Logger

from smtpbridge.dialect.plan import Frame, Transaction
from smtpbridge.mail.message import Envelope
from smtpbridge.relay.attempt import Attempt
from smtpbridge.relay.correlation import Correlation
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.naming import in_groups
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.reports import Reporter
from smtpbridge.relay.schedule import Pace, Schedule
from smtpbridge.relay.stored import StoredBody
from smtpbridge.relay.submission import Outgoing
from smtpbridge.relay.telling import Telling
from smtpbridge.relay.verdict import Outcome
from smtpbridge.store.interface import BodyReader, Store
from smtpbridge.store.values import Kept

_LOOK_SECONDS = 3.0
# A process that dies leaves its parcels to others after this; one that lives renews in time.
_LEASE_SECONDS = 180.0
_RENEW_SECONDS = 45.0
# How long a parcel waits for a connection before it makes room for another.
_WAIT_SECONDS = 120.0
_PURGE_SECONDS = 3600.0
# How long a provider that refuses everything is left alone, unless single parcels are tried sooner than that.
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0


class InThread(Contract):
    """What is used of the reactor: opening a body may wait for the disk."""

    def callInThread(self, call: Callable[..., object], *arguments: object) -> None:
        """Call in a thread of the pool."""

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        """Call in the reactor's thread."""


class QueueRunner:
    """The deliveries of one process."""

    log = Logger()

    def __init__(
        self,
        keeper: Keeper,
        pools: Mapping[str, Pool],
        deadlines: Deadlines,
        reporter: Reporter,
        schedule: Schedule,
        reactor: InThread,
        *,
        owner: str,
        chance: Callable[[], float],
        correlation: Correlation | None = None,
    ) -> None:
        """Deliver through `pools`; `owner` is this process's name for leases, `chance` gives numbers in [0, 1)."""
        self.deadline = 0.0
        self._keeper = keeper
        self._pools = pools
        self._deadlines = deadlines
        self._schedule = schedule
        self._telling = Telling(
            keeper, reporter, schedule, owner=owner, chance=chance, told=self._told, correlation=correlation
        )
        self._reactor = reactor
        self._owner = owner
        self._paces = {name: self._pace_for(pool) for name, pool in pools.items()}
        self._claiming = False
        self._again = False
        self._stopping = False
        self._renew_at = self._purge_at = 0.0
        self._when_idle: list[Callable[[], None]] = []
        # What is being delivered, by its id, and the pace that it was begun under.
        self._begun: dict[str, Pace] = {}

    def start(self) -> None:
        """Begin once the store is open."""
        self._keeper.when_open(self._begin)

    def stop(self, idle: Callable[[], None]) -> None:
        """Begin nothing more; call `idle` when what is under way has ended."""
        self._stopping = True
        self._when_idle.append(idle)
        self._be_idle()

    def renew(self, pools: Mapping[str, Pool], reporter: Reporter, schedule: Schedule) -> None:
        """Deliver what is claimed from now on through `pools`, of which the first is the default."""
        same = schedule == self._schedule
        before, old_paces = self._pools, self._paces
        self._pools, self._schedule = pools, schedule
        self._telling.renew(reporter, schedule)
        self._paces = {
            name: old_paces[name] if same and pool is before.get(name) else self._pace_for(pool)
            for name, pool in pools.items()
        }
        self.look()

    def _pace_for(self, pool: Pool) -> Pace:
        # Half of the connections stay free for senders who wait for their answer.
        return Pace(
            max(1, pool.max_connections // 2),
            min(_FIRST_PAUSE_SECONDS, self._schedule.first),
            min(_LONGEST_PAUSE_SECONDS, self._schedule.longest),
        )

    @property
    def under_way(self) -> int:
        """How many parcels are being delivered."""
        return len(self._begun)

    def look(self) -> None:
        """Something may be due."""
        if self._stopping or self._telling.behind:
            return
        if self._claiming:
            self._again = True
            return
        self._claiming, self._again = True, False
        self._claim(list(self._paces))

    def deadline_passed(self) -> None:
        """A few seconds have passed."""
        now = self._deadlines.now()
        self.deadline = now + _LOOK_SECONDS
        if now >= self._renew_at and self.under_way:
            self._renew_at = now + _RENEW_SECONDS
            until = self._keeper.epoch() + _LEASE_SECONDS
            self._keeper.ask(lambda writer: writer.renew(self._owner, until), lambda _: None)
        if now >= self._purge_at:
            self._purge_at = now + _PURGE_SECONDS
            self._keeper.ask(lambda writer: writer.purge(self._keeper.epoch()), lambda _: None)
        self._telling.catch_up()
        self.look()

    # Claiming

    def _begin(self, _: Store) -> None:
        self._deadlines.watch(self)
        self.look()

    def _claim(self, names: list[str]) -> None:
        """Claim for one upstream after the other, each as far as its pace has room."""
        now = self._deadlines.now()
        # Between two claims an upstream may have been removed.
        names = [name for name in names if name in self._paces]
        while names and not self._paces[names[0]].room(now):
            names = names[1:]
        if not names or self._stopping:
            self._claiming = False
            self._be_idle()
            if self._again:
                self.look()
            return
        name, room = names[0], self._paces[names[0]].room(now)
        others = [other for other in self._paces if other != name]
        epoch = self._keeper.epoch()

        def claimed(found: tuple[Kept, ...]) -> None:
            for kept in found:
                self._begin_delivery(kept)
            # A full answer means that there may be more, but only for the room that is left then.
            self._claim(names[1:])

        def failed() -> None:
            self._claiming = False
            self._be_idle()

        self._keeper.ask(
            lambda writer: writer.claim(epoch, room, epoch + _LEASE_SECONDS, self._owner, others), claimed, failed
        )

    def _begin_delivery(self, kept: Kept) -> None:
        if kept.id in self._begun:
            return  # its lease had run out while it is being delivered here, and has just been taken anew
        way = self._way_of(kept)
        if way != kept.parcel.upstream:
            self.log.warn(
                "id={id} goes by upstream={way}: {gone} is not configured any more",
                id=kept.parcel.message_id,
                way=way,
                gone=kept.parcel.upstream,
            )
        pace = self._begun[kept.id] = self._paces[way]
        pace.under_way += 1
        if kept.interruptions or not kept.parcel.certain:
            for some in in_groups(kept.parcel.recipients):
                self.log.warn(
                    "id={id} is sent again although an earlier attempt may have been taken: recipients={to}",
                    id=kept.parcel.message_id,
                    to=some,
                )
        self._reactor.callInThread(self._open_body, kept)

    def _open_body(self, kept: Kept) -> None:
        store = self._keeper.store
        try:
            body = None if store is None else store.body(kept.id)
        except Exception as error:
            self._reactor.callFromThread(self._no_body, kept, str(error) or repr(error))
            return
        self._reactor.callFromThread(self._send, kept, body)

    def _no_body(self, kept: Kept, why: str) -> None:
        self._telling.put_off(kept, f"its body cannot be read: {why}")
        self._ended(kept)

    def _send(self, kept: Kept, reader: BodyReader | None) -> None:
        if reader is None:
            self._ended(kept)
            return
        parcel, body = kept.parcel, StoredBody(reader)
        transaction = Transaction(
            parcel.upstream, Envelope(parcel.sender, parcel.recipients), Frame(parcel.header, b"")
        )
        until = self._deadlines.now() + _WAIT_SECONDS

        def over(outcome: Outcome, host: str) -> None:
            try:
                body.close()
                self._conclude(kept, outcome, host)
            except Exception:
                self.log.failure("id={id} internal error", id=parcel.message_id)
                self._ended(kept)

        Attempt(
            self._pools[self._way_of(kept)],
            transaction,
            Outgoing(parcel.message_id, body, parcel.eight_bit, until),
            over,
        ).start(bounded=False)

    def _way_of(self, kept: Kept) -> str:
        """Return the upstream of a parcel; the default one where its own is not configured any more."""
        if kept.parcel.upstream in self._pools:
            return kept.parcel.upstream
        return next(iter(self._pools))

    # What became of it

    def _conclude(self, kept: Kept, outcome: Outcome, host: str) -> None:
        pace = self._begun[kept.id]
        if outcome.is_about_the_provider:
            pace.went_wrong(self._deadlines.now())
        else:
            pace.went_well()
        self._telling.conclude(kept, outcome, host, last=self._stopping)

    def _told(self, kept: Kept, at: float) -> None:
        """The store knows; look again when the parcel is due, if that is sooner than the next look."""
        self.deadline = min(self.deadline, self._deadlines.now() + max(0.0, at - self._keeper.epoch()))
        self._ended(kept)

    def _ended(self, kept: Kept) -> None:
        if (pace := self._begun.pop(kept.id, None)) is not None:
            pace.under_way -= 1
        self._be_idle()
        self.look()

    def _be_idle(self) -> None:
        # What a claim that is under way brings is leased: it is delivered, or it would lie until the lease ends.
        if self._stopping and not self.under_way and not self._claiming:
            self._deadlines.forget(self)
            waiting, self._when_idle = self._when_idle, []
            for call in waiting:
                call()
