"""The shortened way from a socket to its transport, on a reactor of the test's own."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python import context, log
from twisted.python.failure import Failure

from smtpbridge.relay.polling import shorten

MADE: list["Reader"] = []


class Reader:
    """What a reactor reads: does what it is told, and notes why it ends."""

    def __init__(self, reactor: Any, read: Callable[[bytes], object] | None = None) -> None:
        MADE.append(self)
        self.socket, self.peer = socket.socketpair()
        self.socket.setblocking(False)
        self.octets: list[bytes] = []
        self.ended: BaseException | None = None
        self.reactor = reactor
        self._read = read or (lambda _: None)
        reactor.addReader(self)

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return "reader"

    def doRead(self) -> object:
        self.octets.append(self.socket.recv(100))
        return self._read(self.octets[-1])

    def connectionLost(self, reason: Failure) -> None:
        self.ended = reason.value


@pytest.fixture
def reactor() -> Iterator[Any]:
    one: Any = EPollReactor()
    assert shorten(one)
    yield one
    for reader in MADE:
        reader.socket.close()
        reader.peer.close()
    MADE.clear()
    for waker in one._internalReaders:
        waker.connectionLost(Failure(ConnectionDone()))
    one._poller.close()


def test_what_comes_is_read_and_no_context_is_made(reactor: Any) -> None:
    contexts: list[object] = []
    reader = Reader(reactor, lambda _: contexts.append(context.get(log.ILogContext)["system"]))
    reader.peer.send(b"one")
    reactor.doIteration(0)
    reader.peer.send(b"two")
    reactor.doIteration(0)
    reactor.doIteration(0)

    assert reader.octets == [b"one", b"two"]
    assert contexts == ["-", "-"]


def test_an_end_that_a_read_tells_of_ends_the_connection(reactor: Any) -> None:
    reader = Reader(reactor, lambda octets: None if octets else ConnectionDone())
    reader.peer.send(b"one")
    reader.peer.shutdown(socket.SHUT_WR)
    for _ in range(3):
        reactor.doIteration(0)

    assert reader.octets[0] == b"one"
    assert isinstance(reader.ended, ConnectionDone)
    assert reader not in reactor.getReaders()


def test_an_exception_is_logged_and_ends_only_its_own_connection(reactor: Any) -> None:
    failures: list[Any] = []
    log.addObserver(failures.append)

    def fail(_: bytes) -> None:
        raise LookupError("of the test")

    bad, good = Reader(reactor, fail), Reader(reactor)
    bad.peer.send(b"x")
    good.peer.send(b"y")
    reactor.doIteration(0)
    log.removeObserver(failures.append)

    assert isinstance(bad.ended, LookupError)
    assert [one["failure"].type for one in failures if one.get("isError")] == [LookupError]
    assert good.octets == [b"y"]
    assert good.ended is None


def test_who_was_taken_away_in_the_same_round_is_not_read(reactor: Any) -> None:
    readers: list[Reader] = []

    def take_the_other_away(_: bytes) -> None:
        for one in readers:
            if not one.octets:
                reactor.removeReader(one)

    readers += [Reader(reactor, take_the_other_away) for _ in range(2)]
    for one in readers:
        one.peer.send(b"x")
    reactor.doIteration(0)
    reactor.doIteration(0)

    assert sorted(len(one.octets) for one in readers) == [0, 1]


def test_room_to_write_and_a_hang_up_go_twisteds_own_way(reactor: Any) -> None:
    reader = Reader(reactor, lambda octets: None if octets else ConnectionDone())
    wrote: list[int] = []
    reader.doWrite = lambda: wrote.append(1)  # type: ignore[attr-defined]
    reactor.addWriter(reader)
    reactor.doIteration(0)
    reactor.removeWriter(reader)
    reader.peer.close()
    reactor.doIteration(0)

    assert wrote == [1]
    assert isinstance(reader.ended, ConnectionDone)


def test_a_timer_is_waited_for_no_longer_than_asked(reactor: Any) -> None:
    reactor.doIteration(0.01)
    reader = Reader(reactor)
    reader.peer.send(b"x")
    reactor.doIteration(None)

    assert reader.octets == [b"x"]


def test_other_reactors_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not shorten(Clock())

    monkeypatch.delattr(EPollReactor, "_POLL_IN")
    other = EPollReactor()
    assert not shorten(other)
    assert "doIteration" not in vars(other)
    other._poller.close()
    for waker in other._internalReaders:
        waker.connectionLost(Failure(ConnectionDone()))
