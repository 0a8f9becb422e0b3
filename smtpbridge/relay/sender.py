"""
One connection of a sender: the thin Twisted skin over `smtp.server`.

Theory of operation
-------------------

A `Sender` feeds its session, keeps the data of a message in a `Spool` unless they came
in one piece, hands whole messages to the bridge, and writes the session's replies in one
piece for each batch of octets that came in.

While the session waits for a verdict, octets that still come are left in
the kernel (`pauseProducing`): back-pressure, not memory.  A sender that
goes away behind its final dot changes nothing for its message.

An exception in one session ends that session with 421 and is logged; the peer
never sees its text.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import assert_never

from OpenSSL import SSL
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection as TcpConnection
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace, rfc5322_date
from smtpbridge.relay.admission import STOPPING, TOO_MANY_FROM_YOU, TOO_MANY_SESSIONS
from smtpbridge.relay.auth import read_user_name
from smtpbridge.relay.content import CHUNK, Content
from smtpbridge.relay.deadlines import NEVER, paced
from smtpbridge.relay.delivery import Delivery
from smtpbridge.relay.intake import sealed, taken
from smtpbridge.relay.logins import Accepted, Claim, Outcome, PutOff, Refused
from smtpbridge.relay.pace import TOO_MANY_CONNECTIONS, TOO_MANY_MESSAGES, Pace
from smtpbridge.relay.site import Habits, Site
from smtpbridge.relay.spool import Spool
from smtpbridge.relay.submission import Submission
from smtpbridge.relay.tallies import NO_UPSTREAM
from smtpbridge.relay.tally import Limit
from smtpbridge.relay.tls_words import reasons
from smtpbridge.relay.wire import Wire, secured, tls_version, wire_of
from smtpbridge.smtp import texts
from smtpbridge.smtp.data import Block, Defects
from smtpbridge.smtp.events import (
    Close,
    Event,
    MessageBegins,
    MessageDropped,
    MessageEnds,
    MessageWhole,
    UpgradeTls,
)
from smtpbridge.smtp.lines import Defect
from smtpbridge.smtp.proxy_protocol import BEGINNINGS
from smtpbridge.smtp.replies import Reply, printable, reply
from smtpbridge.smtp.sasl import LoginAttempt
from smtpbridge.smtp.server import WAITING, ServerSession, State

# To ask a class for a member costs as much as a call.
_DATA, _VERDICT, _CLOSED = State.DATA, State.VERDICT, State.CLOSED
_TIMEOUT = reply(421, "4.4.2", "Timeout; closing connection")
_NO_ROOM = reply(421, "4.3.1", "Insufficient system storage; closing connection")
_BROKEN = reply(421, "4.3.0", "Internal error; closing connection")
# The replies that say that a bound was reached.
_LIMITS = {
    texts.LINE_DEFECTS[Defect.TOO_LONG]: Limit.MAX_LINE_BYTES,
    texts.RESPONSE_DEFECTS[Defect.TOO_LONG]: Limit.MAX_LINE_BYTES,
    texts.PATIENCE: Limit.MAX_BAD_COMMANDS,
    texts.IDLENESS: Limit.MAX_IDLE_COMMANDS,
    texts.TOO_MANY: Limit.MAX_RECIPIENTS,
    texts.TOO_BIG: Limit.MAX_MESSAGE_BYTES,
    texts.ENDLESS: Limit.MAX_MESSAGE_BYTES,
    TOO_MANY_CONNECTIONS: Limit.MAX_CONNECTIONS_PER_MINUTE,
    TOO_MANY_MESSAGES: Limit.MAX_MESSAGES_PER_MINUTE,
    TOO_MANY_SESSIONS: Limit.MAX_SESSIONS,
    TOO_MANY_FROM_YOU: Limit.MAX_SESSIONS_PER_ADDRESS,
}
# A peer that is to close its side takes no longer than this, in seconds.
_SHORT = 60.0
# When the service stops nobody who just stays may keep it.
_SHORTEST = 5.0
# How many octets of commands are read at a time: in a block of data are a thousand of them, and others wait meanwhile.
_COMMANDS = 4096
# How many octets are read while a message waits for its verdict.
_READ_AHEAD = 4096


@implementer(IHandshakeListener)
class Sender(Protocol):
    """One connection of a sender."""

    _wire: Wire

    def __init__(
        self, gate: Site, address: str, *, balancer: str = "", counted_as: str | None = None, secure: bool = False
    ) -> None:
        """
        Serve a peer at `address`, empty for a local socket.

        `balancer` is the address of the one that speaks for it.  It is `counted_as` another address, or as none where
        that is empty.  `secure` tells that its TLS ended elsewhere.
        """
        self.deadline = NEVER
        self.address = address
        self._gate = gate
        self._balancer = balancer
        self._counted_as = address if counted_as is None else counted_as
        self._session = ServerSession(gate.terms_for(address), secure=secure)
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
        # Where the session stood when the deadline was set, and how many lines, and octets of data, it had read.
        self._stood = State.GREETED
        self._heard = -1
        self._seen = 0
        self._seen_at = 0.0
        # False while implicit TLS is still shaking hands.
        self._begun = True

    # What Twisted calls

    def connectionMade(self) -> None:
        """A peer has connected."""
        self._wire = wire_of(self.transport)
        if self._gate.tracing is not None:
            self._gate.tracing.begun(self)
        transport: object = self.transport
        self._tcp = transport if isinstance(transport, TcpConnection) else None
        self._read_at_most(_COMMANDS)
        self._begun = not ISSLTransport.providedBy(self.transport)
        self._session.secure = self._session.secure or not self._begun
        if self._begun:
            # With implicit TLS that waits for the handshake: what is written before it counts as not read.
            self._wire.registerProducer(_Brake(self), True)
        self._gate.deadlines.watch(self)
        refusal = self._gate.let_in(self, self._counted_as)
        self._gate.traffic.connected(welcome=refusal is None)
        if refusal is not None:
            if refusal in _LIMITS:
                self._gate.tally.reached(_LIMITS[refusal])
            self._gate.log.warn("session refused client={client}: {why}", client=self.address, why=refusal)
        self._act(self._session.greet(refusal))

    def dataReceived(self, data: bytes) -> None:
        """Octets from the peer."""
        try:
            if not self._session.heard and not self._balancer and data.startswith(BEGINNINGS):
                self._note_stranger()
            self._act(self._session.receive(data))
        except Exception:
            self._fail()

    def handshakeCompleted(self) -> None:
        """TLS is up."""
        self._wire = secured(self._wire, self.transport, self)
        self._gate.traffic.tls[tls_version(self._wire)] += 1
        if self._session.state is State.HANDSHAKE:
            self._act(self._session.secured())
        elif self._session.state is not State.CLOSED:
            self._begun = True
            self._heard = -1
            self._wire.registerProducer(_Brake(self), True)
            self._wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The peer is gone; a message whose final dot had come goes on."""
        self._lost = True
        self._orphan()
        self._gate.deadlines.forget(self)
        self._gate.leave(self, self._counted_as)
        self._drop_spool()
        if isinstance(reason.value, SSL.Error) and (self._session.state is State.HANDSHAKE or not self._begun):
            self._gate.traffic.tls_failed += 1
            self._gate.log.info(
                "TLS handshake failed client={client}: {why}", client=self.address or "local", why=reasons(reason.value)
            )
        if self._session.state is State.DATA:
            self._gate.log.info(
                "connection lost within a message client={client} from=<{sender}>: nothing was kept",
                client=self.address,
                sender=self._envelope.sender,
            )

    def deadline_passed(self) -> None:
        """The peer was silent for too long, or does not close its side."""
        if self._session.state is not State.CLOSED:
            self._note_timeout()
        if self._session.state in (State.HANDSHAKE, State.CLOSED) or not self._begun:
            self.deadline = NEVER
            self._wire.abortConnection()
        else:
            held_up = self._spool is not None and self._spool.held_up
            self._act(self._session.leave(_NO_ROOM if held_up else _TIMEOUT, "timeout"))

    def _note_timeout(self) -> None:
        limit = self._limit_of_time()
        self._gate.tally.reached(limit)
        self._gate.log.info(
            "timeout client={client} state={state} limit={limit}",
            client=self.address or "local",
            state=self._session.state.name,
            limit=limit.value,
        )

    def stop(self) -> None:
        """The service stops: say so, unless a message is under way; it is asked again when that is over."""
        if self._session.state is State.HANDSHAKE or not self._begun:
            self._wire.abortConnection()  # there is nobody to say it to yet
        elif not self._session.in_transaction and self._session.state is not State.CLOSED:
            self._act(self._session.leave(STOPPING, "shutting down"))

    def cut(self) -> None:
        """The service stops and waits no longer."""
        self._orphan()
        self._act(self._session.leave(STOPPING, "shutting down"))

    def _note_stranger(self) -> None:
        self._gate.log.warn(
            "PROXY header from client={client}, which is not in proxy_from of this listener, so it counts for nothing; "
            "write the balancer's network there if it is one",
            client=self.address or "local",
        )

    # What somebody who follows asks

    def replace_wire(self, wrap: Callable[[Wire], Wire]) -> None:
        """Write to what `wrap` makes of the wire."""
        self._wire = wrap(self._wire)

    @property
    def site(self) -> Site:
        """Where the peer has connected."""
        return self._gate

    @property
    def session(self) -> ServerSession:
        """What was said so far."""
        return self._session

    @property
    def balancer(self) -> str:
        """The address of who speaks for the peer, if somebody does."""
        return self._balancer

    # Acting

    def _act(self, events: list[Event]) -> None:
        """Do what the session wants; what a decision made on the way brings about is done in the same loop."""
        if self._acting:
            self._pending += events
            return
        if events:
            self._do_all(events)
        session = self._session
        if out := session.data_to_send():
            self._wire.write(out)
        self._wait()
        if session.refused is not None:
            self._note_refusal()
        if self._gate.stopping:
            self.stop()

    def _do_all(self, events: list[Event]) -> None:
        pending = self._pending
        self._acting = True
        try:
            for event in events:
                self._do(event)
            while pending:
                self._do(pending.popleft())
        finally:
            self._acting = False

    def _note_refusal(self) -> None:
        """Log what a command was refused with; one line for a batch of commands."""
        refused, self._session.refused = self._session.refused, None
        if refused is texts.TOO_BIG:
            self._read_at_most(_COMMANDS)
        if refused in _LIMITS:
            self._gate.tally.reached(_LIMITS[refused])
        if refused is not None:
            self._gate.traffic.refused(refused.code)
        self._gate.log.info(
            "refused client={client} user={user} answer={answer}",
            client=self.address or "local",
            user=printable(self._session.user or "-", 80),
            answer=refused,
        )

    def _do(self, event: Event) -> None:
        match event:
            case MessageBegins():
                self._read_at_most(CHUNK)
                self.deadline = self._gate.deadlines.now() + self._gate.habits.data
                self._seen = 0
                self._envelope = Envelope(event.sender, event.recipients)
                self._eight_bit = event.eight_bit
            case MessageWhole():
                self._read_at_most(_COMMANDS)
                self._take(event.octets)
            case Block():
                self._begun_spool().write(event.octets)
            case MessageEnds():
                self._read_at_most(_COMMANDS)
                self._seal(event.defects)
            case MessageDropped():
                self._drop_spool()
            case LoginAttempt():
                self._log_in(event)
            case UpgradeTls():
                self._flush()
                assert self._gate.tls is not None, "STARTTLS was offered without a certificate"
                # RFC 3207, 4.2: who logged in before is not known any more.
                self._subaccount, self._defaults = "", self._gate.habits.defaults
                if self._session.terms.judge is not None:
                    self._judge(self._gate.judge_for(self.address))
                self._wire.startTLS(self._gate.tls)
            case Close():
                self._drop_spool()
                self._close()
            case _:
                assert_never(event)

    def _read_at_most(self, octets: int) -> None:
        """Say how much is read at a time, and how much may wait to be written before the sender is not read."""
        if self._tcp is not None:
            self._tcp.bufferSize = octets

    def _flush(self) -> None:
        if out := self._session.data_to_send():
            self._wire.write(out)

    def _wait(self) -> None:
        """
        Set the deadline of the phase that the session is in.

        A command has its time from the end of the one before it: an octet now and then does not move it.
        """
        session = self._session
        state = session.state
        if state is _DATA:
            self._wait_for_data()
        elif state is _VERDICT:
            self.deadline = NEVER  # the bridge keeps that one
        elif state is _CLOSED:
            return  # `_close` has set it, and a peer that goes on talking does not move it
        elif state is not self._stood or session.heard != self._heard:
            handshake = not self._begun or state is State.HANDSHAKE
            habits = self._gate.habits
            self.deadline = self._gate.deadlines.now() + (habits.handshake if handshake else habits.idle)
        self._stood = state
        self._heard = session.heard
        if self._paused or self._choked or self._spool is not None or state in WAITING:
            self._read_or_not()

    def _wait_for_data(self) -> None:
        """Move the deadline by what has come; silence and a trickle both let it pass."""
        came = self._session.data_size - self._seen
        if came:
            habits = self._gate.habits
            self._seen += came
            self._seen_at = self._gate.deadlines.now()
            if self._spool is not None and self._spool.held_up:
                self.deadline = self._seen_at + habits.data
            else:
                self.deadline = paced(self.deadline, self._seen_at, came, grace=habits.data, min_rate=habits.min_rate)

    def _limit_of_time(self) -> Limit:
        if self._session.state is State.HANDSHAKE or not self._begun:
            return Limit.HANDSHAKE_SECONDS
        if self._session.state is not State.DATA:
            return Limit.IDLE_SECONDS
        if self._spool is not None and self._spool.held_up:
            return Limit.MAX_TEMPORARY_BYTES
        slow = self._seen > 0 and self.deadline < self._seen_at + self._gate.habits.data
        return Limit.MIN_RATE_BYTES if slow else Limit.DATA_SECONDS

    def _room(self) -> None:
        """There is room for what this sender sends: it has its time anew."""
        self.deadline = self._gate.deadlines.now() + self._gate.habits.data
        self._read_or_not()

    @property
    def paused(self) -> bool:
        """Tell whether the peer is not read at the moment."""
        return self._paused

    def choke(self, choked: bool) -> None:
        """The peer does not read its replies, or reads them again."""
        self._choked = choked
        self._read_or_not()

    def _read_or_not(self) -> None:
        """Leave in the kernel what comes behind a message that waits, and what a peer sends that does not read."""
        session, spool = self._session, self._spool
        if session.state is _CLOSED or self._lost:
            return
        # A little is read on all the same: a peer that said QUIT behind its dot and hung up must be noticed.
        held_up = spool is not None and spool.held_up
        pause = self._choked or held_up or (session.waiting and session.buffered > _READ_AHEAD)
        if pause != self._paused:
            self._paused = pause
            (self._wire.pauseProducing if pause else self._wire.resumeProducing)()

    def _close(self) -> None:
        """Close when all is written; the peer has a short while to close its side."""
        self._flush()
        patience = _SHORTEST if self._gate.stopping else _SHORT
        self.deadline = self._gate.deadlines.now() + min(self._gate.habits.idle, patience)
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
        trusted = self._session.terms.trusted
        claim = Claim(self.address, user, attempt.secret, attempt.mechanism, trusted=trusted)
        self._gate.logins.decide(self._gate.accounts, claim, partial(self._answer_login, user.subaccount))

    def _answer_login(self, subaccount: str, outcome: Outcome) -> None:
        if self._lost:
            return
        try:
            match outcome:
                case Accepted():
                    if outcome.account.messages.bounded:
                        self._judge(self._gate.judge_for(self.address, outcome.account))
                    self._subaccount = subaccount
                    self._defaults = outcome.account.defaults.over(self._gate.habits.defaults)
                    self._act(self._session.login(True))
                case Refused():
                    self._act(self._session.login(False))
                case PutOff():
                    self._act(self._session.login(None))
                case _:
                    assert_never(outcome)
        except Exception:
            self._fail()

    def _judge(self, judge: Pace | None) -> None:
        """Say who looks how often messages come from now on."""
        self._session.terms = replace(self._session.terms, judge=judge)

    # A message

    def _begun_spool(self) -> Spool:
        """Return where the blocks of the message go."""
        if self._spool is None:
            self._spool = Spool(self._gate.habits.spool, self._gate.budget, self._room)
        return self._spool

    def _take(self, octets: bytes) -> None:
        """The data have come in one piece, without a defect."""
        gate = self._gate
        habits = gate.habits
        content = taken(
            octets,
            gate.budget,
            threshold=habits.spool,
            max_header=habits.max_header,
            max_fields=habits.max_fields,
        )
        if content is None:
            self._begun_spool().write(octets)
            self._seal(Defects())
        elif isinstance(content, Content):
            self._submit(content, habits)
        else:
            self._refuse(content, len(octets))

    def _seal(self, defects: Defects) -> None:
        """The data have come to their end."""
        spool, self._spool = self._begun_spool(), None
        habits = self._gate.habits
        content = sealed(
            spool,
            defects,
            reject_bare=habits.reject_bare,
            max_header=habits.max_header,
            max_fields=habits.max_fields,
        )
        if isinstance(content, Reply):
            self._refuse(content, spool.size)
        else:
            self._submit(content, habits)

    def _submit(self, content: Content, habits: Habits) -> None:
        gate, session, envelope = self._gate, self._session, self._envelope
        user = session.user
        message_id = gate.new_id()
        until = gate.deadlines.now() + habits.verdict
        # By position: eleven names cost twice as much as all the rest of it.
        message = Submission(
            message_id,
            envelope,
            content,
            self._eight_bit,
            self._trace(message_id),
            self._subaccount,
            until,
            self._defaults,
            user or self.address,
            habits.queue,
            gate.traffic,
        )
        gate.log.info(
            "id={id} received client={client} helo={helo} user={user} from=<{sender}> to=<{first}> nrcpt={recipients} "
            "size={size}",
            id=message_id,
            client=self.address or "local",
            helo=session.peer_name,
            user=printable(user, 80) if user else "-",
            sender=envelope.sender,
            first=envelope.recipients[0],
            recipients=len(envelope.recipients),
            size=content.size,
            log_recipients=envelope.recipients,  # not in the line: who looks for a message later wants all
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

    def _refuse(self, answer: Reply, octets: int) -> None:
        self._gate.traffic.verdict(answer.code, NO_UPSTREAM, len(self._envelope.recipients), octets, 0.0)
        if (limit := self._gate.limits.get(answer)) is not None:
            self._gate.tally.reached(limit)
        self._gate.log.info(
            "message refused client={client} from=<{sender}>: {answer}",
            client=self.address,
            sender=self._envelope.sender,
            answer=answer,
            log_recipients=self._envelope.recipients,
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
