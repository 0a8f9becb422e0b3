"""
The store, seen from the reactor: nothing here waits for a disk.

Theory of operation
-------------------

The store's writer works in a thread of its own and answers with futures; the
keeper brings their results back into the reactor and calls back there.  A store
that cannot be opened, or fails, is a fault that is said once when it begins and
once when it ends; the keeper tries to open it again by itself, and until then
every request fails, which its callers must be able to bear.

On a full disk many requests still succeed, because they change nothing.  So a fault
is over only when something new was kept: a parcel, or the answer to nothing that the
keeper writes every few seconds to find out.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Protocol as Contract
from typing import TypeVar

from twisted.logger import Logger

from smtpbridge.relay.deadlines import NEVER, Deadlines
from smtpbridge.relay.submission import Sendable
from smtpbridge.relay.tallies import QueueTally
from smtpbridge.store.errors import StoreError
from smtpbridge.store.interface import Store, Writer
from smtpbridge.store.values import Body, Parcel

_OPEN_AGAIN_SECONDS = 5.0
# No message has this digest; what is kept under it has expired when it is written.
_PROBE = b"is the store in order?"
Result = TypeVar("Result")


class ToReactor(Contract):
    """What is used of the reactor."""

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        """Call in the reactor's thread."""


class Keeper:
    """Keep parcels, and say how the store is."""

    log = Logger()

    def __init__(
        self,
        open_store: Callable[[], Store],
        reactor: ToReactor,
        deadlines: Deadlines,
        epoch: Callable[[], float],
        tally: QueueTally | None = None,
    ) -> None:
        """Open the store with `open_store`, now and whenever it has to be opened again; `epoch` is the time of day."""
        self.fault = ""
        self.deadline = NEVER
        self.store: Store | None = None
        self.epoch = epoch
        self.tally = tally or QueueTally()
        self._open_store = open_store
        self._reactor = reactor
        self._deadlines = deadlines
        self._when_open: list[Callable[[Store], None]] = []
        self._closed = False

    def open(self) -> None:
        """Open the store; where that fails it is tried again every few seconds."""
        try:
            self.store = self._open_store()
        except StoreError as error:
            self._has_fault(error)
            return
        self._is_well()
        waiting, self._when_open = self._when_open, []
        for call in waiting:
            call(self.store)

    def when_open(self, call: Callable[[Store], None]) -> None:
        """Call with the store once it is open, perhaps now."""
        if self.store is not None:
            call(self.store)
        else:
            self._when_open.append(call)

    def deadline_passed(self) -> None:
        """Try to open the store again, or to write to it."""
        self.deadline = NEVER
        if self.store is None:
            self.open()
        else:
            self.ask(lambda writer: writer.remember(_PROBE, "", self.epoch()), lambda _: None, proves_order=True)

    def close(self) -> None:
        """Finish what was asked, and close."""
        self._closed = True
        self._deadlines.forget(self)
        store, self.store = self.store, None
        if store is not None:
            store.close()

    def put(self, parcels: Sequence[Parcel], body: Sendable, then: Callable[[bool], None]) -> None:
        """Keep parcels over one body; `then` hears whether they are durable.  The body must stay open until then."""
        blocks = Body(body.body_size, _blocks_of(body))

        def kept(_: tuple[str, ...]) -> None:
            self.tally.kept += len(parcels)
            then(True)

        self.ask(
            lambda writer: writer.put(parcels, blocks, self.epoch()),
            kept,
            lambda: then(False),
            proves_order=True,
        )

    def ask(
        self,
        question: Callable[[Writer], "Future[Result]"],
        then: Callable[[Result], None],
        otherwise: Callable[[], None] = lambda: None,
        *,
        proves_order: bool = False,
    ) -> None:
        """
        Ask the store's writer; `then` hears the result in the reactor, `otherwise` that there is none.

        `proves_order` is for what cannot succeed on a store that is out of order.
        """
        if self.store is None:
            otherwise()
            return
        try:
            future = question(self.store.writer)
        except StoreError as error:
            self._has_fault(error)
            otherwise()
            return
        future.add_done_callback(
            lambda done: self._reactor.callFromThread(self._answered, done, then, otherwise, proves_order)
        )

    def _answered(
        self,
        done: "Future[Result]",
        then: Callable[[Result], None],
        otherwise: Callable[[], None],
        proves_order: bool,
    ) -> None:
        error = done.exception()
        if error is None:
            if proves_order:
                self._is_well()
            then(done.result())
            return
        if not isinstance(error, StoreError):
            self.log.error("the store failed in a way that nobody foresaw: {error}", error=repr(error))
        self._has_fault(error)
        otherwise()

    def _has_fault(self, error: BaseException) -> None:
        if not self.fault:
            self.tally.faults += 1
            self.log.error("the store is out of order: {error}", error=str(error))
        self.fault = str(error)
        if self._closed:
            return  # what was asked before may still be answered
        self.deadline = self._deadlines.now() + _OPEN_AGAIN_SECONDS
        self._deadlines.watch(self)

    def _is_well(self) -> None:
        if self.fault:
            self.log.info("the store is in order again")
            self._deadlines.forget(self)
        self.fault = ""
        self.deadline = NEVER


def _blocks_of(body: Sendable) -> Iterator[bytes]:
    at = 0
    while at < body.body_size:
        block = body.read(at)
        if not block:
            return  # the store compares with the size that was announced
        yield block
        at += len(block)
