"""TLS behind its handshake as `direct` carries it: real sockets, and a peer that cuts its records as a test wants."""

from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smtpbridge.relay.direct import SecureLine
from smtpbridge.relay.tls import ServerTls, server_context
from smtpbridge.relay.wire import Wire, secured, wire_of
from smtpbridge.secret import Secret

reactor: Any = _reactor
# More than the kernel keeps for a peer that does not read.
_MUCH = 16 * 1024 * 1024


@implementer(IHandshakeListener, IPushProducer)
class Above(Protocol):
    """The protocol over a `SecureLine`: keeps what it hears, and answers `much` with much, as a producer."""

    wire: Wire

    def __init__(self, tls: ServerTls) -> None:
        self.ready: Deferred[None] = Deferred()
        self.heard: Deferred[bytes] = Deferred()
        self.over: Deferred[BaseException | None] = Deferred()
        self.resumed = 0
        self._tls = tls
        self._octets = b""

    def connectionMade(self) -> None:
        self.wire = wire_of(self.transport)
        self.wire.startTLS(self._tls)

    def handshakeCompleted(self) -> None:
        self.wire = secured(self.wire, self.transport, self)
        assert isinstance(self.wire, SecureLine)
        self.ready.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self._octets += data
        if data == b"much":
            self.wire.registerProducer(self, True)
            self.wire.write(bytes(_MUCH))
        if not self.heard.called and self._octets.endswith(b"\r\n"):
            self.heard.callback(self._octets)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(reason.value)

    def resumeProducing(self) -> None:
        self.resumed += 1

    def pauseProducing(self) -> None:
        """Nothing more is written anyway."""

    def stopProducing(self) -> None:
        """Likewise."""


class Peer(Protocol):
    """A client whose TLS is at hand: what it sends is made by `sealed`, and written by the test."""

    def __init__(self) -> None:
        self.finished: Deferred[bytes] = Deferred()
        # The TCP transport itself.
        self.line: Any = None
        self.came = 0
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()

    def connectionMade(self) -> None:
        self.line = self.transport
        self._shake()

    def dataReceived(self, data: bytes) -> None:
        self.came += len(data)
        if not self.finished.called:
            self._tls.bio_write(data)
            self._shake()

    def sealed(self, octets: bytes) -> bytes:
        """Return one record."""
        self._tls.send(octets)
        return self._tls.bio_read(65_536)

    def farewell(self) -> bytes:
        """Return close_notify."""
        self._tls.shutdown()
        return self._tls.bio_read(65_536)

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            self.line.write(self._tls.bio_read(65_536))
        else:
            # The last message of the handshake is for the test to send.
            self.finished.callback(self._tls.bio_read(65_536))


class Carrying(TestCase):
    """A peer and a protocol over loopback."""

    timeout = 30

    async def meet(self) -> tuple[Above, Peer, bytes]:
        """Return both, and the last message of the handshake, which the peer has still to send."""
        ca = trustme.CA()
        leaf = ca.issue_cert("localhost")
        chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        above = Above(server_context(chain, Secret(leaf.private_key_pem.bytes())))
        # There is one connection.
        factory = Factory.forProtocol(lambda: above)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        peer = Peer()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), peer)
        return above, peer, await peer.finished

    async def test_a_record_that_begins_in_one_piece_with_the_handshakes_end_is_read_wherever_it_is_cut(self) -> None:
        for cut in range(1, len(b"NOOP\r\n") + 22):
            above, peer, finished = await self.meet()
            octets = finished + peer.sealed(b"NOOP\r\n")

            peer.line.write(octets[:-cut])
            await above.ready
            peer.line.write(octets[-cut:])

            assert await above.heard == b"NOOP\r\n", cut
            peer.line.abortConnection()
            await above.over

    async def test_records_are_read_wherever_they_are_cut_and_however_many_come(self) -> None:
        above, peer, finished = await self.meet()
        peer.line.setTcpNoDelay(True)
        peer.line.write(finished)
        await above.ready

        text = b"x" * 16_384 + b"y" * 40 + b"\r\n"
        octets = b"".join([peer.sealed(text[:16_384]), *(peer.sealed(bytes([octet])) for octet in text[16_384:])])
        for at in range(0, len(octets), 7):
            peer.line.write(octets[at : at + 7])

        assert await above.heard == text
        peer.line.abortConnection()
        await above.over

    async def test_a_peer_that_says_goodbye_while_much_waits_for_it_gets_that_and_the_connection_ends(self) -> None:
        above, peer, finished = await self.meet()
        peer.line.write(finished)
        await above.ready
        peer.line.pauseProducing()
        peer.line.write(peer.sealed(b"much") + peer.farewell())
        below: Any = above.transport
        await self.until(lambda: bool(below.disconnecting))

        peer.line.resumeProducing()
        reason = await above.over

        assert isinstance(reason, ConnectionDone)
        assert above.resumed == 0, "what nobody will hear was asked for"
        await self.until(lambda: peer.came > _MUCH)

    async def until(self, true: Any) -> None:
        """Let the reactor turn until something is so; the test's own time bounds it."""
        while not true():
            turn: Deferred[None] = Deferred()
            reactor.callLater(0, turn.callback, None)
            await turn


class Leaver(Protocol):
    """Says something and leaves."""

    def __init__(self, octets: bytes) -> None:
        self.over: Deferred[BaseException | None] = Deferred()
        self._octets = octets

    def connectionMade(self) -> None:
        wire = wire_of(self.transport)
        wire.write(self._octets)
        wire.loseConnection()
        wire.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(reason.value)


class Leaving(TestCase):
    """The end of a connection in the clear."""

    timeout = 30

    async def test_all_that_was_written_arrives_before_the_end_whether_or_not_it_had_to_wait(self) -> None:
        for octets in (b"221 Bye\r\n", bytes(_MUCH)):
            leaver = Leaver(octets)
            # There is one connection.
            factory = Factory.forProtocol(lambda leaver=leaver: leaver)  # type: ignore[misc]
            port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
            self.addCleanup(port.stopListening)
            hearer = Hearer()
            await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), hearer)

            assert await hearer.over == len(octets)
            assert isinstance(await leaver.over, ConnectionDone)


class Hearer(Protocol):
    """Counts what it hears up to the end."""

    def __init__(self) -> None:
        self.over: Deferred[int] = Deferred()
        self._heard = 0

    def dataReceived(self, data: bytes) -> None:
        self._heard += len(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(self._heard)
