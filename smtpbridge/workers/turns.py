"""
Which worker gets the next connection.  Decides; passes nothing on.

The one with the fewest sessions at that listener gets it, because the bounds of a listener are
divided among the workers; where they are equal, the one with the fewest sessions in all; else
they take turns.  A count is what the worker said last, plus what it was given and had not
counted when it said so, so a crowd that comes at once is spread evenly too.
"""

from collections import Counter, deque
from collections.abc import Sequence


class _Share:
    def __init__(self) -> None:
        self.open: Counter[int] = Counter()
        self.given = 0
        # The doors of connections that the worker has not counted yet, the oldest first.
        self.unseen: deque[int] = deque()


class Turns:
    """How many sessions each worker has at each door."""

    def __init__(self) -> None:
        """Know of no worker."""
        self._shares: dict[int, _Share] = {}
        self._last = 0

    def begin(self, number: int) -> None:
        """A worker was started, or started anew: it has nothing."""
        self._shares[number] = _Share()

    def pick(self, door: int, among: Sequence[int]) -> int:
        """Return who gets a connection that came in at `door`; `among` must not be empty."""
        return min(among, key=lambda number: self._rank(door, number))

    def given(self, door: int, number: int) -> None:
        """A worker was given a connection."""
        share = self._shares[number]
        share.given += 1
        share.open[door] += 1
        share.unseen.append(door)
        self._last = number

    def told(self, number: int, seen: int, sessions: Sequence[int]) -> None:
        """A worker says how many connections it was given in its life, and how many sessions it has at each door."""
        share = self._shares[number]
        while len(share.unseen) > max(0, share.given - seen):
            share.unseen.popleft()
        share.open = Counter(dict(enumerate(sessions)))
        share.open.update(share.unseen)

    def _rank(self, door: int, number: int) -> tuple[int, int, bool, int]:
        share = self._shares[number]
        # Behind the last one served first.
        return share.open[door], share.open.total(), number <= self._last, number
