"""
When to try again: the back-off of one parcel, and the pace of one upstream.  Pure; time and chance are arguments.

Theory of operation
-------------------

A parcel that was refused for now waits twice as long after each attempt, up to a
limit, give or take a fifth, so parcels that failed together do not come back together.

A refusal of the provider as a whole (no connection, no login, MAIL refused for now)
says nothing about the parcel that met it.  It stops the upstream for a while
that doubles, and lets one parcel through to see whether that is over; each
success then doubles how many may be under way, so a long queue does not fall
upon a provider that has just come back.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long a parcel waits and lives, in seconds."""

    first: float = 60.0
    longest: float = 3600.0
    lifetime: float = 259_200.0

    def pause(self, attempts: int, chance: float) -> float:
        """Return the wait after that many attempts (one or more); `chance` is in [0, 1)."""
        return min(self.longest, self.first * 2.0 ** min(attempts - 1, 30)) * (0.8 + 0.4 * chance)


class Pace:
    """How many parcels one upstream may have under way."""

    def __init__(self, most: int, first_pause: float, longest_pause: float) -> None:
        """Allow `most` at once while all goes well; pauses are in seconds."""
        self.under_way = 0
        self.paused_until = 0.0
        self._most = most
        self._allowed = most
        self._failures = 0
        self._first_pause = first_pause
        self._longest_pause = longest_pause

    def room(self, now: float) -> int:
        """Return how many more may begin at `now`."""
        return 0 if now < self.paused_until else max(0, self._allowed - self.under_way)

    def went_well(self) -> None:
        """The provider dealt with a parcel, whatever it said about its recipients."""
        self._failures = 0
        self._allowed = min(self._most, self._allowed * 2)

    def went_wrong(self, now: float) -> None:
        """The provider as a whole refused; several at the same time count once."""
        if now >= self.paused_until:
            self._failures += 1
            self.paused_until = now + min(self._longest_pause, self._first_pause * 2.0 ** min(self._failures - 1, 30))
        self._allowed = 1
