"""
What all pages of the admin endpoint have in common: GET and HEAD alone, who may look, the fields of the answer.
"""

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.pages import errorPage, notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from smtpbridge.ops.guard import Guard

# What Twisted has no words for: RFC 9110, 15.5.20, and RFC 6585, 4.
_MESSAGES = {421: b"Misdirected Request", 429: b"Too Many Requests"}
_NOTHING = "default-src 'none'; frame-ancestors 'none'"


class Page(Resource, ABC):
    """A page for who may look."""

    log = Logger()
    # What the page may load and run: the status page has something of its own.
    policy = _NOTHING

    def __init__(self, guard: Guard | None = None) -> None:
        """Ask `guard` first; without one the page is for everybody."""
        super().__init__()
        self._guard = guard

    def getChild(self, path: bytes, request: Request) -> IResource:
        """Return the page for what is not there: nothing is below a page."""
        return notFound()

    @abstractmethod
    def body(self, request: Request) -> bytes | Coroutine["Deferred[object]", object, bytes]:
        """Return the page, and set its type."""

    def render(self, request: Request) -> bytes | int:
        """Answer GET, and HEAD as HTTP has it (RFC 9110, 9.3.2)."""
        for name, words in (
            (b"Cache-Control", b"no-store"),
            (b"X-Content-Type-Options", b"nosniff"),
            (b"Referrer-Policy", b"no-referrer"),
            (b"Cross-Origin-Resource-Policy", b"same-origin"),
            (b"Content-Security-Policy", self.policy.encode()),
        ):
            request.setHeader(name, words)
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"Allow", b"GET, HEAD")
            return self.no(request, http.NOT_ALLOWED, "Only GET and HEAD.")
        refusal = self._guard.refusal(request) if self._guard is not None else None
        if refusal is not None:
            if refusal.field is not None:
                request.setHeader(*refusal.field)
            return self.no(request, refusal.code, refusal.why)
        return self.answer(request)

    def answer(self, request: Request) -> bytes | int:
        """Answer whoever may look."""
        body = self.body(request)
        if isinstance(body, bytes):
            return body
        asked = Deferred.fromCoroutine(body)
        # Who does not wait for the answer gets none.
        request.notifyFinish().addErrback(lambda _: asked.cancel())
        asked.addCallback(request.write)
        asked.addCallbacks(lambda _: request.finish(), lambda reason: self._failed(request, reason))
        return NOT_DONE_YET

    @staticmethod
    def no(request: Request, code: int, why: str) -> bytes:
        """Refuse."""
        message = http.RESPONSES.get(code) or _MESSAGES[code]
        body = cast(bytes, errorPage(code, message.decode("ascii"), why).render(request))
        request.setResponseCode(code, message)
        return body

    def _failed(self, request: Request, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self.log.failure("a page of the admin endpoint could not be made", failure=reason)
            request.setResponseCode(http.INTERNAL_SERVER_ERROR)
            request.finish()


class Text(Page):
    """A page that is always the same."""

    def __init__(
        self, text: bytes, guard: Guard | None = None, content_type: str = "text/plain; charset=utf-8"
    ) -> None:
        """Show `text`."""
        super().__init__(guard)
        self._text = text
        self._content_type = content_type

    def body(self, request: Request) -> bytes:
        """Return it."""
        request.setHeader(b"Content-Type", self._content_type.encode())
        return self._text
