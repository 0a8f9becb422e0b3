"""
The three kinds of connection with which `probing` tries a host.

`Knocker` opens and closes.  `Talker` goes as far as the daemon would before its first message, and
asks a port that stays silent what it is.  `Listening` only hears what a port says, in the
clear or within TLS.  Each has `over`, which fires when its socket is closed.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpbridge.commands.trial import Speaks, Talk, speaks
from smtpbridge.relay.tls import ClientTls
from smtpbridge.relay.tls_words import loss
from smtpbridge.relay.wire import Wire, tls_version
from smtpbridge.smtp.client import ClientSession, Event, Ready, State, Unusable, UpgradeTls
from smtpbridge.smtp.commands import Hello, Mail, Plain, Verb
from smtpbridge.smtp.replies import BadReply, Reply, ReplyReader

_FIRST = 200
_RSET = Plain(Verb.RSET).encode()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Waits:
    """How long nothing may come before a port is asked what it is, and at any other point, in seconds."""

    greeting: float
    silence: float


class Ending(Protocol, Generic[T]):
    """A connection that comes to one result, and a timer for silence."""

    def __init__(self, clock: IReactorTime, waits: Waits) -> None:
        """Wait so long for each thing that should come."""
        self.over: Deferred[T] = Deferred(lambda _: self._wire.abortConnection())
        self._clock = clock
        self._waits = waits
        self._timer: IDelayedCall | None = None
        self._result: T | None = None

    @property
    def _wire(self) -> Wire:
        return cast(Wire, self.transport)

    def _wait(self, *, greeting: bool = False) -> None:
        self._wait_no_more()
        seconds = self._waits.greeting if greeting else self._waits.silence
        self._timer = self._clock.callLater(seconds, self._nothing_came)

    def _wait_no_more(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _nothing_came(self) -> None:
        """Nobody said a word for as long as there is patience."""

    def _end(self, result: T) -> None:
        if self._result is None:
            self._result = result
            self._wire.abortConnection()

    def _without_result(self, reason: Failure) -> T:
        """Return what it means that the other side ended it."""
        raise NotImplementedError

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The socket is closed, whoever did it."""
        self._wait_no_more()
        self.over.callback(self._without_result(reason) if self._result is None else self._result)


class Knocker(Ending[bool]):
    """Open a connection and close it."""

    def connectionMade(self) -> None:
        """That was all."""
        self._end(True)

    def _without_result(self, reason: Failure) -> bool:
        return True


@implementer(IHandshakeListener)
class Listening(Ending[tuple[Speaks, bool]]):
    """Hear what a port speaks, and whether it took a handshake; `tls` asks nobody who they are."""

    def __init__(self, clock: IReactorTime, waits: Waits, name: str, tls: ClientTls | None) -> None:
        super().__init__(clock, waits)
        self._name = name
        self._tls = tls
        self._encrypted = self._nudged = False

    def connectionMade(self) -> None:
        """TCP is up."""
        if self._tls is not None:
            self._wire.startTLS(self._tls)
        self._wait(greeting=self._tls is None)

    def handshakeCompleted(self) -> None:
        """It speaks TLS; within that it may say more."""
        self._encrypted = True
        self._wait(greeting=True)

    def dataReceived(self, data: bytes) -> None:
        """That is what it speaks."""
        self._end((speaks(data), self._encrypted))

    def _nothing_came(self) -> None:
        if self._nudged or (self._tls is not None and not self._encrypted):
            self._end((Speaks.NOTHING, self._encrypted))
        else:
            self._nudged = True
            self._wire.write(nudge(self._name))
            self._wait()

    def _without_result(self, reason: Failure) -> tuple[Speaks, bool]:
        return Speaks.NOTHING, self._encrypted


@implementer(IHandshakeListener)
class Talker(Ending[Talk]):
    """Make a connection ready for mail; where a `sender` is given, ask for it with MAIL and take it back with RSET."""

    def __init__(
        self,
        session: ClientSession,
        tls: ClientTls,
        clock: IReactorTime,
        waits: Waits,
        name: str,
        sender: str | None,
    ) -> None:
        super().__init__(clock, waits)
        self._session = session
        self._tls = tls
        self._name = name
        self._sender = sender
        self._first = b""
        self._secure = self._nudged = False
        self._tls_version = ""
        # What comes after MAIL: the session would take it for words out of turn.
        self._replies: ReplyReader | None = None
        self._answer: Reply | None = None

    def connectionMade(self) -> None:
        """TCP is up."""
        if self._session.state is State.HANDSHAKE:
            self._wire.startTLS(self._tls)
        self._wait(greeting=self._session.state is State.GREETING)

    def handshakeCompleted(self) -> None:
        """TLS is up and the name verified."""
        self._secure, self._first = True, b""
        self._tls_version = tls_version(self._wire)
        self._act(self._session.secured())
        self._wait(greeting=self._session.state is State.GREETING)

    def dataReceived(self, data: bytes) -> None:
        """Octets from the server."""
        self._first = self._first or data[:_FIRST]
        if self._nudged:
            self._end(self._talk("no greeting came", silent=True))
        elif self._replies is not None:
            self._read_answers(self._replies, data)
        else:
            self._act(self._session.receive(data))
        if self._result is None:
            self._wait()

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case UpgradeTls():
                    self._flush()
                    self._wire.startTLS(self._tls)
                case Ready():
                    self._ready()
                case Unusable():
                    self._end(self._talk(event.why, event.answer, state=event.stage))
        self._flush()

    def _ready(self) -> None:
        if self._sender is None:
            self._leave()
        else:
            self._replies = ReplyReader()
            self._wire.write(Mail(self._sender).encode())

    def _read_answers(self, replies: ReplyReader, data: bytes) -> None:
        """The answer to MAIL, then that to RSET, whatever it is."""
        replies.feed(data)
        try:
            while self._result is None and (answer := replies.next()) is not None:
                if self._answer is None:
                    self._answer = answer
                    self._wire.write(_RSET)
                else:
                    self._leave()
        except BadReply as error:
            self._end(self._talk(str(error)))

    def _leave(self) -> None:
        """Go in good manners; the timer runs on for a peer that never closes its side."""
        self._result = self._talk("")
        self._session.quit()
        self._flush()
        self._wire.loseConnection()
        self._wait()

    def _nothing_came(self) -> None:
        if self._result is not None:
            self._wire.abortConnection()
        elif self._session.state is State.GREETING and not self._nudged:
            # A web server says nothing before it is asked, and answers this; so may what speaks TLS.
            self._nudged = True
            self._wire.write(nudge(self._name))
            self._wait()
        else:
            self._end(self._talk("no answer in time", silent=True))

    def _flush(self) -> None:
        if out := self._session.data_to_send():
            self._wire.write(out)

    def _without_result(self, reason: Failure) -> Talk:
        why = loss(reason.value, within_handshake=self._session.state is State.HANDSHAKE)
        return self._talk(why, silent=self._nudged)

    def _talk(self, why: str, answer: Reply | None = None, *, state: State | None = None, silent: bool = False) -> Talk:
        return Talk(
            state=state or self._session.state,
            why=why,
            answer=answer,
            silent=silent,
            speaks=speaks(self._first) if self._first else Speaks.NOTHING,
            secure=self._secure,
            tls_version=self._tls_version,
            offered=self._session.capabilities,
            sender=self._answer,
        )


def nudge(name: str) -> bytes:
    """Return a greeting of ours; the empty line behind it ends what a web server takes for a request."""
    return Hello(name).encode() + b"\r\n"
