"""
One connection of a sender: the thin Twisted skin over `smtp.server`.

Theory of operation
-------------------

A `Sender` feeds its session, keeps the data of a message in a `Spool`, hands whole
messages to the bridge, and writes the session's replies in one piece for each batch
of octets that came in.

While the session waits for a verdict, octets that still come are left in
the kernel (`pauseProducing`): back-pressure, not memory.  A sender that
goes away behind its final dot changes nothing for its message.

An exception in one session ends that session with 421 and is logged; the peer
never sees its text.
"""

from collections import deque
from typing import assert_never

from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace, rfc5322_date
from smtpbridge.relay.admission import STOPPING
from smtpbridge.relay.auth import read_user_name
from smtpbridge.relay.deadlines import NEVER
from smtpbridge.relay.delivery import Delivery
from smtpbridge.relay.intake import sealed
from smtpbridge.relay.site import Site
from smtpbridge.relay.spool import Spool
from smtpbridge.relay.submission import Submission
from smtpbridge.relay.wire import Wire, wire_of
from smtpbridge.smtp.data import Block, Defects
from smtpbridge.smtp.events import Close, Event, MessageBegins, MessageDropped, MessageEnds, UpgradeTls
from smtpbridge.smtp.replies import Reply, printable, reply
from smtpbridge.smtp.sasl import LoginAttempt
from smtpbridge.smtp.server import ServerSession, State

_TIMEOUT = reply(421, "4.4.2", "Timeout; closing connection")
_BROKEN = reply(421, "4.3.0", "Internal error; closing connection")
# A handshake, or a peer that is to close, takes no longer than this, in seconds.
_SHORT = 60.0
# How many octets are read while a message waits for its verdict.
_READ_AHEAD = 4096


@implementer(IHandshakeListener)
class Sender(Protocol):
    """One connection of a sender."""

    _wire: Wire

    def __init__(self, gate: Site, address: str) -> None:
        """Serve a peer at `address`, empty for a local socket."""
        self.deadline = NEVER
        self.address = address
        self._gate = gate
        self._session = ServerSession(gate.terms_for(address))
        self._spool: Spool | None = None
        self._envelope = Envelope("", ())
        self._eight_bit = False
        self._subaccount = ""
        self._defaults = gate.habits.defaults
        self._pending: deque[Event] = deque()
        self._acting = False
        self._delivery: Delivery | None = None
        self._paused = self._choked = False
        self._lost = False

    # What Twisted calls

    def connectionMade(self) -> None:
        """A peer has connected."""
        self._wire = wire_of(self.transport)
        self._session.secure = ISSLTransport.providedBy(self.transport)
        if not self._session.secure:
            # With implicit TLS that waits for the handshake: what is written before it counts as not read.
            self._wire.registerProducer(_Brake(self), True)
        refusal = self._gate.admit(self, self.address)
        if refusal is not None:
            self._gate.log.warn("session refused client={client}: {why}", client=self.address, why=refusal)
        self._gate.deadlines.watch(self)
        self._act(self._session.greet(refusal))

    def dataReceived(self, data: bytes) -> None:
        """Octets from the peer."""
        try:
            self._act(self._session.receive(data))
        except Exception:
            self._fail()

    def handshakeCompleted(self) -> None:
        """TLS is up."""
        if self._session.state is State.HANDSHAKE:
            self._act(self._session.secured())
        elif self._session.state is not State.CLOSED:
            self._wire.registerProducer(_Brake(self), True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The peer is gone; a message whose final dot had come goes on."""
        self._lost = True
        self._orphan()
        self._gate.deadlines.forget(self)
        self._gate.leave(self, self.address)
        self._drop_spool()
        if self._session.state is State.DATA:
            self._gate.log.info(
                "connection lost within a message client={client} from=<{sender}>: nothing was kept",
                client=self.address,
                sender=self._envelope.sender,
            )

    def deadline_passed(self) -> None:
        """The peer was silent for too long, or does not close its side."""
        if self._session.state in (State.HANDSHAKE, State.CLOSED):
            self._wire.abortConnection()
            return
        self._gate.log.info(
            "timeout client={client} state={state}", client=self.address, state=self._session.state.name
        )
        self._act(self._session.leave(_TIMEOUT, "timeout"))

    def stop(self) -> None:
        """The service stops: say so, unless a message is under way; it is asked again when that is over."""
        if not self._session.in_transaction and self._session.state is not State.CLOSED:
            self._act(self._session.leave(STOPPING, "shutting down"))

    def cut(self) -> None:
        """The service stops and waits no longer."""
        self._orphan()
        self._act(self._session.leave(STOPPING, "shutting down"))

    # Acting

    def _act(self, events: list[Event]) -> None:
        """Do what the session wants; what a decision made on the way brings about is done in the same loop."""
        self._pending += events
        if self._acting:
            return
        self._acting = True
        try:
            while self._pending:
                self._do(self._pending.popleft())
        finally:
            self._acting = False
        self._flush()
        self._wait()
        if self._session.refused is not None:
            self._note_refusal()
        if self._gate.stopping:
            self.stop()

    def _note_refusal(self) -> None:
        """Log what a command was refused with; one line for a batch of commands."""
        refused, self._session.refused = self._session.refused, None
        self._gate.log.info(
            "refused client={client} user={user} answer={answer}",
            client=self.address or "local",
            user=printable(self._session.user or "-", 80),
            answer=refused,
        )

    def _do(self, event: Event) -> None:
        match event:
            case Block():
                if self._spool is not None:
                    self._spool.write(event.octets)
            case MessageBegins():
                self._spool = Spool(self._gate.habits.spool)
                self._envelope = Envelope(event.sender, event.recipients)
                self._eight_bit = event.eight_bit
            case MessageEnds():
                self._submit(event.defects)
            case MessageDropped():
                self._drop_spool()
            case LoginAttempt():
                self._log_in(event)
            case UpgradeTls():
                self._flush()
                assert self._gate.tls is not None, "STARTTLS was offered without a certificate"
                # RFC 3207, 4.2: who logged in before is not known any more.
                self._subaccount, self._defaults = "", self._gate.habits.defaults
                self._wire.startTLS(self._gate.tls)
            case Close():
                self._drop_spool()
                self._close()
            case _:
                assert_never(event)

    def _flush(self) -> None:
        if out := self._session.data_to_send():
            self._wire.write(out)

    def _wait(self) -> None:
        habits = self._gate.habits
        match self._session.state:
            case State.DATA:
                self.deadline = self._gate.deadlines.now() + habits.data
            case State.VERDICT:
                self.deadline = NEVER  # the bridge keeps that one
            case State.HANDSHAKE:
                self.deadline = self._gate.deadlines.now() + min(habits.idle, _SHORT)
            case State.CLOSED:
                return  # `_close` has set it, and a peer that goes on talking does not move it
            case _:
                self.deadline = self._gate.deadlines.now() + habits.idle
        self._read_or_not()

    def choke(self, choked: bool) -> None:
        """The peer does not read its replies, or reads them again."""
        self._choked = choked
        self._read_or_not()

    def _read_or_not(self) -> None:
        """Leave in the kernel what comes behind a message that waits, and what a peer sends that does not read."""
        if self._session.state is State.CLOSED or self._lost:
            return
        # A little is read on all the same: a peer that said QUIT behind its dot and hung up must be noticed.
        pause = self._choked or (self._session.waiting and self._session.buffered > _READ_AHEAD)
        if pause != self._paused:
            self._paused = pause
            (self._wire.pauseProducing if pause else self._wire.resumeProducing)()

    def _close(self) -> None:
        """Close when all is written; the peer has a short while to close its side."""
        self._flush()
        self.deadline = self._gate.deadlines.now() + min(self._gate.habits.idle, _SHORT)
        if self._paused and not self._lost:
            # TLS ends with octets of the peer: whoever does not read waits in vain.
            self._paused = False
            self._wire.resumeProducing()
        self._wire.unregisterProducer()
        self._wire.loseConnection()

    def _fail(self) -> None:
        self._gate.log.failure("internal error in a session client={client}", client=self.address)
        self._orphan()
        self._drop_spool()
        self._pending.clear()
        self._session.leave(_BROKEN, "internal error")
        self._close()

    def _drop_spool(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.discard()

    def _log_in(self, attempt: LoginAttempt) -> None:
        user = read_user_name(attempt.user)
        account = self._gate.accounts.admit(user, attempt.secret)
        accepted = account is not None
        if account is not None:
            self._subaccount = user.subaccount
            self._defaults = account.defaults.over(self._gate.habits.defaults)
        self._gate.log.info(
            "login {outcome} client={client} user={user} mechanism={mechanism}{odd}",
            outcome="accepted" if accepted else "refused",
            client=self.address,
            user=printable(user.name, 80),
            mechanism=attempt.mechanism,
            odd=f" unknown_suffix={printable(user.odd, 80)}" if user.odd else "",
        )
        self._act(self._session.login(accepted))

    # A message

    def _submit(self, defects: Defects) -> None:
        spool, self._spool = self._spool, None
        assert spool is not None
        habits = self._gate.habits
        content = sealed(spool, defects, reject_bare=habits.reject_bare, max_header=habits.max_header)
        if isinstance(content, Reply):
            self._refuse(content)
            return
        gate = self._gate
        message_id = gate.new_id()
        message = Submission(
            id=message_id,
            envelope=self._envelope,
            content=content,
            eight_bit=self._eight_bit,
            trace=self._trace(message_id),
            subaccount=self._subaccount,
            until=gate.deadlines.now() + gate.habits.verdict,
            defaults=self._defaults,
            source=self._session.user or self.address,
            queued=gate.habits.queue,
        )
        gate.log.info(
            "id={id} received client={client} helo={helo} user={user} from=<{sender}> to=<{first}> nrcpt={recipients} "
            "size={size}",
            id=message.id,
            client=self.address or "local",
            helo=self._session.peer_name,
            user=printable(self._session.user or "-", 80),
            sender=self._envelope.sender,
            first=self._envelope.recipients[0],
            recipients=len(self._envelope.recipients),
            size=content.size,
        )
        delivery = gate.bridge.submit(message, self._conclude)
        if not delivery.ended:
            self._delivery = delivery

    def _orphan(self) -> None:
        """The peer will not hear the answer to its message, and may send it again."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.orphan()

    def _trace(self, message_id: str) -> Trace:
        session = self._session
        # RFC 3848.
        protocol = "ESMTP" if session.extended else "SMTP"
        if session.extended:
            protocol += ("S" if session.secure else "") + ("A" if session.user is not None else "")
        date = rfc5322_date(self._gate.epoch())
        return Trace(session.terms.hostname, session.peer_name, self.address, protocol, message_id, date)

    def _refuse(self, answer: Reply) -> None:
        self._gate.log.info(
            "message refused client={client} from=<{sender}>: {answer}",
            client=self.address,
            sender=self._envelope.sender,
            answer=answer,
        )
        self._conclude(answer)

    def _conclude(self, answer: Reply) -> None:
        self._delivery = None
        if self._lost:
            return
        try:
            self._act(self._session.conclude(answer))
        except Exception:
            self._fail()


@implementer(IPushProducer)
class _Brake:
    """What the transport calls when replies pile up: a sender that reads none is not read either."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def pauseProducing(self) -> None:
        """Replies wait."""
        self._sender.choke(True)

    def resumeProducing(self) -> None:
        """They are written."""
        self._sender.choke(False)

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` follows."""
