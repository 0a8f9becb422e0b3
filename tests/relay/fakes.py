"""What surrounds the relay's parts in their tests: transports, endpoints and partners that only remember."""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLContextFactory,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smtpbridge.relay.content import Content
from smtpbridge.relay.spool import Spool
from smtpbridge.relay.tally import Limit
from smtpbridge.relay.upstream import UpstreamConnection
from smtpbridge.smtp.client import Concluded
from smtpbridge.smtp.data import Defects
from smtpbridge.smtp.replies import Reply

CLIENT_TLS = cast(IOpenSSLClientConnectionCreator, object())
SERVER_TLS = cast(IOpenSSLContextFactory, object())
Tell: TypeAlias = Callable[[Reply], None]
CAPABILITIES = ("8BITMIME", "SIZE 20971520", "PIPELINING", "AUTH LOGIN PLAIN")


class Line(StringTransport):
    """A transport that is full after `room` octets, and can be put under TLS without TLS."""

    def __init__(self, room: int = 1_000_000_000) -> None:
        super().__init__()
        self.room = room
        self.protocol: IProtocol | None = None
        self.tls: list[object] = []
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        self.writes.append(data)
        if self.producer is not None and len(self.value()) > self.room:
            self.producer.pauseProducing()

    def startTLS(self, context: object) -> None:
        self.tls.append(context)

    def getHandle(self) -> object:
        return None

    def take(self) -> bytes:
        """Return what was written since the last time."""
        octets: bytes = self.value()
        self.clear()
        self.writes.clear()
        return octets


def cut(protocol: IProtocol, why: Failure = connectionDone) -> None:
    """The connection is gone."""
    protocol.connectionLost(why)


@implementer(IStreamClientEndpoint)
class Place:
    """A host that can be dialled: each dial waits for `accept` or `refuse`."""

    def __init__(self) -> None:
        self.dials: list[tuple[IProtocolFactory, Deferred[Any]]] = []
        self.cancelled = 0

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[Any]":
        def cancel(_: object) -> None:
            self.cancelled += 1

        dialled: Deferred[Any] = Deferred(cancel)
        self.dials.append((protocolFactory, dialled))
        return dialled

    def accept(self) -> tuple[UpstreamConnection, Line]:
        """Let the oldest dial through."""
        factory, dialled = self.dials.pop(0)
        connection = factory.buildProtocol(cast(Any, None))
        assert isinstance(connection, UpstreamConnection)
        line = Line()
        connection.makeConnection(line)
        dialled.callback(connection)
        return connection, line

    def refuse(self, why: Exception) -> None:
        """Let the oldest dial fail."""
        _, dialled = self.dials.pop(0)
        dialled.errback(why)


def ehlo(*keywords: str) -> bytes:
    """Return an answer to EHLO."""
    lines = ["mx.example.com", *keywords]
    return "".join(f"250{'-' if line is not lines[-1] else ' '}{line}\r\n" for line in lines).encode()


def make_ready(connection: UpstreamConnection, line: Line, *keywords: str) -> None:
    """Lead a connection to READY: STARTTLS first, then AUTH where it logs in."""
    connection.dataReceived(b"220 mx.example.com ESMTP\r\n")
    connection.dataReceived(ehlo("STARTTLS"))
    connection.dataReceived(b"220 go\r\n")
    connection.handshakeCompleted()
    line.clear()
    connection.dataReceived(ehlo(*(keywords or CAPABILITIES)))
    if b"AUTH" in line.value():
        connection.dataReceived(b"235 welcome\r\n")
    line.take()


class Owner:
    """Who opened a connection; remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.why = ""
        self.answer: Reply | None = None
        self.limits: list[Limit] = []

    def ready(self, connection: UpstreamConnection) -> None:
        self.told.append("ready")

    def gone(self, connection: UpstreamConnection, why: str, answer: Reply | None) -> None:
        self.told.append("gone")
        self.why, self.answer = why, answer

    def reached(self, limit: Limit) -> None:
        self.limits.append(limit)

    def closed(self, connection: UpstreamConnection) -> None:
        self.told.append("closed")


class Asker:
    """Somebody who waits for a connection."""

    def __init__(self) -> None:
        self.connections: list[UpstreamConnection] = []
        self.answers: list[Reply] = []
        self.ends: list[Concluded] = []

    def granted(self, connection: UpstreamConnection) -> None:
        self.connections.append(connection)

    def refused(self, answer: Reply) -> None:
        self.answers.append(answer)


def content(body: bytes, header: bytes = b"Subject: one\r\n", threshold: int = 1 << 30) -> Content:
    """Return a message as the spool keeps it."""
    spool = Spool(threshold)
    spool.write(header + b"\r\n")
    spool.write(body)
    return spool.seal(Defects(), 1 << 20)


def log_lines(test: TestCase) -> list[str]:
    """Collect what is logged while the test runs, as text."""
    lines: list[str] = []

    @implementer(ILogObserver)
    class Observer:
        def __call__(self, event: LogEvent) -> None:
            lines.append(formatEvent(event))

    observer = Observer()
    globalLogPublisher.addObserver(observer)
    test.addCleanup(globalLogPublisher.removeObserver, observer)
    return lines
