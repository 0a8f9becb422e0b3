"""What a worker says to its parent, and what it does with what it is given."""

import os
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory

from smtpbridge.ops.health import Trouble, What
from smtpbridge.ops.metrics import Figure, Kind
from smtpbridge.ops.sight import Found, Sight
from smtpbridge.relay.service import RelayService
from smtpbridge.relay.tracing import Tracing
from smtpbridge.renewal import CannotRenew
from smtpbridge.sights import Process
from smtpbridge.workers import words
from smtpbridge.workers.arrivals import Entrance, Plain
from smtpbridge.workers.channel import Channel
from smtpbridge.workers.child import Child
from smtpbridge.workers.words import Nonsense
from tests.workers.fakes import HandReactor

FACTORY = cast(IProtocolFactory, Factory())


class AdoptingReactor(HandReactor):
    """Takes connections, and keeps where they went."""

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[tuple[int, object]] = []
        self.broken = False

    def adoptStreamConnection(self, descriptor: int, family: int, factory: object) -> None:
        if self.broken:
            raise OSError(107, "not connected")
        os.fstat(descriptor)
        self.adopted.append((family, factory))


class Line:
    """A channel that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[tuple[words.Kind, object]] = []
        self.closed = False

    def send(self, packet: bytes) -> bool:
        self.said.append(words.read(packet))
        return True

    def close(self) -> None:
        self.closed = True


class World:
    """A worker with two doors, and everything around it."""

    def __init__(self, process: Process | None = None) -> None:
        self.reactor, self.line = AdoptingReactor(), Line()
        self.ends = 0
        self.obeyed: list[bytes] = []
        self.troubles: list[Trouble] = []
        self.sessions: list[set[int]] = [set(), set()]
        doors = [SimpleNamespace(gate=SimpleNamespace(sessions=each)) for each in self.sessions]
        relay = cast(RelayService, SimpleNamespace(doors=doors))
        self.entrances = [Entrance(self.reactor), Entrance(self.reactor)]
        for entrance in self.entrances:
            entrance.listenTCP(0, FACTORY)
        figure = Figure("things", Kind.GAUGE, "Things.", (), lambda: [((), 5)])
        tracing = Tracing(dict, list, self.reactor, lambda: 0.0)
        self.child = Child(
            relay,
            self.entrances,
            [figure],
            self.reactor,
            look=lambda: self.troubles,
            end=self.end,
            prepare=self.prepare,
            tracing=tracing,
            process=process,
        )
        self.child.begin(cast(Channel, self.line))

    def end(self) -> None:
        self.ends += 1

    def prepare(self, written: bytes) -> Callable[[], None]:
        if written == b"bad":
            raise CannotRenew("cannot be built: it is bad\nand worse")
        return lambda: self.obeyed.append(written)

    def give(self, doors: bytes) -> list[int]:
        """Give it a connection for each; return the descriptors."""
        descriptors = []
        for _ in doors:
            here, there = socket.socketpair()
            here.close()
            descriptors.append(there.detach())
        self.child.heard(words.connections(doors), descriptors)
        return descriptors


def is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


def test_a_worker_says_that_it_is_ready_and_then_every_second_that_it_lives() -> None:
    world = World()
    assert world.line.said == [(words.Kind.READY, None), (words.Kind.COUNTS, [0, [0, 0], []])]
    world.troubles.append(Trouble(What.LOGIN, "refused", "main"))
    world.sessions[1].add(7)
    world.reactor.advance(1)

    assert world.line.said[2:] == [(words.Kind.COUNTS, [0, [0, 1], [["login", "refused", "main"]]])]


def test_connections_are_served_and_their_descriptors_closed() -> None:
    world = World()
    descriptors = world.give(b"\0\1\1")

    assert world.reactor.adopted == [(socket.AF_UNIX, FACTORY)] * 3
    for one in descriptors:
        assert is_closed(one)


def test_a_crowd_of_connections_is_told_of_once_and_soon() -> None:
    world = World()
    before = len(world.line.said)
    for _ in range(10):
        world.give(b"\0")
    assert len(world.line.said) == before
    world.reactor.advance(0.1)

    assert world.line.said[before:] == [(words.Kind.COUNTS, [10, [0, 0], []])]


def test_a_connection_that_is_gone_before_it_began_is_counted_and_closed_all_the_same() -> None:
    world = World()
    world.reactor.broken = True
    [descriptor] = world.give(b"\0")
    world.reactor.advance(0.1)

    assert world.line.said[-1] == (words.Kind.COUNTS, [1, [0, 0], []])
    assert is_closed(descriptor)


def test_figures_are_told_with_the_number_of_the_question() -> None:
    world = World()
    world.child.heard(words.packet(words.Kind.ASK, 9), [])

    assert world.line.said[-1] == (words.Kind.FIGURES, [9, [["things", "gauge", "sum", "Things.", [], [[[], 5]]]]])


def test_a_worker_ends_when_it_is_told_and_when_its_parent_is_gone() -> None:
    world = World()
    world.child.heard(words.packet(words.Kind.STOP), [])
    world.child.lost()

    assert world.ends == 2


def test_behind_its_end_a_worker_leaves_nothing_to_do() -> None:
    world = World()
    world.give(b"\0")
    world.child.leave()
    assert world.line.said[-1] == (words.Kind.LEAVING, None)
    world.child.finish()

    assert world.line.closed
    assert world.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("packet", [b"", b"?", words.packet(words.Kind.READY), words.packet(words.Kind.ASK, "x")])
def test_what_no_parent_says_is_nonsense(packet: bytes) -> None:
    with pytest.raises(Nonsense):
        World().child.heard(packet, [])


@pytest.mark.parametrize("written", ["tcp:2525:interface=127.0.0.1", "tcp6:2525", "unix:/run/smtp.socket"])
def test_an_endpoint_listens_at_the_entrance_and_binds_nothing(written: str) -> None:
    reactor = AdoptingReactor()
    entrance = Entrance(reactor)
    serverFromString(entrance, written).listen(FACTORY)
    take_one(entrance)

    assert [factory for _, factory in reactor.adopted] == [FACTORY]


def test_an_endpoint_with_tls_keeps_it() -> None:
    reactor = AdoptingReactor()
    entrance = Entrance(reactor)
    entrance.listenSSL(0, FACTORY, CertificateOptions())
    take_one(entrance)
    [(_, factory)] = reactor.adopted

    assert isinstance(factory, TLSMemoryBIOFactory)
    assert factory.wrappedFactory is FACTORY


def test_a_socket_of_systemds_is_taken_as_it_is() -> None:
    reactor = AdoptingReactor()
    entrance = Entrance(reactor)
    Plain(entrance).listen(FACTORY)
    take_one(entrance)

    assert [factory for _, factory in reactor.adopted] == [FACTORY]


def test_what_an_entrance_has_not_is_the_reactors() -> None:
    reactor = AdoptingReactor()
    reactor.advance(3)

    assert Entrance(reactor).seconds() == 3


def take_one(entrance: Entrance) -> None:
    here, there = socket.socketpair()
    here.close()
    entrance.take(there.detach())


class Shows(SimpleNamespace):
    """A process with a page, as far as a worker asks it."""

    def sight(self) -> Sight:
        return Sight(under_way=3)

    async def find(self, words: str) -> Found:
        if words == "broken":
            raise ValueError(words)
        return Found(faults=(words,))


def with_a_page() -> World:
    return World(cast(Process, Shows()))


def test_what_the_page_shows_and_what_a_search_found_are_told_with_the_question() -> None:
    world = with_a_page()
    world.child.heard(words.packet(words.Kind.LOOK, [4, None]), [])
    world.child.heard(words.packet(words.Kind.LOOK, [5, "ada"]), [])

    (one, look), (other, found) = world.line.said[-2:]
    assert one == other == words.Kind.SHOWN
    assert isinstance(look, list)
    assert (look[:2], look[2]["under_way"]) == ([4, None], 3)
    assert isinstance(found, list)
    assert (found[:2], found[2]["faults"]) == ([5, "ada"], ["ada"])


def test_a_search_that_fails_is_logged_and_the_worker_lives_on() -> None:
    world = with_a_page()
    said = len(world.line.said)
    with capturedLogs() as log:
        world.child.heard(words.packet(words.Kind.LOOK, [5, "broken"]), [])

    assert [event["log_format"] for event in log] == ["a search failed"]
    assert len(world.line.said) == said


def test_without_a_page_nobody_asks_for_it() -> None:
    with pytest.raises(Nonsense):
        World().child.heard(words.packet(words.Kind.LOOK, [4, None]), [])
