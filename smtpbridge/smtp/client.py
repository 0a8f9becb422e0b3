"""
One SMTP connection seen from the client, without I/O (RFC 5321, 3 and 4).

Theory of operation
-------------------

The skin passes on what the server sent (`receive`), acts on the events, writes
`data_to_send()`.  The session first makes itself ready for mail:

    GREETING -> HELLO -> STARTTLS -> HANDSHAKE -> SECURE_HELLO -> AUTH -> (RESPONSES) -> READY

With implicit TLS the handshake comes first and STARTTLS is skipped.  There is
no way to AUTH or MAIL without TLS, and nothing that was read before the
handshake counts after it.  Then, once for each message:

    READY --begin--> ENVELOPE --354--> BODY --end_data--> FINAL --> READY
                              \\--no recipient accepted but 354--> LONE_DOT --> READY

With PIPELINING the envelope is one write: RSET (not on a fresh connection),
MAIL, all RCPT, DATA.  All replies are read, whatever the first one says, so
the two sides stay in step (RFC 2920, 3.1).  Nothing is sent behind the final
dot before its reply, because Infobip asks for that.

`Concluded` ends a transaction and says what each command was answered, and in
which phase it ended: before `Phase.FINAL` the server has not got the
message, whatever happens; in it, without a reply, nobody can know.

What a reply does in which state stands in one table, `_STEPS`; a reply in a
state that expects none ends the connection.

Nearly every message is taken without a word against it: all commands of the
envelope are answered with yes, DATA with 354, the final dot with 250, each batch
in one piece.  `receive` knows these two pieces and does at once what the table would
do step by step.
"""

from collections.abc import Callable
from functools import lru_cache

from smtpbridge.smtp.capabilities import NOTHING, Capabilities
from smtpbridge.smtp.client_events import Concluded, Event, GoAhead, Phase, Ready, State, Unusable, UpgradeTls
from smtpbridge.smtp.commands import Auth, Hello, Mail, Plain, Recipient, Verb
from smtpbridge.smtp.paths import matches_address
from smtpbridge.smtp.replies import BadReply, Excess, Reply, ReplyReader
from smtpbridge.smtp.sasl import client_responses

# Whoever speaks to a session needs its events, so they can be had here too.
__all__ = ["ClientSession", "Concluded", "Event", "GoAhead", "Phase", "Ready", "State", "Unusable", "UpgradeTls"]


_IN_TRANSACTION = {State.ENVELOPE: Phase.ENVELOPE, State.BODY: Phase.BODY, State.FINAL: Phase.FINAL}
# Here not even the beginning of a reply may come: it would be taken for the answer to a later command.
_SILENT = frozenset({State.HANDSHAKE, State.READY})
_OPEN = frozenset(State) - {State.CLOSED}
# To ask a class for a member is a call.
_READY, _ENVELOPE, _BODY, _FINAL, _CLOSED = State.READY, State.ENVELOPE, State.BODY, State.FINAL, State.CLOSED
_ANSWERED = Phase.ANSWERED
_GO_AHEAD = GoAhead()
_RSET = Plain(Verb.RSET).encode()
_DATA = Plain(Verb.DATA).encode()
_END = b".\r\n"


class ClientSession:
    """The client's half of one connection."""

    def __init__(
        self,
        name: str,
        *,
        implicit_tls: bool,
        username: str = "",
        password: str = "",
        replies: ReplyReader | None = None,
    ) -> None:
        """Begin; `name` is for EHLO.  Without a user name there is no AUTH.  `replies` bounds what is read."""
        self.state = State.HANDSHAKE if implicit_tls else State.GREETING
        self.capabilities = NOTHING
        self._name = name
        self._implicit_tls = implicit_tls
        self._credentials = (username, password)
        self._responses: tuple[bytes, ...] = ()
        self._replies = replies if replies is not None else ReplyReader()
        # What is to be written; `data_to_send` takes it.
        self.to_send: list[bytes] = []
        self._events: list[Event] = []
        self._fresh = True
        # One transaction: what is still to be sent without PIPELINING, and the answers so far.
        self._unsent: list[bytes] = []
        self._wanted = 0
        self._answers: list[Reply] = []
        self._resets = 0
        # All of them were yes, and came at once.
        self._unanimous = False
        # How many replies were read; the skin's deadline starts anew with each, and not with each octet.
        self.heard = 0

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""
        out = self.to_send
        if not out:
            return b""
        self.to_send = []
        return out[0] if len(out) == 1 else b"".join(out)

    def receive(self, octets: bytes) -> list[Event]:
        """Take what the server sent; return what is to be done about it, in order."""
        state = self.state
        if state is _ENVELOPE and not self._answers and not self._unsent:
            answers = self._replies.accepted_in(octets)
            if answers and len(answers) == self._resets + self._wanted:
                self.heard += len(answers)
                self._answers = list(answers[self._resets :])
                self._resets = 0
                self._unanimous = True
                self.state = _BODY
                return [_GO_AHEAD]
        elif state is _FINAL and self._unanimous:
            answer = self._replies.only_in(octets)
            if answer is not None and answer.code == 250:
                self.heard += 1
                self.state = _READY
                mail, *recipients, data = self._answers
                return [Concluded(_ANSWERED, mail, tuple(recipients), data, answer, unanimous=True)]
        return self._read(octets)

    def _read(self, octets: bytes) -> list[Event]:
        """Take the replies one by one."""
        if self.state is _CLOSED:
            return []
        self._replies.feed(octets)
        asked = len(self.to_send)
        try:
            while self.state in _OPEN and (answer := self._replies.next()) is not None:
                if len(self.to_send) > asked and answer.code != 421:
                    # It came before the command that it would answer was written: the two sides are not in step.
                    self._end("the server answered before it was asked", answer)
                else:
                    self.heard += 1
                    step = _STEPS.get(self.state, ClientSession._out_of_turn)
                    step(self, answer)
            if self.state in _SILENT and len(self._replies):
                self._end("the server spoke out of turn", None)
        except BadReply as error:
            self._end(str(error), None, error.excess)
        events, self._events = self._events, []
        return events

    def secured(self) -> list[Event]:
        """The handshake is done and the name verified."""
        if self.state is State.HANDSHAKE:
            if self._implicit_tls:
                self.state = State.GREETING
            else:
                self._hello(State.SECURE_HELLO)
        return []

    def begin(self, mail: Mail, recipients: tuple[str, ...]) -> None:
        """Start a transaction in state READY; `mail` is cut down to what the server offers."""
        assert self.state is State.READY, self.state
        offered = self.capabilities
        if offered.size is None or (mail.eight_bit and not offered.eight_bit):
            size = mail.size if offered.size is not None else None
            mail = Mail(mail.sender, size, mail.eight_bit and offered.eight_bit)
        if offered.pipelining:
            self.to_send.append(_envelope(mail, recipients) if self._fresh else _RSET + _envelope(mail, recipients))
        else:
            lines = [mail.encode(), *[Recipient(address).encode() for address in recipients], _DATA]
            if not self._fresh:
                lines.insert(0, _RSET)
            self.to_send.append(lines[0])
            self._unsent = lines[1:]
        self._answers = []
        self._resets = 0 if self._fresh else 1
        self._wanted = len(recipients) + 2
        self._fresh = self._unanimous = False
        self.state = _ENVELOPE

    @property
    def awaits_data(self) -> bool:
        """Tell whether of the envelope only the answer to DATA is still to come."""
        return self.state is State.ENVELOPE and not self._unsent and len(self._answers) == self._wanted - 1

    def end_data(self) -> bytes:
        """Return the final dot, to be written behind the last octets of the data, which end with CRLF."""
        assert self.state is State.BODY, self.state
        self.state = State.FINAL
        return _END

    def quit(self) -> None:
        """Say QUIT where that is allowed; the skin then closes without waiting for the reply."""
        if self.state is State.READY:
            self.to_send.append(Plain(Verb.QUIT).encode())
        self.state = State.CLOSED

    def lost(self) -> Concluded | None:
        """The connection is gone: return how the transaction ended, `None` when there was none."""
        phase = _IN_TRANSACTION.get(self.state, Phase.ANSWERED if self.state is State.LONE_DOT else None)
        self.state = State.CLOSED
        return None if phase is None else self._conclusion(phase, None)

    # Reading

    def _out_of_turn(self, answer: Reply) -> None:
        self._end("the server spoke out of turn", answer)

    def _end(self, why: str, answer: Reply | None, excess: Excess | None = None) -> None:
        """Give the connection up, and the transaction with it."""
        stage = self.state
        if (concluded := self.lost()) is not None:
            self._events.append(concluded)
        self._events.append(Unusable(stage, why, answer, excess))

    # Making ready

    def _greeting(self, answer: Reply) -> None:
        if answer.code != 220:
            self._end("the greeting refuses us", answer)
        else:
            self._hello(State.SECURE_HELLO if self._implicit_tls else State.HELLO)

    def _hello(self, state: State) -> None:
        self.state = state
        self.to_send.append(Hello(self._name).encode())

    def _hello_answered(self, answer: Reply) -> None:
        if not answer.is_positive:
            self._end("EHLO was refused", answer)
        elif not Capabilities.read(answer).starttls:
            self._end("the server does not offer STARTTLS, and nothing is sent without TLS", answer)
        else:
            self.state = State.STARTTLS
            self.to_send.append(Plain(Verb.STARTTLS).encode())

    def _starttls_answered(self, answer: Reply) -> None:
        if answer.code != 220:
            self._end("STARTTLS was refused", answer)
        elif len(self._replies):
            # RFC 3207, 5: octets behind the 220 came in the clear and may be anybody's.
            self._end("the server sent more behind its answer to STARTTLS", answer)
        else:
            self.state = State.HANDSHAKE
            self._events.append(UpgradeTls())

    def _secure_hello_answered(self, answer: Reply) -> None:
        if not answer.is_positive:
            self._end("EHLO was refused", answer)
            return
        self.capabilities = Capabilities.read(answer)
        user, secret = self._credentials
        mechanism = next((known for known in ("PLAIN", "LOGIN") if known in self.capabilities.mechanisms), None)
        if not user:
            self._become_ready()
        elif mechanism is None:
            self._end("the server offers neither AUTH PLAIN nor AUTH LOGIN", answer)
        else:
            responses = client_responses(mechanism, user, secret)
            initial = responses[0].decode() if mechanism == "PLAIN" else None
            self._responses = () if mechanism == "PLAIN" else responses
            self.to_send.append(Auth(mechanism, initial).encode())
            self.state = State.RESPONSES if self._responses else State.AUTH

    def _auth_prompted(self, answer: Reply) -> None:
        if answer.code != 334:
            self._end("AUTH was refused", answer)
            return
        response, *rest = self._responses
        self._responses = tuple(rest)
        self.to_send.append(response + b"\r\n")
        self.state = State.RESPONSES if rest else State.AUTH

    def _auth_answered(self, answer: Reply) -> None:
        if answer.code == 235:
            self._become_ready()
        else:
            self._end("the login was refused", answer)

    def _become_ready(self) -> None:
        self.state = State.READY
        self._events.append(Ready(self.capabilities))

    # A transaction

    def _envelope_answered(self, answer: Reply) -> None:
        if answer.code == 421:
            self._answers.append(answer)
            self._end("the server hangs up", answer)
        elif not self._resets and len(self._answers) == self._wanted - 1:
            self._data_answered(answer)
        elif answer.is_intermediate:
            self._end("the server asks for more than it was given", answer)
        else:
            self._command_answered(answer)

    def _command_answered(self, answer: Reply) -> None:
        if self._resets:
            # A refused RSET does no harm: if the state were wrong, MAIL would be refused.
            self._resets -= 1
        else:
            self._answers.append(answer)
        if self._unsent:
            self._send_next()

    def _send_next(self) -> None:
        """Without PIPELINING: one command at a time, and none that cannot succeed."""
        refused_mail = len(self._answers) == 1 and not self._answers[0].is_positive
        no_recipient = len(self._unsent) == 1 and not self._some_recipient()
        if refused_mail or no_recipient:
            self._conclude(Phase.ANSWERED, None)
        else:
            self.to_send.append(self._unsent.pop(0))

    def _data_answered(self, answer: Reply) -> None:
        if answer.code != 354 and answer.code < 400:
            # RFC 5321, 4.3.2 knows no such answer to DATA, so the two sides are not in step.
            self._end("the server answered DATA with neither 354 nor a refusal", answer)
            return
        self._answers.append(answer)
        if answer.code != 354:
            self._conclude(Phase.ANSWERED, None)
        elif self._some_recipient():
            self.state = State.BODY
            self._events.append(GoAhead())
        elif any(one.is_positive for one in self._answers[1 : self._wanted - 1]):
            # MAIL was refused and a recipient taken: a dot might send somebody an empty message.
            self._end("the server takes recipients without a sender", answer)
        else:
            # RFC 2920, 3.1: a server may take DATA without a recipient; an empty message ends that.
            self.state = State.LONE_DOT
            self.to_send.append(_END)

    def _some_recipient(self) -> bool:
        recipients = self._answers[1 : self._wanted - 1]
        return self._answers[0].is_positive and any(answer.is_positive for answer in recipients)

    def _interrupted(self, answer: Reply) -> None:
        """A reply amid the data: a refusal ends the transaction with its own words, and the connection."""
        if answer.code < 400:
            self._end("the server answered the data before their end", answer)
            return
        self.state = State.CLOSED
        self._events.append(self._conclusion(Phase.BODY, answer))
        self._events.append(Unusable(State.BODY, "the server refused the data before their end", answer))

    def _final_answered(self, answer: Reply) -> None:
        if answer.code < 400 and answer.code != 250:
            # RFC 5321, 4.3.2 knows no other yes to a message: what became of it is unknown.
            self._end("the server answered the final dot with neither 250 nor a refusal", answer)
            return
        self._conclude(Phase.ANSWERED, answer)
        self._end_at_421(answer)

    def _lone_dot_answered(self, answer: Reply) -> None:
        self._conclude(Phase.ANSWERED, None)
        self._end_at_421(answer)

    def _end_at_421(self, answer: Reply) -> None:
        if answer.code == 421:
            self._end("the server hangs up", answer)

    def _conclude(self, phase: Phase, final: Reply | None) -> None:
        self.state = State.READY
        self._events.append(self._conclusion(phase, final))

    def _conclusion(self, phase: Phase, final: Reply | None) -> Concluded:
        answers = self._answers
        wanted = self._wanted - 2
        got = answers[1 : wanted + 1]
        recipients = (*got, *[None] * (wanted - len(got)))
        data = answers[wanted + 1] if len(answers) > wanted + 1 else None
        return Concluded(phase, answers[0] if answers else None, recipients, data, final)


# Nearly all mail is from a few senders; recipients come once.
@lru_cache(maxsize=512)
def _is_plain_sender(address: str) -> bool:
    return matches_address(address) is not None


def _envelope(mail: Mail, recipients: tuple[str, ...]) -> bytes:
    """Return all commands of a transaction, in the words of their `encode`."""
    if recipients and _is_plain_sender(mail.sender) and all(map(matches_address, recipients)):
        size = "" if mail.size is None else f" SIZE={mail.size}"
        body = " BODY=8BITMIME" if mail.eight_bit else ""
        to = ">\r\nRCPT TO:<".join(recipients)
        return f"MAIL FROM:<{mail.sender}>{size}{body}\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode("ascii")
    return b"".join([mail.encode(), *[Recipient(address).encode() for address in recipients], _DATA])


_STEPS: dict[State, Callable[[ClientSession, Reply], None]] = {
    State.GREETING: ClientSession._greeting,
    State.HELLO: ClientSession._hello_answered,
    State.STARTTLS: ClientSession._starttls_answered,
    State.SECURE_HELLO: ClientSession._secure_hello_answered,
    State.RESPONSES: ClientSession._auth_prompted,
    State.AUTH: ClientSession._auth_answered,
    State.ENVELOPE: ClientSession._envelope_answered,
    State.BODY: ClientSession._interrupted,
    State.FINAL: ClientSession._final_answered,
    State.LONE_DOT: ClientSession._lone_dot_answered,
}
