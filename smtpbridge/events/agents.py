"""
How connections to targets are made: verified, reused, and through a proxy where there is one.

Theory of operation
-------------------

`Ways` is what Twisted's agent asks for a connection to a host.  `tls_for` gives the object that verifies a host by its
name; it is made once for each host and kept, because it reads certificates.  Plain HTTP is for this machine alone,
which the configuration sees to, and never goes to a proxy.

A proxy is asked for a tunnel with CONNECT (RFC 9110, 9.3.6), and TLS is spoken with the target through it: the proxy
sees the name of the host, and nothing else.  Twisted has that for no client, so `Tunnel` is a small endpoint: it
connects to the proxy, says CONNECT, reads the head of the answer, and hands the connection over.

What must not be known here: the environment, and what is posted.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgent, IAgentEndpointFactory
from zope.interface import implementer

from smtpbridge.events.faults import ProxyRefused
from smtpbridge.secret import Secret

# Shorter than most servers wait, so that a post does not meet a connection that is just being closed.
_IDLE_SECONDS = 4
_MOST_HEAD = 16_384
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, and what it wants to hear from us."""

    host: str
    port: int
    login: Secret | None = None


TlsFor = Callable[[str], IOpenSSLClientConnectionCreator]
ProxyFor = Callable[[str], Proxy | None]


class Connections:
    """The connections to one target, which are kept for the next post for a moment."""

    def __init__(self, reactor: Any, tls_for: TlsFor, proxy_for: ProxyFor = lambda _: None) -> None:
        """Verify by `tls_for` and go through the proxy of `proxy_for`, each by the host."""
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = 1
        self._pool.cachedConnectionTimeout = _IDLE_SECONDS
        self.agent: IAgent = Agent.usingEndpointFactory(reactor, Ways(reactor, tls_for, proxy_for), self._pool)

    def close(self) -> "Deferred[None]":
        """Close those that are idle."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


@implementer(IAgentEndpointFactory)
class Ways:
    """Make an endpoint for each address that an agent is asked for."""

    def __init__(self, reactor: Any, tls_for: TlsFor, proxy_for: ProxyFor) -> None:
        self._reactor = reactor
        self._tls_for = tls_for
        self._proxy_for = proxy_for
        self._tls: dict[str, IOpenSSLClientConnectionCreator] = {}

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See `IAgentEndpointFactory`."""
        host, port = uri.host.decode("ascii"), uri.port
        if uri.scheme != b"https":
            return HostnameEndpoint(self._reactor, host, port)
        proxy = self._proxy_for(host)
        plain: IStreamClientEndpoint
        if proxy is None:
            plain = HostnameEndpoint(self._reactor, host, port)
        else:
            plain = Tunnel(HostnameEndpoint(self._reactor, proxy.host, proxy.port), proxy, host, port)
        if host not in self._tls:
            self._tls[host] = self._tls_for(host)
        wrapped: IStreamClientEndpoint = wrapClientTLS(self._tls[host], plain)
        return wrapped


@implementer(IStreamClientEndpoint)
class Tunnel:
    """Connect to a host and port through a proxy."""

    def __init__(self, way: IStreamClientEndpoint, proxy: Proxy, host: str, port: int) -> None:
        """Ask `proxy`, which is reached by `way`, for a tunnel."""
        self._way = way
        self._proxy = proxy
        self._to = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def connect(self, factory: IProtocolFactory) -> "Deferred[IProtocol]":
        """See `IStreamClientEndpoint`: fires when the tunnel is there."""
        asking = Factory.forProtocol(lambda: _Asking(factory, self._to, self._proxy))
        asking.noisy = False
        connected: Deferred[Any] = self._way.connect(asking)
        return connected.addCallback(lambda one: one.through)


class _Asking(Protocol):
    """Ask for the tunnel; from then on everything is for the protocol of who connects."""

    def __init__(self, factory: IProtocolFactory, to: str, proxy: Proxy) -> None:
        self.through: Deferred[IProtocol] = Deferred(lambda _: self._give_up())
        self._factory = factory
        self._to = to
        self._proxy = proxy
        self._head = b""
        self._inner: IProtocol | None = None

    def connectionMade(self) -> None:
        """See `Protocol`."""
        lines = [f"CONNECT {self._to} HTTP/1.1", f"Host: {self._to}"]
        if self._proxy.login is not None:
            lines.append(f"Proxy-Authorization: Basic {b64encode(self._proxy.login.reveal()).decode('ascii')}")
        self._write("\r\n".join([*lines, "", ""]).encode("ascii"))

    def dataReceived(self, data: bytes) -> None:
        """See `Protocol`."""
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._head += data
        head, end, rest = self._head.partition(_HEAD_END)
        if end:
            self._answered(head.split(b"\r\n", 1)[0], rest)
        elif len(self._head) > _MOST_HEAD:
            self._refuse("an answer without an end")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `Protocol`."""
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self.through.called:
            self.through.errback(Failure(ProxyRefused("the proxy closed the connection without an answer")))

    def _answered(self, line: bytes, rest: bytes) -> None:
        version, _, status = line.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not status.startswith(b"2"):
            self._refuse(line.decode("ascii", "replace"))
            return
        address: IAddress = self._transport().getPeer()
        inner: Any = self._factory.buildProtocol(address)
        if inner is None:
            self._give_up()
            return
        self._inner = inner
        inner.makeConnection(self.transport)
        if rest:
            inner.dataReceived(rest)
        self.through.callback(inner)

    def _refuse(self, what: str) -> None:
        if not self.through.called:
            self.through.errback(Failure(ProxyRefused(f"the proxy {self._proxy.host} does not let us through: {what}")))
        self._give_up()

    def _write(self, octets: bytes) -> None:
        self._transport().write(octets)

    def _give_up(self) -> None:
        self._transport().abortConnection()

    def _transport(self) -> Any:
        return self.transport
