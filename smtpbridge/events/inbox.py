"""
The inbox: where Infobip posts its notifications.

Theory of operation
-------------------

A request is decided about (`admission`), and its body goes into the ledger as it came.  200 is the answer when it is
durable there, and not before; nobody has looked into it by then.  So an answer takes as long as a commit, and a
notification that says nothing makes no noise at Infobip, which repeats whatever got another answer.

`_Post` is Twisted's request without forms, sessions and pages: a body goes to memory and no further, and no more of it
is kept than may be taken.  A request whose body is refused is read to its end nevertheless, for the answer is only
seen then; a deadline over all of the body ends that.  Connections, requests and octets at a time are bounded.

Refusals are counted each and logged now and then: somebody who looks for a way in must not be able to fill the log.

What must not be known here: what a notification says, and where a ledger lies.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.web import http

from smtpbridge.events.admission import Admission, Asked
from smtpbridge.events.tallies import InboxTally, Taken

# A connection that says nothing for so long is closed.
_IDLE_SECONDS = 60
# All of a body has come by then.  Infobip's own patience is below two minutes.
_BODY_SECONDS = 60.0
# Beside those that post, some may be kept open for the next post.
_CONNECTIONS_PER_REQUEST = 4
_LOG_SECONDS = 60.0
# The status and the fields of each answer.  Infobip waits a minute or longer whatever Retry-After says; others obey.
_ANSWERS: dict[Taken, tuple[int, tuple[tuple[bytes, bytes], ...]]] = {
    Taken.TAKEN: (http.OK, ()),
    Taken.UNKNOWN_PATH: (http.NOT_FOUND, ()),
    Taken.NOT_POST: (http.NOT_ALLOWED, ((b"Allow", b"POST"),)),
    Taken.FORBIDDEN_ADDRESS: (http.FORBIDDEN, ()),
    Taken.BAD_LOGIN: (http.UNAUTHORIZED, ((b"WWW-Authenticate", b'Basic realm="notifications"'),)),
    Taken.BAD_SIGNATURE: (http.FORBIDDEN, ()),
    Taken.ENCODED: (http.UNSUPPORTED_MEDIA_TYPE, ((b"Accept-Encoding", b"identity"),)),
    Taken.TOO_LARGE: (http.REQUEST_ENTITY_TOO_LARGE, ((b"Connection", b"close"),)),
    Taken.TOO_FAST: (429, ((b"Retry-After", b"1"),)),
    Taken.TOO_MANY: (http.SERVICE_UNAVAILABLE, ((b"Retry-After", b"5"),)),
    Taken.NOT_KEPT: (http.SERVICE_UNAVAILABLE, ((b"Retry-After", b"30"),)),
}
_ADVICE: dict[Taken, str] = {
    Taken.UNKNOWN_PATH: "the path does not end in the secret: somebody is looking around, or secret_file was changed "
    "and reports of older messages still come to the old address",
    Taken.NOT_POST: "notifications are posted; this was something else",
    Taken.FORBIDDEN_ADDRESS: "the address is not in allow; behind a proxy it is the proxy's",
    Taken.BAD_LOGIN: "compare basic_username and basic_password_file with the provider's settings",
    Taken.BAD_SIGNATURE: "compare the hmac_ keys with the provider's settings",
    Taken.ENCODED: "it is compressed, and nobody here asked for that",
    Taken.TOO_LARGE: "it is larger than max_body_bytes; the provider repeats it: raise that",
    Taken.TOO_FAST: "max_requests_per_second is reached; the provider repeats it",
    Taken.TOO_MANY: "max_concurrent is reached, or the bodies together are too large; the provider repeats it",
    Taken.TOO_SLOW: "its body did not come in time",
    Taken.NOT_KEPT: "the ledger did not keep it; the provider repeats it",
}


class Inbox(http.HTTPFactory):
    """Serve the inbox; `keep` is given a body and answers when that is durable."""

    noisy = False
    # HTTP/1.1 alone: what Twisted has in its place chooses between that and HTTP/2.
    protocol: Any = http.HTTPChannel
    # `log` is Twisted's, below.
    _own = Logger()

    def __init__(
        self,
        admission: Admission,
        keep: Callable[[bytes], "Deferred[None]"],
        clock: IReactorTime,
        tally: InboxTally | None = None,
        *,
        kept: Callable[[], None] = lambda: None,
        not_kept: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        """Take in by `admission`; `kept` hears of each notification that is durable, `not_kept` why one is not."""
        super().__init__(timeout=_IDLE_SECONDS, reactor=clock)
        self.admission = admission
        self.tally = tally or InboxTally()
        self.clock = clock
        self.keep = keep
        self.kept = kept
        self.not_kept = not_kept
        self._logged_at: dict[Taken, float] = {}
        self._unlogged: dict[Taken, int] = {}
        self._when_idle: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Begin a connection."""
        made: Any = super().buildProtocol(addr)
        made.requestFactory = lambda channel, *_: _Post(channel, self)
        return made

    def log(self, request: http.Request) -> None:
        """Write no line about a request: Twisted's would hold the path, and that is a secret."""

    def count(self, what: Taken, address: str) -> None:
        """Count what became of a request; what was refused is logged once in a while, with how many went unsaid."""
        self.tally.requests[what] += 1
        if what is Taken.TAKEN:
            return
        now = self.clock.seconds()
        if now - self._logged_at.get(what, -_LOG_SECONDS) < _LOG_SECONDS:
            self._unlogged[what] = self._unlogged.get(what, 0) + 1
            return
        self._logged_at[what] = now
        self._own.warn(
            "a request to the inbox was refused ({refused}) client={client} unsaid={unsaid}: {advice}",
            refused=what.value,
            client=address or "-",
            unsaid=self._unlogged.pop(what, 0),
            advice=_ADVICE[what],
        )

    def full(self, octets: int) -> bool:
        """Tell whether there is no room for one more request of so many octets."""
        admission = self.admission
        return admission.at_once >= admission.terms.max_at_once or admission.held + octets > admission.terms.max_held

    def begun(self, octets: int) -> None:
        """A request of so many octets, as far as it said, has begun."""
        self.admission.at_once += 1
        self.admission.held += octets

    def over(self, octets: int) -> None:
        """A request is over."""
        self.admission.at_once -= 1
        self.admission.held -= octets
        if not self.admission.at_once and self._when_idle is not None:
            waiting, self._when_idle = self._when_idle, None
            waiting.callback(None)

    def idle(self) -> "Deferred[None]":
        """Return when no request is under way; ask once."""
        self._when_idle = Deferred()
        waiting = self._when_idle
        if not self.admission.at_once:
            self._when_idle = None
            waiting.callback(None)
        return waiting


class Doorkeeper(WrappingFactory):
    """Bound the connections of an inbox, and end them."""

    noisy = False

    def __init__(self, inbox: Inbox) -> None:
        """Let connections through to `inbox`."""
        super().__init__(inbox)
        self.inbox = inbox
        self._most = _CONNECTIONS_PER_REQUEST * inbox.admission.terms.max_at_once

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Begin a connection, or close it at once."""
        if len(self.protocols) >= self._most:
            self.inbox.count(Taken.TOO_MANY, _host_of(addr))
            return None
        return super().buildProtocol(addr)

    def end(self) -> None:
        """Close what is open, when it has said what it has to say."""
        for protocol in list(self.protocols):
            # The channel is a producer of its transport, which would wait for the end of that.
            protocol.wrappedProtocol.loseConnection()


class _Post(http.Request):
    """One request; no more of the body is kept than may be taken, and nothing of one that is refused."""

    def __init__(self, channel: http.HTTPChannel, inbox: Inbox) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self._inbox = inbox
        self._line = channel
        self._asked = Asked(b"", b"", "")
        self._what = Taken.TAKEN
        self._body = BytesIO()
        self._size = 0
        self._counted: int | None = None
        self._is_gone = False
        self._deadline: IDelayedCall | None = None

    def gotLength(self, length: int | None) -> None:
        """
        See `http.Request`: the body follows, of `length` octets if that is known.

        Twisted tells a request its path when the body is there.  Who does not know the path must not take room away
        from who does, so it is looked for where it is.
        """
        self.content = self._body
        inbox, terms = self._inbox, self._inbox.admission.terms
        self._asked = Asked(
            self._line._command,
            self._line._path.split(b"?", 1)[0],
            _host_of(self.getClientAddress()),
            {name.decode("latin-1").lower(): one[0] for name, one in self.requestHeaders.getAllRawHeaders()},
        )
        self._what = inbox.admission.wanted(self._asked)
        if self._what is Taken.TAKEN:
            counted = min(terms.max_body if length is None else length, terms.max_body)
            if length is not None and length > terms.max_body:
                self._what = Taken.TOO_LARGE
            elif inbox.full(counted):
                self._what = Taken.TOO_MANY
            else:
                self._counted = counted
                inbox.begun(counted)
        if length != 0:
            self._deadline = inbox.clock.callLater(_BODY_SECONDS, self._too_slow)

    def handleContentChunk(self, data: bytes) -> None:
        """See `http.Request`: keep a part of the body if it may be kept."""
        self._size += len(data)
        if self._what is Taken.TAKEN and self._size > self._inbox.admission.terms.max_body:
            self._what = Taken.TOO_LARGE
        if self._what is Taken.TAKEN:
            self._body.write(data)

    def process(self) -> None:
        """See `http.Request`: all is here; decide."""
        self._cancel_deadline()
        inbox, body = self._inbox, self._body.getvalue()
        if self._what is Taken.TAKEN and not inbox.admission.signed(self._asked, body):
            self._what = Taken.BAD_SIGNATURE
        if self._what is not Taken.TAKEN:
            self._answer(self._what)
            return
        inbox.keep(body).addCallbacks(self._kept, self._not_kept)

    def connectionLost(self, reason: Failure) -> None:
        """See `http.Request`: nobody waits for the answer any more.  What is being kept is kept."""
        self._is_gone = True
        self._cancel_deadline()
        self._leave()
        super().connectionLost(reason)

    def _kept(self, _: None) -> None:
        self._inbox.tally.octets += self._size
        self._inbox.kept()
        self._answer(Taken.TAKEN)

    def _not_kept(self, reason: Failure) -> None:
        if reason.value is not None:
            self._inbox.not_kept(reason.value)
        self._answer(Taken.NOT_KEPT)

    def _answer(self, what: Taken) -> None:
        self._inbox.count(what, self._asked.address)
        if self._is_gone:
            return
        status, fields = _ANSWERS[what]
        self.setResponseCode(status)
        self.setHeader(b"Content-Length", b"0")
        for name, value in fields:
            self.setHeader(name, value)
        self.finish()
        self._leave()

    def _leave(self) -> None:
        counted, self._counted = self._counted, None
        if counted is not None:
            self._inbox.over(counted)

    def _too_slow(self) -> None:
        self._deadline = None
        self._inbox.count(Taken.TOO_SLOW, self._asked.address)
        if self.channel is not None:
            self.channel.forceAbortClient()

    def _cancel_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()


def _host_of(address: object) -> str:
    return address.host if isinstance(address, IPv4Address | IPv6Address) else ""
