"""
When a batch is posted again, and for how long a target is left alone.  Pure: numbers in, numbers out.

Theory of operation
-------------------

A batch has so many attempts within so many hours, twelve in eight like SparkPost's.  The gaps between them grow: of n
attempts the one after k failures comes at (k / (n - 1)) cubed of the time; with SparkPost's numbers that is after 22
seconds, 3 minutes, 10, 23, 45, 78, 2 hours, 3, 4.4, 6 and 8 hours.  Each wait is then stretched by chance by up to a
tenth, so that many batches do not come back at one moment.

A target that fails is left alone for a while, whatever waits for it: after the first failure for five seconds, then
twice as long each time up to five minutes.  So a target that is down costs an attempt now and then, most events stay
unbatched meanwhile and lose no attempts, and one batch that a target does not like holds up the others for seconds.

What must not be known here: what time it is, and chance.
"""

from dataclasses import dataclass

_JITTER = 0.1
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 300.0
DOWN = 3
"""So many failures in a row mean that it is the target, and not one batch."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a batch is posted, and within how many seconds."""

    most: int = 12
    seconds: float = 8 * 3600.0

    def wait(self, made: int, chance: float) -> float | None:
        """Return how long to wait when `made` attempts have failed, None when it is given up; 0 <= `chance` < 1."""
        if made >= self.most:
            return None
        return (self._at(made) - self._at(made - 1)) * (1 + _JITTER * chance)

    def _at(self, failures: int) -> float:
        """Return how long after the first attempt the one after so many failures comes."""
        return self.seconds * (failures / (self.most - 1)) ** 3


def pause(failures: int) -> float:
    """Return how long to leave a target alone after so many failures in a row."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 10)) if failures else 0.0
