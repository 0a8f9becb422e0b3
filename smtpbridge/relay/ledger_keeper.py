"""
The ledger of messages, seen from the reactor: nothing here waits for a disk.

Theory of operation
-------------------

The ledger's writer works in a thread of its own and answers with a future, whose result is brought back into the
reactor.  A commit costs as much as ten entries, so entries go in groups: what comes while one group is being written
is the next, and where messages come together at all, groups begin at least `_APART` seconds from each other.  A message
that comes alone, or a sender that waits for each answer, never waits for company.  Injections, for which nobody waits,
go with the groups (`injections`).

A ledger that cannot be opened, or fails, is a fault that is said once when it begins and once when it ends.  It is
tried again by itself every few seconds, opened or written to: whoever reads our readiness sends no mail meanwhile, and
without mail nothing else would write.  Until then requests fail, which callers must be able to bear.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol as Contract

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from smtpbridge.relay.deadlines import NEVER, Deadlines
from smtpbridge.relay.injections import Injections
from smtpbridge.store.errors import StoreError
from smtpbridge.store.ledger import Entry, Found, Ledger, LedgerWriter, Outgoing

_OPEN_AGAIN_SECONDS = 5.0
# Nearer, a busy reactor makes many small commits; further, it runs dry between them, while twenty senders wait.
_APART = 0.006
# A fault fails a whole group, and a long transaction holds up other processes.
_MOST = 256

# Hears whether it is durable.
Then = Callable[[bool], None]


class Threads(Contract):
    """What is used of the reactor."""

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        """Call in the reactor's thread."""

    def callInThread(self, call: Callable[..., object], *arguments: object) -> None:
        """Call in a thread of the pool."""

    def callLater(self, delay: float, call: Callable[..., object]) -> IDelayedCall:
        """Call in so many seconds."""

    def seconds(self) -> float:
        """Return the clock's seconds."""


class LedgerKeeper:
    """Write entries and events, look entries up, and say how the ledger is."""

    log = Logger()

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        reactor: Threads,
        deadlines: Deadlines,
        probe: Callable[[], Entry],
    ) -> None:
        """
        Open the ledger with `open_ledger`, when `open` is called and whenever it has to be opened again.

        `probe` gives an entry under which nobody will ever look, to see whether the ledger can be written again.
        """
        self.fault = ""
        self.deadline = NEVER
        self.ledger: Ledger | None = None
        self._open_ledger = open_ledger
        self._probe = probe
        self._reactor = reactor
        self._deadlines = deadlines
        self._closed = False
        self.injections = Injections(self.add, deadlines)
        self._gathered: list[tuple[Entry, Then]] = []
        # Of the last group: when it went, how many were in it, and whether it is still being written.
        self._went_at = 0.0
        self._went = 0
        self._writing = False
        self._next: IDelayedCall | None = None

    def open(self) -> None:
        """Open the ledger; where that fails it is tried again every few seconds."""
        try:
            self.ledger = self._open_ledger()
        except StoreError as error:
            self._has_fault(error)
            return
        self._is_well()

    def deadline_passed(self) -> None:
        """Try to open the ledger again, or to write to it."""
        self.deadline = NEVER
        if self.ledger is None:
            self.open()
        else:
            self.enter(self._probe(), lambda _: None)

    def close(self) -> None:
        """Finish what was asked, and close."""
        self._closed = True
        self._deadlines.forget(self)
        if self._next is not None:
            self._next.cancel()
        if self._gathered:
            self._write()
        self.injections.write()
        ledger, self.ledger = self.ledger, None
        if ledger is not None:
            ledger.close()

    def enter(self, entry: Entry, then: Then) -> None:
        """Write an entry down."""
        self._gathered.append((entry, then))
        if not self._writing and self._next is None:
            self._write_soon()

    def _write_soon(self) -> None:
        """Write what was gathered: at once where messages come one by one, else not too soon after the last group."""
        wait = self._went_at + _APART - self._reactor.seconds()
        one_by_one = self._went <= 1 and len(self._gathered) == 1
        if one_by_one or wait <= 0:
            self._write()
        else:
            self._next = self._reactor.callLater(wait, self._write)

    def _write(self) -> None:
        self._next = None
        group, self._gathered = self._gathered[:_MOST], self._gathered[_MOST:]
        entries, self._went, self._went_at = [entry for entry, _ in group], len(group), self._reactor.seconds()
        self._writing = True
        injections = self.injections.leave()

        def written(well: bool) -> None:
            self._writing = False
            if self._gathered and self._next is None:
                self._write_soon()
            for _, then in group:
                self._tell(then, well)
            self.injections.left(len(injections), well)

        self._ask(lambda writer: writer.enter_all(entries, injections), written)

    def _tell(self, then: Then, well: bool) -> None:
        try:
            then(well)
        except Exception:
            self.log.failure("an answer of the ledger could not be acted upon")

    def add(self, events: Sequence[Outgoing], then: Then) -> None:
        """Add events."""
        self._ask(lambda writer: writer.add(events), then)

    def find(self, token: bytes, recipients: Sequence[str], then: Callable[[dict[str, Found] | None], None]) -> None:
        """Look recipients up, in lower case; `then` hears what was found by recipient, `None` where nobody can look."""
        ledger = self.ledger
        if ledger is None:
            then(None)
        else:
            self._reactor.callInThread(self._find, ledger, token, recipients, then)

    def _find(
        self,
        ledger: Ledger,
        token: bytes,
        recipients: Sequence[str],
        then: Callable[[dict[str, Found] | None], None],
    ) -> None:
        found: dict[str, Found] | None = {}
        try:
            found = {one: entry for one in recipients if (entry := ledger.find(token, one)) is not None}
        except StoreError as error:
            found = None
            self._reactor.callFromThread(self._has_fault, error)
        self._reactor.callFromThread(then, found)

    def _ask(self, question: Callable[[LedgerWriter], "Future[None]"], then: Then) -> None:
        if self.ledger is None:
            then(False)
            return
        try:
            future = question(self.ledger.writer)
        except StoreError as error:
            self._has_fault(error)
            then(False)
            return
        # Called in a thread of the ledger.
        future.add_done_callback(lambda done: self._reactor.callFromThread(self._answered, done, then))

    def _answered(self, done: "Future[None]", then: Then) -> None:
        error = done.exception()
        if error is None:
            self._is_well()
        else:
            self._has_fault(error)
        self._tell(then, error is None)

    def _has_fault(self, error: BaseException) -> None:
        if not self.fault:
            self.log.error(
                "the ledger of events is out of order, so mail is answered 451: {error}",
                error=str(error) or repr(error),
            )
        self.fault = str(error) or repr(error)
        if not self._closed:
            self.deadline = self._deadlines.now() + _OPEN_AGAIN_SECONDS
            self._deadlines.watch(self)

    def _is_well(self) -> None:
        if self.fault:
            self.log.info("the ledger of events is in order again")
            self._deadlines.forget(self)
        self.fault = ""
        self.deadline = NEVER
