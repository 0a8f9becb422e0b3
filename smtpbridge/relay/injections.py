"""
Injections on their way to the ledger, in company.

There is one for each recipient of each message, and a request of their own would cost more than they do.  Nobody waits
for them, so they go with the entries of the messages that come next, or alone when there are many of them, or with the
next sweep of the deadlines, a second later.  A crash loses what was gathered; the messages themselves are not
concerned.

What must not be known here: what an injection says.
"""

from collections.abc import Callable, Sequence

from twisted.logger import Logger

from smtpbridge.relay.deadlines import NEVER, Deadlines
from smtpbridge.store.ledger import Outgoing

# More would hold up the entries with which they go.
MOST = 256


class Injections:
    """Gather and hand on."""

    log = Logger()

    def __init__(self, add: Callable[[Sequence[Outgoing], Callable[[bool], None]], None], deadlines: Deadlines) -> None:
        """Write by `add`, where there is no company."""
        self.deadline = NEVER
        self._add = add
        self._deadlines = deadlines
        self._gathered: list[Outgoing] = []

    def take(self, events: Sequence[Outgoing]) -> None:
        """Write these soon."""
        if self.deadline == NEVER:
            self.deadline = self._deadlines.now()
            self._deadlines.watch(self)
        self._gathered += events
        if len(self._gathered) >= MOST:
            self.write()

    def leave(self) -> list[Outgoing]:
        """Hand over what was gathered, to whoever writes; `left` is to hear what became of it."""
        gathered, self._gathered = self._gathered, []
        return gathered

    def left(self, number: int, well: bool) -> None:
        """Hear whether so many were written."""
        if number and not well:
            self.log.error("lost injections={count}: the ledger could not keep them", count=number)

    def deadline_passed(self) -> None:
        """The sweep has come."""
        self.write()

    def write(self) -> None:
        """Write what was gathered, now."""
        gathered = self.leave()
        self.deadline = NEVER
        self._deadlines.forget(self)
        if gathered:
            self._add(gathered, lambda well: self.left(len(gathered), well))
