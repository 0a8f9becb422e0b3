"""
What runs for as long as the bridge does: turns, and sleep between them.

A turn says for how long there is nothing to do; whoever knows better wakes the loop.  A wake during a turn counts for
the sleep behind it, because the turn may have looked before there was something to see.

What must not be known here: what a turn does.
"""

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Loop:
    """One turn behind the other."""

    def __init__(self, turn: Callable[[], Awaitable[float]], clock: IReactorTime) -> None:
        """`turn` returns how many seconds there is nothing to do; what it raises ends the loop."""
        self.is_stopping = False
        self._turn = turn
        self._clock = clock
        self._woken = False
        self._running: Deferred[None] | None = None
        self._sleep: Deferred[None] | None = None

    def start(self) -> None:
        """Begin with a turn."""
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """End after the turn that is under way."""
        self.is_stopping = True
        self.wake()
        running, self._running = self._running, None
        if running is not None:
            await running

    def wake(self) -> None:
        """There may be something to do."""
        self._woken = True
        sleep, self._sleep = self._sleep, None
        if sleep is not None:
            sleep.callback(None)

    async def _run(self) -> None:
        while not self.is_stopping:
            self._woken = False
            seconds = await self._turn()
            if seconds > 0 and not self._woken and not self.is_stopping:
                await self._sleep_for(seconds)

    async def _sleep_for(self, seconds: float) -> None:
        self._sleep = Deferred()
        call: IDelayedCall = self._clock.callLater(seconds, self.wake)
        try:
            await self._sleep
        except CancelledError:
            self.is_stopping = True
        finally:
            if call.active():
                call.cancel()
