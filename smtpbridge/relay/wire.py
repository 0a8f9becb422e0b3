"""
What the relay uses of a Twisted transport.

Twisted spreads these methods over several interfaces, and `Protocol.transport`
promises none of them.  A skin looks once, in `connectionMade`, and then has a `Wire`.
"""

from collections.abc import Callable
from typing import Any, cast
from typing import Protocol as Contract

from OpenSSL.SSL import Connection
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLContextFactory,
    ISSLTransport,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection as TcpConnection

from smtpbridge.relay.direct import PlainLine, secure_line


class Wire(Contract):
    """A TCP or local stream, with or without TLS."""

    def write(self, data: bytes) -> None:
        """Send, in time."""

    def loseConnection(self) -> None:
        """Close when all is sent."""

    def abortConnection(self) -> None:
        """Close now."""

    def startTLS(self, context: IOpenSSLContextFactory | IOpenSSLClientConnectionCreator) -> None:
        """Begin the handshake."""

    def getHandle(self) -> object:
        """Return OpenSSL's connection once TLS has begun."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Say when to pause and resume."""

    def unregisterProducer(self) -> None:
        """Say so no more."""

    def pauseProducing(self) -> None:
        """Read no more."""

    def resumeProducing(self) -> None:
        """Read again."""


class OverheardWire:
    """A wire that tells somebody of what is written, and of TLS."""

    def __init__(self, inner: Wire, heard: Callable[[bytes], None], secured: Callable[[str], None]) -> None:
        """Hand everything on to `inner`."""
        self.inner = inner
        self._heard = heard
        self._secured = secured

    def write(self, data: bytes) -> None:
        """See `Wire`."""
        self._heard(data)
        self.inner.write(data)

    def secure(self, transport: object, above: Protocol) -> None:
        """TLS is up."""
        self.inner = secured(self.inner, transport, above)
        self._secured(tls_version(self.inner))

    def __getattr__(self, name: str) -> Any:
        """Return what else a wire has."""
        return getattr(self.inner, name)


def wire_of(transport: ITransport | None) -> Wire:
    """Return a protocol's transport as a `Wire`, with Nagle's delay off: every write here is a whole batch."""
    if ITCPTransport.providedBy(transport):
        transport.setTcpNoDelay(True)
    if isinstance(transport, TcpConnection) and not ISSLTransport.providedBy(cast(object, transport)):
        return PlainLine(transport)
    return cast(Wire, transport)


def secured(wire: Wire, transport: object, above: Protocol) -> Wire:
    """Return what takes the place of a protocol's wire once its handshake is complete; see `direct.secure_line`."""
    if isinstance(wire, OverheardWire):
        wire.secure(transport, above)
        return wire
    return secure_line(transport, above) or wire


def tls_version(wire: Wire) -> str:
    """Return what was agreed on, such as `TLSv1.3`; empty without TLS."""
    channel = wire.getHandle()
    return channel.get_protocol_version_name() if isinstance(channel, Connection) else ""
