"""
What of a relay can be another while it runs, and what becomes of a pool whose place another has taken.

A `Renewal` is whole before it is put in force: whatever can fail was done when it was made, so putting it in force is
a few assignments within one turn of the reactor, and nobody ever sees half of it.

A message under way keeps the plan that was made for it.  Its transaction may hold the old pool or wait there, so that
pool goes on serving whoever asked; it keeps no connection for later, and is closed when nobody is left.  A name that is
gone stays known to the bridge until the last message from before has ended.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from twisted.internet.interfaces import IOpenSSLContextFactory

from smtpbridge.dialect.policy import Policy
from smtpbridge.relay.auth import Accounts
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.delivery import Delivery
from smtpbridge.relay.guesses import Patience
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.reports import Reporter
from smtpbridge.relay.schedule import Schedule
from smtpbridge.relay.site import Habits


@dataclass(frozen=True, slots=True)
class DoorTerms:
    """What one listener is to obey; `present` puts what its endpoint shakes hands with in force, where it does."""

    habits: Habits
    tls: IOpenSSLContextFactory | None
    present: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """How much messages may take, in octets, and where their files lie."""

    memory: int
    temporary: int
    folder: str | None


@dataclass(frozen=True, slots=True)
class Renewal:
    """
    Everything that is to be in force.

    `doors` are in the order of the listeners; `pools` in that of the upstreams, the default first, and those that did
    not change are the very same objects.
    """

    doors: Sequence[DoorTerms]
    accounts: Accounts
    pools: Sequence[Pool]
    policy: Policy
    reporter: Reporter
    schedule: Schedule
    patience: Patience
    login_delay: float
    room: Room


class Superseded:
    """The pools that are on their way out."""

    def __init__(self, deadlines: Deadlines, forgotten: Callable[[], None]) -> None:
        """Know of none; `forgotten` hears that a name is needed no more."""
        self.deadline = -inf  # looked at with every sweep while there is one
        self._deadlines = deadlines
        self._forgotten = forgotten
        self._waiting: dict[Pool, tuple[Delivery, ...]] = {}
        self._closing: set[Pool] = set()

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Those that are not closed yet."""
        return (*self._waiting, *self._closing)

    @property
    def named(self) -> Mapping[str, Pool]:
        """Those that somebody may ask for by name; of two with one name the one that went last."""
        return {pool.name: pool for pool in self._waiting}

    def take(self, pools: Sequence[Pool], before: Sequence[Delivery]) -> None:
        """Another has the place of each of these; messages from `before` may still need them."""
        for pool in pools:
            pool.fade()
            self._waiting[pool] = tuple(before)
            self._deadlines.watch(self)

    def deadline_passed(self) -> None:
        """A second has passed: close those that nobody needs."""
        done = [pool for pool, before in self._waiting.items() if _is_free(pool, before)]
        for pool in done:
            del self._waiting[pool]
            self._closing.add(pool)
            pool.close().addCallback(self._closed, pool)
        if done:
            self._forgotten()
        if not self._waiting:
            self._deadlines.forget(self)

    def _closed(self, _: None, pool: Pool) -> None:
        self._closing.discard(pool)

    def stop(self) -> None:
        """The service closes what is left itself."""
        self._deadlines.forget(self)


def _is_free(pool: Pool, before: Sequence[Delivery]) -> bool:
    counts = pool.counts()
    used = counts.leased or counts.waiting or counts.dialling
    return not used and all(delivery.ended for delivery in before)
