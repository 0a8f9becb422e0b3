"""
Notice that a file was changed that the configuration was read from: a certificate, a key, a password.

Theory of operation
-------------------

Every few seconds the stamps of all files are compared with those of the last reading.  That finds a file that was
written anew, one that was renamed into its place, and a symbolic link somewhere in its path that was turned (certbot,
Kubernetes); it needs nothing from the system, and costs a few calls in a thread.

Whoever renews a certificate writes several files, and may be interrupted between them.  So a change is looked at only
when nothing moved from one look to the next.  What cannot be used then is said once and left until something moves
again, or for a minute: the cause may have been one that no stamp shows, such as a permission.

What must not be known here: what is in the files.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from smtpbridge.machine import Stamp
from smtpbridge.reloading.reloads import Outcome

Stamps: TypeAlias = Mapping[str, Stamp | None]

LOOK_SECONDS = 3.0
AGAIN_SECONDS = 60.0


class FileWatch:
    """Look at the files while the process runs."""

    log = Logger()

    def __init__(
        self,
        stamps: Callable[[], "Deferred[Stamps]"],
        refresh: Callable[[], Awaitable[Outcome | None]],
        clock: IReactorTime,
        at_first: Stamps,
    ) -> None:
        """
        Compare `stamps`, and `refresh` when they are others; where that returns nothing it is done later.

        `at_first` are those of what is in force, taken when it had been read.
        """
        self._at_first = at_first
        self._stamps = stamps
        self._refresh = refresh
        self._clock = clock
        self._known: Stamps | None = None
        self._seen: Stamps | None = None
        # What could not be used, and until when nobody looks at it again.
        self._bad: Stamps | None = None
        self._again_at = 0.0
        self._call: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """Look from now on; by now the process may be a user who cannot see what root has read."""
        self._call = self._clock.callLater(0, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _look(self) -> None:
        looked = Deferred.fromCoroutine(self._compare())
        looked.addErrback(lambda reason: self.log.failure("the files could not be looked at", reason))
        looked.addBoth(self._later)

    def _later(self, _: object) -> None:
        if not self._stopped:
            self._call = self._clock.callLater(LOOK_SECONDS, self._look)

    async def _compare(self) -> None:
        now = await self._stamps()
        if self._stopped:
            return
        seen, self._seen = self._seen, now
        if self._known is None:
            # What cannot be seen any more is no change: that is how it is from the start.
            self._known = {path: None if now[path] is None else self._at_first.get(path) for path in now}
        if now == self._known:
            self._bad = None
        elif now == seen and (now != self._bad or self._clock.seconds() >= self._again_at):
            await self._take_in(now)

    async def _take_in(self, now: Stamps) -> None:
        outcome = await self._refresh()
        if outcome is None:
            return
        if outcome.well:
            self._known, self._bad = now, None
            return
        if now != self._bad:
            for fault in outcome.lines:
                self.log.warn(
                    "a file was changed and cannot be used: {fault}; what was read before stays in force", fault=fault
                )
        self._bad, self._again_at = now, self._clock.seconds() + AGAIN_SECONDS
