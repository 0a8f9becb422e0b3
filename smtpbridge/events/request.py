"""
One request with treq: a body goes, a status and a bounded answer come.

The deadline is over the whole, from the name of the host to the end of the answer.  Redirections are not followed: who
may move a target elsewhere is the operator.  The answer is read to its end, so that the connection can be used again,
but only up to a bound; then the connection is cut.  Cookies are forgotten with the request.

What must not be known here: what is posted, and how a connection is made and verified (`agents`).
"""

from dataclasses import dataclass
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import RESPONSES, PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from smtpbridge.events.faults import Came, Outcome, outcome_of
from smtpbridge.secret import Secret

# Nobody reads it but us, for a token; a page that says that something is wrong has as much.
_MOST_ANSWER = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and the beginning of what came with it."""

    status: int
    body: bytes

    def outcome(self) -> Outcome:
        """Return what it means for a post."""
        words = f"HTTP {self.status} {RESPONSES.get(self.status, b'').decode('ascii')}".rstrip()
        if 200 <= self.status < 300:
            return Outcome(Came.TAKEN, words, self.status)
        if 300 <= self.status < 400:
            return Outcome(Came.REDIRECTED, f"{words}: redirections are not followed; write the new url", self.status)
        return Outcome(Came.REFUSED, words, self.status)


async def post(
    agent: IAgent,
    clock: IReactorTime,
    url: str,
    headers: tuple[tuple[str, Secret | str], ...],
    body: bytes,
    seconds: float,
) -> Answer | Outcome:
    """Return what was answered, or why nothing was; nothing is raised but `CancelledError`, when it is called off."""
    late = False

    def too_late() -> None:
        nonlocal late
        late = True
        asked.cancel()

    asked = Deferred.fromCoroutine(_post(agent, clock, url, headers, body))
    deadline = clock.callLater(seconds, too_late)
    try:
        return await asked
    except CancelledError:
        if not late:
            raise
        return Outcome(Came.TIMEOUT, f"no answer within {seconds:g} seconds")
    except Exception as error:
        # Twisted and treq have many ways to say that a request failed; late, the cancellation comes as one of them.
        return Outcome(Came.TIMEOUT, f"no answer within {seconds:g} seconds") if late else outcome_of(error)
    finally:
        if deadline.active():
            deadline.cancel()


async def _post(
    agent: IAgent, clock: IReactorTime, url: str, headers: tuple[tuple[str, Secret | str], ...], body: bytes
) -> Answer:
    fields = Headers()
    for name, value in headers:
        octets = value.reveal() if isinstance(value, Secret) else value.encode()
        fields.addRawHeader(name.encode("ascii"), octets)
    client = HTTPClient(agent)
    # Without a timeout of its own treq asks its reactor for nothing.
    unused: Any = clock
    response = await client.post(url, data=body, headers=fields, allow_redirects=False, unbuffered=True, reactor=unused)
    read = _Bounded()
    response.deliverBody(read)
    return Answer(response.code, await read.done)


class _Bounded(Protocol):
    """Read an answer up to the bound; beyond it the rest is not waited for."""

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._cut())
        self._blocks: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        """See `Protocol`."""
        self._size += len(data)
        if self._size > _MOST_ANSWER:
            self._end()
            self._cut()
        else:
            self._blocks.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `Protocol`: this is the end of the answer."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self._end()
        else:
            self.done.errback(reason)

    def _end(self) -> None:
        if not self.done.called:
            self.done.callback(b"".join(self._blocks))

    def _cut(self) -> None:
        # What Twisted gives us here cannot abort; this closes what is below TLS, and waits for nobody.
        transport: Any = self.transport
        if transport is not None:
            transport.stopProducing()
