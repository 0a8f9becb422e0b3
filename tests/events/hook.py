"""A webhook as its readers have it: a web server that notes what it gets and answers as a test says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

reactor: Any = _reactor


@dataclass(frozen=True, slots=True)
class Got:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def status(code: int, *fields: tuple[str, str]) -> Callable[[Request], Any]:
    """Answer with a status and some fields."""

    def answer(request: Request) -> bytes:
        request.setResponseCode(code)
        for name, value in fields:
            request.setHeader(name, value)
        return b"said so"

    return answer


def hang(_: Request) -> int:
    """Answer nothing."""
    return NOT_DONE_YET


class Hook(Resource):
    """Answers are taken in turn; the last one stays."""

    isLeaf = True

    def __init__(self, *answers: Callable[[Request], Any]) -> None:
        super().__init__()
        self.got: list[Got] = []
        self.answers = list(answers) or [status(200)]
        self.open: list[Request] = []

    def render(self, request: Request) -> Any:
        headers = {
            name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        assert request.content is not None
        self.got.append(Got(request.method.decode(), request.uri.decode(), headers, request.content.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        said = answer(request)
        if said is NOT_DONE_YET:
            self.open.append(request)
            request.notifyFinish().addBoth(lambda _: self.open.remove(request))
        return said


class Quiet(Site):
    """A site without a log."""

    noisy = False

    def log(self, request: Any) -> None:
        """Say nothing."""


def serve(case: Any, resource: Resource, tls: Any = None) -> int:
    """Serve until the end of a test case, under TLS if there is something to show, and return the port."""
    site = Quiet(resource)
    if tls is None:
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
    else:
        port = reactor.listenSSL(0, site, tls, interface="127.0.0.1")
    case.addCleanup(port.stopListening)
    number: int = port.getHost().port
    return number


def closed_port() -> "Deferred[int]":
    """Return a port at which nobody listens."""
    port = reactor.listenTCP(0, Quiet(Resource()), interface="127.0.0.1")
    number: int = port.getHost().port
    stopped: Any = port.stopListening()
    return stopped.addCallback(lambda _: number)  # type: ignore[no-any-return]  # it is a Deferred
