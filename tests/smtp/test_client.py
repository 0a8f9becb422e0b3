"""
What is promised of the client's half of a connection.

`CLEAR` and the functions after it are a ladder: each gives a session one step
further than the one before.  What the server says stands in the tests as octets.
"""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp.capabilities import Capabilities
from smtpbridge.smtp.client import (
    ClientSession,
    Concluded,
    Event,
    GoAhead,
    Phase,
    Ready,
    State,
    Unusable,
    UpgradeTls,
)
from smtpbridge.smtp.commands import Mail, Recipient, UnsafeCommand
from smtpbridge.smtp.replies import Excess, Reply, ReplyReader, reply

CLEAR = b"250-mx\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"
FULL = b"250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 100\r\n250 AUTH LOGIN PLAIN\r\n"
POOR = b"250 mx\r\n"
MAIL = Mail("a@x", 7, eight_bit=True)
OK = reply(250, "2.0.0", "ok")
NO = reply(550, "5.1.1", "no")
LATER = reply(451, "4.3.0", "later")
BYE = reply(421, "4.3.2", "bye")
GO = reply(354, "", "go")


def octet_by_octet(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]


def hear(session: ClientSession, *answers: Reply) -> list[Event]:
    return session.receive(b"".join(answer.encode() for answer in answers))


def the_end(events: list[Event]) -> Unusable:
    (event,) = events
    assert isinstance(event, Unusable), event
    return event


# The ladder


def greeted() -> ClientSession:
    session = ClientSession("bridge", implicit_tls=False)
    assert session.receive(b"220 mx ESMTP\r\n") == []
    assert session.data_to_send() == b"EHLO bridge\r\n"
    return session


def at_starttls() -> ClientSession:
    session = greeted()
    assert session.receive(CLEAR) == []
    assert session.data_to_send() == b"STARTTLS\r\n"
    return session


def at_handshake() -> ClientSession:
    session = at_starttls()
    assert session.receive(b"220 go\r\n") == [UpgradeTls()]
    assert session.data_to_send() == b""
    return session


def secure(username: str = "", password: str = "") -> ClientSession:
    session = ClientSession("bridge", implicit_tls=True, username=username, password=password)
    assert session.secured() == []
    assert session.data_to_send() == b""
    assert session.receive(b"220 mx ESMTP\r\n") == []
    assert session.data_to_send() == b"EHLO bridge\r\n"
    return session


def ready(hello: bytes = FULL) -> ClientSession:
    session = secure()
    (event,) = session.receive(hello)
    assert isinstance(event, Ready)
    assert session.data_to_send() == b""
    return session


def in_envelope(hello: bytes = FULL, recipients: tuple[str, ...] = ("b@x", "c@x")) -> ClientSession:
    session = ready(hello)
    session.begin(MAIL, recipients)
    session.data_to_send()
    return session


def in_body() -> ClientSession:
    session = in_envelope()
    assert hear(session, OK, OK, NO, GO) == [GoAhead()]
    assert session.data_to_send() == b""
    return session


def in_final() -> ClientSession:
    session = in_body()
    assert session.end_data() == b".\r\n"
    return session


def at_lone_dot() -> ClientSession:
    session = in_envelope()
    assert hear(session, OK, NO, NO, GO) == []
    assert session.data_to_send() == b".\r\n"
    return session


def at_login(mechanism: str) -> ClientSession:
    session = secure("user", "a secret 12")
    assert session.receive(b"250-mx\r\n250 AUTH " + mechanism.encode() + b"\r\n") == []
    return session


def again(session: ClientSession) -> None:
    """Bring a session through one message, back to where it takes the next."""
    session.begin(MAIL, ("b@x",))
    while lines := session.data_to_send().splitlines():
        hear(session, *(GO if line == b"DATA" else OK for line in lines))
    assert session.end_data() == b".\r\n"
    assert hear(session, OK) == [Concluded(Phase.ANSWERED, OK, (OK,), GO, OK)]
    assert session.data_to_send() == b""


LADDER: dict[State, Callable[[], ClientSession]] = {
    State.GREETING: lambda: ClientSession("bridge", implicit_tls=False),
    State.HELLO: greeted,
    State.STARTTLS: at_starttls,
    State.HANDSHAKE: at_handshake,
    State.SECURE_HELLO: secure,
    State.AUTH: lambda: at_login("PLAIN"),
    State.RESPONSES: lambda: at_login("LOGIN"),
    State.READY: ready,
    State.ENVELOPE: in_envelope,
    State.BODY: in_body,
    State.FINAL: in_final,
    State.LONE_DOT: at_lone_dot,
}
IN_TRANSACTION = {
    State.ENVELOPE: Phase.ENVELOPE,
    State.BODY: Phase.BODY,
    State.FINAL: Phase.FINAL,
    State.LONE_DOT: Phase.ANSWERED,
}


def test_every_step_of_the_ladder_stands_where_it_says() -> None:
    assert {state: step().state for state, step in LADDER.items()} == {state: state for state in LADDER}
    assert set(LADDER) == set(State) - {State.CLOSED}


# Making ready


def test_a_connection_with_starttls_becomes_ready_with_what_is_offered_after_tls() -> None:
    session = at_handshake()
    assert session.secured() == []
    assert session.data_to_send() == b"EHLO bridge\r\n"

    offered = Capabilities(False, True, True, 100, frozenset({"LOGIN", "PLAIN"}))
    assert session.receive(FULL) == [Ready(offered)]
    assert session.capabilities == offered


def test_nothing_that_was_offered_before_tls_counts() -> None:
    session = greeted()
    session.receive(b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
    session.receive(b"220 go\r\n")
    session.secured()

    assert session.receive(POOR) == [Ready(Capabilities())]


def test_with_implicit_tls_nothing_is_said_before_the_greeting() -> None:
    session = ClientSession("bridge", implicit_tls=True)
    session.secured()
    assert (session.data_to_send(), session.state) == (b"", State.GREETING)

    session.receive(b"220-mx\r\n220 hi\r\n")
    assert session.data_to_send() == b"EHLO bridge\r\n"
    assert session.receive(b"250-mx\r\n250 STARTTLS\r\n") == [Ready(Capabilities(starttls=True))]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State.GREETING, reply(554, "5.7.1", "no")),
        (State.GREETING, reply(421, "4.3.2", "busy")),
        (State.GREETING, reply(250, "", "hi")),
        (State.HELLO, reply(502, "5.5.1", "what?")),
        (State.HELLO, reply(250, "", "no STARTTLS here")),
        (State.STARTTLS, reply(454, "4.7.0", "not now")),
        (State.STARTTLS, reply(250, "", "ok")),
        (State.SECURE_HELLO, reply(421, "4.3.2", "busy")),
        (State.AUTH, reply(535, "5.7.8", "wrong")),
        (State.AUTH, reply(454, "4.7.0", "later")),
        (State.AUTH, reply(334, "", "more")),
        (State.AUTH, reply(250, "", "ok")),
        (State.RESPONSES, reply(535, "5.7.8", "wrong")),
        (State.RESPONSES, reply(235, "2.7.0", "too early")),
    ],
)
def test_a_refusal_on_the_way_makes_the_connection_unusable_and_says_where(state: State, said: Reply) -> None:
    session = LADDER[state]()
    session.data_to_send()

    end = the_end(hear(session, said))
    assert (end.stage, end.answer) == (state, said)
    assert (session.state, session.data_to_send(), session.lost()) == (State.CLOSED, b"", None)


@pytest.mark.parametrize(
    ("greeting", "excess"),
    [
        (b"220-x\r\n" * 2 + b"220 " + b"x" * 34 + b"\r\n", None),
        (b"220-x\r\n" * 3 + b"220 x\r\n", Excess.LINES),
        (b"220 " + b"x" * 35 + b"\r\n", Excess.LINE),
    ],
)
def test_replies_are_bounded_as_the_session_was_told(greeting: bytes, excess: Excess | None) -> None:
    session = ClientSession("bridge.example.com", implicit_tls=False, replies=ReplyReader(max_line=40, max_lines=3))

    found = [event.excess for event in session.receive(greeting) if isinstance(event, Unusable)]

    assert found == ([] if excess is None else [excess])


@pytest.mark.parametrize("behind", [b"250 AUTH PLAIN\r\n", b"2", b"\r\n", b"x" * 9000])
def test_octets_behind_the_answer_to_starttls_end_the_connection(behind: bytes) -> None:
    assert the_end(at_starttls().receive(b"220 go\r\n" + behind)).stage is State.STARTTLS

    later = at_handshake()
    assert the_end(later.receive(behind)).stage is State.HANDSHAKE
    assert (later.secured(), later.data_to_send(), later.state) == ([], b"", State.CLOSED)


def test_no_word_is_sent_before_the_handshake_is_done() -> None:
    session = ClientSession("bridge", implicit_tls=True, username="user", password="secret")

    assert the_end(session.receive(b"220 mx\r\n")).stage is State.HANDSHAKE
    assert session.data_to_send() == b""


@pytest.mark.parametrize("offered", ["PLAIN", "LOGIN PLAIN", "plain"])
def test_plain_is_preferred_and_takes_one_line(offered: str) -> None:
    session = at_login(offered)

    assert session.data_to_send() == b"AUTH PLAIN " + base64.b64encode(b"\0user\0a secret 12") + b"\r\n"
    (event,) = session.receive(b"235 2.7.0 ok\r\n")
    assert isinstance(event, Ready)
    assert session.state is State.READY


def test_login_answers_one_prompt_after_the_other() -> None:
    session = at_login("LOGIN CRAM-MD5")

    assert session.data_to_send() == b"AUTH LOGIN\r\n"
    assert session.receive(b"334 VXNlcm5hbWU6\r\n") == []
    assert session.data_to_send() == base64.b64encode(b"user") + b"\r\n"
    assert session.receive(b"334 UGFzc3dvcmQ6\r\n") == []
    assert session.data_to_send() == base64.b64encode(b"a secret 12") + b"\r\n"
    assert session.state is State.AUTH
    (event,) = session.receive(b"235 2.7.0 ok\r\n")
    assert isinstance(event, Ready)


def test_a_wrong_password_at_login_is_told_like_one_at_plain() -> None:
    session = at_login("LOGIN")
    session.receive(b"334 \r\n")
    session.receive(b"334 \r\n")

    assert the_end(session.receive(b"535 5.7.8 wrong\r\n")) == Unusable(
        State.AUTH, "the login was refused", reply(535, "5.7.8", "wrong")
    )


@pytest.mark.parametrize("hello", [POOR, b"250-mx\r\n250 AUTH CRAM-MD5\r\n"])
def test_without_a_mechanism_that_we_know_no_login_is_tried(hello: bytes) -> None:
    session = secure("user", "secret")

    assert the_end(session.receive(hello)).stage is State.SECURE_HELLO
    assert session.data_to_send() == b""


# The envelope

LINES = [b"MAIL FROM:<a@x> SIZE=7 BODY=8BITMIME\r\n", b"RCPT TO:<b@x>\r\n", b"RCPT TO:<c@x>\r\n", b"DATA\r\n"]


def test_with_pipelining_the_envelope_is_one_write_and_rset_comes_only_from_the_second_on() -> None:
    session = ready()
    session.begin(MAIL, ("b@x", "c@x"))
    assert session.data_to_send() == b"".join(LINES)

    hear(session, OK, OK, OK, GO)
    session.end_data()
    hear(session, OK)
    session.begin(MAIL, ("b@x", "c@x"))
    assert session.data_to_send() == b"RSET\r\n" + b"".join(LINES)


def test_without_pipelining_each_command_waits_for_the_answer_to_the_one_before() -> None:
    session = ready(b"250-mx\r\n250-SIZE\r\n250 8BITMIME\r\n")
    again(session)
    session.begin(MAIL, ("b@x", "c@x"))

    for line in (b"RSET\r\n", *LINES):
        assert session.data_to_send() == line
        assert session.state is State.ENVELOPE
        assert hear(session, GO if line == b"DATA\r\n" else OK) == ([GoAhead()] if line == b"DATA\r\n" else [])


@pytest.mark.parametrize(
    ("hello", "line"),
    [
        (b"250 mx\r\n", b"MAIL FROM:<a@x>\r\n"),
        (b"250-mx\r\n250 SIZE\r\n", b"MAIL FROM:<a@x> SIZE=7\r\n"),
        (b"250-mx\r\n250 8BITMIME\r\n", b"MAIL FROM:<a@x> BODY=8BITMIME\r\n"),
    ],
)
def test_mail_names_only_what_the_server_offers(hello: bytes, line: bytes) -> None:
    session = ready(hello)
    session.begin(MAIL, ("b@x",))

    assert session.data_to_send() == line


def test_an_unsafe_address_is_not_sent_and_leaves_the_connection_as_it_was() -> None:
    session = ready()

    for mail, recipients in ((Mail("a@x>\r\nQUIT"), ("b@x",)), (MAIL, ("b@x", "c@x\r\nDATA"))):
        with pytest.raises(UnsafeCommand):
            session.begin(mail, recipients)
        assert (session.state, session.data_to_send()) == (State.READY, b"")
    again(session)


@pytest.mark.parametrize("hello", [FULL, POOR], ids=["pipelining", "one by one"])
@pytest.mark.parametrize("mail", [OK, LATER, NO], ids=["mail", "mail4", "mail5"])
@pytest.mark.parametrize("first", [OK, LATER, NO], ids=["one", "one4", "one5"])
@pytest.mark.parametrize("second", [OK, LATER, NO], ids=["two", "two4", "two5"])
@pytest.mark.parametrize("data", [GO, LATER, NO], ids=["data", "data4", "data5"])
def test_every_combination_of_answers_is_reported_and_leaves_both_sides_in_step(
    hello: bytes, mail: Reply, first: Reply, second: Reply, data: Reply
) -> None:
    session = ready(hello)
    again(session)
    session.begin(MAIL, ("b@x", "c@x"))
    said = {b"RSET": OK, b"MAIL": mail, b"RCPT TO:<b": first, b"RCPT TO:<c": second, b"DATA": data, b".": NO}
    heard: list[Reply] = []
    events: list[Event] = []
    while out := session.data_to_send():
        for line in out.splitlines():
            answer = next(answer for start, answer in said.items() if line.startswith(start))
            heard.append(answer)
            events += hear(session, answer)
            if events == [GoAhead()]:
                events = []
                assert session.data_to_send() == b""
                assert session.end_data() == b".\r\n"
                events += hear(session, OK)

    pipelining = hello is FULL
    some = mail is OK and OK in (first, second)
    if pipelining and mail is not OK and OK in (first, second) and data is GO:
        # A dot might send that recipient an empty message: the connection is given up without one.
        assert [type(event) for event in events] == [Concluded, Unusable]
        assert events[0] == Concluded(Phase.ENVELOPE, mail, (first, second), data, None)
        return
    asked_rcpt = pipelining or mail is OK
    asked_data = pipelining or some
    assert events == [
        Concluded(
            Phase.ANSWERED,
            mail,
            (first, second) if asked_rcpt else (None, None),
            data if asked_data else None,
            OK if some and data is GO else None,
        )
    ]
    # The lone dot ends a DATA that nobody should have let in.
    assert len(heard) == 1 + 1 + 2 * asked_rcpt + asked_data + (pipelining and data is GO and not some)
    assert session.state is State.READY
    again(session)


def test_a_refused_rset_does_no_harm() -> None:
    session = ready()
    again(session)
    session.begin(MAIL, ("b@x",))

    assert hear(session, NO, OK, OK, GO) == [GoAhead()]


def test_that_only_the_answer_to_data_is_awaited_can_be_asked() -> None:
    for hello in (FULL, POOR):
        session = ready(hello)
        again(session)
        session.begin(MAIL, ("b@x",))
        waits = []
        for answer in (OK, OK, OK):
            session.data_to_send()
            waits.append(session.awaits_data)
            hear(session, answer)
        assert waits == [False, False, False]
        assert session.awaits_data


@pytest.mark.parametrize("at", range(4))
def test_421_in_the_envelope_ends_the_connection_and_is_told_apart(at: int) -> None:
    session = in_envelope()
    answers = [OK, OK, OK, GO]
    answers[at] = BYE

    concluded, unusable = hear(session, *answers)

    assert isinstance(concluded, Concluded)
    assert (concluded.phase, concluded.hung_up, concluded.final) == (Phase.ENVELOPE, BYE, None)
    assert unusable == Unusable(State.ENVELOPE, "the server hangs up", BYE)
    assert session.state is State.CLOSED


def test_421_to_rset_counts_as_421_to_the_transaction() -> None:
    session = ready()
    again(session)
    session.begin(MAIL, ("b@x",))

    concluded, _ = hear(session, BYE)
    assert isinstance(concluded, Concluded)
    assert (concluded.phase, concluded.hung_up) == (Phase.ENVELOPE, BYE)


@pytest.mark.parametrize("at", range(3))
def test_an_intermediate_answer_to_mail_or_rcpt_means_that_the_sides_are_out_of_step(at: int) -> None:
    session = in_envelope()
    answers = [OK, OK, OK]
    answers[at] = GO

    concluded, unusable = hear(session, *answers)
    assert isinstance(concluded, Concluded)
    assert concluded.phase is Phase.ENVELOPE
    assert isinstance(unusable, Unusable)


@pytest.mark.parametrize("odd", [OK, reply(334, "", "")])
def test_an_answer_to_data_that_is_neither_354_nor_a_refusal_ends_the_connection(odd: Reply) -> None:
    session = in_envelope()

    concluded, unusable = hear(session, OK, OK, NO, odd)
    assert concluded == Concluded(Phase.ENVELOPE, OK, (OK, NO), None, None)
    assert isinstance(unusable, Unusable)
    assert session.data_to_send() == b""


def test_the_lone_dot_is_answered_before_the_next_message() -> None:
    session = at_lone_dot()

    assert hear(session, NO) == [Concluded(Phase.ANSWERED, OK, (NO, NO), GO, None)]
    assert session.state is State.READY
    concluded, unusable = hear(at_lone_dot(), BYE)
    assert isinstance(concluded, Concluded)
    assert (concluded.phase, concluded.hung_up) == (Phase.ANSWERED, None)
    assert isinstance(unusable, Unusable)


# The data and the final dot


@pytest.mark.parametrize("answer", [OK, LATER, NO])
def test_the_answer_to_the_final_dot_is_the_outcome(answer: Reply) -> None:
    session = in_final()

    assert hear(session, answer) == [Concluded(Phase.ANSWERED, OK, (OK, NO), GO, answer)]
    assert session.state is State.READY
    again(session)


def test_421_to_the_final_dot_is_an_answer_and_ends_the_connection() -> None:
    concluded, unusable = hear(in_final(), BYE)

    assert concluded == Concluded(Phase.ANSWERED, OK, (OK, NO), GO, BYE)
    assert isinstance(concluded, Concluded)
    assert concluded.hung_up is None
    assert isinstance(unusable, Unusable)


def test_an_intermediate_answer_to_the_final_dot_leaves_the_outcome_unknown() -> None:
    session = in_final()

    concluded, unusable = hear(session, GO)
    assert concluded == Concluded(Phase.FINAL, OK, (OK, NO), GO, None)
    assert isinstance(unusable, Unusable)
    assert session.state is State.CLOSED


@pytest.mark.parametrize("answer", [LATER, NO, BYE])
def test_a_refusal_amid_the_data_ends_the_transaction_in_its_own_words(answer: Reply) -> None:
    session = in_body()

    concluded, unusable = hear(session, answer)
    assert concluded == Concluded(Phase.BODY, OK, (OK, NO), GO, answer)
    assert isinstance(concluded, Concluded)
    assert concluded.hung_up == (BYE if answer is BYE else None)
    assert unusable == Unusable(State.BODY, "the server refused the data before their end", answer)
    assert session.state is State.CLOSED


@pytest.mark.parametrize("answer", [OK, GO])
def test_anything_else_amid_the_data_is_no_outcome(answer: Reply) -> None:
    concluded, unusable = hear(in_body(), answer)

    assert concluded == Concluded(Phase.BODY, OK, (OK, NO), GO, None)
    assert isinstance(unusable, Unusable)


def test_nothing_is_sent_behind_the_final_dot_before_its_answer() -> None:
    session = in_final()

    with pytest.raises(AssertionError):
        session.begin(MAIL, ("b@x",))
    assert session.data_to_send() == b""
    session.quit()
    assert session.data_to_send() == b""


# What goes wrong anywhere


@pytest.mark.parametrize("state", LADDER, ids=lambda state: state.name)
def test_a_lost_connection_tells_how_far_the_transaction_came(state: State) -> None:
    session = LADDER[state]()

    concluded = session.lost()

    assert (None if concluded is None else concluded.phase) == IN_TRANSACTION.get(state)
    assert (concluded is not None) == (state in IN_TRANSACTION)
    assert session.state is State.CLOSED
    assert session.lost() is None
    assert session.receive(OK.encode()) == []


def test_what_was_answered_before_the_loss_is_told() -> None:
    session = in_envelope()
    hear(session, OK, NO)

    assert session.lost() == Concluded(Phase.ENVELOPE, OK, (NO, None), None, None)
    assert in_envelope().lost() == Concluded(Phase.ENVELOPE, None, (None, None), None, None)


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n",
        b"\r\n",
        b"250 ok\n",
        b"250-a\r\n550 b\r\n",
        b"250 " + b"x" * 5000 + b"\r\n",
        b"250-x\r\n" * 200,
        b"999 x\r\n",
    ],
    ids=["word", "empty", "bare LF", "changing", "over-long", "endless", "code"],
)
@pytest.mark.parametrize("state", LADDER, ids=lambda state: state.name)
def test_what_is_no_reply_ends_the_connection_in_every_state(state: State, garbage: bytes) -> None:
    for chunks in ([garbage], octet_by_octet(garbage)):
        session = LADDER[state]()
        session.data_to_send()
        *early, last = [event for chunk in chunks for event in session.receive(chunk)]

        assert isinstance(last, Unusable)
        assert last.stage is state
        assert [event.phase for event in early if isinstance(event, Concluded)] == (
            [IN_TRANSACTION[state]] if state in IN_TRANSACTION else []
        )
        assert all(isinstance(event, Concluded) for event in early)
        assert (session.state, session.data_to_send()) == (State.CLOSED, b"")


@pytest.mark.parametrize("said", [b"421 4.4.2 idle too long\r\n", b"250 ok\r\n", b"2", b"x" * 9000])
def test_an_idle_connection_that_says_a_word_is_unusable(said: bytes) -> None:
    session = ready()

    assert the_end(session.receive(said)).stage is State.READY
    assert session.state is State.CLOSED


def test_a_word_too_many_behind_an_answer_costs_the_connection_but_not_the_outcome() -> None:
    for extra in (OK.encode(), b"2"):
        concluded, unusable = in_final().receive(OK.encode() + extra)

        assert concluded == Concluded(Phase.ANSWERED, OK, (OK, NO), GO, OK)
        assert isinstance(unusable, Unusable)


@pytest.mark.parametrize("state", LADDER, ids=lambda state: state.name)
def test_quit_is_said_only_where_it_is_allowed(state: State) -> None:
    session = LADDER[state]()
    session.data_to_send()

    session.quit()

    assert session.data_to_send() == (b"QUIT\r\n" if state is State.READY else b"")
    assert (session.state, session.receive(b"221 bye\r\n")) == (State.CLOSED, [])


def test_secured_means_nothing_where_no_handshake_is_awaited() -> None:
    for state, step in LADDER.items():
        if state is not State.HANDSHAKE:
            session = step()
            session.data_to_send()
            assert session.secured() == []
            assert (session.state, session.data_to_send()) == (state, b"")


def run(*chunks: bytes) -> tuple[list[Event], bytes, State]:
    """Hear a server out, doing at once what the session asks for."""
    session = ClientSession("bridge", implicit_tls=False, username="user", password="secret")
    events: list[Event] = []
    out = b""
    for chunk in chunks:
        for event in session.receive(chunk):
            events.append(event)
            match event:
                case UpgradeTls():
                    session.secured()
                case Ready():
                    session.begin(MAIL, ("b@x", "c@x"))
                case GoAhead():
                    out += session.end_data()
        out += session.data_to_send()
    return events, out, session.state


# What a server says as an answer to each write; where the client waits, the stream is cut anyhow.
TURNS = [
    b"220 mx\r\n",
    CLEAR,
    b"220 go\r\n",
    FULL,
    b"235 ok\r\n",
    b"250 ok\r\n" * 2 + b"550 no\r\n354 go\r\n",
    b"250 ok\r\n",
]


@given(st.data())
def test_where_the_answers_are_cut_makes_no_difference(data: st.DataObject) -> None:
    chunks = []
    for turn in TURNS:
        cut = data.draw(st.integers(0, len(turn)))
        chunks += [turn[:cut], turn[cut:]]

    assert run(*chunks) == run(*TURNS)
    assert run(*(octet for turn in TURNS for octet in octet_by_octet(turn))) == run(*TURNS)
    assert isinstance(run(*TURNS)[0][-1], Concluded)


@given(
    st.integers(0, len(TURNS)),
    st.lists(
        st.sampled_from(
            [b"250", b"-", b" ", b"ok", b"\r\n", b"\n", b"354 go\r\n", b"421 x\r\n", b"550 x\r\n", b"250 x\r\n"]
        )
        | st.binary(max_size=5),
        max_size=12,
    ),
)
def test_any_octets_give_events_and_at_most_one_end(turns: int, noise: list[bytes]) -> None:
    events, _, state = run(*TURNS[:turns], *noise)

    ends = [event for event in events if isinstance(event, Unusable)]
    assert len(ends) == (state is State.CLOSED)
    assert not ends or events[-1] is ends[0]
    assert sum(isinstance(event, Concluded) for event in events) <= 1


_ADDRESSES = st.sampled_from(
    [
        "",
        "a@x",
        "b.c+d@mail.example",
        "postmaster",
        '"a b"@x',
        "a@[127.0.0.1]",
        "a b@x",
        "a@x>\r\nRCPT TO:<b@x",
        "\xe9@x",
    ]
)


@given(_ADDRESSES, st.lists(_ADDRESSES, max_size=4).map(tuple), st.none() | st.integers(0, 99), st.booleans())
def test_the_commands_of_an_envelope_are_those_that_each_would_write(
    sender: str, recipients: tuple[str, ...], size: int | None, eight_bit: bool
) -> None:
    mail = Mail(sender, size, eight_bit)
    session = ready()
    try:
        each = [mail.encode(), *[Recipient(one).encode() for one in recipients]]
    except UnsafeCommand:
        with pytest.raises(UnsafeCommand):
            session.begin(mail, recipients)
        assert (session.state, session.data_to_send()) == (State.READY, b"")
        return

    session.begin(mail, recipients)

    assert session.data_to_send() == b"".join([*each, b"DATA\r\n"])


_ANSWERS = st.sampled_from(
    [OK, OK, OK, reply(251, "2.1.5", "forwarded"), NO, LATER, BYE, GO, Reply(250, "", ("a", "b"))]
)


@given(
    st.lists(_ANSWERS, min_size=3, max_size=6),
    st.sampled_from([OK, OK, NO, BYE, reply(251, "", "ok"), GO]),
    st.booleans(),
)
def test_answers_in_one_piece_end_a_message_as_those_in_two_do(answers: list[Reply], final: Reply, used: bool) -> None:
    """Whatever the answers to an envelope of two recipients and to its final dot are."""

    def told(*, at_once: bool) -> tuple[list[Event], State, int]:
        session = ready()
        if used:
            session.begin(MAIL, ("z@x",))
            hear(session, OK, OK, GO)
            session.end_data()
            hear(session, OK)
        session.data_to_send()
        session.begin(MAIL, ("b@x", "c@x"))
        session.data_to_send()
        wire = b"".join(answer.encode() for answer in ([OK, *answers] if used else answers))
        events: list[Event] = []
        for octets in [wire] if at_once else [wire[:1], wire[1:]]:
            events += session.receive(octets)
            session.data_to_send()
        if session.state is State.BODY:
            session.end_data()
            for octets in [final.encode()] if at_once else octet_by_octet(final.encode()):
                events += session.receive(octets)
        return events, session.state, session.heard

    events, state, heard = told(at_once=True)

    assert (events, state, heard) == told(at_once=False)
    for event in events:
        if isinstance(event, Concluded) and event.unanimous:
            said = (event.mail, *event.recipients, event.final)
            assert all(one is not None and one.is_positive for one in said)
            assert event.data == GO
            assert event.hung_up is None


def test_a_message_that_is_taken_at_once_was_taken_by_all() -> None:
    session = in_envelope()
    assert hear(session, OK, OK, OK, GO) == [GoAhead()]
    session.end_data()

    (concluded,) = hear(session, OK)

    assert isinstance(concluded, Concluded)
    assert concluded.unanimous
