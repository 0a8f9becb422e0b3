"""
The way between a protocol and its socket, without what a relay does not need of Twisted's.

Theory of operation
-------------------

Twisted hands every write to the reactor: the socket is entered as one to be written,
the reactor comes round, writes, and takes the entry out again.  Nearly always the
socket could have taken the octets at once.  `send` tries that first, and leaves to the
reactor only what the socket does not take.

Twisted's TLS is general: it gathers small writes with a timer, goes through several
objects for each, and asks OpenSSL once more than there is an answer for.  A relay
writes whole batches.  So Twisted shakes hands, with its own client options, which
verify chain and name; and when that is done a `SecureLine` takes the same OpenSSL
connection and the same socket over: two calls of OpenSSL for each piece that is read or
written.

What a transport promises stays: order, back-pressure by a streaming producer, a close
that says so in TLS first (close_notify), an abort that does not, and one
`connectionLost`.  A transport that is not Twisted's own over TCP (a test's in memory, a
kind of endpoint from elsewhere) is used as it is.
"""

from typing import cast

from OpenSSL.SSL import Connection, Error, SysCallError, WantReadError, ZeroReturnError
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLContextFactory,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection as TcpConnection
from twisted.python.failure import Failure

from smtpbridge.relay.records import RECORD, Sealed, records_of

# Every so many blocks of a stream one is left to the reactor, which listens to the peer in between: it may want to end
# the stream, and others want their turn.
_IN_A_ROW = 4
_BLOCK = 32_768


def send(tcp: TcpConnection, octets: bytes | Sealed) -> None:
    """Write to the socket now, and leave to the reactor what it does not take."""
    # Whatever waits goes first.
    if not tcp._tempDataBuffer and not tcp.dataBuffer and tcp.connected and not tcp._writeDisconnected:
        try:
            sent = tcp.socket.send(octets)
        except OSError:
            # Full, or gone: the reactor finds out which, and tells.
            sent = 0
        if sent == len(octets):
            return
        octets = octets[sent:]
    FileDescriptor.write(tcp, octets if isinstance(octets, bytes) else octets[:])


def lose(tcp: TcpConnection) -> None:
    """Close when all is written: in the next turn of the reactor where nothing waits, without asking for room first."""
    if tcp.producer is not None or tcp._tempDataBuffer or tcp.dataBuffer or not tcp.connected or tcp.disconnecting:
        FileDescriptor.loseConnection(tcp)
        return
    tcp.stopReading()
    tcp.disconnecting = True
    # Not now: the transport may be in the middle of handing on what was read.
    cast(IReactorTime, tcp.reactor).callLater(0, _lost, tcp)


def _lost(tcp: TcpConnection) -> None:
    if tcp.connected:
        tcp.connectionLost(Failure(ConnectionDone()))


class PlainLine:
    """A TCP transport whose writes go out at once; all else is the transport's."""

    __slots__ = ("_tcp", "abortConnection", "pauseProducing", "resumeProducing")

    def __init__(self, tcp: TcpConnection) -> None:
        self._tcp = tcp
        self.abortConnection = tcp.abortConnection
        self.pauseProducing = tcp.pauseProducing
        self.resumeProducing = tcp.resumeProducing

    def write(self, data: bytes) -> None:
        """Send."""
        if self._tcp.TLS:
            self._tcp.write(data)
        else:
            send(self._tcp, data)

    def loseConnection(self) -> None:
        """Close when all is written."""
        if self._tcp.TLS:
            self._tcp.loseConnection()
        else:
            lose(self._tcp)

    def startTLS(self, context: IOpenSSLContextFactory | IOpenSSLClientConnectionCreator) -> None:
        """Begin the handshake."""
        self._tcp.startTLS(context)

    def getHandle(self) -> object:
        """Return OpenSSL's connection once TLS has begun."""
        return self._tcp.getHandle()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Say when to pause and resume."""
        self._tcp.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Say so no more."""
        self._tcp.unregisterProducer()


class SecureLine(Protocol):
    """TLS behind its handshake: the protocol of a TCP transport, and the transport of `above`."""

    def __init__(self, tcp: TcpConnection, tls: Connection, above: Protocol) -> None:
        """Take both over; call this when the handshake is complete and nothing has been written since."""
        self._tcp = tcp
        self._tls = tls
        self._records = records_of(tls)
        self._above = above
        # Twisted's own layer; what it was called with at the end of the handshake it still hands on itself.
        self._before = tcp.protocol
        self._reason: Failure | None = None
        self._streamed = 0
        self._closing = self._aborted = self._ended = False
        self.pauseProducing = tcp.pauseProducing
        self.resumeProducing = tcp.resumeProducing
        self.transport = tcp
        self.connected = 1
        tcp.protocol = self

    # What the protocol above calls

    def write(self, data: bytes) -> None:
        """Encrypt and send; nothing is sent behind `loseConnection`."""
        if self._closing or self._ended or not data:
            return
        try:
            octets = self._records.seal(data)
            if len(octets) >= _BLOCK and self._tcp.producer is not None:
                self._streamed += 1
                if self._streamed % _IN_A_ROW == 0:
                    FileDescriptor.write(self._tcp, octets[:])
                    return
            send(self._tcp, octets)
        except Error:
            self._end(Failure())

    def loseConnection(self) -> None:
        """Say that nothing more comes; the connection ends when the peer has said so too."""
        if not self._closing and not self._ended:
            self._closing = True
            self._shut()

    def abortConnection(self) -> None:
        """End now."""
        self._aborted = self._closing = True
        self._tcp.abortConnection()

    def startTLS(self, context: IOpenSSLContextFactory | IOpenSSLClientConnectionCreator) -> None:
        """There is TLS already."""
        raise AssertionError("TLS within TLS")

    def getHandle(self) -> object:
        """Return OpenSSL's connection."""
        return self._tls

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Say when to pause and resume."""
        FileDescriptor.registerProducer(self._tcp, cast(IPushProducer, producer), streaming)

    def unregisterProducer(self) -> None:
        """Say so no more."""
        FileDescriptor.unregisterProducer(self._tcp)

    # What the TCP transport calls

    def dataReceived(self, data: bytes) -> None:
        """Decrypt; hand on what each record holds."""
        records = self._records
        records.take(data)
        more = True
        while more and not self._ended and not self._aborted:
            try:
                octets = records.open()
            except WantReadError:
                # There was a record of TLS's own, which may want an answer, or a part of one.
                self._flush()
                return
            except ZeroReturnError:
                self._shut()
                self._end(None)
                return
            except Error:
                self._end(Failure())
                return
            # Before what is above may end all this.
            more = records.more()
            self._above.dataReceived(octets)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # always with a reason
        """The socket is closed."""
        if not self._ended and not self._aborted and reason.check(ConnectionDone):
            # Without close_notify nobody knows whether the peer had said all (RFC 8446, 6.1).
            reason = Failure(ConnectionLost("the peer closed without ending TLS"))
        self._ended = True
        self.connected = 0
        above = self._above
        self._let_go()
        above.connectionLost(self._reason or reason)

    def _let_go(self) -> None:
        """Undo the circles, so that the memory of TLS returns at once and not when the garbage is collected."""
        self._tls.set_app_data(None)
        del self._tls, self._records, self._above, self.pauseProducing, self.resumeProducing
        # Twisted has put these on the transport; they lead back to its layer.
        for name in ("getHandle", "getPeerCertificate"):
            self._tcp.__dict__.pop(name, None)
        self._before.__dict__.clear()
        del self._before

    def _flush(self) -> None:
        try:
            octets = self._tls.bio_read(RECORD)
        except Error:
            return  # nothing is there
        send(self._tcp, octets)

    def _shut(self) -> None:
        """Send close_notify; close the socket if the peer's has come."""
        try:
            both = self._tls.shutdown()
        except Error:
            both = False
        self._flush()
        if both:
            self._close_socket()

    def _end(self, reason: Failure | None) -> None:
        if self._ended:
            return
        self._ended = True
        if reason is not None:
            self._reason = Failure(ConnectionLost()) if reason.check(SysCallError) else reason
        self._flush()
        self._close_socket()

    def _close_socket(self) -> None:
        """Close when all is written; a producer, which would be asked for more first, has nothing to add."""
        FileDescriptor.unregisterProducer(self._tcp)
        lose(self._tcp)


def secure_line(transport: object, above: Protocol) -> SecureLine | None:
    """
    Take the TLS of `above` over, now that its handshake is complete; `None` where the transport is not Twisted's TCP.

    To be called in `handshakeCompleted`, before anything is written.
    """
    if not isinstance(transport, TcpConnection):
        return None
    tls: object = transport.getHandle()
    return SecureLine(transport, tls, above) if isinstance(tls, Connection) else None
