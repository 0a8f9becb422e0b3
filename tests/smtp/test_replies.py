"""What is promised of replies: harmless on the wire whatever they quote, read as they were written, bounded."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp.replies import MAX_LINE, BadReply, Reply, ReplyReader, printable, reply

_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
_CODES = st.integers(2, 5).flatmap(lambda first: st.integers(0, 59).map(lambda rest: first * 100 + rest))


def collect(*chunks: bytes) -> list[Reply]:
    reader = ReplyReader()
    found = []
    for chunk in chunks:
        reader.feed(chunk)
        while (answer := reader.next()) is not None:
            found.append(answer)
    return found


def octet_by_octet(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]


def outcome(*chunks: bytes) -> tuple[list[Reply], bool]:
    """Return the replies up to the first that is none, and whether one was none."""
    reader = ReplyReader()
    found = []
    for chunk in chunks:
        reader.feed(chunk)
        try:
            while (answer := reader.next()) is not None:
                found.append(answer)
        except BadReply:
            return found, True
    return found, False


# Writing


def test_a_reply_is_written_with_its_enhanced_code_on_every_line() -> None:
    assert reply(250, "2.0.0", "OK").encode() == b"250 2.0.0 OK\r\n"
    assert Reply(550, "5.7.1", ("no", "never")).encode() == b"550-5.7.1 no\r\n550 5.7.1 never\r\n"
    assert Reply(354, "", ("go",)).encode() == b"354 go\r\n"
    assert Reply(250, "", ()).encode() == b"250 \r\n"


@given(st.integers(200, 559), st.sampled_from(["", "5.6.0"]), st.lists(st.text(max_size=700), max_size=3))
def test_whatever_a_reply_quotes_its_lines_are_short_printable_ascii(
    code: int, enhanced: str, lines: list[str]
) -> None:
    wire = Reply(code, enhanced, tuple(lines)).encode()

    assert re.fullmatch(rb"(?:[ -~]{1,510}\r\n)+", wire)
    assert wire.count(b"\r\n") == max(1, len(lines))


def test_a_text_that_is_cut_shows_it() -> None:
    assert printable("x" * 600) == "x" * (MAX_LINE - 3) + "..."
    assert printable("x" * MAX_LINE) == "x" * MAX_LINE
    assert printable("a\r\nb\x7fé") == "a??b??"


def test_a_log_sees_a_reply_in_one_harmless_line() -> None:
    assert str(Reply(550, "5.1.1", ("no such\r\nuser", "here"))) == "550 5.1.1 no such??user here"
    assert str(Reply(250, "", ("ok",))) == "250 ok"


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        (199, ()),
        (200, ("positive",)),
        (299, ("positive",)),
        (354, ("intermediate",)),
        (400, ("transient",)),
        (499, ("transient",)),
        (500, ("permanent",)),
    ],
)
def test_the_first_digit_says_what_kind_a_reply_is(code: int, kinds: tuple[str, ...]) -> None:
    answer = reply(code, "", "")
    found = {
        "positive": answer.is_positive,
        "intermediate": answer.is_intermediate,
        "transient": answer.is_transient,
        "permanent": answer.is_permanent,
    }

    assert tuple(kind for kind, holds in found.items() if holds) == kinds


# Reading


@given(_CODES, st.booleans(), st.lists(_TEXT, min_size=1, max_size=5), _CODES)
def test_what_was_written_is_read_whole_and_octet_by_octet(
    code: int, enhanced: bool, lines: list[str], next_code: int
) -> None:
    known = f"{code // 100}.1.10" if enhanced and code // 100 != 3 else ""
    # A text of its own that looks like an enhanced code would be read as one.
    answer = Reply(code, known, tuple(f"-{line}" for line in lines))
    following = reply(next_code, "", "next")
    wire = answer.encode() + following.encode() + b"250-unfini"

    assert collect(wire) == [answer, following]
    assert collect(*octet_by_octet(wire)) == [answer, following]


def test_what_is_left_over_waits() -> None:
    reader = ReplyReader()
    reader.feed(b"220 hi\r\n250-more")

    assert reader.next() == reply(220, "", "hi")
    assert reader.next() is None
    assert len(reader) > 0


def test_a_reply_that_is_begun_counts_as_waiting() -> None:
    reader = ReplyReader()
    reader.feed(b"250-more\r\n")

    assert reader.next() is None
    assert len(reader) > 0


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        (b"250\r\n", Reply(250, "", ("",))),
        (b"250 \r\n", Reply(250, "", ("",))),
        (b"250-\r\n250\r\n", Reply(250, "", ("", ""))),
        (b"250 2.1.0  Sender  OK \r\n", Reply(250, "2.1.0", ("Sender  OK ",))),
        (b"250 2.1.0\r\n", Reply(250, "2.1.0", ("",))),
        (b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", Reply(550, "5.1.1", ("no", "such user"))),
        (b"550-5.1.1 no\r\n550 such user\r\n", Reply(550, "5.1.1", ("no", "such user"))),
        # Another code that begins alike is no repetition of the first.
        (b"550-5.1.1 a\r\n550 5.1.10 b\r\n", Reply(550, "5.1.1", ("a", "5.1.10 b"))),
        # An enhanced code of another class than the reply's is text (RFC 2034, 4).
        (b"550 4.1.1 hm\r\n", Reply(550, "", ("4.1.1 hm",))),
        (b"250 2.1.0x\r\n", Reply(250, "", ("2.1.0x",))),
        (b"250 2.1.1234 x\r\n", Reply(250, "", ("2.1.1234 x",))),
        ("250 Grüße\r\n".encode(), Reply(250, "", ("Grüße",))),
        (b"250 Gr\xfc\xdfe\r\n", Reply(250, "", ("Gr\\xfc\\xdfe",))),
        (b"421\tbye\r\n", None),
    ],
)
def test_odd_but_known_forms_are_read(wire: bytes, answer: Reply | None) -> None:
    assert outcome(wire) == (([answer], False) if answer else ([], True))


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"hello\r\n",
        b"25 x\r\n",
        b"2500 x\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"260 x\r\n",
        b"250_x\r\n",
        b"-250 x\r\n",
        b" 250 x\r\n",
        b"\xb2\xb250 x\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\n550-b\r\n",
        b"250 ok\n",
        b"250-ok\n250 ok\r\n",
        b"250 " + b"x" * 5000 + b"\r\n",
        b"250-x\r\n" * 128,
    ],
)
def test_what_is_no_reply_is_told_wherever_the_stream_is_cut(wire: bytes) -> None:
    assert outcome(wire) == ([], True)
    assert outcome(*octet_by_octet(wire)) == ([], True)


def test_a_reply_may_have_128_lines() -> None:
    (answer,) = collect(b"250-x\r\n" * 127 + b"250 x\r\n")

    assert len(answer.lines) == 128


def test_of_a_line_without_end_nothing_is_kept() -> None:
    reader = ReplyReader()
    for _ in range(100):
        reader.feed(b"2" * 10_000)
        assert reader.next() is None
        assert len(reader) < 10_000


@given(
    st.lists(
        st.sampled_from([b"250", b"-", b" ", b"\r\n", b"\r", b"\n", b"2.1.0", b"x", b"550 ", b"\xff", b"\0"]),
        max_size=20,
    ).map(b"".join)
)
def test_any_octets_give_replies_or_a_protocol_error_wherever_they_are_cut(octets: bytes) -> None:
    assert outcome(*octet_by_octet(octets)) == outcome(octets)


# What is read at once


_PIECES = st.lists(
    st.sampled_from(
        [
            b"250",
            b"354",
            b"421",
            b"550",
            b" ",
            b"  ",
            b"-",
            b"2.1.0",
            b"3.0.0",
            b"5.1.1",
            b"2.1.0x",
            b"2.1",
            b"ok",
            b"\xff",
            b"\r",
            b"\n",
            b"\r\n",
            b"250 2.0.0 OK\r\n",
            b"250 fine\r\n",
            b"354 go\r\n",
            b"2.1000.0",
            "2.\u0661.0".encode(),
        ]
    ),
    max_size=12,
).map(b"".join)
# The grammar as it is written in RFC 5321, 4.2, and RFC 3463.
_LINE = re.compile(rb"([2-5][0-5][0-9])(?: (?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$))?(.*))?", re.DOTALL)


def expected(line: bytes) -> Reply | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    code, enhanced, text = match.groups(b"")
    if enhanced[:1] != code[:1]:
        enhanced, text = b"", line[4:]
    return Reply(int(code), enhanced.decode(), (text.decode("utf-8", "backslashreplace"),))


@given(_PIECES)
def test_a_reply_of_one_line_is_read_by_the_grammar_whichever_way(line: bytes) -> None:
    wire = line.replace(b"\n", b"") + b"\r\n"
    wanted = expected(wire[:-2])

    assert ReplyReader().only_in(wire) == wanted
    if wanted is not None:
        assert collect(wire) == [wanted]


@given(_PIECES)
def test_what_is_read_at_once_is_what_is_read_one_by_one(octets: bytes) -> None:
    one, all_ = ReplyReader().only_in(octets), ReplyReader().accepted_in(octets)

    if one is not None:
        assert collect(octets) == [one]
    if all_:
        assert tuple(collect(octets)) == all_
        assert all(answer.is_positive for answer in all_[:-1])
        assert all_[-1].code == 354
    replies, bad = outcome(octets)
    whole = not bad and b"-" not in octets and b"".join(octets.splitlines(keepends=True)).endswith(b"\r\n")
    if whole and replies and replies[-1].code == 354 and all(answer.is_positive for answer in replies[:-1]):
        assert all_ == tuple(replies)


@pytest.mark.parametrize("before", [b"250 o", b"250-one\r\n"])
def test_nothing_is_read_at_once_behind_what_waits(before: bytes) -> None:
    reader = ReplyReader()
    reader.feed(before)
    assert reader.next() is None

    assert reader.accepted_in(b"354 go\r\n") == ()
    assert reader.only_in(b"250 k\r\n") is None


def test_nothing_is_read_at_once_that_is_longer_than_a_line_may_be() -> None:
    long = b"250 " + b"x" * 95 + b"\r\n"

    assert ReplyReader(len(long)).only_in(long) is not None
    assert ReplyReader(len(long) - 1).only_in(long) is None
    assert ReplyReader(17).accepted_in(b"250 one\r\n354 two\r\n") == ()
