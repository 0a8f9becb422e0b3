"""A session as a person reads it: what is shown of both sides, and that no secret is."""

import base64
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.transcript import Line, Side, Stage, Transcript
from smtpbridge.smtp.events import MessageEnds, Terms
from smtpbridge.smtp.replies import reply
from smtpbridge.smtp.sasl import LoginAttempt
from smtpbridge.smtp.server import ServerSession

USER, PASSWORD = "SMTP_Injection", "key with a blank 7f3a"
TAKEN = reply(250, "2.0.0", "queued")


def b64(text: str) -> bytes:
    return base64.b64encode(text.encode())


# As it is said, and every way in which it travels.
SECRETS = [PASSWORD, b64(PASSWORD).decode(), b64(f"\0{USER}\0{PASSWORD}").decode()]
PLAIN, LATER, LOGIN = b64(f"\0{USER}\0{PASSWORD}"), b64(USER), b64(PASSWORD)


def talk(*pieces: bytes, accept: bool | None = True, headers: bool = False) -> list[Line]:
    """Let a real session answer a client that says `pieces`; return its transcript."""
    session = ServerSession(Terms("bridge.test", auth_offered=True, trusted=True, max_line=2048))
    transcript = Transcript(headers=headers)
    session.greet()
    lines = transcript.server(session.data_to_send())
    for piece in pieces:
        lines += transcript.client(piece)
        events: list[Any] = list(session.receive(piece))
        while events:
            match events.pop(0):
                case LoginAttempt():
                    events += session.login(accept)
                case MessageEnds():
                    events += session.conclude(TAKEN)
        lines += transcript.server(session.data_to_send())
    return lines


def text_of(lines: Sequence[Line]) -> str:
    return "\n".join(f"{line.side.value} {line.text}" for line in lines)


def test_a_message_is_its_commands_its_replies_and_the_number_of_its_octets() -> None:
    lines = talk(
        b"EHLO app.test\r\n",
        b"MAIL FROM:<a@b.test> SIZE=10\r\nRCPT TO:<c@d.test>\r\nDATA\r\n",
        b"Subject: private\r\n\r\nthe body\r\n.\r\nQUIT\r\n",
    )

    said = [line.text for line in lines if line.side is Side.CLIENT]
    assert said == [
        "EHLO app.test",
        "MAIL FROM:<a@b.test> SIZE=10",
        "RCPT TO:<c@d.test>",
        "DATA",
        "(30 octets of data)",
        ".",
        "QUIT",
    ]
    answers = [line.text[:3] for line in lines if line.side is Side.SERVER]
    assert answers[-6:] == ["250", "250", "354", "250", "221"] or answers[-5:] == ["250", "250", "354", "250", "221"]
    assert [line.sender for line in lines if line.sender is not None] == ["a@b.test"]
    assert [line.recipient for line in lines if line.recipient is not None] == ["c@d.test"]


def test_the_header_block_is_shown_on_request_and_the_body_never() -> None:
    pieces = (
        b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n",
        b"Subject: yes\r\nTo: x\r\n\r\nsecret\r\n.\r\n",
    )

    shown, hidden = text_of(talk(*pieces, headers=True)), text_of(talk(*pieces))

    assert "> Subject: yes\n> To: x\n> (" in shown
    assert "secret" not in shown
    assert "Subject" not in hidden


LOGINS = [
    b"AUTH PLAIN " + PLAIN + b"\r\n",
    b"auth=plain " + PLAIN + b"\r\n",
    b"AUTH PLAIN\r\n" + PLAIN + b"\r\n",
    b"AUTH LOGIN\r\n" + LATER + b"\r\n" + LOGIN + b"\r\n",
    b"AUTH LOGIN " + LATER + b"\r\n" + LOGIN + b"\r\n",
    # What is none: of an unknown kind, after a cancel, without AUTH, in a command that is none.
    b"AUTH XOAUTH2 " + PLAIN + b"\r\n" + LOGIN + b"\r\n",
    b"AUTH LOGIN\r\n*\r\n" + LOGIN + b"\r\n",
    LATER + b"\r\n" + LOGIN + b"\r\n",
    b"PASS " + PASSWORD.encode() + b"\r\n",
    b"AUTH\t PLAIN " + PLAIN + b"\r\n",
    b" AUTH PLAIN " + PLAIN + b"\r\n",
]
OTHERS = [
    b"NOOP\r\n",
    b"RSET\r\n",
    b"EHLO app.test\r\n",
    b"MAIL FROM:<a@b.test>\r\n",
    b"RCPT TO:<c@d.test>\r\n",
    b"DATA\r\n",
]


@given(
    st.lists(st.sampled_from(LOGINS + OTHERS), max_size=8),
    st.sampled_from(LOGINS),
    st.lists(st.integers(0, 400), max_size=6),
    st.sampled_from([True, False, None]),
)
def test_however_a_login_is_said_cut_and_pipelined_no_secret_is_shown(
    around: list[bytes], login: bytes, cuts: list[int], accept: bool | None
) -> None:
    said = b"EHLO app.test\r\n" + b"".join(around) + login + b"QUIT\r\n"
    places = sorted({0, len(said), *[cut for cut in cuts if cut < len(said)]})

    shown = text_of(talk(*[said[a:b] for a, b in itertools.pairwise(places)], accept=accept))

    assert [secret for secret in SECRETS if secret in shown] == []


@given(st.lists(st.integers(0, 200), max_size=8))
def test_where_the_client_is_cut_makes_no_difference_to_what_it_said(cuts: list[int]) -> None:
    said = b"EHLO a\r\nAUTH PLAIN " + PLAIN + b"\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nQUIT\r\n"
    places = sorted({0, len(said), *[cut for cut in cuts if cut < len(said)]})

    whole, cut = talk(said), talk(*[said[a:b] for a, b in itertools.pairwise(places)])

    for side in (Side.CLIENT, Side.SERVER):
        assert [line for line in whole if line.side is side] == [line for line in cut if line.side is side]


# The name of a test is said in every log of the run, so a login is no part of it.
@pytest.mark.parametrize("login", [b"AUTH PLAIN " + PLAIN, b"AUTH LOGIN " + LATER], ids=["PLAIN", "LOGIN"])
def test_what_a_server_repeats_of_a_login_is_struck_out(login: bytes) -> None:
    transcript = Transcript()
    transcript.client(login + b"\r\n")
    transcript.server(b"334 UGFzc3dvcmQ6\r\n")
    transcript.client(LOGIN + b"\r\n")

    shown = text_of(transcript.server(b"535 5.7.8 no %b (%b) here\r\n" % (PASSWORD.encode(), LOGIN)))

    assert shown == "< 535 5.7.8 no **** (****) here"


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("within", [False, True])
def test_a_session_that_is_met_within_a_login_shows_nothing_of_it(stage: Stage, within: bool) -> None:
    transcript = Transcript(stage=stage, within_line=within)
    lines = transcript.client(LOGIN + b"\r\n")
    lines += transcript.server(b"334 UGFzc3dvcmQ6\r\n")
    lines += transcript.client(LOGIN + b"\r\n")
    lines += transcript.server(b"235 2.7.0 good\r\n")

    assert [secret for secret in SECRETS if secret in text_of(lines)] == []


def test_a_session_that_is_met_within_a_message_finds_its_end() -> None:
    transcript = Transcript(stage=Stage.DATA)
    lines = transcript.client(b"MAIL FROM:<not@a.command>\r\n.\r\nMAIL FROM:<a@b.test>\r\n")

    assert [line.sender for line in lines if line.sender is not None] == ["a@b.test"]


def test_data_that_do_not_wait_for_354_are_no_commands() -> None:
    lines = talk(b"HELO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nQUIT or not\r\n.\r\nNOOP\r\n")

    assert "QUIT" not in text_of(lines)
    assert "> (13 octets of data)\n> .\n" in text_of(lines)
    assert "> NOOP" in text_of(lines)


def test_what_moves_a_cursor_or_ends_a_line_is_escaped() -> None:
    transcript = Transcript()

    [line] = transcript.client(b"EHLO \x1b[2J\x00a\rb\xff\r\n")
    [answer] = transcript.server(b"250 \x9b\x07 ok\r\n")

    assert line.text == "EHLO \\x1b[2J\\x00a\\x0db\\xff"
    assert answer.text.isprintable()


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80)), max_size=20), st.sampled_from(list(Stage)))
def test_any_octets_give_printable_lines_and_no_error(said: list[tuple[bool, bytes]], stage: Stage) -> None:
    transcript = Transcript(headers=True, stage=stage)
    for by_client, octets in said:
        lines = transcript.client(octets) if by_client else transcript.server(octets)
        assert all(line.text.isprintable() for line in lines)


def test_after_tls_a_half_line_from_before_it_is_forgotten() -> None:
    transcript = Transcript()
    transcript.client(b"STARTTLS\r\nMAIL FR")
    transcript.server(b"220 go\r\n")
    transcript.secured()

    [line] = transcript.client(b"EHLO a\r\n")
    assert line.text == "EHLO a"


def test_a_client_that_never_ends_its_line_takes_no_more_than_a_bound() -> None:
    transcript = Transcript()
    lines = [line for _ in range(40) for line in transcript.client(b"x" * 10_000)]

    assert [line.side for line in lines] == [Side.NOTE]
