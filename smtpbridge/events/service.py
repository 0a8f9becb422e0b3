"""
Start and stop of everything about events on the HTTP side, in the right order.

Start: the inbox is bound before privileges are given up, and a port that cannot be bound ends the process.  Until the
ledger is open the inbox answers 503, and the provider repeats.

Stop: no new connections; requests under way get their answer; then the loops end, each after what it has under way;
then the ledger is closed.  What is left lies in the ledger, and the next start goes on with it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.events.housekeeping import Housekeeping
from smtpbridge.events.inbox import Doorkeeper, Inbox
from smtpbridge.events.ledger_access import LedgerAccess
from smtpbridge.events.outbox import Outbox
from smtpbridge.events.translation import Translator

# A commit takes milliseconds; who has not sent its body by now sends it again.
_ANSWER_SECONDS = 10.0


class CannotTakeIn(SmtpbridgeError):
    """The inbox could not be bound."""


class EventsService(Service):
    """The inbox, the translation, the outboxes and the ledger between them."""

    log = Logger()

    def __init__(
        self,
        description: str,
        endpoint: IStreamServerEndpoint,
        inbox: Inbox,
        translator: Translator,
        outboxes: Sequence[Outbox],
        housekeeping: Housekeeping,
        access: LedgerAccess,
        clock: IReactorTime,
    ) -> None:
        """Take in at `endpoint`, which the operator wrote as `description`."""
        self.inbox = inbox
        self.translator = translator
        self.outboxes: Mapping[str, Outbox] = {one.target.name: one for one in outboxes}
        self.housekeeping = housekeeping
        self.port: IListeningPort | None = None
        self._description = description
        self._endpoint = endpoint
        self._doorkeeper = Doorkeeper(inbox)
        self._access = access
        self._clock = clock
        self._fault: CannotTakeIn | None = None
        self._opening: Deferred[None] | None = None

    @property
    def fault(self) -> str:
        """What is wrong with the ledger in words, empty when it is in order."""
        return self._access.fault

    def privilegedStartService(self) -> None:
        """Bind; raise `CannotTakeIn`."""
        self._endpoint.listen(self._doorkeeper).addCallbacks(self._bound, self._not_bound)
        if self._fault is not None:
            raise self._fault

    def startService(self) -> None:
        """Open the ledger, and go on with what is in it."""
        super().startService()
        self._opening = Deferred.fromCoroutine(self._begin())

    def stopService(self) -> "Deferred[None]":
        """Drain and close."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _begin(self) -> None:
        try:
            await self._access.open()
        except CancelledError:
            return
        self.housekeeping.start()
        self.translator.start()
        for outbox in self.outboxes.values():
            outbox.start()

    async def _stop(self) -> None:
        port, self.port = self.port, None
        if port is not None:
            stopped: Any = port.stopListening()
            if stopped is not None:
                await stopped
        if self._opening is not None:
            self._opening.cancel()
        idle = self.inbox.idle()
        idle.addTimeout(_ANSWER_SECONDS, self._clock, lambda *_: None)
        await idle
        self._doorkeeper.end()
        # Each ends by itself; together they take as long as the slowest post.
        ends = [Deferred.fromCoroutine(one.stop()) for one in self.outboxes.values()]
        ends += [Deferred.fromCoroutine(one.stop()) for one in (self.translator, self.housekeeping)]
        for end in ends:
            await end
        await self._access.close()

    def _bound(self, port: IListeningPort) -> None:
        self.port = port
        address = port.getHost()
        bound = address.port if isinstance(address, IPv4Address | IPv6Address) else "-"
        self.log.info("notifications are taken in at {endpoint} port={port}", endpoint=self._description, port=bound)

    def _not_bound(self, reason: Failure) -> None:
        self._fault = CannotTakeIn(f"cannot listen at {self._description}: {reason.getErrorMessage()}")
