"""
Where a worker's connections come from: not from a port of its own, but from its parent.

Each listener still has the endpoint that the operator wrote, because some bring more than a
port: "ssl:" its TLS.  Such an endpoint is made with a reactor of which the ports alone are
different, an `Entrance`: it keeps the factory that it would have listened with, and connections
that come by the line are given to that.
"""

import os
import socket
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer


class Entrance:
    """
    A reactor whose ports bind nothing; it serves one listener.

    What it does not have itself is the real reactor's.
    """

    def __init__(self, reactor: Any) -> None:
        """Stand in front of `reactor`."""
        self._reactor = reactor
        self._factory: IProtocolFactory | None = None
        self._family: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: IProtocolFactory, *_: object, **__: object) -> IListeningPort:
        """See `IReactorTCP`."""
        self._factory = factory
        factory.doStart()
        return _NoPort()

    def listenUNIX(self, address: str, factory: IProtocolFactory, *_: object, **__: object) -> IListeningPort:
        """See `IReactorUNIX`."""
        return self.listenTCP(0, factory)

    def listenSSL(
        self, port: int, factory: IProtocolFactory, contextFactory: Any, *_: object, **__: object
    ) -> IListeningPort:
        """See `IReactorSSL`."""
        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory))

    def take(self, descriptor: int) -> None:
        """Serve a connection; the descriptor is closed here."""
        try:
            if self._family is None:
                self._family = _family_of(descriptor)
            if self._factory is not None:
                self._reactor.adoptStreamConnection(descriptor, self._family, self._factory)
        finally:
            os.close(descriptor)


def _family_of(descriptor: int) -> int:
    """Ask the system, which takes several calls; it is the same for all connections of a listener."""
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        return connection.family


@implementer(IStreamServerEndpoint)
class Plain:
    """The endpoint of a socket that systemd passed to the parent: there is nothing more to it than connections."""

    def __init__(self, entrance: Entrance) -> None:
        """Listen at that entrance."""
        self._entrance = entrance

    def listen(self, factory: IProtocolFactory) -> "Deferred[IListeningPort]":
        """See `IStreamServerEndpoint`."""
        return succeed(self._entrance.listenTCP(0, factory))


@implementer(IListeningPort)
class _NoPort:
    def startListening(self) -> None:
        """It never does."""

    def stopListening(self) -> None:
        """Connections that are on their way still come, and are told that the service stops."""

    def getHost(self) -> UNIXAddress:
        return UNIXAddress(None)
