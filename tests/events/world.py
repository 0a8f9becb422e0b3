"""What tests of events stand on: a clock whose threads work at once, a real ledger that waits, and messages in it."""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from smtpbridge.dialect.sent import Sent
from smtpbridge.dialect.sparkpost_event import EventType
from smtpbridge.events.ledger_access import LedgerAccess
from smtpbridge.store.ledger import Copy, Entry, Outgoing
from smtpbridge.store.ledger_sqlite import SqliteLedger

NOW = 1_750_000_000.0
TOKEN = b"0123456789abcdef"


class InlineReactor(Clock):
    """A clock that is a reactor too: what is for a thread is done at once."""

    def getThreadPool(self) -> "InlineReactor":
        return self

    def callInThreadWithCallback(
        self, told: Callable[[bool, Any], None], call: Callable[..., Any], *arguments: Any
    ) -> None:
        try:
            result = call(*arguments)
        except Exception:
            told(False, Failure())
        else:
            told(True, result)

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)

    def epoch(self) -> float:
        """Return the time of day."""
        return NOW + self.seconds()


class _Patient:
    """A writer whose futures are done when they are returned."""

    def __init__(self, writer: Any, broken: Callable[[], Exception | None]) -> None:
        self._writer = writer
        self._broken = broken

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            error = self._broken()
            if error is not None:
                raise error
            future = getattr(self._writer, name)(*arguments)
            future.exception()
            return future

        return call


class PatientLedger:
    """A ledger on SQLite for who has one thread; it fails with `broken` while that is set."""

    def __init__(self, folder: Path) -> None:
        numbers = itertools.count(1)
        self.broken: Exception | None = None
        self.inner = SqliteLedger(folder, lambda: f"batch-{next(numbers)}")
        self.writer: Any = _Patient(self.inner.writer, lambda: self.broken)

    def __getattr__(self, name: str) -> Any:
        if self.broken is not None and name != "close":
            raise self.broken
        return getattr(self.inner, name)


class World:
    """A clock and a ledger, open."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.clock = InlineReactor()
        self.folder = Path(self._folder.name)
        self.ledger = PatientLedger(self.folder)
        self.access = LedgerAccess(lambda: self.ledger, self.clock)
        done(Deferred.fromCoroutine(self.access.open()))

    def close(self) -> None:
        self.ledger.inner.close()
        self._folder.cleanup()

    def remember(self, *recipients: str, token: bytes = TOKEN) -> None:
        """Enter a message to these."""
        copies = tuple(Copy(one, f"{place}".encode()) for place, one in enumerate(recipients))
        self.ledger.enter(Entry(token, NOW, b"shared", copies))

    def wait_with(self, count: int, target: str = "crm", *, at: float | None = None, first: int = 0) -> None:
        """Let events wait for a target."""
        when = self.clock.epoch() if at is None else at
        self.ledger.add([an_event(str(first + number), (target,), when) for number in range(count)])

    def standings(self, target: str = "crm") -> dict[str, str]:
        """Return how each event stands at a target."""
        return {
            kept.id: delivery.standing.value
            for kept in self.ledger.list()
            for delivery in kept.deliveries
            if delivery.target == target
        }


def an_event(id_: str, targets: tuple[str, ...], at: float) -> Outgoing:
    """Return an event that says its id."""
    return Outgoing(id_, EventType.DELIVERY.value, b'{"id":"%s"}' % id_.encode(), at, "a@rcpt.test", "0", targets)


def sent_of(at: float, shared: bytes, own: bytes | None, recipient: str) -> Sent:
    """Return what was sent, for a ledger that `World.remember` filled."""
    assert shared == b"shared"
    message_id = "" if own is None else own.decode().zfill(20)
    return Sent(77, message_id, recipient, at, campaign="spring", subaccount="5")


def token_of(text: str) -> bytes | None:
    """Read a token as `World.remember` enters it."""
    return text.encode() if len(text) == len(TOKEN) else None


def done(deferred: "Deferred[Any]") -> Any:
    """Return what is there already."""
    found: list[Any] = []
    deferred.addCallback(found.append)
    assert found, "it is not done"
    return found[0]
