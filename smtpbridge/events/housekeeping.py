"""
Keep the ledger within its age and size, and know how much is in it.

A purge goes in small steps, one behind the other, so that whoever writes waits for milliseconds.  What it removes
although not every target has it is said in the log: that is what is lost.

What must not be known here: what is kept.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from smtpbridge.events.ledger_access import LedgerAccess
from smtpbridge.store.errors import StoreError
from smtpbridge.store.ledger import LedgerCounts, LedgerPurged, LedgerWriter

# Counting reads the disk; a scrape comes about as often.
_COUNT_SECONDS = 15.0
# In which a minute's mail has come in at most.
_PURGE_SECONDS = 60.0
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long something is kept, and how many octets the ledger may use."""

    days: float
    octets: int


class Housekeeping:
    """The loop in the background; `counts` is None while nobody knows."""

    log = Logger()

    def __init__(self, access: LedgerAccess, bounds: Bounds, clock: IReactorTime, epoch: Callable[[], float]) -> None:
        """Keep within `bounds`; `epoch` is the time of day."""
        self.counts: LedgerCounts | None = None
        self._access = access
        self._bounds = bounds
        self._clock = clock
        self._epoch = epoch
        self._stopping = False
        self._purge_due = 0.0
        self._loop: Deferred[None] | None = None
        self._sleep: Deferred[None] | None = None

    def start(self) -> None:
        """Begin; the ledger is open."""
        self._loop = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """End after the step that is under way."""
        self._stopping = True
        self._wake()
        loop, self._loop = self._loop, None
        if loop is not None:
            await loop

    async def _run(self) -> None:
        while not self._stopping:
            try:
                if self._clock.seconds() >= self._purge_due:
                    await self._purge()
                    self._purge_due = self._clock.seconds() + _PURGE_SECONDS
                self.counts = await self._access.read(lambda ledger: ledger.counts())
            except StoreError as error:
                self.counts = None
                self._access.has_failed(error)
            await self._pause()

    async def _purge(self) -> None:
        entries = events = undelivered = 0
        more = True
        while more and not self._stopping:
            before = self._epoch() - self._bounds.days * _DAY
            step = await self._access.write(
                partial(_purge, before=before, octets=self._bounds.octets), proves_order=False
            )
            entries, events = entries + step.entries, events + step.events
            undelivered, more = undelivered + step.undelivered, step.more
        if undelivered:
            self.log.error(
                "purged events={events} of which undelivered={undelivered} NEVER REACHED every target: raise max_bytes "
                "or keep_days, or see why targets do not take them",
                events=events,
                undelivered=undelivered,
            )
        elif entries or events:
            self.log.info("purged entries={entries} events={events}", entries=entries, events=events)

    async def _pause(self) -> None:
        if self._stopping:
            return
        self._sleep = Deferred()
        call: IDelayedCall = self._clock.callLater(_COUNT_SECONDS, self._wake)
        try:
            await self._sleep
        except CancelledError:
            self._stopping = True
        finally:
            if call.active():
                call.cancel()

    def _wake(self) -> None:
        sleep, self._sleep = self._sleep, None
        if sleep is not None:
            sleep.callback(None)


def _purge(writer: LedgerWriter, before: float, octets: int) -> "Future[LedgerPurged]":
    return writer.purge(before, octets)
