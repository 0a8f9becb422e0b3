"""
One connection to the provider: the thin Twisted skin over `smtp.client`.

Theory of operation
-------------------

The skin feeds the session, acts on its events, writes what it returns, and owns
the deadlines of RFC 5321, 4.5.3.2.  It has one owner, the pool's `Caller`,
which is told exactly once that the connection is ready, and exactly once that
it is gone; between the two it may `send` one message at a time.

TLS comes with what `tls` made for the host, which verifies chain and name; the
session hears of the handshake only when both held.

A small message is one write: header, body and final dot together.  A large one
is streamed in blocks under the transport's back-pressure, and no block is
written before the one before it has left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol as Contract
from typing import cast

from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpbridge.relay.content import CHUNK
from smtpbridge.relay.deadlines import NEVER, Deadlines
from smtpbridge.relay.onlooker import Onlooker
from smtpbridge.relay.submission import Sendable
from smtpbridge.relay.tally import Limit
from smtpbridge.relay.tls_words import loss
from smtpbridge.relay.wire import Wire, secured, tls_version, wire_of
from smtpbridge.smtp.client import ClientSession, Concluded, Event, GoAhead, Ready, State, Unusable, UpgradeTls
from smtpbridge.smtp.commands import Mail
from smtpbridge.smtp.data import stuff
from smtpbridge.smtp.replies import MOST_LINES_READ, MOST_OCTETS_READ, Excess, Reply
from smtpbridge.values import value

_log = Logger(__name__)

# Each command on the way to READY has the time of a command.
_SETTING_UP = frozenset({State.HELLO, State.STARTTLS, State.SECURE_HELLO, State.AUTH, State.RESPONSES})
# In these a whole reply begins the time of the next.
_WAITING = _SETTING_UP | {State.ENVELOPE}

_EXCESSES = {Excess.LINE: Limit.MAX_REPLY_LINE_BYTES, Excess.LINES: Limit.MAX_REPLY_LINES}


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How long each phase may take, in seconds; defaults and minima of RFC 5321, 4.5.3.2.

    A reply may have `max_reply_lines` lines of `max_reply_line` octets.
    """

    connect: float = 30.0
    tls: float = 60.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    final: float = 600.0
    min_rate: float = 500.0
    max_reply_line: int = MOST_OCTETS_READ
    max_reply_lines: int = MOST_LINES_READ


@value
class Letter:
    """One transaction to send: envelope, header block (plain octets) and the body."""

    sender: str
    recipients: tuple[str, ...]
    eight_bit: bool
    header: bytes
    body: Sendable


class Caller(Contract):
    """Who opened the connection."""

    def ready(self, connection: "UpstreamConnection") -> None:
        """It takes mail now."""

    def gone(self, connection: "UpstreamConnection", why: str, answer: Reply | None) -> None:
        """It will not take mail any more, by no wish of the caller; `answer` is what the server said, if it did."""

    def reached(self, limit: Limit) -> None:
        """The server went beyond a bound."""

    def closed(self, connection: "UpstreamConnection") -> None:
        """Its socket is closed."""


class Overhearer(Contract):
    """Who hears first what is meant for a connection."""

    def read(self, data: bytes) -> None:
        """Octets from the server."""

    def lost(self, reason: Failure) -> None:
        """It is over."""


@implementer(IProtocol, IHandshakeListener, IPushProducer)
class UpstreamConnection:
    """One connection."""

    _wire: Wire

    def __init__(
        self,
        session: ClientSession,
        tls: IOpenSSLClientConnectionCreator,
        patience: Patience,
        deadlines: Deadlines,
        caller: Caller,
        label: str,
    ) -> None:
        """Speak as `session` says; `tls` verifies the server's name; `label` names the host in logs."""
        self.transport: ITransport | None = None
        self.onlooker: Onlooker | None = None
        self.session = session
        self.label = label
        self.deadline = NEVER
        self.tls_version = ""
        self._tls = tls
        self._patience = patience
        self._deadlines = deadlines
        self._caller = caller
        self._tap: Overhearer | None = None
        self._told_gone = False
        self._done: Callable[[Concluded], None] | None = None
        self._letter: Letter | None = None
        self._body_at = 0
        self._body_due = NEVER
        self._paused = False

    # What Twisted calls

    def makeConnection(self, transport: ITransport) -> None:
        """TCP is up."""
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """With implicit TLS the handshake comes first."""
        self._wire = wire_of(self.transport)
        self._deadlines.watch(self)
        if self.onlooker is not None:
            self.onlooker.begun(self)
        if self.session.state is State.HANDSHAKE:
            self._start_tls()
        else:
            self._wait(self._patience.greeting)

    def handshakeCompleted(self) -> None:
        """TLS is up and the name verified."""
        self._wire = secured(self._wire, self.transport, cast(Protocol, self))
        self.tls_version = tls_version(self._wire)
        self._act(self.session.secured())
        self._wait(self._patience.greeting if self.session.state is State.GREETING else self._patience.command)

    def dataReceived(self, data: bytes) -> None:
        """Octets from the server."""
        if self._tap is None:
            self.read(data)
        else:
            self._tap.read(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over, whoever ended it."""
        if self._tap is None:
            self.lost(reason)
        else:
            self._tap.lost(reason)

    # What a tap hands on

    def read(self, data: bytes) -> None:
        """Octets from the server, whoever heard them before."""
        session = self.session
        heard = session.heard
        self._act(session.receive(data))
        if session.state in _WAITING and session.heard != heard:
            self._wait_for_the_next()

    def lost(self, reason: Failure) -> None:
        """It is over, whoever heard of it before."""
        self._deadlines.forget(self)
        # The transport has let go of its producer by itself, and cannot be asked to any more.
        self._body_due = NEVER
        # In the middle of setting up, what TLS said is the cause that an operator needs.
        why = loss(reason.value, within_handshake=self.session.state is State.HANDSHAKE)
        concluded = self.session.lost()
        self._tell_gone(why, None)
        if concluded is not None:
            self._conclude(concluded)
        self._caller.closed(self)

    def deadline_passed(self) -> None:
        """The server took too long."""
        limit = Limit.MIN_RATE_BYTES if self.deadline == self._body_due else Limit.DEADLINES
        self.deadline = NEVER
        self._caller.reached(limit)
        self._give_up(f"no answer in time ({self.session.state.name.lower().replace('_', ' ')})", None)

    # What the owner calls

    def send(self, letter: Letter, done: Callable[[Concluded], None]) -> None:
        """Send one message; `done` is called once, with how it ended."""
        self._letter, self._done = letter, done
        session = self.session
        size = len(letter.header) + 2 + letter.body.body_size
        session.begin(Mail(letter.sender, size, letter.eight_bit), letter.recipients)
        self.deadline = self._deadlines.now() + self._patience.command
        self._wire.write(session.data_to_send())

    def retire(self) -> None:
        """Close in good manners (RFC 5321, 4.1.1.10); the reply to QUIT changes nothing."""
        self._told_gone = True
        self.session.quit()
        self._flush()
        self._wire.loseConnection()
        # A peer that never closes its side must not keep us.
        self._wait(self._patience.tls)

    def abandon(self, why: str) -> None:
        """Drop the transaction without a final dot, and the connection with it: the server gets nothing."""
        self._give_up(why, None)

    def replace_tap(self, tap: "Overhearer | None") -> None:
        """Let somebody else hear first, who hands it on to `read` and `lost`."""
        self._tap = tap

    @property
    def is_tapped(self) -> bool:
        """Tell whether somebody else hears first."""
        return self._tap is not None

    def replace_wire(self, wrap: Callable[[Wire], Wire]) -> None:
        """Write to what `wrap` makes of the wire."""
        self._wire = wrap(self._wire)

    @property
    def takes_mail(self) -> bool:
        """Tell whether another message can be sent here."""
        return self.session.state is State.READY

    @property
    def takes_eight_bit(self) -> bool:
        """Tell whether the server takes content of 8 bits (RFC 6152)."""
        return self.session.capabilities.eight_bit

    @property
    def behind_final_dot(self) -> bool:
        """Tell whether the server may take the message, whatever is done here."""
        return self.session.state is State.FINAL

    # Events

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                # One piece may hold a good answer and the server's farewell: what follows then ends it.
                case GoAhead() if self.session.state is State.BODY:
                    self._write_data()
                case Concluded():
                    self._conclude(event)
                case UpgradeTls():
                    self._flush()
                    self._start_tls()
                case Ready() if self.takes_mail:
                    self.deadline = NEVER
                    self._caller.ready(self)
                case Unusable():
                    if event.excess is not None:
                        self._caller.reached(_EXCESSES[event.excess])
                    self._give_up(event.why, event.answer)
        if self.session.to_send:
            self._flush()

    def _wait_for_the_next(self) -> None:
        """A whole reply has come: the time of the next begins.  An octet at a time must not hold a connection."""
        data = self.session.state is State.ENVELOPE and self.session.awaits_data
        self._wait(self._patience.data if data else self._patience.command)

    def _flush(self) -> None:
        if self.session.to_send:
            self._wire.write(self.session.data_to_send())

    def _wait(self, seconds: float) -> None:
        self.deadline = self._deadlines.now() + seconds

    def _start_tls(self) -> None:
        self._wait(self._patience.tls)
        self._wire.startTLS(self._tls)

    def _conclude(self, event: Concluded) -> None:
        if self._body_due != NEVER:
            self._stop_streaming()
        done, self._done, self._letter = self._done, None, None
        self.deadline = NEVER
        if done is not None:
            done(event)

    def _give_up(self, why: str, answer: Reply | None) -> None:
        concluded = self.session.lost()
        self._tell_gone(why, answer)
        self._stop_streaming()
        self._wire.abortConnection()
        if concluded is not None:
            self._conclude(concluded)

    def _tell_gone(self, why: str, answer: Reply | None) -> None:
        if not self._told_gone:
            self._told_gone = True
            self._caller.gone(self, why, answer)

    # The data of a message

    def _write_data(self) -> None:
        letter = self._letter
        assert letter is not None
        header = stuff(letter.header)
        body = letter.body.in_memory
        if body is not None and len(header) + len(body) < CHUNK:
            self.deadline = self._deadlines.now() + self._patience.final
            self._wire.write(b"".join((header, b"\r\n", body, self.session.end_data())))
            return
        start = header + b"\r\n"
        self._body_at = 0
        self._body_due = self._deadlines.now() + self._patience.block + letter.body.body_size / self._patience.min_rate
        self._paused = False
        self._wire.registerProducer(self, True)
        for at in range(0, len(start), CHUNK):
            self._wire.write(start[at : at + CHUNK])
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """The transport has room again."""
        self._paused = False
        # A deadline for each block, and a minimum rate for all of them together.
        self.deadline = min(self._deadlines.now() + self._patience.block, self._body_due)
        while not self._paused and self._letter is not None and self.session.state is State.BODY:
            chunk = self._letter.body.read(self._body_at)
            self._body_at += len(chunk)
            if not chunk and self._body_at < self._letter.body.body_size:
                self.abandon("the body is shorter than it was")
                return
            if self._body_at >= self._letter.body.body_size:
                self._wait(self._patience.final)
                self._wire.write(chunk + self.session.end_data())
                self._stop_streaming()
                return
            self._wire.write(chunk)

    def pauseProducing(self) -> None:
        """The transport is full."""
        self._paused = True

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` follows."""
        self._paused = True

    def _stop_streaming(self) -> None:
        if self._body_due != NEVER:
            self._body_due = NEVER
            self._wire.unregisterProducer()
