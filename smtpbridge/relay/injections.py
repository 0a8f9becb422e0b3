"""
Injections on their way to the ledger, many at a time.

There is one for each recipient of each message, and each request to the ledger costs as much as the event in it.  So
they gather here until there are enough of them, or until the next sweep of the deadlines, a second later.  A crash
loses what was gathered; the messages themselves are not concerned.

What must not be known here: what an injection says.
"""

from collections.abc import Sequence

from twisted.logger import Logger

from smtpbridge.relay.deadlines import NEVER, Deadlines
from smtpbridge.relay.ledger_keeper import LedgerKeeper
from smtpbridge.store.ledger import Outgoing

# A request of so many costs a tenth of what as many requests cost; a larger one would hold up entries behind it.
MOST = 64


class Injections:
    """Gather and write."""

    log = Logger()

    def __init__(self, keeper: LedgerKeeper, deadlines: Deadlines) -> None:
        """Write by `keeper`."""
        self.deadline = NEVER
        self._keeper = keeper
        self._deadlines = deadlines
        self._gathered: list[Outgoing] = []

    def take(self, events: Sequence[Outgoing]) -> None:
        """Write these soon."""
        if not self._gathered:
            self.deadline = self._deadlines.now()
            self._deadlines.watch(self)
        self._gathered += events
        if len(self._gathered) >= MOST:
            self.write()

    def deadline_passed(self) -> None:
        """The sweep has come."""
        self.write()

    def write(self) -> None:
        """Write what was gathered, now."""
        gathered, self._gathered = self._gathered, []
        self.deadline = NEVER
        self._deadlines.forget(self)
        if not gathered:
            return

        def told(well: bool) -> None:
            if not well:
                self.log.error("lost injections={count}: the ledger could not keep them", count=len(gathered))

        self._keeper.add(gathered, told)
