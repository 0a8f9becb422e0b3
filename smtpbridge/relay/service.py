"""
Start and stop of the whole relay, in the right order.

Start: the ports are bound before privileges are given up, and a port that cannot
be bound ends the process: a relay that does not listen must not look alive.

Stop: no new connections; sessions outside a transaction hear 421, the others when
their transaction has ended; after a limit the rest is cut; then the pools close
with QUIT.  `MultiService` would
stop all of that at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeVar

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.defer import TimeoutError as TooLate
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.budget import Budget
from smtpbridge.relay.correlation import Correlation
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.keeping import Keeping
from smtpbridge.relay.listener import Gate
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.renewal import Renewal, Superseded
from smtpbridge.relay.tally import Tally
from smtpbridge.relay.tls import ServerTls

# Within the time that the unit file gives for stopping.
DRAIN_SECONDS = 60.0
_CLOSE_SECONDS = 5.0
Anything = TypeVar("Anything")


class CannotListen(SmtpbridgeError):
    """A listener could not be bound."""


@dataclass(frozen=True, slots=True)
class Door:
    """
    A listener and where it is to be bound.

    `description` is what the operator wrote; `implicit_tls` is what it shakes hands with at once, if it does.
    """

    description: str
    endpoint: IStreamServerEndpoint
    gate: Gate
    implicit_tls: ServerTls | None = None

    @property
    def tls(self) -> ServerTls | None:
        """What it offers at once or by STARTTLS."""
        offered = self.implicit_tls or self.gate.tls
        return offered if isinstance(offered, ServerTls) else None


class RelayService(Service):
    """Everything between the senders and the provider."""

    log = Logger()

    def __init__(
        self,
        doors: Sequence[Door],
        pools: Sequence[Pool],
        bridge: Bridge,
        clock: IReactorTime,
        notes: Sequence[str] = (),
        keeping: Keeping | None = None,
        budget: Budget | None = None,
        correlation: Correlation | None = None,
    ) -> None:
        """
        Serve at `doors`; `notes` are sentences for the log at start; `keeping` is how the bridge takes over.

        `budget` is the room that messages take; `correlation` is the bridge's.
        """
        self.budget = budget or Budget()
        self.ports: list[IListeningPort] = []
        self.doors = doors
        self.pools = pools
        self.draining = False
        self.bridge = bridge
        self.correlation = correlation
        self._clock = clock
        self._notes = notes
        self._keeping = keeping
        self._superseded: Superseded | None = None
        self._fault: CannotListen | None = None

    def privilegedStartService(self) -> None:
        """Bind all listeners; raise `CannotListen` when one cannot be bound."""
        for door in self.doors:
            listening = door.endpoint.listen(door.gate)
            listening.addCallbacks(self._bound, self._not_bound, callbackArgs=(door,), errbackArgs=(door,))
        if self._fault is not None:
            raise self._fault

    def startService(self) -> None:
        """Say what is going on; the ports are bound already."""
        super().startService()
        for note in self._notes:
            self.log.warn("{note}", note=note)
        if self.correlation is not None:
            self.correlation.open()
        if self._keeping is not None:
            self._keeping.runner.start()
            self._keeping.keeper.open()

    def stopService(self) -> Deferred[None]:
        """Drain and close; fires when that is done or has taken too long."""
        super().stopService()
        self.draining = True
        return Deferred.fromCoroutine(self._stop())

    def renew(self, new: Renewal) -> None:
        """Put it in force, all at once; sessions and messages under way go on."""
        for door, terms in zip(self.doors, new.doors, strict=True):
            door.gate.renew(terms.habits, new.accounts, terms.tls)
            door.gate.logins.renew(new.patience, new.login_delay)
            if terms.present is not None:
                terms.present()
        self.budget.renew(new.room.memory, new.room.temporary, new.room.folder)
        superseded = self._superseded = self._superseded or Superseded(self.bridge.deadlines, self._forget_names)
        replaced = [pool for pool in self.pools if pool not in new.pools]
        self.pools = new.pools
        # What was asked before the pools fade still finds a connection there.
        superseded.take(replaced, tuple(self.bridge.deliveries))
        by_name = {pool.name: pool for pool in new.pools}
        if self._keeping is not None:
            self._keeping = replace(self._keeping, reporter=new.reporter, schedule=new.schedule)
            self._keeping.runner.renew(by_name, new.reporter, new.schedule)
        self.bridge.renew({**superseded.named, **by_name}, new.policy, self._keeping)

    def _forget_names(self) -> None:
        """A pool is closed: nobody may ask for it by its name any more."""
        if self._superseded is not None:
            known = {**self._superseded.named, **{pool.name: pool for pool in self.pools}}
            self.bridge.renew(known, self.bridge.policy, self._keeping)

    @property
    def listening(self) -> bool:
        """Tell whether every listener is bound and what follows was begun."""
        return bool(self.running) and len(self.ports) == len(self.doors)

    @property
    def epoch(self) -> Callable[[], float]:
        """The time of day."""
        return self.doors[0].gate.epoch

    @property
    def keeper(self) -> Keeper | None:
        """The store, where there is one."""
        return None if self._keeping is None else self._keeping.keeper

    @property
    def under_way(self) -> int:
        """How many messages have no verdict yet."""
        return self.bridge.under_way

    @property
    def tally(self) -> Tally:
        """What was counted."""
        return self.bridge.tally

    async def _stop(self) -> None:
        ports, self.ports = self.ports, []
        await DeferredList([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)
        self.log.info("stopping: {count} messages under way", count=self.bridge.under_way)
        quiet: Deferred[None] = Deferred()
        self.bridge.when_idle(lambda: None if quiet.called else quiet.callback(None))
        delivered: Deferred[None] = Deferred()
        if self._keeping is None:
            delivered.callback(None)
        else:
            self._keeping.runner.stop(lambda: None if delivered.called else delivered.callback(None))
        drained = DeferredList([quiet, delivered, *(door.gate.stop() for door in self.doors)], consumeErrors=True)
        if not await self._in_time(drained, DRAIN_SECONDS):
            count = self.bridge.under_way
            if count:
                self.log.error("stopping with {count} messages unanswered; their senders will retry", count=count)
            for door in self.doors:
                door.gate.cut()
        pools = list(self.pools)
        if self._superseded is not None:
            self._superseded.stop()
            pools += self._superseded.pools
        closed = DeferredList([pool.close() for pool in pools], consumeErrors=True)
        await self._in_time(closed, _CLOSE_SECONDS)
        if self._keeping is not None:
            self._keeping.keeper.close()
        if self.correlation is not None:
            self.correlation.close()
        self.log.info("stopped")

    async def _in_time(self, what: "Deferred[Anything]", seconds: float) -> bool:
        try:
            await what.addTimeout(seconds, self._clock, _too_late)
        except TooLate:
            return False
        return True

    def _bound(self, port: IListeningPort, door: Door) -> None:
        self.ports.append(port)
        address = port.getHost()
        if isinstance(address, IPv4Address | IPv6Address):
            self.log.info(
                "listening at {door} host={host} port={port}",
                door=door.description,
                host=address.host,
                port=address.port,
            )
        else:
            self.log.info("listening at {door}", door=door.description)

    def _not_bound(self, reason: Failure, door: Door) -> None:
        fault = CannotListen(f"cannot listen at {door.description}: {reason.getErrorMessage()}")
        self.log.critical("{fault}", fault=str(fault))
        self._fault = self._fault or fault


def _too_late(_: object, seconds: float) -> NoReturn:
    """A `DeferredList` that was called off ends well, with the failures of its members: say that time was up."""
    raise TooLate(f"not within {seconds} seconds")
