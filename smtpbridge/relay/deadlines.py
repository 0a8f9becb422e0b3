"""
Deadlines without a timer each.

Theory of operation
-------------------

A busy bridge moves its deadlines thousands of times a second and reaches
hardly any.  So a deadline is an attribute, and one sweep a second, for all of
them together, looks whose time has come: moving one costs an assignment, and
an idle process has no timer at all.  A deadline may be up to a second late;
the shortest that is configured counts in tens of seconds.
"""

from collections.abc import Callable
from math import inf
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger(__name__)

NEVER = inf
_SWEEP_SECONDS = 1.0


class Watched(Protocol):
    """Somebody with a deadline, in the clock's seconds, that it may move or set to `NEVER` as it likes."""

    deadline: float

    def deadline_passed(self) -> None:
        """Act; called at each sweep until the deadline lies in the future again or the watch ends."""


def paced(deadline: float, now: float, octets: int, *, grace: float, min_rate: float) -> float:
    """
    Return the deadline for the next octets, when so many have come before `deadline`; begin with `now + grace`.

    Each octet moves it by what it may take at `min_rate` octets a second, but never further than `grace` seconds
    from now.  So a silence lasts at most that long, and what came fast at first is no credit for a trickle later.
    """
    return min(now + grace, deadline + octets / min_rate)


class Deadlines:
    """Sweep over everybody who is watched."""

    def __init__(self, clock: IReactorTime) -> None:
        """Take the time from `clock`."""
        self._clock = clock
        # The clock's seconds, for everybody who has a deadline; asked for at each step of each message.
        self.now: Callable[[], float] = clock.seconds
        self._watched: dict[Watched, None] = {}
        self._call: IDelayedCall | None = None

    def watch(self, somebody: Watched) -> None:
        """Look at that deadline from now on."""
        self._watched[somebody] = None
        if self._call is None:
            self._call = self._clock.callLater(_SWEEP_SECONDS, self._sweep)

    def forget(self, somebody: Watched) -> None:
        """Look at it no more; nothing happens where nobody looked."""
        self._watched.pop(somebody, None)
        if not self._watched and self._call is not None:
            self._call.cancel()
            self._call = None

    def _sweep(self) -> None:
        now = self._clock.seconds()
        # The next sweep is set first: what fails below must not end the watch over the others.
        self._call = self._clock.callLater(_SWEEP_SECONDS, self._sweep)
        for somebody in [watched for watched in self._watched if watched.deadline <= now]:
            # The end of one may give another what it waited for, and with it a later deadline.
            if somebody.deadline > now:
                continue
            try:
                somebody.deadline_passed()
            except Exception:
                _log.failure("a deadline could not be acted upon")
                self.forget(somebody)
