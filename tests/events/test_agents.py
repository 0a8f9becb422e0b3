"""The way to a target through a proxy."""

from typing import Any

import trustme
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from smtpbridge.events.agents import Proxy
from smtpbridge.events.faults import Came
from smtpbridge.events.poster import Poster
from smtpbridge.events.target import Target
from smtpbridge.secret import Secret
from tests.events.hook import Hook, serve
from tests.events.tls import shown, trusting

reactor: Any = _reactor


class Carry(Protocol):
    """One end of a tunnel: what it hears the other end says."""

    other: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.other.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.other.transport.abortConnection()


class FakeProxy(Carry):
    """Answers CONNECT as told, and then carries, octet by octet at the beginning."""

    answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"
    asked: list[bytes]
    open: set["FakeProxy"]
    port = 0

    def connectionMade(self) -> None:
        self.open.add(self)
        self.head = b""

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            super().dataReceived(data)
            return
        self.head += data
        if self.head.endswith(b"\r\n\r\n"):
            self.asked.append(self.head)
            Deferred.fromCoroutine(self.carry())

    async def carry(self) -> None:
        transport: Any = self.transport
        if b" 200 " in self.answer:
            self.other = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), Carry())
            self.other.other = self
        for place in range(len(self.answer)):
            transport.write(self.answer[place : place + 1])
        if self.other is None and self.answer:
            transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.open.remove(self)
        if self.other is not None:
            super().connectionLost(reason)


class TunnelTest(TestCase):
    def setUp(self) -> None:
        self.ca = trustme.CA()
        self.hook = Hook()
        self.asked: list[bytes] = []
        self.open: set[FakeProxy] = set()
        self.clock: Any = reactor

    def poster(self, login: Secret | None = None, **proxy: Any) -> Poster:
        port = serve(self, self.hook, shown(self.ca))
        made = Factory.forProtocol(
            type("Proxies", (FakeProxy,), {"asked": self.asked, "open": self.open, "port": port, **proxy})
        )
        made.noisy = False
        listening = reactor.listenTCP(0, made, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        way = Proxy("127.0.0.1", listening.getHost().port, login)
        connections = trusting(self.ca, lambda host: way if host == "localhost" else None)
        self.addCleanup(self.settled)
        self.addCleanup(connections.close)
        return Poster(Target("crm", "https://localhost:8443/"), connections, self.clock)

    def settled(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self.until(lambda: not self.open))

    async def until(self, what: Any) -> None:
        while not what():
            await deferLater(reactor, 0.001)

    async def test_a_batch_goes_through_the_tunnel_under_the_targets_own_certificate(self) -> None:
        outcome = await self.poster().post("batch", b"[]")

        self.assertEqual((outcome.came, [got.body for got in self.hook.got]), (Came.TAKEN, [b"[]"]))
        self.assertEqual(self.asked, [b"CONNECT localhost:8443 HTTP/1.1\r\nHost: localhost:8443\r\n\r\n"])

    async def test_a_proxy_that_wants_a_login_gets_it_and_the_target_does_not(self) -> None:
        await self.poster(Secret(b"me:proxy-pass-78")).post("batch", b"[]")

        self.assertIn(b"Proxy-Authorization: Basic bWU6cHJveHktcGFzcy03OA==\r\n", self.asked[0])
        self.assertNotIn("proxy-authorization", self.hook.got[0].headers)

    async def test_a_proxy_that_refuses_is_named_with_its_words(self) -> None:
        outcome = await self.poster(answer=b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").post("batch", b"[]")

        self.assertEqual(outcome.came, Came.UNREACHABLE)
        self.assertIn("407 Proxy Authentication Required", outcome.words)
        self.assertEqual(self.hook.got, [])

    async def test_a_proxy_that_talks_nonsense_or_without_an_end_is_left(self) -> None:
        for answer in (b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 500\r\n" + b"X: y\r\n" * 4000):
            outcome = await self.poster(answer=answer).post("batch", b"[]")
            self.assertEqual(outcome.came, Came.UNREACHABLE, answer[:20])

    async def test_a_proxy_that_hangs_is_given_up_in_time(self) -> None:
        self.clock = Clock()
        posting = Deferred.fromCoroutine(self.poster(answer=b"").post("batch", b"[]"))
        await self.until(lambda: self.asked)
        self.clock.advance(10)

        self.assertEqual((await posting).came, Came.TIMEOUT)
