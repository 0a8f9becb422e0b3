"""
The admin endpoint: a small web server for operators, on this machine alone.

It answers GET and HEAD of a few fixed paths.  A request has a deadline and
bounded headers (Twisted's), no path runs anything, and nothing is kept of a request.
"""

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Protocol as Contract
from typing import TypeAlias, cast

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.pages import errorPage, notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.ops.health import Health

# A text, and what type it is of.
Metric: TypeAlias = tuple[bytes, str]

# A scrape takes milliseconds; nobody keeps a socket here.
_REQUEST_SECONDS = 30
_INDEX = b"""smtpbridge

/metrics  figures for Prometheus
/livez    200 while the process answers
/readyz   200 while mail is welcome, else 503; the reasons as JSON
"""
# Whoever gets this had it from the event loop: a loop that is stuck answers nothing.
_ALIVE = b"alive\n"


class CannotShow(SmtpbridgeError):
    """The admin endpoint could not be bound."""


class Shown(Contract):
    """Figures that are there at once, or must be asked for elsewhere."""

    def text(self, accept: str) -> Metric | Coroutine["Deferred[None]", object, Metric]:
        """Return the figures and the type of the text, in the form that an `Accept` field asks for."""


class AdminService(Service):
    """Serve `metrics` and `health` at an endpoint; `description` is what the operator wrote."""

    log = Logger()

    def __init__(
        self,
        description: str,
        endpoint: IStreamServerEndpoint,
        metrics: Shown,
        reactor: IReactorTime,
        health: Health | None = None,
    ) -> None:
        """Bind nothing yet; without `health` there is no page about it."""
        self._description = description
        self._endpoint = endpoint
        self._reactor = reactor
        self._metrics = metrics
        self._health = health
        self._fault: CannotShow | None = None
        self.port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Bind; raise `CannotShow`."""
        root = _Root()
        root.putChild(b"", _Text(_INDEX))
        root.putChild(b"metrics", _Figures(self._metrics))
        root.putChild(b"livez", _Text(_ALIVE))
        if self._health is not None:
            root.putChild(b"readyz", _Readiness(self._health))
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


class _Readiness(_Page):
    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    def body(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        request.setResponseCode(http.OK if self._health.ready else http.SERVICE_UNAVAILABLE)
        return self._health.as_json()


class _Figures(_Page):
    log = Logger()

    def __init__(self, metrics: Shown) -> None:
        super().__init__()
        self._metrics = metrics

    def body(self, request: Request) -> bytes:
        accept = request.getHeader(b"accept") or b""
        shown = self._metrics.text(accept.decode("latin-1"))
        if isinstance(shown, tuple):
            return self._page(request, shown)
        asked = Deferred.fromCoroutine(shown)
        # Who does not wait for the answer gets none.
        request.notifyFinish().addErrback(lambda _: asked.cancel())
        asked.addCallback(lambda found: request.write(self._page(request, found)))
        asked.addCallbacks(lambda _: request.finish(), lambda reason: self._failed(request, reason))
        return cast(bytes, NOT_DONE_YET)

    @staticmethod
    def _page(request: Request, shown: Metric) -> bytes:
        text, content_type = shown
        request.setHeader(b"Content-Type", content_type.encode("ascii"))
        return text

    def _failed(self, request: Request, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self.log.failure("no figures", failure=reason)
            request.setResponseCode(http.INTERNAL_SERVER_ERROR)
            request.finish()
