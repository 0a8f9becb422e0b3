"""What is promised of commands: read as they were written; refused with the right code; never two in one line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp.commands import (
    UNKNOWN,
    Auth,
    Command,
    Hello,
    Mail,
    Plain,
    Recipient,
    UnsafeCommand,
    Verb,
    read_command,
)
from smtpbridge.smtp.replies import Reply

_ADDRESSES = st.sampled_from(
    ["a@example.com", '"a b"@example.com', "a@[192.0.2.1]", "x.y+z@sub.example.com", "postmaster"]
)
_NAMES = st.from_regex(r"\A[A-Za-z0-9.\-\[\]:]{1,60}\Z")
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Hello, _NAMES, st.booleans()),
    st.builds(Mail, st.one_of(st.just(""), _ADDRESSES), st.none() | st.integers(0, 10**19), st.booleans()),
    st.builds(Recipient, _ADDRESSES),
    st.builds(Auth, st.sampled_from(["PLAIN", "LOGIN", "X-1"]), st.none() | st.from_regex(r"\A[A-Za-z0-9+/=]{1,30}\Z")),
    st.builds(
        Plain, st.sampled_from(sorted(set(Verb) - {Verb.EHLO, Verb.HELO, Verb.MAIL, Verb.RCPT, Verb.AUTH}, key=str))
    ),
)


def code_of(line: bytes) -> tuple[int, str]:
    answer = read_command(line)
    assert isinstance(answer, Reply), answer
    return answer.code, answer.enhanced


@given(COMMANDS, st.sampled_from([bytes.upper, bytes.lower, bytes.title]))
def test_what_was_written_is_read_back_with_its_verb_in_any_case(command: Command, change: object) -> None:
    wire = command.encode()
    assert wire.endswith(b"\r\n")
    line = wire[:-2]

    assert read_command(line) == command
    verb, blank, rest = line.partition(b" ")
    assert callable(change)
    assert read_command(change(verb) + blank + rest) == command
    assert read_command(line + b" ") == command
    assert command.verb.value.encode() == verb


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO  name ", Hello("name")),
        (b"helo [192.0.2.1]", Hello("[192.0.2.1]", extended=False)),
        (b"MAIL FROM:<a@b>", Mail("a@b")),
        (b"MAIL FROM: <a@b>", Mail("a@b")),
        (b"mail from:a@b size=5", Mail("a@b", 5)),
        (b"MAIL FROM:<> BODY=8BITMIME SIZE=0", Mail("", 0, eight_bit=True)),
        (b"MAIL FROM:<a@b> body=7bit", Mail("a@b")),
        (b"MAIL FROM:<a@b> AUTH=<>", Mail("a@b")),
        (b"MAIL FROM:<a@b> AUTH=x+3Dy@c SIZE=1", Mail("a@b", 1)),
        (b"MAIL FROM:<@one,@two:a@b>", Mail("a@b")),
        (b"RCPT TO:<a@b>", Recipient("a@b")),
        (b"rcpt to: a@b ", Recipient("a@b")),
        (b"RCPT TO:<Postmaster>", Recipient("Postmaster")),
        (b"AUTH plain", Auth("PLAIN")),
        (b"AUTH  login  abc=", Auth("LOGIN", "abc=")),
        (b"NOOP whatever \xff", Plain(Verb.NOOP)),
        (b"VRFY somebody", Plain(Verb.VRFY)),
        (b"HELP", Plain(Verb.HELP)),
        (b"quit", Plain(Verb.QUIT)),
        (b"STARTTLS ", Plain(Verb.STARTTLS)),
    ],
)
def test_tolerated_spellings_are_read(line: bytes, command: Command) -> None:
    assert read_command(line) == command


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (b"", (500, "5.5.2")),
        (b" NOOP", (500, "5.5.2")),
        (b"MAILFROM:<a@b>", (500, "5.5.2")),
        (b"BDAT 3", (500, "5.5.2")),
        (b"\xff\xfe", (500, "5.5.2")),
        (b"NOOP\0", (500, "5.5.2")),
        (b"NOOP\t", (500, "5.5.2")),
        (b"NOOP a\rQUIT", (500, "5.5.2")),
        (b"MAIL FROM:<a\x7fb@c>", (500, "5.5.2")),
        (b'RCPT TO:<"a\rb"@c>', (500, "5.5.2")),
        (b"EHLO", (501, "5.5.4")),
        (b"EHLO  ", (501, "5.5.4")),
        (b"EHLO caf\xe9", (501, "5.5.4")),
        (b"HELO " + b"x" * 256, (501, "5.5.4")),
        (b"MAIL", (501, "5.5.2")),
        (b"MAIL TO:<a@b>", (501, "5.5.2")),
        (b"MAIL FROM <a@b>", (501, "5.5.2")),
        (b"MAIL FROM:", (501, "5.1.7")),
        (b"MAIL FROM:<a", (501, "5.1.7")),
        (b"MAIL FROM:<\xc3\xa9@b>", (553, "5.6.7")),
        (b"MAIL FROM:<a@b> SIZE=-1", (501, "5.5.4")),
        (b"MAIL FROM:<a@b> SIZE", (501, "5.5.4")),
        (b"MAIL FROM:<a@b> SIZE=", (501, "5.5.4")),
        (b"MAIL FROM:<a@b> SIZE=1e3", (501, "5.5.4")),
        (b"MAIL FROM:<a@b> SIZE=" + b"9" * 21, (501, "5.5.4")),
        (b"MAIL FROM:<a@b> SIZE=1 SIZE=2", (501, "5.5.4")),
        (b"MAIL FROM:<a@b> BODY=BINARYMIME", (501, "5.5.4")),
        (b"MAIL FROM:<a@b> AUTH", (501, "5.5.4")),
        (b"MAIL FROM:<a@b> SMTPUTF8", (555, "5.5.4")),
        (b"MAIL FROM:<a@b> RET=HDRS", (555, "5.5.4")),
        (b"RCPT", (501, "5.5.2")),
        (b"RCPT FROM:<a@b>", (501, "5.5.2")),
        (b"RCPT TO:<>", (501, "5.1.3")),
        (b"RCPT TO:<a>", (501, "5.1.3")),
        (b"RCPT TO:<a@\xfc>", (553, "5.6.7")),
        (b"RCPT TO:<a@b> NOTIFY=NEVER", (555, "5.5.4")),
        (b"RCPT TO:<a@b> =", (501, "5.5.4")),
        (b"AUTH", (501, "5.5.4")),
        (b"AUTH PLAIN a b", (501, "5.5.4")),
        (b"DATA now", (501, "5.5.4")),
        (b"RSET x", (501, "5.5.4")),
        (b"QUIT x", (501, "5.5.4")),
        (b"STARTTLS x", (501, "5.5.4")),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_the_code_for_it(line: bytes, refusal: tuple[int, str]) -> None:
    assert code_of(line) == refusal


def test_only_an_unknown_word_is_unknown() -> None:
    assert read_command(b"FROB") is UNKNOWN
    assert read_command(b"DATA x") is not UNKNOWN


@given(
    st.binary(max_size=40),
    st.sampled_from([b"", b"MAIL FROM:<", b"RCPT TO:<", b"AUTH ", b"EHLO ", b"MAIL FROM:<a@b> "]),
)
def test_any_line_gives_a_command_or_a_refusal(octets: bytes, start: bytes) -> None:
    match read_command(start + octets):
        case Reply(code, enhanced):
            assert 500 <= code <= 599
            assert enhanced.startswith("5.")
        case Hello(name):
            assert re.fullmatch(r"[ -~]+", name)
        case Mail(address) | Recipient(address):
            assert re.fullmatch(r"[ -~]*", address)


@pytest.mark.parametrize(
    "command",
    [
        Mail("a@b\r\nRCPT TO:<evil@c>"),
        Mail("a@b> BODY=8BITMIME"),
        Mail("a@b>\n"),
        Mail("é@b"),
        Recipient("a@b>\r\nDATA"),
        Recipient("a"),
        Recipient("<a@b>"),
        Recipient('"\0"@b'),
        Hello("a\r\nMAIL FROM:<>"),
        Hello("é"),
        Auth("PLAIN", "x\r\nQUIT"),
        Auth("PLAIN\n"),
    ],
)
def test_no_value_however_made_is_written_as_two_commands(command: Command) -> None:
    with pytest.raises(UnsafeCommand):
        command.encode()


@given(st.text(max_size=20))
def test_any_text_is_one_line_or_is_not_written(text: str) -> None:
    for command in (Mail(text), Recipient(text), Hello(text), Auth("PLAIN", text)):
        try:
            wire = command.encode()
        except UnsafeCommand:
            continue
        assert re.fullmatch(rb"[ -~]*\r\n", wire)


def test_a_command_that_holds_a_secret_does_not_show_it() -> None:
    assert "c2VjcmV0" not in repr(Auth("PLAIN", "c2VjcmV0"))
