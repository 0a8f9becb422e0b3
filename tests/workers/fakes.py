"""A reactor that turns by hand, a listener on loopback, and workers that are no processes."""

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorFDSet,
    IReadDescriptor,
    IStreamServerEndpoint,
)
from twisted.internet.task import Clock
from zope.interface import implementer

from smtpbridge.workers import words
from smtpbridge.workers.words import Kind


class HandReactor(Clock):
    """Time, readers, and what is called when it runs; nothing happens by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[IReadDescriptor] = set()
        self.starting: list[Callable[[], None]] = []

    @property
    def fds(self) -> IReactorFDSet:
        """This, for who wants nothing but to read."""
        return cast(IReactorFDSet, self)

    def addReader(self, reader: IReadDescriptor) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self.readers.discard(reader)

    def callWhenRunning(self, call: Callable[[], None]) -> None:
        self.starting.append(call)

    def run(self) -> None:
        for call in self.starting:
            call()

    def read(self) -> None:
        """Let everybody read who wants to."""
        for reader in list(self.readers):
            reader.doRead()


@implementer(IListeningPort)
class LoopbackPort:
    """A port as Twisted's own, as far as it is asked here."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.reading = True

    def fileno(self) -> int:
        return self.socket.fileno()

    def stopReading(self) -> None:
        self.reading = False

    def startListening(self) -> None:
        raise AssertionError("nobody asks for it")

    def stopListening(self) -> "Deferred[None]":
        self.socket.close()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", *self.socket.getsockname())

    def connect(self) -> socket.socket:
        return socket.create_connection(self.socket.getsockname(), 10)


@implementer(IStreamServerEndpoint)
class LoopbackEndpoint:
    """An endpoint that listens on loopback."""

    def __init__(self, port: IListeningPort | None = None) -> None:
        self.port = port or LoopbackPort()

    def listen(self, factory: IProtocolFactory) -> "Deferred[IListeningPort]":
        return succeed(self.port)


class FakeWorker:
    """What the parent has of a worker; `said` are the packets that it got, `has` the connections."""

    def __init__(self, number: int, reactor: object, **given: Any) -> None:
        self.number = number
        self.pid = 4000 + number
        self.given = given
        self.full = False
        self.killed = False
        self.said: list[tuple[Kind, object]] = []
        self.has: list[socket.socket] = []

    def send(self, packet: bytes, descriptors: Sequence[int] = ()) -> bool:
        if self.full:
            return False
        self.said.append(words.read(packet))
        self.has += [socket.socket(fileno=os.dup(one)) for one in descriptors]
        return True

    def kill(self) -> None:
        self.killed = True

    # What a test makes it do

    def say(self, kind: Kind, content: object = None) -> None:
        self.given["heard"](self.number, words.packet(kind, content))

    def end(self, why: str = "killed by signal 9") -> None:
        self.given["ended"](self.number, why)

    def close(self) -> None:
        for connection in self.has:
            connection.close()
