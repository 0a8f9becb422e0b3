"""
One connection to the sandbox: a thin skin over `smtp.server.ServerSession`.

It feeds the session, acts on its events, writes what the session says, and
owns what has to do with time and pressure:

- One timer per connection.  It looks at the clock when it fires and sets itself
  again for what is left, so hearing from the peer costs one assignment.  Once the
  connection is being closed the same timer bounds how long that may take.
- A peer that does not read its replies is not read from either.
- What goes wrong inside one connection is logged and ends this connection alone.

The session takes any reply from a judge as an answer and goes on; when an
address asked for the end of the connection, what the session said behind that
reply is cut off here and nothing more is read.

What must not be known here: rules, users, files.
"""

from collections import deque
from collections.abc import Callable
from typing import ParamSpec, Protocol, cast

from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLContextFactory,
    IPushProducer,
    IReactorTime,
    ITLSTransport,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpbridge.sandbox.incoming import Incoming
from smtpbridge.sandbox.outcomes import AddressJudge, Manner, Stage, provoked_by_any
from smtpbridge.smtp.data import Block, Defects
from smtpbridge.smtp.events import (
    Close,
    Event,
    Judge,
    MessageBegins,
    MessageDropped,
    MessageEnds,
    MessageWhole,
    Terms,
    UpgradeTls,
)
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.smtp.sasl import LoginAttempt
from smtpbridge.smtp.server import ServerSession, State

# "Start below 60 s" is all that is known of Infobip's own limit.
IDLE_SECONDS = 60.0
# A peer that neither reads nor closes is cut off after so long.
_CLOSING_SECONDS = 5.0
_IDLE = reply(421, "4.4.2", "Idle for too long, closing transmission channel")

_P = ParamSpec("_P")


class House(Protocol):
    """What a connection asks of the sandbox that it belongs to."""

    clock: IReactorTime
    context_factory: IOpenSSLContextFactory

    def terms(self, judge: Judge) -> Terms:
        """Return the terms of a new session."""

    def knows(self, attempt: LoginAttempt) -> bool:
        """Tell whether the login is right."""

    def begin(self, sender: str, recipients: tuple[str, ...]) -> Incoming:
        """Make room for a message."""

    def take(self, incoming: Incoming, defects: Defects, number: int, session: ServerSession) -> Reply:
        """Judge a complete message, keep it where it is accepted, and return the answer to the final dot."""

    def closed(self, number: int) -> None:
        """A connection has ended."""


class _Transport(Protocol):
    """What Twisted's TCP transports have in common, with TLS and without; no one interface of it names all that."""

    def write(self, data: bytes, /) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool, /) -> None: ...
    def unregisterProducer(self) -> None: ...


@implementer(IHandshakeListener, IPushProducer)
class Conversation(TwistedProtocol):
    """One connection; `number` counts them from 1, `secure` tells of implicit TLS."""

    _log = Logger(namespace="smtpbridge.sandbox")

    def __init__(self, house: House, number: int, *, secure: bool) -> None:
        """Begin with nothing said."""
        self._house = house
        self._number = number
        self._judge = AddressJudge()
        self._session = ServerSession(house.terms(self._judge), secure=secure)
        self._incoming: Incoming | None = None
        self._timer: IDelayedCall | None = None
        self._heard_at = 0.0
        self._closing = False

    # Twisted calls these

    def connectionMade(self) -> None:
        """Greet; with implicit TLS the handshake comes first."""
        self._tcp.registerProducer(self, True)
        self._heard_at = self._house.clock.seconds()
        self._wake_in(IDLE_SECONDS)
        # A write before the handshake would pause this producer, and with it the handshake.
        if not self._session.secure:
            self._guarded(self._session.greet)

    def handshakeCompleted(self) -> None:
        """Greet with implicit TLS, begin anew with STARTTLS."""
        if not self._closing:
            upgraded = self._session.state is State.HANDSHAKE
            self._guarded(self._session.secured if upgraded else self._session.greet)

    def dataReceived(self, data: bytes) -> None:
        """Go on with the dialogue."""
        if not self._closing:
            self._heard_at = self._house.clock.seconds()
            self._guarded(self._session.receive, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget what was begun."""
        self._closing = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._house.closed(self._number)
        self._discard()

    def pauseProducing(self) -> None:
        """The peer does not read: stop reading from it."""
        self._tcp.pauseProducing()

    def resumeProducing(self) -> None:
        """The peer reads again."""
        self._tcp.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` does what there is to do."""

    # The dialogue

    @property
    def _tcp(self) -> _Transport:
        return cast(_Transport, self.transport)

    def _guarded(self, step: Callable[_P, list[Event]], *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            self._go(step(*args, **kwargs))
        except Exception:
            self._log.failure("connection {number} of the sandbox failed", number=self._number)
            self._close("a defect")
            self._tcp.abortConnection()

    def _go(self, events: list[Event]) -> None:
        """Act on `events` and on what comes of that, then write."""
        pending = deque(events)
        while pending and not self._closing and self._judge.last_words is None:
            # What comes of an event comes before the events behind it.
            pending.extendleft(reversed(self._act(pending.popleft())))
        self._write()
        if self._judge.last_words is not None:
            self._close("an address asked for it")

    def _act(self, event: Event) -> list[Event]:
        match event:
            case Block():
                self._take(event.octets)
            case MessageBegins():
                return self._begin(event)
            case MessageWhole():
                self._take(event.octets)
                return self._end(Defects())
            case MessageEnds():
                return self._end(event.defects)
            case MessageDropped():
                self._discard()
            case LoginAttempt():
                return self._session.login(self._house.knows(event))
            case UpgradeTls():
                self._write()
                # Twisted's own annotation leaves out the kind of factory that its CertificateOptions is.
                ITLSTransport(self.transport).startTLS(self._house.context_factory)  # type: ignore[arg-type]
            case Close():
                self._write()
                self._close(event.reason)
        return []

    def _begin(self, event: MessageBegins) -> list[Event]:
        self._incoming = self._house.begin(event.sender, event.recipients)
        return self._interrupted(Stage.BODY) or []

    def _take(self, octets: bytes) -> None:
        if self._incoming is not None:
            self._incoming.take(octets)

    def _end(self, defects: Defects) -> list[Event]:
        if (events := self._interrupted(Stage.DOT)) is not None:
            return events
        assert self._incoming is not None
        verdict = self._house.take(self._incoming, defects, self._number, self._session)
        self._discard()
        return self._session.conclude(verdict)

    def _interrupted(self, stage: Stage) -> list[Event] | None:
        """Do what a recipient asked for at `stage`; return `None` when none did."""
        assert self._incoming is not None
        found = provoked_by_any(self._incoming.recipients, stage)
        if found is None:
            return None
        outcome, address = found
        self._discard()
        match outcome.manner:
            case Manner.STAY:
                return self._session.conclude(outcome.answer(address))
            case Manner.HANG_UP:
                return self._session.leave(outcome.answer(address), outcome.local_part)
            case Manner.CUT:
                return [Close(outcome.local_part)]

    def _write(self) -> None:
        octets = self._session.data_to_send()
        if (words := self._judge.last_words) is not None:
            line = words.encode()
            before, _, _ = octets.partition(line)
            octets = before if self._judge.silent else before + line
        if octets:
            self._tcp.write(octets)

    # The end

    def _discard(self) -> None:
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def _close(self, reason: str) -> None:
        """Close when all is written; an unfinished message is forgotten."""
        if not self._closing:
            self._log.debug("connection {number} of the sandbox closes: {reason}", number=self._number, reason=reason)
            self._closing = True
            # A transport with a producer would wait for it to finish, and a paused one would not see the peer go.
            self._tcp.unregisterProducer()
            self._tcp.resumeProducing()
            self._tcp.loseConnection()
            self._wake_in(_CLOSING_SECONDS)
            self._discard()

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.reset(seconds)
        else:
            self._timer = self._house.clock.callLater(seconds, self._wake)

    def _wake(self) -> None:
        left = self._heard_at + IDLE_SECONDS - self._house.clock.seconds()
        if self._closing:
            self._tcp.abortConnection()
        elif left > 0:
            self._wake_in(left)
        else:
            self._guarded(self._session.leave, _IDLE, "idle")
