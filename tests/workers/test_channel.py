"""The line between parent and worker."""

import os
import socket
from collections.abc import Iterator

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from smtpbridge.workers.channel import MOST_DESCRIPTORS, Channel, channel_pair
from tests.workers.fakes import HandReactor


class Line:
    """Both ends of a line; this one is written to, the other one's words are kept."""

    def __init__(self) -> None:
        self.reactor = HandReactor()
        self.heard: list[tuple[bytes, int]] = []
        self.files: list[int] = []
        self.lost = 0
        near, far = channel_pair()
        self.near = Channel(near, self.reactor.fds, lambda *_: None, self._is_lost)
        self.far = Channel(far, self.reactor.fds, self._hears, lambda: None)

    def _hears(self, words: bytes, files: list[int]) -> None:
        self.heard.append((words, len(files)))
        self.files += files

    def _is_lost(self) -> None:
        self.lost += 1

    def close(self) -> None:
        self.near.close()
        self.far.close()
        for one in self.files:
            os.close(one)


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_packets_stay_apart(line: Line) -> None:
    for words in (b"one", b"two", b"x" * 50_000):
        assert line.near.send(words)
    line.reactor.read()

    assert line.heard == [(b"one", 0), (b"two", 0), (b"x" * 50_000, 0)]


def test_an_open_file_goes_along_and_is_the_same_one(line: Line) -> None:
    here, there = socket.socketpair()
    with here, there:
        assert line.near.send(b"take it", (there.fileno(),))
        there.close()
        line.reactor.read()
        with socket.socket(fileno=line.files.pop()) as arrived:
            arrived.sendall(b"hello")
            assert here.recv(10) == b"hello"
            assert not os.get_inheritable(arrived.fileno())


def test_a_packet_can_carry_as_many_files_as_it_may(line: Line) -> None:
    here, there = socket.socketpair()
    with here, there:
        assert line.near.send(b"all", [there.fileno()] * MOST_DESCRIPTORS)
    line.reactor.read()

    assert line.heard == [(b"all", MOST_DESCRIPTORS)]


def test_what_the_other_end_has_no_room_for_is_refused_at_once_and_nothing_of_it_arrives(line: Line) -> None:
    sent = 0
    while line.near.send(b"%06d" % sent):
        sent += 1
    while line.reactor.readers and len(line.heard) < sent:
        line.reactor.read()

    assert [words for words, _ in line.heard] == [b"%06d" % number for number in range(sent)]
    assert line.near.send(b"there is room again")


def test_the_end_of_the_other_one_is_told_once(line: Line) -> None:
    line.far.close()
    line.reactor.read()
    line.near.connectionLost(Failure(ConnectionLost()))

    assert line.lost == 1
    assert line.reactor.readers == set()
    assert not line.near.send(b"hello?")


def test_ones_own_end_is_not_told(line: Line) -> None:
    line.near.close()
    line.near.close()

    assert line.lost == 0
    assert line.reactor.readers == {line.far}
