"""
One SMTP session seen from the server, without I/O (RFC 5321, 3 and 4).

Theory of operation
-------------------

The skin passes on what the peer sent (`receive`), acts on the events that come
back, and then writes `data_to_send()`: the replies of the whole batch in one
piece, in the order of the commands.

Three things take a decision from outside: a login, a TLS handshake, the
verdict on a message.  While one of them is open the session reads no further;
what the peer pipelined waits in the line reader, so replies cannot overtake
each other.  `login`, `secured` and `conclude` give the decision and go on.

What a command does in which state stands in one table, `_STEPS`; whatever is
not in it is refused as a bad sequence.  Two short ways lead past it for what nearly
every message is: an envelope that comes in one piece (`envelope`), and data that do
(`data.whole`).  They end where the long ways end.

    GREETED --EHLO--> READY --MAIL--> MAIL --RCPT--> RCPT --DATA--> DATA --.--> VERDICT --> READY
    READY --AUTH--> RESPONSE --> LOGIN --> READY        GREETED, READY --STARTTLS--> HANDSHAKE --> GREETED

STARTTLS forgets all that was said before it, and a peer that sent anything
behind it in the clear is cut off: those octets could have been injected
(RFC 3207, 4.2 and 6).

What must not be known here: sockets, time, who the users are, what a message is.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import lru_cache
from typing import TypeAlias

from smtpbridge.smtp import texts
from smtpbridge.smtp.commands import UNKNOWN, Auth, Command, Hello, Mail, Recipient, Verb, read_command
from smtpbridge.smtp.data import Block, Defects, End, EndFinder, whole
from smtpbridge.smtp.envelope import ENVELOPE, LONGEST_LINE, read_envelope
from smtpbridge.smtp.events import (
    Close,
    Event,
    MessageBegins,
    MessageDropped,
    MessageEnds,
    MessageWhole,
    Terms,
    UpgradeTls,
)
from smtpbridge.smtp.lines import Defect, LineReader
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.smtp.sasl import MAX_RESPONSE, MECHANISMS, Exchange, LoginAttempt, Prompt


class State(Enum):
    """Where a session stands."""

    GREETED = auto()
    READY = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    VERDICT = auto()
    RESPONSE = auto()
    LOGIN = auto()
    HANDSHAKE = auto()
    CLOSED = auto()

    # Enum's own hash is a Python function, and the table is asked for each command.
    __hash__ = object.__hash__


# To ask a class for a member costs as much as a call.
_READY, _DATA, _VERDICT, _HANDSHAKE, _CLOSED = State.READY, State.DATA, State.VERDICT, State.HANDSHAKE, State.CLOSED
# Commands that a peer could repeat for ever; each is right by itself.
_IDLE = frozenset({Verb.EHLO, Verb.HELO, Verb.RSET, Verb.NOOP, Verb.VRFY, Verb.HELP})
# Recipients over the limit, until a message is whole, that are no error.
_OVERSHOOT = 1000
# Data over the limit are read to their end, so that the sender hears why; data of so many times the limit have none.
_FAR_TOO_BIG = 10
# Where nothing is read until a decision has come.
WAITING = frozenset({State.VERDICT, State.LOGIN, State.HANDSHAKE, State.CLOSED})
_READING = frozenset(State) - WAITING - {State.DATA}
_TRANSACTION = frozenset({State.MAIL, State.RCPT, State.DATA, State.VERDICT})


class ServerSession:
    """The server's half of one connection."""

    def __init__(self, terms: Terms, *, secure: bool = False) -> None:
        """Begin; `secure` tells that TLS is up already."""
        self.terms = terms
        self.secure = secure
        self.state = State.GREETED
        self.peer_name = ""
        self.extended = False
        self.user: str | None = None
        self._lines = LineReader(terms.max_line)
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self.refused: Reply | None = None
        # How many lines were read; the skin's deadline starts anew with each, and not with each octet.
        self.heard = 0
        self._bad = self._idle = self._overshot = 0
        self._mail = Mail("")
        self._recipients: list[str] = []
        # None until data have come that are not whole.
        self._finder: EndFinder | None = None
        self._size = 0
        self._exchange: Exchange | None = None
        self._claimed = ""

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    def greet(self, refusal: Reply | None = None) -> list[Event]:
        """Say the greeting, or refuse the whole session with it."""
        if refusal is not None:
            return self._leave(refusal, "refused at once")
        self._out.append(_greeting(self.terms.hostname))
        return []

    def receive(self, octets: bytes) -> list[Event]:
        """Take what the peer sent; return what is to be done about it, in order."""
        state = self.state
        if state is _DATA:
            self._read_data(octets)
        elif state is _HANDSHAKE:
            # In the clear, but too late for `_starttls` to see: TLS octets do not come here before `secured`.
            return self._give_up(texts.LEFTOVER, "octets in the clear behind STARTTLS")
        elif state is not _CLOSED:
            self._lines.feed(octets)
        return self._run()

    def login(self, accepted: bool | None) -> list[Event]:
        """Decide about the `LoginAttempt`; `None` says that it could not be looked into."""
        if self.state is State.LOGIN:
            self.state = State.READY
            if accepted:
                self.user = self._claimed
                self._say(texts.LOGGED_IN)
            elif accepted is None:
                # No fault of the peer's, so it is not held against it as one.
                self._put_off(texts.LOGIN_BUSY)
            else:
                self._refuse(texts.LOGIN_REFUSED)
        return self._run()

    def secured(self) -> list[Event]:
        """The handshake is done: begin anew, with nothing known of the peer (RFC 3207, 4.2)."""
        if self.state is State.HANDSHAKE:
            self.state = State.GREETED
            self.secure = True
            self.peer_name, self.extended, self.user = "", False, None
        return []

    def conclude(self, verdict: Reply) -> list[Event]:
        """Answer the final dot."""
        if self.state is _VERDICT:
            self._forget_transaction()
            self._say(verdict)
        return self._run()

    def leave(self, last_words: Reply, reason: str) -> list[Event]:
        """End the session from this side, where RFC 5321, 3.8 allows it: with 421, or behind a verdict."""
        if self.state is State.CLOSED:
            return []
        return self._leave(last_words, reason)

    @property
    def waiting(self) -> bool:
        """Tell whether the session reads nothing until a decision has come."""
        return self.state in WAITING

    @property
    def in_transaction(self) -> bool:
        """Tell whether a message has been begun."""
        return self.state in _TRANSACTION

    @property
    def may_relay(self) -> bool:
        """Tell whether the peer may send at all."""
        return self.user is not None or (self.terms.trusted and not self.terms.auth_required)

    @property
    def buffered(self) -> int:
        """How many octets wait unread."""
        return len(self._lines)

    @property
    def data_size(self) -> int:
        """How many octets of the present, or the last, message have come."""
        return self._size

    # Reading

    def _run(self) -> list[Event]:
        if len(self._lines):
            self._read_lines()
        events, self._events = self._events, []
        return events

    def _read_lines(self) -> None:
        if self.state is _READY:
            self._read_envelope()
        while self.state in _READING and (line := self._lines.next()) is not None:
            self.heard += 1
            if self._exchange is not None:
                # A line that is no response ends the exchange too: else the next command would be taken for one.
                self._answer_exchange(
                    texts.RESPONSE_DEFECTS[line] if isinstance(line, Defect) else self._exchange.respond(line)
                )
            elif isinstance(line, Defect):
                self._refuse(texts.LINE_DEFECTS[line])
            else:
                self._obey(line, read_command(line))

    def _read_envelope(self) -> None:
        """Go the short way to the data, if the next commands are an envelope and none of them would be refused."""
        terms = self.terms
        if terms.judge is not None or terms.max_line < LONGEST_LINE or not self.may_relay:
            return
        found = self._lines.peek(ENVELOPE)
        message = read_envelope(found, terms.max_message, terms.max_recipients) if found is not None else None
        if found is not None and message is not None:
            self._lines.skip(found)
            count = len(message.recipients)
            self.heard += count + 2
            self._out.append(texts.SENDER_OK + texts.RECIPIENT_OK * count)
            self._begin_data(message)

    def _obey(self, line: bytes, command: Command | Reply) -> None:
        if isinstance(command, Reply):
            if command is UNKNOWN and line.upper().startswith(texts.HTTP):
                self._events += self._give_up(texts.NO_HTTP, "the peer speaks HTTP")
            else:
                self._refuse(command)
            return
        verb = command.verb
        step = _STEPS.get((self.state, verb))
        if step is None:
            self._refuse(self._out_of_sequence(verb))
        elif verb in _IDLE and self._too_idle():
            self._events += self._give_up(texts.IDLENESS, "too many commands without a message")
        else:
            step(self, command)

    def _too_idle(self) -> bool:
        """Count a command that brings no message nearer."""
        self._idle += 1
        return self._idle > self.terms.max_idle_commands

    def _out_of_sequence(self, verb: Verb) -> Reply:
        if self.state is State.GREETED:
            return texts.HELLO_FIRST
        if verb is Verb.RCPT:
            return texts.MAIL_FIRST
        if verb is Verb.DATA:
            return texts.NO_RECIPIENT if self.state is State.MAIL else texts.MAIL_FIRST
        return texts.SEQUENCE

    def _read_data(self, octets: bytes) -> None:
        most = self.terms.max_message
        finder = self._finder
        if finder is None:
            data = whole(octets)
            if data is not None and len(data) <= most:
                self._size = len(data)
                self._await_verdict(MessageWhole(data))
                return
            finder = self._finder = EndFinder()
        for found in finder.feed(octets):
            match found:
                case Block():
                    within = self._size <= most
                    self._size += len(found.octets)
                    if self._size <= most:
                        self._events.append(found)
                        continue
                    if within:
                        self._events.append(MessageDropped())
                    if self._size > _FAR_TOO_BIG * most:
                        self._events += self._give_up(texts.ENDLESS, "data without end")
                        return
                case End():
                    self._lines.feed(found.rest)
                    self._end_data(found.defects)

    def _end_data(self, defects: Defects) -> None:
        if self._size > self.terms.max_message:
            self._idle = self._overshot = 0
            self._forget_transaction()
            self.refused = texts.TOO_BIG
            self._say(texts.TOO_BIG)
            return
        self._await_verdict(MessageEnds(defects))

    def _await_verdict(self, end: MessageEnds | MessageWhole) -> None:
        self._idle = self._overshot = 0
        self.state = _VERDICT
        self._events.append(end)

    # Saying

    def _say(self, answer: Reply) -> None:
        self._out.append(answer.encode())

    def _refuse(self, answer: Reply) -> None:
        self.refused = answer
        self._bad += 1
        if self._bad > self.terms.max_bad_commands:
            self._events += self._give_up(texts.PATIENCE, "too many errors")
        else:
            self._say(answer)

    def _put_off(self, answer: Reply) -> None:
        """Say no to what is no error; it brings no message nearer, and can be repeated for ever like other such."""
        self.refused = answer
        if self._too_idle():
            self._events += self._give_up(texts.IDLENESS, "too many commands without a message")
        else:
            self._say(answer)

    def _give_up(self, last_words: Reply, reason: str) -> list[Event]:
        """Leave because of what the peer did: a limit that it went beyond, or what no sender does."""
        self.refused = last_words
        return self._leave(last_words, reason)

    def _leave(self, last_words: Reply, reason: str) -> list[Event]:
        self.state = State.CLOSED
        self._say(last_words)
        self._lines.take_rest()
        return [Close(reason)]

    # Steps of the table

    def _hello(self, command: Command) -> None:
        assert isinstance(command, Hello)
        self._forget_transaction()
        self.peer_name, self.extended = command.name, command.extended
        self._out.append(_welcome(self.terms.hostname, tuple(self._keywords()) if command.extended else ()))

    def _keywords(self) -> Sequence[str]:
        if self.terms.keywords is not None:
            return self.terms.keywords
        found = ["PIPELINING", f"SIZE {self.terms.max_message}", "8BITMIME", "ENHANCEDSTATUSCODES"]
        if self.terms.starttls and not self.secure:
            found.append("STARTTLS")
        if self._auth_possible():
            # The second spelling is for clients older than RFC 2554; SparkPost shows both.
            found += ["AUTH LOGIN PLAIN", "AUTH=LOGIN PLAIN"]
        return [*found, "HELP"]

    def _auth_possible(self) -> bool:
        return self.terms.auth_offered and (self.secure or self.terms.trusted)

    def _starttls(self, _: Command) -> None:
        if not self.terms.starttls or self.secure:
            self._refuse(texts.NO_STARTTLS)
        elif len(self._lines):
            self._events += self._give_up(texts.LEFTOVER, "commands behind STARTTLS")
        else:
            self.state = State.HANDSHAKE
            self._say(texts.READY_FOR_TLS)
            self._events.append(UpgradeTls())

    def _auth(self, command: Command) -> None:
        assert isinstance(command, Auth)
        if not self.terms.auth_offered:
            self._refuse(texts.NO_AUTH)
        elif not self._auth_possible():
            self._refuse(texts.TLS_FOR_AUTH)
        elif self.user is not None:
            self._refuse(texts.SEQUENCE)  # RFC 4954, 4: once is enough
        elif command.mechanism not in MECHANISMS:
            self._refuse(texts.MECHANISM)
        else:
            self._exchange = Exchange(command.mechanism)
            self.state = State.RESPONSE
            self._lines.limit = MAX_RESPONSE
            self._answer_exchange(self._exchange.begin(command.initial))

    def _answer_exchange(self, step: Prompt | LoginAttempt | Reply) -> None:
        match step:
            case Prompt():
                self._out.append(step.line)
                return
            case LoginAttempt():
                self.state, self._claimed = State.LOGIN, step.user
                self._events.append(step)
            case Reply():
                self.state = State.READY
                self._refuse(step)
        self._exchange = None
        self._lines.limit = self.terms.max_line

    def _mail_from(self, command: Command) -> None:
        assert isinstance(command, Mail)
        if not self.may_relay:
            self._refuse(self._who_are_you())
            return
        opinion = self._opinion_of(command)
        if opinion is not None and not opinion.is_positive:
            self._put_off(opinion)
        elif self._judged(opinion, texts.SENDER_OK):
            self._mail = command
            self.state = State.MAIL

    def _opinion_of(self, command: Mail) -> Reply | None:
        if command.size is not None and command.size > self.terms.max_message:
            return texts.TOO_BIG
        return self.terms.judge.sender(command) if self.terms.judge else None

    def _judged(self, opinion: Reply | None, otherwise: bytes) -> bool:
        """Say what the judge thinks, or `otherwise` without one; tell whether that lets the address in."""
        if opinion is None:
            self._out.append(otherwise)
            return True
        self._say(opinion)
        if not opinion.is_positive:
            self.refused = opinion
        return opinion.is_positive

    def _who_are_you(self) -> Reply:
        if self._auth_possible():
            return texts.AUTH_FIRST
        if self.terms.auth_offered and self.terms.starttls:
            return texts.TLS_FIRST
        return texts.NO_RELAY

    def _rcpt_to(self, command: Command) -> None:
        assert isinstance(command, Recipient)
        if len(self._recipients) >= self.terms.max_recipients:
            self._refuse_recipient()
            return
        judge = self.terms.judge
        opinion = judge.recipient(command.address, len(self._recipients)) if judge else None
        if self._judged(opinion, texts.RECIPIENT_OK):
            self._recipients.append(command.address)
            self.state = State.RCPT

    def _refuse_recipient(self) -> None:
        """Refuse one too many; who overshoots by far does not listen, and each is an error then (as with Postfix)."""
        self._overshot += 1
        if self._overshot > _OVERSHOOT:
            self._refuse(texts.TOO_MANY)
        else:
            self.refused = texts.TOO_MANY
            self._say(texts.TOO_MANY)

    def _data(self, _: Command) -> None:
        self._begin_data(MessageBegins(self._mail.sender, tuple(self._recipients), self._mail.eight_bit))

    def _begin_data(self, message: MessageBegins) -> None:
        self.state = _DATA
        self._finder = None
        self._size = 0
        self._out.append(texts.GO_AHEAD)
        self._events.append(message)
        if rest := self._lines.take_rest():
            self._read_data(rest)

    def _reset(self, _: Command) -> None:
        self._forget_transaction()
        self._out.append(texts.OK)

    def _forget_transaction(self) -> None:
        self._recipients = []
        self.state = _READY

    def _noop(self, _: Command) -> None:
        self._out.append(texts.OK)

    def _reset_early(self, _: Command) -> None:
        self._out.append(texts.OK)

    def _verify(self, _: Command) -> None:
        self._say(texts.CANNOT_VERIFY)

    def _help(self, _: Command) -> None:
        words = " ".join(verb.value for verb in Verb)
        self._say(Reply(214, "2.0.0", ("This is smtpbridge, an SMTP relay.  Commands:", words)))

    def _quit(self, _: Command) -> None:
        self._events += self._leave(texts.BYE, "QUIT")


# What is said to every peer; a process has a few listeners, each with a few sets of conditions.
@lru_cache(maxsize=64)
def _greeting(hostname: str) -> bytes:
    return reply(220, "", f"{hostname} ESMTP smtpbridge").encode()


@lru_cache(maxsize=64)
def _welcome(hostname: str, keywords: tuple[str, ...]) -> bytes:
    return Reply(250, "", (hostname, *keywords)).encode()


Step: TypeAlias = Callable[[ServerSession, Command], None]

_ANYWHERE: dict[Verb, Step] = {
    Verb.EHLO: ServerSession._hello,
    Verb.HELO: ServerSession._hello,
    Verb.NOOP: ServerSession._noop,
    Verb.VRFY: ServerSession._verify,
    Verb.HELP: ServerSession._help,
    Verb.QUIT: ServerSession._quit,
}
_STEPS: dict[tuple[State, Verb], Step] = {
    **{
        (state, verb): step
        for state in (State.GREETED, State.READY, State.MAIL, State.RCPT)
        for verb, step in _ANYWHERE.items()
    },
    # RFC 5321, 4.1.4: RSET is allowed before EHLO and changes nothing there.
    (State.GREETED, Verb.RSET): ServerSession._reset_early,
    (State.GREETED, Verb.STARTTLS): ServerSession._starttls,
    (State.READY, Verb.RSET): ServerSession._reset,
    (State.READY, Verb.STARTTLS): ServerSession._starttls,
    (State.READY, Verb.AUTH): ServerSession._auth,
    (State.READY, Verb.MAIL): ServerSession._mail_from,
    (State.MAIL, Verb.RSET): ServerSession._reset,
    (State.MAIL, Verb.RCPT): ServerSession._rcpt_to,
    (State.RCPT, Verb.RSET): ServerSession._reset,
    (State.RCPT, Verb.RCPT): ServerSession._rcpt_to,
    (State.RCPT, Verb.DATA): ServerSession._data,
}
