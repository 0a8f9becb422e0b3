"""
The admin endpoint: a small web server for operators, on this machine alone.

It answers GET and HEAD of a few fixed paths.  A request has a deadline and
bounded headers (Twisted's), no path runs anything, and nothing is kept of a request.
"""

from abc import ABC, abstractmethod
from typing import cast

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.pages import errorPage, notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.ops.metrics import Metrics

# A scrape takes milliseconds; nobody keeps a socket here.
_REQUEST_SECONDS = 30
_INDEX = b"smtpbridge\n\n/metrics  figures for Prometheus\n"


class CannotShow(SmtpbridgeError):
    """The admin endpoint could not be bound."""


class AdminService(Service):
    """Serve `metrics` at an endpoint; `description` is what the operator wrote."""

    log = Logger()

    def __init__(
        self, description: str, endpoint: IStreamServerEndpoint, metrics: Metrics, reactor: IReactorTime
    ) -> None:
        self._description = description
        self._endpoint = endpoint
        self._reactor = reactor
        self._metrics = metrics
        self._fault: CannotShow | None = None
        self.port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Bind; raise `CannotShow`."""
        root = _Root()
        root.putChild(b"", _Text(_INDEX))
        root.putChild(b"metrics", _Figures(self._metrics))
        site = _Quiet(root, timeout=_REQUEST_SECONDS, reactor=self._reactor)
        self._endpoint.listen(site).addCallbacks(self._bound, self._not_bound)
        if self._fault is not None:
            raise self._fault

    def stopService(self) -> "Deferred[None]":
        """Close the port."""
        super().stopService()
        port, self.port = self.port, None
        closed = None if port is None else port.stopListening()
        return succeed(None) if closed is None else closed

    def _bound(self, port: IListeningPort) -> None:
        self.port = port
        address = port.getHost()
        bound = address.port if isinstance(address, IPv4Address | IPv6Address) else "-"
        self.log.info("figures at {endpoint} port={port}", endpoint=self._description, port=bound)

    def _not_bound(self, reason: Failure) -> None:
        self._fault = CannotShow(f"cannot listen at {self._description}: {reason.getErrorMessage()}")


class _Quiet(Site):
    noisy = False

    def log(self, request: http.Request) -> None:
        """Say nothing: one line for every scrape would bury what matters."""


class _Root(Resource):
    def getChild(self, path: bytes, request: Request) -> IResource:
        """Return the page for what is not there."""
        return notFound()


class _Page(Resource, ABC):
    isLeaf = True

    @abstractmethod
    def body(self, request: Request) -> bytes:
        """Return the page, and set its type."""

    def render(self, request: Request) -> bytes:
        """Answer GET, and HEAD as HTTP has it (RFC 9110, 9.3.2)."""
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"Allow", b"GET, HEAD")
            page = errorPage(http.NOT_ALLOWED, "Method Not Allowed", "Only GET and HEAD.")
            return cast(bytes, page.render(request))
        return self.render_GET(request)

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        request.setHeader(b"Content-Security-Policy", b"default-src 'none'")
        return self.body(request)


class _Text(_Page):
    def __init__(self, text: bytes) -> None:
        super().__init__()
        self._text = text

    def body(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        return self._text


class _Figures(_Page):
    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics

    def body(self, request: Request) -> bytes:
        accept = request.getHeader(b"accept") or b""
        text, content_type = self._metrics.text(accept.decode("latin-1"))
        request.setHeader(b"Content-Type", content_type.encode("ascii"))
        return text
