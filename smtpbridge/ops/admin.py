"""
The admin endpoint: a small web server for operators.

It answers GET and HEAD of a few fixed paths.  A request has a deadline and
bounded headers (Twisted's), no path runs anything, and nothing is kept of a request.
"""

from collections.abc import Coroutine
from typing import Protocol as Contract
from typing import TypeAlias

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.logger import ILogObserver, Logger, globalLogPublisher
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.ops.board import Board
from smtpbridge.ops.guard import Guard
from smtpbridge.ops.health import Health
from smtpbridge.ops.looks import ICON, POLICY
from smtpbridge.ops.web import Page, Text

# Each costs a file descriptor, which senders need too; whoever has no token yet holds one as well.
MOST_CONNECTIONS = 256
# A text, and what type it is of.
Metric: TypeAlias = tuple[bytes, str]

# A scrape takes milliseconds; nobody keeps a socket here.
_REQUEST_SECONDS = 30
_INDEX = b"""smtpbridge

/         how things are, for people
/search   messages by id, sender or recipient: /search?q=ada@customer.example
/events   what has changed, for the page
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
        board: Board | None = None,
        guard: Guard | None = None,
        hears: ILogObserver | None = None,
    ) -> None:
        """
        Bind nothing yet; without `health` or `board` there is no page about it.

        `guard` says who may look; `hears` is told what is logged while the service runs.
        """
        self._description = description
        self._endpoint = endpoint
        self._reactor = reactor
        self._metrics = metrics
        self._health = health
        self._board = board
        self._guard = guard or Guard(now=reactor.seconds)
        self._hears = hears
        self._fault: CannotShow | None = None
        self.port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Bind; raise `CannotShow`."""
        site = _Quiet(self._tree(), timeout=_REQUEST_SECONDS, reactor=self._reactor)
        self._endpoint.listen(_Bounded(site)).addCallbacks(self._bound, self._not_bound)
        if self._fault is not None:
            raise self._fault

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        if self._hears is not None:
            globalLogPublisher.addObserver(self._hears)
        if self._board is not None:
            self._board.start()

    def stopService(self) -> "Deferred[None]":
        """Close the port and whatever goes on."""
        super().stopService()
        if self._hears is not None:
            globalLogPublisher.removeObserver(self._hears)
        if self._board is not None:
            self._board.stop()
        port, self.port = self.port, None
        closed = None if port is None else port.stopListening()
        return succeed(None) if closed is None else closed

    def _tree(self) -> Resource:
        root = _Root()
        help_page = Text(_INDEX, self._guard)
        root.putChild(b"help", help_page)
        root.putChild(b"metrics", _Figures(self._metrics, self._guard))
        # Probes of a balancer or a container say neither a token nor a name; these two tell strangers nothing new.
        root.putChild(b"livez", Text(_ALIVE))
        if self._health is not None:
            root.putChild(b"readyz", _Readiness(self._health))
        if self._board is None:
            root.putChild(b"", help_page)
            return root
        root.putChild(b"", _Status(self._board, self._guard))
        root.putChild(b"search", _Search(self._board, self._guard))
        root.putChild(b"events", _Events(self._board, self._guard))
        root.putChild(b"icon.svg", Text(ICON, content_type="image/svg+xml"))
        return root

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


class _Bounded(WrappingFactory):
    """Close what comes in beyond the bound at once."""

    noisy = False

    # Every factory may return None, though this one never does.
    def buildProtocol(self, addr: IAddress | None) -> ProtocolWrapper | None:  # type: ignore[override]  # see above
        return super().buildProtocol(addr) if len(self.protocols) < MOST_CONNECTIONS else None


class _Root(Resource):
    def getChild(self, path: bytes, request: Request) -> IResource:
        """Return the page for what is not there."""
        return notFound()


class _Readiness(Page):
    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    def body(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        request.setResponseCode(http.OK if self._health.ready else http.SERVICE_UNAVAILABLE)
        return self._health.as_json()


class _Figures(Page):
    def __init__(self, metrics: Shown, guard: Guard) -> None:
        super().__init__(guard)
        self._metrics = metrics

    def body(self, request: Request) -> bytes | Coroutine["Deferred[object]", object, bytes]:
        accept = request.getHeader(b"accept") or b""
        shown = self._metrics.text(accept.decode("latin-1"))
        return self._text(request, shown) if isinstance(shown, tuple) else self._asked(request, shown)

    async def _asked(self, request: Request, shown: Coroutine["Deferred[None]", object, Metric]) -> bytes:
        return self._text(request, await shown)

    @staticmethod
    def _text(request: Request, shown: Metric) -> bytes:
        text, content_type = shown
        request.setHeader(b"Content-Type", content_type.encode("ascii"))
        return text


class _OfBoard(Page):
    def __init__(self, board: Board, guard: Guard) -> None:
        super().__init__(guard)
        self._board = board


class _Status(_OfBoard):
    policy = POLICY

    def body(self, request: Request) -> Coroutine["Deferred[object]", object, bytes]:
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        return self._board.page()


class _Search(_OfBoard):
    policy = POLICY

    def body(self, request: Request) -> Coroutine["Deferred[object]", object, bytes]:
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        (words, *_) = (request.args or {}).get(b"q", [b""])
        return self._board.search(words.decode("utf-8", "replace"))


class _Events(_OfBoard):
    def answer(self, request: Request) -> bytes | int:
        if request.method == b"HEAD":
            return self.body(request)
        if self._board.watch(request):
            return NOT_DONE_YET
        request.setHeader(b"Retry-After", b"10")
        return self.no(request, http.SERVICE_UNAVAILABLE, "Too many watch already.")

    def body(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/event-stream")
        return b""
