"""Promises of `mail.words`: what arrives is read, and what is written is read back by a reader that is not ours."""

import codecs
import contextlib
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.mail import words
from smtpbridge.mail.words import NotUtf8, decode, decode_text, encode, encoded_words

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?Q?J=C3=BCrgen_M.?=", "Jürgen M."),
        (b"=?UTF-8?b?SsO8cmdlbg==?=", "Jürgen"),
        (b"=?UTF-8?b?SsO8cmdlbg?=", "Jürgen"),
        (b"=?iso-8859-1*de?q?=FC?=", "ü"),
        (b"=?windows-1252?Q?=80?=", "€"),
        (b'{"a":"x=?utf-8?Q?=C3=BC?=y"}', '{"a":"xüy"}'),
        (b'=?utf-8?Q?{"a",_=22b=22}?=', '{"a", "b"}'),
        (b"=?utf-8?Q??=", ""),
        ("ü =?utf-8?Q?=C3=BC?= ü".encode(), "ü ü ü"),
    ],
)
def test_a_word_is_replaced_where_it_stands(value: bytes, text: str) -> None:
    assert decode(value) == text


@pytest.mark.parametrize("between", [b"", b" ", b"\r\n ", b" \t \r\n\t"])
def test_white_space_between_two_words_is_dropped_and_a_cut_character_is_joined(between: bytes) -> None:
    assert decode(b"a =?utf-8?Q?=C3?=" + between + b"=?UTF-8?B?vA==?= b") == "a ü b"


def test_white_space_between_words_of_two_charsets_is_dropped_too() -> None:
    assert decode(b"=?utf-8?Q?=C3=BC?= =?iso-8859-1?Q?=FC?= =?utf-8?Q?=C3=BC?=") == "üüü"


@pytest.mark.parametrize(
    "value",
    [
        b"=?unheard-of?Q?a?= =?unheard-of?Q?b?=",
        b"=?rot13?Q?a?=",
        b"=?hex?Q?41?=",
        b"=?utf-8?Q?=FF?=",
        b"=?us-ascii?Q?=FC?=",
        b"=?utf-8?Q?=G1?=",
        b"=?utf-8?Q?a=?=",
        b"=?utf-8?B?A?=",
        b"=?utf-8?B?QQ==QQ==?=",
        b"=?utf-8?B?Q*Q=?=",
        b"=?utf-8?Q?a b?=",
        b"=?utf-8?X?a?=",
        b"=?utf-8?Q?a",
        b"=?",
    ],
)
def test_what_makes_no_sense_as_a_word_stays_as_it_is(value: bytes) -> None:
    assert decode(value) == value.decode()


def test_a_word_that_makes_no_sense_spoils_neither_its_neighbours_nor_the_blanks_beside_it() -> None:
    assert decode(b"=?utf-8?Q?a?= =?utf-8?Q?=FF?= =?utf-8?Q?b?=") == "a =?utf-8?Q?=FF?= b"


def test_a_word_may_be_as_long_as_its_writer_wishes() -> None:
    assert decode(b"=?utf-8?Q?" + b"x" * 100_000 + b"?=") == "x" * 100_000


@pytest.mark.parametrize(("value", "offset"), [(b"ab\xff", 2), (b"=?utf-8?Q?a?=\xfc", 13), (b"\xed\xa0\x80", 0)])
def test_octets_outside_words_that_are_not_utf8_are_told_by_their_offset(value: bytes, offset: int) -> None:
    with pytest.raises(NotUtf8) as caught:
        decode(value)

    assert caught.value.offset == offset


@given(
    st.lists(st.sampled_from([b"=?", b"utf-8", b"?Q?", b"?b?", b"?=", b" ", b"=C3", b"\xff", b"QUI", b"="])).map(
        b"".join
    )
)
def test_any_octets_give_text_or_not_utf8(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError:
        with contextlib.suppress(NotUtf8):
            decode(value)
    else:
        assert decode(value) == decode_text(value.decode())


def test_words_inside_text_are_decoded_and_lone_surrogates_survive() -> None:
    assert decode_text("\ud800 =?utf-8?Q?=22?= \udfff") == '\ud800 " \udfff'


def test_every_charset_that_is_known_by_name_decodes_text() -> None:
    for codec in set(words._CODECS.values()):
        assert codecs.lookup(codec).decode(b"", "strict") == ("", 0)


@pytest.mark.parametrize("text", ["a", "campaign 1", 'a "b" <c>', "x" * 900])
def test_printable_ascii_is_written_as_it_is(text: str) -> None:
    assert encode(text, column=14) == text.encode()


@pytest.mark.parametrize("text", ["=?utf-8?Q?a?=", " a", "a ", " ", "a\r\nBcc: b@c.example", "a\0", "\x7f", "x" * 999])
def test_what_a_reader_would_change_or_mistake_is_encoded(text: str) -> None:
    octets = encode(text, column=14)

    assert octets.startswith(b"=?UTF-8?")
    assert decode(octets) == text


@given(TEXT, st.integers(0, 100))
def test_what_is_written_is_read_back_and_its_lines_are_short(text: str, column: int) -> None:
    octets = encode(text, column=column)
    first, *rest = octets.split(b"\r\n")

    assert decode(octets.removeprefix(b"\r\n ")) == text
    assert octets.isascii()
    assert not set(octets.replace(b"\r\n ", b"")) & {*range(0x20), 0x7F}
    if octets != text.encode():
        assert all(len(line) <= 76 for line in rest)
        assert not first or column + len(first) <= 76


@given(TEXT.filter(bool), st.integers(24, 75))
def test_another_reader_finds_each_written_word_whole_and_in_bounds(text: str, room: int) -> None:
    written = encoded_words(text, room)

    assert len(written[0]) <= room
    assert max(map(len, written)) <= 75
    assert "".join(str(make_header(decode_header(word.decode("ascii")))) for word in written) == text


def test_a_lone_surrogate_is_written_as_the_replacement_character() -> None:
    assert decode(encode("a\ud800b", column=0)) == "a\ufffdb"
