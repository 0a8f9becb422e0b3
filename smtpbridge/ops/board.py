"""
The status page while the process runs: asks how things are, keeps the hour, and tells who watches.

It asks every ten seconds for the sake of the plots, and every other second while somebody watches.  What was asked a
moment ago serves everybody who comes meanwhile, so many readers cost little more than one.

What must not be known here: the relay, and whether there is one process or several.
"""

from collections.abc import Callable
from typing import Protocol as Contract

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from smtpbridge.ops.health import Health
from smtpbridge.ops.history import History
from smtpbridge.ops.page import Facts, Known, page, search_page, sections
from smtpbridge.ops.sight import Found, Whole
from smtpbridge.ops.streams import Streams

LIVE_SECONDS = 2.0
# How old what is shown may be.
_FRESH_SECONDS = 0.25
# In characters: an address has at most 254 (RFC 5321, 4.5.3.1.3).
_LONGEST_QUESTION = 300


class Source(Contract):
    """Where all that is shown comes from."""

    async def look(self) -> Whole:
        """Return how things are."""

    async def find(self, words: str) -> Found:
        """Look for a message."""


class Board:
    """Everything that the status page shows."""

    log = Logger()

    def __init__(
        self, facts: Facts, source: Source, health: Health, clock: IReactorTime, epoch: Callable[[], float]
    ) -> None:
        """Ask `source`; `epoch` is the time of day."""
        self._facts = facts
        self._source = source
        self._health = health
        self._clock = clock
        self._epoch = epoch
        self._history = History()
        self._streams = Streams(clock)
        self._looked: tuple[float, Whole] | None = None
        self._round: Deferred[None] | None = None
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._call = self._clock.callLater(0, self._tick)

    def stop(self) -> None:
        """Look no more, and end all streams."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._round is not None:
            self._round.cancel()
        self._streams.close()

    def watch(self, request: Request) -> bool:
        """Tell `request` what changes from now on; `False` where too many watch already."""
        watched = self._streams.open(request)
        if watched:
            self._begin_round()
        return watched

    async def page(self) -> bytes:
        """Return the status page."""
        return page(self._facts, self._known(await self._fresh())).encode()

    async def search(self, words: str) -> bytes:
        """Return the page with what a search found."""
        words = words.strip(" <>")[:_LONGEST_QUESTION]
        found = await self._source.find(words) if words else None
        return search_page(self._facts, words, found, self._epoch()).encode()

    def _tick(self) -> None:
        self._call = self._clock.callLater(LIVE_SECONDS, self._tick)
        if self._streams or self._history.due(self._clock.seconds()):
            self._begin_round()

    def _begin_round(self) -> None:
        if self._round is None:
            # It may be over before there is a name for it.
            self._round = asked = Deferred.fromCoroutine(self._tell())
            asked.addErrback(self._failed).addBoth(self._ended)

    async def _tell(self) -> None:
        whole = await self._fresh()
        if self._streams:
            self._streams.tell(sections(self._facts, self._known(whole)))

    def _failed(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self.log.failure("the status page could not be brought up to date", failure=reason)

    def _ended(self, _: object) -> None:
        self._round = None

    async def _fresh(self) -> Whole:
        now = self._clock.seconds()
        if self._looked is None or now - self._looked[0] >= _FRESH_SECONDS:
            whole = await self._source.look()
            self._looked = (self._clock.seconds(), whole)
            self._history.take(self._clock.seconds(), whole.sight.totals)
        return self._looked[1]

    def _known(self, whole: Whole) -> Known:
        now = self._clock.seconds()
        latest = self._history.latest(now, whole.sight.totals)
        return Known(self._epoch(), whole, self._health, self._history.points(now), latest)
