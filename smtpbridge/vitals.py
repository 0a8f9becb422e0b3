"""
How the daemon is: from the objects of the relay to `ops.health`, to the status line, and to the figures about it.

`docs/health.md` explains what it says.
"""

from collections.abc import Callable, Iterator
from typing import Protocol as Contract

from smtpbridge.ops.health import Health, Seen, Upstream, What
from smtpbridge.ops.metrics import Figure, Join, Kind, Sample
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.service import RelayService
from smtpbridge.store.errors import StoreError
from smtpbridge.store.interface import Store
from smtpbridge.store.values import Counts

# Counting what is kept reads the disk.
_COUNT_SECONDS = 10.0


def seen_of(relay: RelayService) -> Seen:
    """Return what there is to see of a relay."""
    keeper, correlation = relay.keeper, relay.correlation
    return Seen(
        listening=relay.listening,
        draining=relay.draining,
        store_open=keeper is None or keeper.store is not None,
        store_fault="" if keeper is None else keeper.fault,
        held_up=relay.budget.waiting,
        upstreams=tuple(
            Upstream(
                name=pool.name,
                default=place == 0,  # the first one of the configuration
                unreachable=pool.standing.unreachable,
                login_refused=pool.standing.login_refused,
                fault=pool.standing.fault,
            )
            for place, pool in enumerate(relay.pools)
        ),
        ledger_fault="" if correlation is None else correlation.keeper.fault,
    )


def probe(relay: RelayService) -> None:
    """
    Dial the upstreams that cannot be used, to see whether they can again.

    A balancer that reads our readiness sends no mail meanwhile, and without mail nothing else would dial.
    """
    if not relay.draining:
        for pool in relay.pools:
            if pool.standing.bad:
                pool.probe()


class InThread(Contract):
    """What is used of the reactor."""

    def seconds(self) -> float:
        """Return the clock's seconds."""

    def callInThread(self, call: Callable[..., object], *arguments: object) -> None:
        """Call in a thread of the pool."""

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        """Call in the reactor's thread."""


class Depth:
    """How much the store keeps, as it was a few seconds ago; `counts` is None where nobody knows."""

    def __init__(self, keeper: Keeper | None, reactor: InThread) -> None:
        """Know nothing yet."""
        self.counts: Counts | None = None
        self._keeper = keeper
        self._reactor = reactor
        self._asking = False
        self._due = 0.0

    def look(self) -> None:
        """Ask the store, in a thread, when the last answer has grown old."""
        store = None if self._keeper is None else self._keeper.store
        if store is None:
            self.counts = None
        elif not self._asking and self._reactor.seconds() >= self._due:
            self._asking = True
            self._reactor.callInThread(self._ask, store)

    def _ask(self, store: Store) -> None:
        try:
            counts = store.counts()
        except StoreError:
            counts = None  # the keeper finds out by itself what is wrong
        self._reactor.callFromThread(self._answered, counts)

    def _answered(self, counts: Counts | None) -> None:
        self._asking = False
        self._due = self._reactor.seconds() + _COUNT_SECONDS
        self.counts = counts


def depth_figures(depth: Depth, epoch: Callable[[], float]) -> tuple[Figure, ...]:
    """
    Return the figures about what the store keeps; none where nobody knows.  `epoch` is the time of day.

    Several processes keep one store: what each sees of it is the same.
    """

    def one(name: str, words: str, read: Callable[[Counts], float]) -> Figure:
        def sample() -> Iterator[Sample]:
            if depth.counts is not None:
                yield (), read(depth.counts)

        return Figure(f"smtpbridge_queue_{name}", Kind.GAUGE, words, (), sample, Join.GREATEST)

    return (
        one("depth", "Parcels in the queue.", lambda counts: counts.depth),
        one("held", "Parcels in the queue that are held.", lambda counts: counts.held),
        one("bytes", "Octets of bodies in the queue.", lambda counts: counts.octets),
        one(
            "oldest_seconds",
            "How old the oldest parcel in the queue is; 0 without one.",
            lambda counts: 0.0 if counts.oldest is None else max(0.0, epoch() - counts.oldest),
        ),
    )


def status_of(relay: RelayService, health: Health, counts: Counts | None) -> str:
    """Return a line for `systemctl status`; `counts` are those of the store."""
    sessions = sum(len(door.gate.sessions) for door in relay.doors)
    parts = [_many(sessions, "session"), f"{_many(relay.under_way, 'message')} under way"]
    if counts is not None:
        parts.append(f"{counts.depth} in the queue" + (f" ({counts.held} held)" if counts.held else ""))
    parts += [f"upstream {pool.name}: {_state_of(pool)}" for pool in relay.pools]
    return f"{health.word}; {', '.join(parts)}"


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _state_of(pool: Pool) -> str:
    if pool.standing.login_refused:
        return "login refused"
    if pool.standing.unreachable:
        return "unreachable"
    counts = pool.counts()
    waiting = f", {counts.waiting} waiting" if counts.waiting else ""
    return f"{counts.leased} of {pool.max_connections} connections in use{waiting}"


def health_figures(health: Health) -> tuple[Figure, ...]:
    """Return the figures about readiness."""

    def unready() -> Iterator[Sample]:
        # All kinds from the start, as with limits.
        return (((what.value,), health.has(what)) for what in What)

    return (
        Figure("smtpbridge_ready", Kind.GAUGE, "Whether mail is welcome: 1 or 0.", (), lambda: [((), health.ready)]),
        Figure("smtpbridge_unready", Kind.GAUGE, "Why it is not: 1 for each reason.", ("reason",), unready),
    )
