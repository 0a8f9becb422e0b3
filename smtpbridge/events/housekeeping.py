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

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from smtpbridge.events.ledger_access import LedgerAccess
from smtpbridge.events.loop import Loop
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
        self._purge_due = 0.0
        self._loop = Loop(self._turn, clock)

    def start(self) -> None:
        """Begin; the ledger is open."""
        self._loop.start()

    async def stop(self) -> None:
        """End after the step that is under way."""
        await self._loop.stop()

    async def _turn(self) -> float:
        try:
            if self._clock.seconds() >= self._purge_due:
                await self._purge()
                self._purge_due = self._clock.seconds() + _PURGE_SECONDS
            self.counts = await self._access.read(lambda ledger: ledger.counts())
        except StoreError as error:
            self.counts = None
            self._access.has_failed(error)
        return _COUNT_SECONDS

    async def _purge(self) -> None:
        entries = events = undelivered = 0
        more = True
        while more and not self._loop.is_stopping:
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


def _purge(writer: LedgerWriter, before: float, octets: int) -> "Future[LedgerPurged]":
    return writer.purge(before, octets)
