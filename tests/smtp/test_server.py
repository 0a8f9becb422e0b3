"""
What is promised of the server's half of a session.

A ladder of sessions, each one step further than the one before, stands in
`LADDER`.  `EXPECTED` says what each command does on each step; it was written
from RFC 5321 and the design, not taken from the table that is tested.
"""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp.commands import Mail, Verb
from smtpbridge.smtp.data import Block, Defects
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
from smtpbridge.smtp.replies import Reply, ReplyReader, reply
from smtpbridge.smtp.sasl import LoginAttempt
from smtpbridge.smtp.server import ServerSession, State

OPEN = Terms("mx.example.com", trusted=True)
FULL = Terms("mx.example.com", starttls=True, auth_offered=True)
QUEUED = reply(250, "2.0.0", "queued")
PLAIN = "AUTH PLAIN " + base64.b64encode(b"\0user\0secret").decode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def replies(session: ServerSession) -> list[Reply]:
    reader = ReplyReader()
    reader.feed(session.data_to_send())
    found = []
    while (answer := reader.next()) is not None:
        found.append(answer)
    assert len(reader) == 0, "half a reply"
    return found


def say(session: ServerSession, *lines: str) -> list[Event]:
    """Send lines, all in one piece."""
    return session.receive("".join(f"{line}\r\n" for line in lines).encode("latin-1"))


def codes(session: ServerSession, *lines: str) -> list[int]:
    say(session, *lines)
    return [answer.code for answer in replies(session)]


def answer_to(session: ServerSession, line: str) -> tuple[int, str]:
    say(session, line)
    (answer,) = replies(session)
    return answer.code, answer.enhanced


# The ladder


def greeted(terms: Terms = OPEN, *, secure: bool = False) -> ServerSession:
    session = ServerSession(terms, secure=secure)
    assert session.greet() == []
    (greeting,) = replies(session)
    assert greeting.code == 220
    assert greeting.text.startswith("mx.example.com ESMTP")
    return session


def ready(terms: Terms = OPEN, *, secure: bool = False) -> ServerSession:
    session = greeted(terms, secure=secure)
    assert codes(session, "EHLO peer.example.com") == [250]
    return session


def authenticated(terms: Terms = FULL) -> ServerSession:
    session = ready(terms, secure=True)
    assert say(session, PLAIN) == [LoginAttempt("user", "secret", "PLAIN")]
    session.login(True)
    assert [answer.code for answer in replies(session)] == [235]
    return session


def in_mail(terms: Terms = OPEN) -> ServerSession:
    session = ready(terms)
    assert codes(session, "MAIL FROM:<a@example.com>") == [250]
    return session


def in_rcpt(terms: Terms = OPEN) -> ServerSession:
    session = in_mail(terms)
    assert codes(session, "RCPT TO:<b@example.com>") == [250]
    return session


def in_data(terms: Terms = OPEN) -> ServerSession:
    session = in_rcpt(terms)
    assert say(session, "DATA") == [MessageBegins("a@example.com", ("b@example.com",), False)]
    assert [answer.code for answer in replies(session)] == [354]
    return session


def at_verdict(terms: Terms = OPEN) -> ServerSession:
    session = in_data(terms)
    assert say(session, "x", ".") == [MessageWhole(b"x\r\n")]
    assert replies(session) == []
    return session


def in_handshake() -> ServerSession:
    session = ready(FULL)
    assert say(session, "STARTTLS") == [UpgradeTls()]
    assert [answer.code for answer in replies(session)] == [220]
    return session


def in_response() -> ServerSession:
    session = ready(FULL, secure=True)
    assert codes(session, "AUTH PLAIN") == [334]
    return session


def in_login() -> ServerSession:
    session = ready(FULL, secure=True)
    say(session, PLAIN)
    assert replies(session) == []
    return session


def closed() -> ServerSession:
    session = ready()
    assert say(session, "QUIT") == [Close("QUIT")]
    assert [answer.code for answer in replies(session)] == [221]
    return session


LADDER: dict[State, Callable[[], ServerSession]] = {
    State.GREETED: lambda: greeted(FULL),
    State.READY: authenticated,
    State.MAIL: in_mail,
    State.RCPT: in_rcpt,
    State.DATA: in_data,
    State.VERDICT: at_verdict,
    State.RESPONSE: in_response,
    State.LOGIN: in_login,
    State.HANDSHAKE: in_handshake,
    State.CLOSED: closed,
}
LINES = {
    Verb.EHLO: "EHLO again.example.com",
    Verb.HELO: "HELO again.example.com",
    Verb.STARTTLS: "STARTTLS",
    Verb.AUTH: PLAIN,
    Verb.MAIL: "MAIL FROM:<c@example.com>",
    Verb.RCPT: "RCPT TO:<d@example.com>",
    Verb.DATA: "DATA",
    Verb.RSET: "RSET",
    Verb.NOOP: "NOOP",
    Verb.VRFY: "VRFY somebody",
    Verb.HELP: "HELP",
    Verb.QUIT: "QUIT",
}
_TALK = {Verb.NOOP: 250, Verb.VRFY: 252, Verb.HELP: 214}
# (State, Verb) -> the code and the state after it; what is missing is refused and changes nothing.
EXPECTED: dict[tuple[State, Verb], tuple[int, State]] = {
    **{
        (state, verb): (250, State.READY)
        for state in (State.GREETED, State.READY, State.MAIL, State.RCPT)
        for verb in (Verb.EHLO, Verb.HELO)
    },
    **{
        (state, verb): (code, state)
        for state in (State.GREETED, State.READY, State.MAIL, State.RCPT)
        for verb, code in _TALK.items()
    },
    **{(state, Verb.QUIT): (221, State.CLOSED) for state in (State.GREETED, State.READY, State.MAIL, State.RCPT)},
    (State.GREETED, Verb.RSET): (250, State.GREETED),
    (State.READY, Verb.RSET): (250, State.READY),
    (State.MAIL, Verb.RSET): (250, State.READY),
    (State.RCPT, Verb.RSET): (250, State.READY),
    (State.GREETED, Verb.STARTTLS): (220, State.HANDSHAKE),
    (State.READY, Verb.MAIL): (250, State.MAIL),
    (State.MAIL, Verb.RCPT): (250, State.RCPT),
    (State.RCPT, Verb.RCPT): (250, State.RCPT),
    (State.RCPT, Verb.DATA): (354, State.DATA),
}
TALKING = (State.GREETED, State.READY, State.MAIL, State.RCPT)


@pytest.mark.parametrize("verb", Verb, ids=lambda verb: verb.value)
@pytest.mark.parametrize("state", TALKING, ids=lambda state: state.name)
def test_a_command_does_what_the_table_says_and_else_is_refused_and_changes_nothing(state: State, verb: Verb) -> None:
    session = LADDER[state]()
    assert session.state is state
    before = (session.secure, session.user, session.may_relay, session.in_transaction, session.peer_name)

    events = say(session, LINES[verb])
    (answer,) = replies(session)

    if (state, verb) in EXPECTED:
        assert (answer.code, session.state) == EXPECTED[state, verb]
    else:
        assert (answer.is_permanent, session.state) == (True, state)
        assert events == []
        assert (session.secure, session.user, session.may_relay, session.in_transaction, session.peer_name) == before


@pytest.mark.parametrize("verb", Verb, ids=lambda verb: verb.value)
@pytest.mark.parametrize("state", [State.VERDICT, State.LOGIN], ids=lambda state: state.name)
def test_while_a_decision_is_awaited_no_command_is_read(state: State, verb: Verb) -> None:
    session = LADDER[state]()

    assert say(session, LINES[verb]) == []
    assert (session.data_to_send(), session.state, session.waiting) == (b"", state, True)
    assert session.buffered == len(LINES[verb]) + 2


@pytest.mark.parametrize("verb", Verb, ids=lambda verb: verb.value)
def test_a_closed_session_says_and_does_nothing(verb: Verb) -> None:
    session = closed()

    assert say(session, LINES[verb]) == []
    assert session.conclude(QUEUED) + session.login(True) + session.secured() + session.leave(QUEUED, "") == []
    assert (session.data_to_send(), session.state, session.buffered) == (b"", State.CLOSED, 0)


@pytest.mark.parametrize("verb", Verb, ids=lambda verb: verb.value)
def test_a_command_amid_an_auth_dialogue_is_a_bad_response_that_ends_it(verb: Verb) -> None:
    session = in_response()

    assert answer_to(session, LINES[verb]) == (501, "5.5.2")
    assert (session.state, session.user) == (State.READY, None)


@pytest.mark.parametrize("verb", Verb, ids=lambda verb: verb.value)
def test_a_command_amid_the_data_is_data(verb: Verb) -> None:
    session = in_data()

    assert say(session, LINES[verb], "") == [Block(f"{LINES[verb]}\r\n".encode())]
    assert (session.data_to_send(), session.state) == (b"", State.DATA)


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_a_decision_that_nobody_asked_for_changes_nothing(state: State) -> None:
    calls: list[tuple[State, Callable[[ServerSession], list[Event]]]] = [
        (State.LOGIN, lambda session: session.login(True)),
        (State.VERDICT, lambda session: session.conclude(QUEUED)),
        (State.HANDSHAKE, lambda session: session.secured()),
    ]
    for wanted, call in calls:
        if state is not wanted:
            session = LADDER[state]()
            user, secure = session.user, session.secure
            assert call(session) == []
            assert (session.state, session.data_to_send()) == (state, b"")
            assert (session.user, session.secure) == (user, secure)


# Greeting, EHLO, small talk


def test_a_session_can_be_refused_with_the_greeting() -> None:
    session = ServerSession(OPEN)

    assert session.greet(reply(421, "4.3.2", "too many sessions")) == [Close("refused at once")]
    assert session.data_to_send() == b"421 4.3.2 too many sessions\r\n"
    assert session.state is State.CLOSED


@pytest.mark.parametrize(
    ("terms", "secure", "offered"),
    [
        (OPEN, False, []),
        (FULL, False, ["STARTTLS"]),
        (FULL, True, ["AUTH LOGIN PLAIN", "AUTH=LOGIN PLAIN"]),
        (
            Terms("mx.example.com", trusted=True, starttls=True, auth_offered=True),
            False,
            ["STARTTLS", "AUTH LOGIN PLAIN", "AUTH=LOGIN PLAIN"],
        ),
        (Terms("mx.example.com", auth_offered=True), False, []),
    ],
)
def test_ehlo_offers_exactly_what_can_be_had(terms: Terms, secure: bool, offered: list[str]) -> None:
    session = greeted(terms, secure=secure)
    say(session, "EHLO peer.example.com")

    always = ["mx.example.com", "PIPELINING", "SIZE 20905984", "8BITMIME", "ENHANCEDSTATUSCODES"]
    assert replies(session) == [Reply(250, "", (*always, *offered, "HELP"))]
    assert (session.peer_name, session.extended) == ("peer.example.com", True)


def test_helo_is_answered_in_one_line() -> None:
    session = greeted()
    say(session, "HELO old.example.com")

    assert session.data_to_send() == b"250 mx.example.com\r\n"
    assert (session.peer_name, session.extended) == ("old.example.com", False)


def test_the_extensions_can_be_given() -> None:
    session = greeted(Terms("mx.example.com", keywords=("SIZE 5", "X-ODD")))
    say(session, "EHLO x")

    assert replies(session) == [Reply(250, "", ("mx.example.com", "SIZE 5", "X-ODD"))]


def test_ehlo_and_rset_end_a_transaction() -> None:
    for line in ("EHLO x", "HELO x", "RSET"):
        session = in_rcpt()
        assert session.in_transaction
        assert codes(session, line, "DATA", "RCPT TO:<b@example.com>") == [250, 503, 503]
        assert not session.in_transaction


def test_what_comes_out_of_order_is_told_what_is_missing() -> None:
    assert answer_to(greeted(), "MAIL FROM:<a@example.com>") == (503, "5.5.1")
    assert answer_to(ready(), "RCPT TO:<a@example.com>") == (503, "5.5.1")
    assert answer_to(ready(), "DATA") == (503, "5.5.1")
    assert answer_to(in_mail(), "DATA") == (554, "5.5.1")
    assert answer_to(in_mail(), "MAIL FROM:<a@example.com>") == (503, "5.5.1")


# STARTTLS


def test_starttls_forgets_all_that_was_said_before() -> None:
    terms = Terms("mx.example.com", trusted=True, auth_required=True, starttls=True, auth_offered=True)
    session = ready(terms)
    say(session, PLAIN)
    session.login(True)
    assert codes(session, "NOOP") == [235, 250]
    assert session.may_relay

    assert say(session, "STARTTLS") == [UpgradeTls()]
    replies(session)
    assert session.secured() == []

    assert (session.state, session.secure) == (State.GREETED, True)
    assert (session.user, session.peer_name, session.extended, session.may_relay) == (None, "", False, False)
    assert answer_to(session, "MAIL FROM:<a@example.com>") == (503, "5.5.1")


def test_starttls_in_a_transaction_is_refused_and_the_transaction_goes_on() -> None:
    session = in_rcpt(Terms("mx.example.com", trusted=True, starttls=True))

    assert codes(session, "STARTTLS", "DATA") == [503, 354]


@pytest.mark.parametrize("behind", [b"EHLO evil\r\n", b"E", b"\n", b"\r\n"])
def test_octets_behind_starttls_end_the_session(behind: bytes) -> None:
    session = ready(FULL)

    (event,) = session.receive(b"STARTTLS\r\n" + behind)
    assert isinstance(event, Close)
    assert [(answer.code, answer.enhanced) for answer in replies(session)] == [(554, "5.5.1")]
    assert session.state is State.CLOSED


def test_octets_in_the_clear_that_come_later_than_starttls_end_the_session_too() -> None:
    session = in_handshake()

    (event,) = session.receive(b"MAIL FROM:<evil@exam")
    assert isinstance(event, Close)
    assert session.secured() == []
    assert (session.state, session.secure) == (State.CLOSED, False)


def test_starttls_is_refused_where_it_is_not_offered_or_done_already() -> None:
    assert answer_to(ready(), "STARTTLS") == (502, "5.5.1")
    assert answer_to(ready(FULL, secure=True), "STARTTLS") == (502, "5.5.1")


# AUTH


@pytest.mark.parametrize(
    ("lines", "mechanism"),
    [
        ([PLAIN], "PLAIN"),
        (["AUTH PLAIN", b64("\0user\0secret")], "PLAIN"),
        (["auth login", b64("user"), b64("secret")], "LOGIN"),
        (["AUTH LOGIN " + b64("user"), b64("secret")], "LOGIN"),
    ],
)
def test_a_login_is_offered_for_decision_in_every_form(lines: list[str], mechanism: str) -> None:
    session = ready(FULL, secure=True)

    *early, last = [say(session, line) for line in lines]

    assert early == [[]] * (len(lines) - 1)
    assert last == [LoginAttempt("user", "secret", mechanism)]
    assert [answer.code for answer in replies(session)] == [334] * (len(lines) - 1)
    assert session.login(True) == []
    assert [(answer.code, answer.enhanced) for answer in replies(session)] == [(235, "2.7.0")]
    assert (session.user, session.may_relay, session.state) == ("user", True, State.READY)


def test_the_prompts_of_login_are_the_usual_ones() -> None:
    session = ready(FULL, secure=True)
    say(session, "AUTH LOGIN", b64("user"))

    assert session.data_to_send() == b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"


@pytest.mark.parametrize(("accepted", "code"), [(False, (535, "5.7.8")), (None, (454, "4.7.0"))])
def test_a_login_that_is_not_accepted_leaves_nobody_logged_in(accepted: bool | None, code: tuple[int, str]) -> None:
    session = in_login()
    session.login(accepted)

    (answer,) = replies(session)
    assert (answer.code, answer.enhanced) == code
    assert (session.user, session.may_relay, session.state) == (None, False, State.READY)
    assert say(session, PLAIN) == [LoginAttempt("user", "secret", "PLAIN")]


@pytest.mark.parametrize("bad", ["*", "!!", "YQ", "=", "\xff", "/w=="])
def test_a_bad_or_cancelled_response_ends_the_exchange(bad: str) -> None:
    session = ready(FULL, secure=True)

    assert codes(session, "AUTH PLAIN", bad, "NOOP") == [334, 501, 250]
    assert codes(session, "AUTH LOGIN", bad, "NOOP") == [334, 501, 250]
    assert codes(session, "AUTH LOGIN", b64("user"), bad, "NOOP") == [334, 334, 501, 250]
    assert codes(session, f"AUTH PLAIN {bad}", "NOOP") == [501, 250]
    assert (session.state, session.user) == (State.READY, None)


def test_a_response_may_be_far_longer_than_a_command_but_not_without_end() -> None:
    session = ready(FULL, secure=True)
    long = "x" * 9000
    (event,) = say(session, "AUTH PLAIN", b64(f"\0{long}\0secret"))
    assert event == LoginAttempt(long, "secret", "PLAIN")
    session.login(False)
    replies(session)

    assert codes(session, "AUTH PLAIN", "x" * 12_287, "NOOP") == [334, 500, 250]
    assert (session.state, session.user) == (State.READY, None)
    # The limit for commands holds again.
    assert codes(session, "NOOP " + "x" * 3000) == [500]


def test_a_response_that_is_too_long_or_ends_with_a_bare_lf_ends_the_exchange() -> None:
    for octets, code in ((b"x" * 20_000 + b"\r\n", (500, "5.5.6")), (b64("user").encode() + b"\n", (500, "5.5.2"))):
        session = in_response()
        session.receive(octets)
        assert [(answer.code, answer.enhanced) for answer in replies(session)] == [code]
        # What follows a bare LF is of the same line up to a CRLF.
        assert codes(session, "NOOP", "NOOP")[-1] == 250


def test_auth_is_there_only_on_tls_or_for_a_trusted_peer() -> None:
    assert answer_to(ready(FULL), PLAIN) == (538, "5.7.11")
    assert answer_to(ready(OPEN, secure=True), PLAIN) == (502, "5.5.1")
    trusted = ready(Terms("mx.example.com", trusted=True, auth_offered=True))
    assert say(trusted, PLAIN) == [LoginAttempt("user", "secret", "PLAIN")]


def test_an_unknown_mechanism_and_a_second_login_are_refused() -> None:
    assert answer_to(ready(FULL, secure=True), "AUTH CRAM-MD5") == (504, "5.5.4")
    assert answer_to(authenticated(), PLAIN) == (503, "5.5.1")


@pytest.mark.parametrize(
    ("terms", "secure", "code"),
    [
        (Terms("mx.example.com"), False, (550, "5.7.1")),
        (Terms("mx.example.com", starttls=True), True, (550, "5.7.1")),
        (Terms("mx.example.com", auth_offered=True), False, (550, "5.7.1")),
        (FULL, False, (530, "5.7.0")),
        (FULL, True, (530, "5.7.0")),
        (Terms("mx.example.com", trusted=True, auth_offered=True, auth_required=True), False, (530, "5.7.0")),
    ],
)
def test_who_may_not_relay_is_told_how_it_could(terms: Terms, secure: bool, code: tuple[int, str]) -> None:
    session = ready(terms, secure=secure)

    assert answer_to(session, "MAIL FROM:<a@example.com>") == code
    assert session.state is State.READY
    assert codes(session, "RCPT TO:<b@example.com>", "DATA") == [503, 503]


# The envelope


@pytest.mark.parametrize(
    ("line", "sender"),
    [
        ("MAIL FROM:<a@example.com>", "a@example.com"),
        ("MAIL FROM: <a@example.com>", "a@example.com"),
        ("mail from:a@example.com", "a@example.com"),
        ("MAIL FROM:<>", ""),
        ("MAIL FROM:<@one.example,@two.example:a@example.com>", "a@example.com"),
        ('MAIL FROM:<"a b"@example.com>', '"a b"@example.com'),
        ("MAIL FROM:<a@[192.0.2.1]> SIZE=3", "a@[192.0.2.1]"),
    ],
)
def test_the_envelope_holds_the_addresses_in_every_tolerated_form(line: str, sender: str) -> None:
    session = ready()
    events = say(session, line, "RCPT TO:<postmaster>", 'RCPT TO:<"b c"@[IPv6:2001:db8::1]>', "DATA")

    assert events == [MessageBegins(sender, ("postmaster", '"b c"@[IPv6:2001:db8::1]'), False)]
    assert [answer.code for answer in replies(session)] == [250, 250, 250, 354]


def test_a_transaction_knows_nothing_of_the_one_before() -> None:
    session = at_verdict()
    session.conclude(QUEUED)
    replies(session)

    events = say(session, "MAIL FROM:<c@example.com> BODY=8BITMIME", "RCPT TO:<d@example.com>", "DATA")
    assert events == [MessageBegins("c@example.com", ("d@example.com",), True)]


def test_one_recipient_too_many_is_put_off_and_the_others_stay() -> None:
    session = in_rcpt(Terms("mx.example.com", trusted=True, max_recipients=2))

    assert answer_to(session, "RCPT TO:<c@example.com>") == (250, "2.1.5")
    assert answer_to(session, "RCPT TO:<d@example.com>") == (452, "4.5.3")
    assert say(session, "DATA") == [MessageBegins("a@example.com", ("b@example.com", "c@example.com"), False)]


def test_a_refused_address_leaves_the_transaction_as_it_was() -> None:
    session = in_rcpt()

    assert codes(session, "RCPT TO:<>", "RCPT TO:<b@é>", "RCPT TO:<c@example.com> X=1") == [501, 553, 555]
    assert say(session, "DATA") == [MessageBegins("a@example.com", ("b@example.com",), False)]


class Choosy:
    """Let in nobody whose address begins with "no"; say how many were let in before."""

    def sender(self, mail: Mail) -> Reply:
        """Answer MAIL."""
        return reply(550, "5.7.1", "not you") if mail.sender.startswith("no") else reply(250, "2.1.0", "you")

    def recipient(self, address: str, accepted: int) -> Reply:
        """Answer RCPT."""
        return reply(450, "4.2.1", "later") if address.startswith("no") else reply(250, "2.1.5", f"after {accepted}")


def test_a_judge_has_the_word_on_every_address() -> None:
    session = ready(Terms("mx.example.com", trusted=True, judge=Choosy()))

    assert answer_to(session, "MAIL FROM:<no@example.com>") == (550, "5.7.1")
    assert not session.in_transaction
    assert codes(session, "MAIL FROM:<a@example.com>", "RCPT TO:<no@example.com>", "DATA") == [250, 450, 554]
    say(session, "RCPT TO:<b@example.com>", "RCPT TO:<no@example.com>", "RCPT TO:<c@example.com>")
    assert [answer.text for answer in replies(session)] == ["after 0", "later", "after 1"]
    assert say(session, "DATA") == [MessageBegins("a@example.com", ("b@example.com", "c@example.com"), False)]


# The data and their limits


def test_a_message_is_answered_with_the_verdict_and_the_session_goes_on() -> None:
    session = at_verdict()

    assert session.in_transaction
    assert session.conclude(QUEUED) == []
    assert session.data_to_send() == b"250 2.0.0 queued\r\n"
    assert (session.state, session.in_transaction) == (State.READY, False)


def test_the_defects_of_the_data_come_with_their_end() -> None:
    session = in_data()

    assert session.receive(b"a\nb\0\r\n.c\r\n.\r\n")[-1] == MessageEnds(Defects(True, True, True))


@pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n"])
def test_no_second_message_is_smuggled_in_behind_another_end(ending: bytes) -> None:
    session = in_data()

    events = session.receive(b"one" + ending + b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
    assert all(isinstance(event, Block) for event in events)
    assert (session.state, session.data_to_send()) == (State.DATA, b"")


def test_a_declared_size_over_the_limit_is_refused_at_once() -> None:
    session = ready(Terms("mx.example.com", trusted=True, max_message=100))

    assert answer_to(session, "MAIL FROM:<a@example.com> SIZE=101") == (552, "5.3.4")
    assert session.state is State.READY
    assert answer_to(session, "MAIL FROM:<a@example.com> SIZE=100") == (250, "2.1.0")


def test_a_message_that_turns_out_too_big_is_read_to_its_end_and_refused_there() -> None:
    session = in_data(Terms("mx.example.com", trusted=True, max_message=100))
    events: list[Event] = []
    for _ in range(30):
        events += session.receive(b"NOOP\r\n" * 5)
        assert session.data_to_send() == b""

    # What is doomed takes no more room, though it is read on.
    *kept, last = events
    assert last == MessageDropped()
    assert 0 < sum(len(event.octets) for event in kept if isinstance(event, Block)) <= 100
    assert session.receive(b".\r\nNOOP\r\n") == []
    assert [(answer.code, answer.enhanced) for answer in replies(session)] == [(552, "5.3.4"), (250, "2.0.0")]
    assert (session.state, session.in_transaction) == (State.READY, False)
    assert codes(session, "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA") == [250, 250, 354]
    assert say(session, "x", ".") == [MessageWhole(b"x\r\n")]


def test_a_message_of_exactly_the_limit_is_taken() -> None:
    session = in_data(Terms("mx.example.com", trusted=True, max_message=100))

    assert session.receive(b"x" * 98 + b"\r\n.\r\n") == [MessageWhole(b"x" * 98 + b"\r\n")]


# Pipelining


def test_replies_come_in_order_while_a_verdict_is_awaited() -> None:
    session = ready()
    message = ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA", "x", "."]

    say(session, *message, *message, "QUIT")
    assert [answer.code for answer in replies(session)] == [250, 250, 354]
    assert session.state is State.VERDICT
    events = session.conclude(reply(250, "2.0.0", "first"))
    assert events == [
        MessageBegins("a@example.com", ("b@example.com",), False),
        Block(b"x\r\n"),
        MessageEnds(Defects()),
    ]
    assert [answer.code for answer in replies(session)] == [250, 250, 250, 354]
    assert session.conclude(reply(451, "4.3.0", "second")) == [Close("QUIT")]
    assert session.data_to_send().splitlines()[0] == b"451 4.3.0 second"


def test_replies_come_in_order_while_a_login_is_looked_into() -> None:
    session = ready(FULL, secure=True)
    say(session, PLAIN, "MAIL FROM:<a@example.com>", "FROB")

    assert session.data_to_send() == b""
    session.login(True)
    assert [answer.code for answer in replies(session)] == [235, 250, 500]


def transcript(*chunks: bytes, terms: Terms | None = None) -> tuple[list[Event], bytes]:
    """
    Say a whole session, answering what it asks at once.

    The blocks of a message are joined, and left out without its end: over the limit they depend on the cuts.  One that
    came in one piece is told like any other.
    """
    session = ServerSession(terms or Terms("mx.example.com", trusted=True, auth_offered=True, max_message=60))
    session.greet()
    events: list[Event] = []
    data = b""
    for chunk in chunks:
        todo = session.receive(chunk)
        while todo:
            event = todo.pop(0)
            match event:
                case Block(octets):
                    data += octets
                    continue
                case MessageBegins():
                    data = b""
                case MessageEnds():
                    events.append(Block(data))
                    todo += session.conclude(QUEUED)
                case MessageWhole(octets):
                    events.append(Block(octets))
                    event = MessageEnds(Defects())
                    todo += session.conclude(QUEUED)
                case LoginAttempt():
                    todo += session.login(event.secret == "secret")
            events.append(event)
    return events, session.data_to_send()


# The first four begin a message.
SESSION = [
    "EHLO x",
    "MAIL FROM:<a@example.com>",
    "RCPT TO:<b@example.com>",
    "DATA",
    "..x",
    ".",
    "RSET",
    PLAIN,
    "AUTH LOGIN",
    "*",
    "NOOP",
    "FROB",
    "y" * 2100,
    "x" * 30,
]


@given(st.lists(st.sampled_from(SESSION), max_size=14), st.sampled_from(["\r\n", "\n", "\r\n", "\r\n"]), st.data())
def test_where_a_session_is_cut_makes_no_difference(lines: list[str], end: str, data: st.DataObject) -> None:
    wire = "".join(f"{line}\r\n" for line in [*SESSION[:4], *lines]).encode() + f"NOOP{end}QUIT\r\n".encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    pieces = [wire[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    assert transcript(*pieces) == transcript(wire)


# What may stand in an envelope: usual, unusual and wrong.
ADDRESSES = st.sampled_from(
    [
        *["a@example.com", "b.c+d@x-y.example", "e_f@g_h", "i@j--k.example", "l@xn--m.example"],
        *["", "postmaster", '"n o"@example.com', "p@[192.0.2.1]", "@q.example:r@example.com"],
        *[
            ".s@example.com",
            "t.@example.com",
            "u..v@example.com",
            "w@-x.example",
            "y@z-.example",
            "a@b.",
            "c@d..e",
            "f",
            "g@",
        ],
        *[
            f"{'h' * 308}@example.com",
            f"{'i' * 309}@example.com",
            "j@example.com>",
            "k k@example.com",
            "\xe9@example.com",
        ],
    ]
)
PARAMETERS = st.sampled_from(
    [
        "",
        "",
        " SIZE=60",
        " SIZE=61",
        " BODY=8BITMIME",
        " BODY=7BIT",
        " SIZE=5 BODY=8BITMIME",
        " BODY=7BIT SIZE=5",
        " SIZE=x",
        *[" SIZE=1 SIZE=2", f" SIZE={'0' * 20}", f" SIZE={'0' * 21}", " FOO", " ", " body=8bitmime"],
    ]
)
ENVELOPES = st.tuples(
    st.builds("{}<{}>{}".format, st.sampled_from(["MAIL FROM:", "MAIL FROM:", "mail from:"]), ADDRESSES, PARAMETERS),
    st.lists(st.builds("{}<{}>".format, st.sampled_from(["RCPT TO:", "RCPT TO:", "RCPT TO: "]), ADDRESSES), max_size=4),
    st.sampled_from(["DATA", "DATA", "data", "RSET", "QUIT"]),
).map(lambda parts: "".join(f"{line}\r\n" for line in (parts[0], *parts[1], parts[2])).encode("latin-1"))


@given(
    ENVELOPES,
    st.sampled_from(
        [b"", b"x\r\n.\r\n", b"x\r\n.\r\nNOOP\r\n", b"..x\r\n.\r\n", b"x\ny\r\n.\r\n", b"x" * 61 + b"\r\n.\r\n"]
    ),
    st.booleans(),
    st.sampled_from([2048, 512, 100]),
)
def test_an_envelope_in_one_piece_means_what_its_lines_mean(
    envelope: bytes, data: bytes, trusted: bool, line: int
) -> None:
    terms = Terms("mx.example.com", trusted=trusted, max_message=60, max_recipients=3, max_line=line)
    lines = [b"EHLO x\r\n", *envelope.splitlines(keepends=True)]

    together = transcript(b"EHLO x\r\n", envelope, data, b"NOOP\r\n", terms=terms)

    assert together == transcript(b"EHLO x\r\n", envelope + data + b"NOOP\r\n", terms=terms)
    assert together == transcript(*lines, data, b"NOOP\r\n", terms=terms)


def test_the_lines_of_an_envelope_in_one_piece_are_counted() -> None:
    session = ready()
    before = session.heard

    say(session, "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "RCPT TO:<c@example.com>", "DATA")

    assert session.heard == before + 4


@given(st.lists(st.binary(max_size=30) | st.sampled_from([f"{line}\r\n".encode() for line in SESSION]), max_size=10))
def test_any_octets_give_events_and_whole_replies(chunks: list[bytes]) -> None:
    _, out = transcript(*chunks)

    reader = ReplyReader()
    reader.feed(out)
    while reader.next() is not None:
        pass
    assert len(reader) == 0


# Bad manners


def test_lines_that_are_no_commands_are_refused_and_the_session_stays_in_step() -> None:
    session = ready()
    session.receive(b"NOOP\nNOOP " + b"x" * 5000 + b"\r\nNO\0OP\r\n\r\nMAIL FROM:<a\rb@c>\r\nNOOP\r\n")

    assert [answer.code for answer in replies(session)] == [500, 500, 500, 500, 500, 250]


def test_a_command_with_a_bare_lf_is_not_obeyed() -> None:
    session = in_rcpt()
    session.receive(b"RSET\nRCPT TO:<evil@example.com>\nDATA\nRSET\r\n")

    assert [answer.code for answer in replies(session)] == [500, 500, 500, 500]
    assert say(session, "DATA") == [MessageBegins("a@example.com", ("b@example.com",), False)]


def test_patience_ends_at_the_limit_for_bad_commands() -> None:
    session = ready(Terms("mx.example.com", trusted=True, max_bad_commands=3))

    assert codes(session, "FROB", "NOOP", "DATA", "MAIL FROM:<") == [500, 250, 503, 501]
    (event,) = say(session, "FROB", "NOOP")
    assert isinstance(event, Close)
    assert [(answer.code, answer.enhanced) for answer in replies(session)] == [(421, "4.7.0")]
    assert session.state is State.CLOSED


def test_guessing_passwords_wears_the_patience_out() -> None:
    session = ready(Terms("mx.example.com", auth_offered=True, max_bad_commands=2), secure=True)
    for _ in range(2):
        say(session, PLAIN)
        assert session.login(False) == []
    say(session, PLAIN)

    (event,) = session.login(False)
    assert isinstance(event, Close)
    assert [answer.code for answer in replies(session)] == [535, 535, 421]


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "post /x HTTP/1.0", "CONNECT a:25 HTTP/1.1", "OPTIONS * HTTP/1.1"])
def test_a_browser_is_cut_off_at_its_first_line(line: str) -> None:
    session = greeted()

    (event,) = say(session, line, "Host: x", "", "MAIL FROM:<a@example.com>")
    assert isinstance(event, Close)
    assert [answer.code for answer in replies(session)] == [421]


@pytest.mark.parametrize("state", set(State) - {State.CLOSED}, ids=lambda state: state.name)
def test_the_session_can_be_ended_from_this_side_at_any_time(state: State) -> None:
    session = LADDER[state]()

    assert session.leave(reply(421, "4.3.2", "shutting down"), "stop") == [Close("stop")]
    assert session.data_to_send() == b"421 4.3.2 shutting down\r\n"
    assert (session.state, session.waiting, session.buffered) == (State.CLOSED, True, 0)


# Peers that go on for ever


@pytest.mark.parametrize("line", ["NOOP", "RSET", "VRFY root", "HELP", "EHLO again", "HELO again"])
def test_commands_that_bring_no_message_nearer_end_a_session_when_they_do_not_stop(line: str) -> None:
    session = ready(Terms("mx.example.com", trusted=True, max_idle_commands=4))

    assert [code // 100 for code in codes(session, *[line] * 3)][-3:] == [2, 2, 2]
    (event,) = say(session, line)

    assert event == Close("too many commands without a message")
    assert [(answer.code, answer.enhanced) for answer in replies(session)] == [(421, "4.7.0")]


@pytest.mark.parametrize("said", [b"STARTTLS\r\nEHLO evil\r\n", b"GET / HTTP/1.1\r\n"])
def test_whoever_is_cut_off_for_what_no_sender_does_is_named_in_the_log(said: bytes) -> None:
    session = ready(FULL)

    session.receive(said)

    assert [session.refused] == replies(session)


def test_a_login_that_is_put_off_again_and_again_ends_the_session() -> None:
    session = ready(Terms("mx.example.com", auth_offered=True, max_idle_commands=3), secure=True)

    answers = []
    for _ in range(3):
        say(session, "AUTH PLAIN AGEAYg==")
        events = session.login(None)
        answers += replies(session)

    # EHLO was the first of the three.
    assert [answer.code for answer in answers] == [454, 454, 421]
    assert events == [Close("too many commands without a message")]


def test_a_sender_that_is_refused_again_and_again_ends_the_session() -> None:
    session = ready(Terms("mx.example.com", trusted=True, max_message=1000, max_idle_commands=3))

    assert codes(session, *["MAIL FROM:<a@example.com> SIZE=1001"] * 3) == [552, 552, 421]
    assert session.state is State.CLOSED


def test_a_message_gives_a_session_its_patience_back() -> None:
    session = ready(Terms("mx.example.com", trusted=True, max_idle_commands=4))

    for _ in range(5):
        assert codes(session, "RSET", "NOOP", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA")[-1] == 354
        session.receive(b"x\r\n.\r\n")
        session.conclude(QUEUED)
        replies(session)


def test_data_without_end_are_cut_off_after_many_times_the_limit() -> None:
    session = in_data(Terms("mx.example.com", trusted=True, max_message=1000))
    kept: list[Event] = []
    for _ in range(10):
        kept += session.receive(b"x" * 1000)
    assert kept == [Block(b"x" * 1000), MessageDropped()], "what is over the limit is read, and not kept"

    assert session.receive(b"x") == [Close("data without end")]
    assert [answer.code for answer in replies(session)] == [552]
    assert session.state is State.CLOSED


def test_recipients_without_end_are_errors_in_the_end() -> None:
    session = ready(Terms("mx.example.com", trusted=True, max_recipients=2, max_bad_commands=3))
    assert codes(session, "MAIL FROM:<a@example.com>", *["RCPT TO:<b@example.com>"] * 2) == [250] * 3

    assert codes(session, *["RCPT TO:<b@example.com>"] * 1000) == [452] * 1000
    assert codes(session, *["RCPT TO:<b@example.com>"] * 3) == [452] * 3
    assert codes(session, "RCPT TO:<b@example.com>") == [421]


def test_lines_are_counted_and_octets_of_a_line_are_not() -> None:
    session = ready()
    before = session.heard

    for octet in b"NOOP":
        session.receive(bytes([octet]))
    assert session.heard == before
    session.receive(b"\r\n")

    assert session.heard == before + 1
