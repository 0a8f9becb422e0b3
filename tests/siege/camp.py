"""
Where hostile peers live: one process, one thread, as many connections as are wanted.

Theory of operation
-------------------

`Camp` is the half that a test holds; it tells the process by a pipe how many of which
kind there are to be (`besiege`), that none comes back (`tire`), and that all are to
go (`leave`).  The process drives the scripts of `scripts` over sockets that do not
block, and tells what became of them (`report`).  The peers connect from several
addresses of 127.0.0.0/8, so that no bound for an address stops them.

A peer that writes as fast as it can is served like any other: one block each time
that its socket takes one.
"""

import errno
import heapq
import multiprocessing
import os
import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from multiprocessing.connection import Connection
from typing import assert_never

from OpenSSL import SSL

from tests.siege.scripts import Hear, Kind, Pause, Say, Script

# Where the peers are at home: 127.0.0.11 to 127.0.0.29.
HOMES = r"127\.0\.0\.[12]\d\b"
# How many connect in one go: the others must not wait for a whole crowd.
_AT_ONCE = 50
_BLOCK = 65_536
# Closing with nothing left to linger for says RST instead of FIN.
_ABRUPTLY = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Report:
    """
    What became of the peers, by the name of their kind.

    So many are standing; so many connections were greeted, and cut off; so many octets were sent.
    """

    standing: Counter[str] = field(default_factory=Counter)
    greeted: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    octets: Counter[str] = field(default_factory=Counter)


class Camp:
    """The peers, from outside."""

    def __init__(self, pipe: "Connection[object, object]") -> None:
        """Talk to them by `pipe`."""
        self._pipe = pipe

    def besiege(self, port: int, crowd: Sequence[tuple[Kind, int]]) -> None:
        """Let so many of each kind connect to that port."""
        self._ask("besiege", port, tuple(crowd))

    def tire(self) -> None:
        """Let nobody come back who is cut off from now on."""
        self._ask("tire")

    def leave(self, *, abruptly: bool = False) -> None:
        """Let all go, with RST if `abruptly`."""
        self._ask("leave", abruptly)

    def report(self) -> Report:
        """Tell what became of them until now."""
        found = self._ask("report")
        assert isinstance(found, Report)
        return found

    def _ask(self, *words: object) -> object:
        self._pipe.send(words)
        return self._pipe.recv()


@contextmanager
def camp() -> Iterator[Camp]:
    """Run the process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_live, args=(there,), daemon=True)
    process.start()
    # Then the end of the process is the end of the pipe.
    there.close()
    try:
        yield Camp(here)
    finally:
        process.kill()
        process.join()


def _live(pipe: "Connection[object, object]") -> None:
    # Peers have machines of their own; here they take what the daemon leaves.
    os.nice(10)
    crowd = _Crowd()
    with selectors.DefaultSelector() as wakeful:
        wakeful.register(pipe, selectors.EVENT_READ, None)
        crowd.wakeful = wakeful
        while True:
            for key, _ in wakeful.select(crowd.until_next()):
                if isinstance(key.data, _Peer):
                    crowd.go_on(key.data)
                else:
                    pipe.send(crowd.obey(pipe.recv()))
            crowd.wake()


class _Peer:
    """One connection."""

    def __init__(self, kind: Kind, home: str) -> None:
        self.kind, self.home = kind, home
        self.socket: socket.socket | None = None
        self.script: Script | None = None
        self.step: Say | Hear | Pause = Hear(b"\n")
        self.unsent = memoryview(b"")
        self.heard = b""
        self.greeted = False


class _Crowd:
    """All of them."""

    wakeful: selectors.BaseSelector

    def __init__(self) -> None:
        self._report = Report()
        self._port = 0
        self._tired = False
        self._peers: set[_Peer] = set()
        # When who goes on; the number keeps equal times apart.
        self._alarms: list[tuple[float, int, _Peer]] = []
        self._numbers = count()
        self._homes = cycle(f"127.0.0.{number}" for number in range(11, 30))

    def obey(self, words: object) -> Report | None:
        """Do what `Camp` asks for."""
        match words:
            case ("besiege", int(port), tuple(crowd)):
                self._begin(port, crowd)
            case ("tire",):
                self._tired = True
            case ("leave", bool(abruptly)):
                self._leave(abruptly=abruptly)
            case ("report",):
                return self._report
            case _:
                raise AssertionError(words)
        return None

    def until_next(self) -> float | None:
        """Return how many seconds there are until somebody is to be woken."""
        return max(0.0, self._alarms[0][0] - time.monotonic()) if self._alarms else None

    def wake(self) -> None:
        """Go on with those whose time has come."""
        now = time.monotonic()
        for _ in range(_AT_ONCE):
            if not self._alarms or self._alarms[0][0] > now:
                return
            peer = heapq.heappop(self._alarms)[2]
            if peer in self._peers:
                self._resume(peer) if peer.socket is not None else self._connect(peer)

    def go_on(self, peer: _Peer) -> None:
        """Its socket is ready, unless `leave` has come in the same breath."""
        if peer.socket is None:
            return
        try:
            if isinstance(peer.step, Say):
                self._write(peer, peer.socket)
            if not peer.kind.deaf or isinstance(peer.step, Hear):
                self._read(peer, peer.socket)
        except OSError:
            self._cut(peer)

    def _begin(self, port: int, crowd: Sequence[tuple[Kind, int]]) -> None:
        self._report, self._port, self._tired = Report(), port, False
        for kind, number in crowd:
            for _ in range(number):
                peer = _Peer(kind, next(self._homes))
                self._peers.add(peer)
                self._alarm(peer, 0.0)

    def _leave(self, *, abruptly: bool) -> None:
        peers, self._peers = self._peers, set()
        self._alarms.clear()
        for peer in peers:
            if peer.socket is not None:
                if abruptly:
                    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPTLY)
                self._close(peer)

    def _alarm(self, peer: _Peer, seconds: float) -> None:
        heapq.heappush(self._alarms, (time.monotonic() + seconds, next(self._numbers), peer))

    def _connect(self, peer: _Peer) -> None:
        peer.socket = socket.socket()
        peer.socket.setblocking(False)
        peer.socket.bind((peer.home, 0))
        fault = peer.socket.connect_ex(("127.0.0.1", self._port))
        assert fault in (0, errno.EINPROGRESS), errno.errorcode.get(fault)
        peer.script = peer.kind.script()
        peer.heard, peer.greeted = b"", False
        self._report.standing[peer.kind.name] += 1
        self.wakeful.register(peer.socket, selectors.EVENT_READ, peer)
        self._resume(peer)

    def _resume(self, peer: _Peer, answer: bytes | None = None) -> None:
        """Take the next step of the script."""
        assert peer.script is not None
        assert peer.socket is not None
        try:
            # None begins a generator, and is what a step without an answer gives.
            peer.step = next(peer.script) if answer is None else peer.script.send(answer)
        except (StopIteration, SSL.Error):
            self._cut(peer)
            return
        wanted = selectors.EVENT_READ
        match peer.step:
            case Say(octets):
                peer.unsent = memoryview(octets)
                wanted = selectors.EVENT_WRITE if peer.kind.deaf else wanted | selectors.EVENT_WRITE
            case Hear():
                pass
            case Pause(seconds):
                self._alarm(peer, seconds)
            case _:
                assert_never(peer.step)
        if self.wakeful.get_key(peer.socket).events != wanted:
            self.wakeful.modify(peer.socket, wanted, peer)

    def _write(self, peer: _Peer, wire: socket.socket) -> None:
        try:
            sent = wire.send(peer.unsent) if peer.unsent else 0
        except BlockingIOError:
            return
        self._report.octets[peer.kind.name] += sent
        peer.unsent = peer.unsent[sent:]
        if not peer.unsent:
            self._resume(peer)

    def _read(self, peer: _Peer, wire: socket.socket) -> None:
        if peer.socket is None:
            return
        try:
            octets = wire.recv(_BLOCK)
        except BlockingIOError:
            return
        if octets and not peer.greeted:
            peer.greeted = True
            self._report.greeted[peer.kind.name] += 1
        if not octets:
            self._cut(peer)
        elif isinstance(peer.step, Hear):
            peer.heard += octets
            if peer.step.ending in peer.heard:
                heard, peer.heard = peer.heard, b""
                self._resume(peer, heard)

    def _cut(self, peer: _Peer) -> None:
        """The connection is over, by whoever's wish."""
        self._close(peer)
        self._report.cut[peer.kind.name] += 1
        if self._tired:
            self._peers.discard(peer)
        else:
            self._alarm(peer, peer.kind.again)

    def _close(self, peer: _Peer) -> None:
        if peer.socket is not None:
            self.wakeful.unregister(peer.socket)
            peer.socket.close()
            peer.socket = None
            self._report.standing[peer.kind.name] -= 1
