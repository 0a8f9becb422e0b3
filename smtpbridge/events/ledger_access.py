"""
The ledger, seen from the reactor: nothing here waits for a disk.

Theory of operation
-------------------

What changes the ledger goes to its writer, which answers with futures; what only looks is done in a thread.  Both come
back as results in the reactor, and fail with `StoreError`, which the callers must be able to bear: they keep what they
have and ask again.

Many futures are done by one commit, at once.  Their results are collected and brought over together, because waking
the reactor for each would cost more than the rest of it.

A ledger that cannot be opened is tried again every few seconds.  That it fails is said once, and once that it is well.

What must not be known here: what is kept, and why.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpbridge.store.errors import StoreClosed, StoreError
from smtpbridge.store.ledger import Ledger, LedgerWriter

AGAIN_SECONDS = 5.0
"""How long to leave a ledger alone that has failed."""
Result = TypeVar("Result")


class LedgerAccess:
    """One ledger, for everything in the reactor that has to do with events."""

    log = Logger()

    def __init__(self, open_ledger: Callable[[], Ledger], reactor: Any) -> None:
        """Open nothing yet."""
        self.fault = "it is not open yet"
        self._open_ledger = open_ledger
        self._reactor = reactor
        self._ledger: Ledger | None = None
        self._closed = False
        self._said = False
        self._done: deque[tuple[Future[Any], Deferred[Any], bool]] = deque()
        self._called = False

    async def open(self) -> None:
        """Open the ledger; return when it is open, however long that takes."""
        while self._ledger is None:
            try:
                self._ledger = await self._in_thread(self._open_ledger)
            except StoreError as error:
                self.has_failed(error)
                await deferLater(self._reactor, AGAIN_SECONDS)
        self.is_well()

    async def close(self) -> None:
        """Finish what was asked, and close."""
        self._closed = True
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            await self._in_thread(ledger.close)

    def read(self, look: Callable[[Ledger], Result]) -> "Deferred[Result]":
        """Return what `look` finds; it is called in a thread."""
        ledger = self._ledger
        if ledger is None:
            return _failed(StoreClosed("the ledger is not open"))
        return self._in_thread(lambda: look(ledger))

    def write(
        self, change: Callable[[LedgerWriter], "Future[Result]"], *, proves_order: bool = True
    ) -> "Deferred[Result]":
        """
        Ask the writer for a change; the result is there when it is durable.

        A change that may turn out to be none does not prove that the ledger is in order: a full disk takes that.
        """
        if self._ledger is None:
            return _failed(StoreClosed("the ledger is not open"))
        try:
            future = change(self._ledger.writer)
        except StoreError as error:
            return _failed(error)
        # Called off or not, the change is made; who called it off does not hear of it.
        deferred: Deferred[Result] = Deferred()
        future.add_done_callback(lambda done: self._collect(done, deferred, proves_order))
        return deferred

    def has_failed(self, error: BaseException) -> None:
        """Hear from a caller that the ledger failed it."""
        self.fault = str(error)
        if not self._said and not self._closed:
            self._said = True
            self.log.error(
                "the ledger of events is out of order: {error}; notifications are turned away with 503, Infobip "
                "repeats them; see [store] path and the disk",
                error=self.fault,
            )

    def is_well(self) -> None:
        """Note that the ledger was opened, or kept something."""
        if self._said:
            self.log.info("the ledger of events is in order again")
        self._said = False
        self.fault = ""

    def _in_thread(self, call: Callable[[], Result]) -> "Deferred[Result]":
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)

    def _collect(self, done: "Future[Any]", deferred: "Deferred[Any]", proves_order: bool) -> None:
        """Hear of a result, in a thread of the ledger."""
        self._done.append((done, deferred, proves_order))
        if not self._called:
            self._called = True
            self._reactor.callFromThread(self._tell)

    def _tell(self) -> None:
        # What is collected from here on calls anew, at worst once too often.
        self._called = False
        while self._done:
            done, deferred, proves_order = self._done.popleft()
            if self._said and proves_order and done.exception() is None:
                self.is_well()
            if not deferred.called:
                _settle(done, deferred)


def _settle(done: "Future[Any]", deferred: "Deferred[Any]") -> None:
    try:
        result = done.result()
    except CancelledError as error:
        deferred.errback(Failure(StoreClosed(f"the ledger did not come to it: {error}")))
    except Exception:
        deferred.errback(Failure())
    else:
        deferred.callback(result)


def _failed(error: StoreError) -> "Deferred[Any]":
    deferred: Deferred[Any] = Deferred()
    deferred.errback(Failure(error))
    return deferred
