"""
How often something took how long: a list of counters, one for each span of values.

To add a value is a search in a short tuple and two additions.  The bounds are for mail: a provider
answers in tens of milliseconds, a sender waits for minutes, a queue for days.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

# Half a minute is where senders begin to lose patience, five minutes is the time of a command and ten that of the final
# dot (RFC 5321, 4.5.3.2); what is above has met a deadline.
MAIL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
# From a retry at once to the five days after which RFC 5321, 4.5.4.1 lets a server give up.
QUEUE_SECONDS = (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0, 172800.0, 432000.0)


class Histogram:
    """The values that were added, by span; `counts` has one entry more than `bounds`, for what is above them all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = MAIL_SECONDS) -> None:
        """Begin with nothing; `bounds` ascend, and each belongs to the span below it."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def up_to(self) -> Iterator[tuple[float, int]]:
        """Yield for each bound, and last for infinity, how many values are not above it."""
        return zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True)
