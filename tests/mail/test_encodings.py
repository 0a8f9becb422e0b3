"""What is promised of transfer encodings: nothing is lost on the way off and on, and lines stay short."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpbridge.mail.encodings import Encoding, decode, encode, encoding_named, plain, wire

_READABLE = [Encoding.IDENTITY, Encoding.QUOTED_PRINTABLE, Encoding.BASE64]
_content = st.lists(
    st.one_of(st.sampled_from([b"\r\n", b"\r", b"\n", b" ", b"\t", b".", b"=", b"a" * 74, b"\xc3\xa9"]), st.binary())
).map(b"".join)
_octets = st.lists(
    st.one_of(st.sampled_from([b"=", b"=\r\n", b"=3D", b"YQ==", b"YWJj", b"\r\n", b"."]), st.binary(max_size=9))
).map(b"".join)


@given(_content, st.sampled_from(_READABLE))
def test_decoding_what_was_encoded_gives_the_content(content: bytes, encoding: Encoding) -> None:
    assert decode(encode(content, encoding), encoding) == content


@example(b"\r" + b"a" * 149 + b"\n", Encoding.QUOTED_PRINTABLE)
@example(b"a" * 72 + b"=\n", Encoding.QUOTED_PRINTABLE)
@given(_content, st.sampled_from([Encoding.QUOTED_PRINTABLE, Encoding.BASE64]))
def test_encoded_lines_are_short_ascii_between_crlf_and_end_in_no_blank(content: bytes, encoding: Encoding) -> None:
    lines = encode(content, encoding).split(b"\r\n")

    assert max(map(len, lines)) <= 76
    assert all(re.fullmatch(rb"[ -~\t]*", line) for line in lines)
    assert not any(line.endswith((b" ", b"\t")) for line in lines)


@given(_octets, st.sampled_from(list(Encoding)))
def test_any_octets_decode_to_something_or_to_nothing(octets: bytes, encoding: Encoding) -> None:
    content = decode(octets, encoding)

    assert content is None or isinstance(content, bytes)


def test_a_text_keeps_its_lines_in_quoted_printable() -> None:
    assert encode(b"one = 1\r\ntwo\r\n", Encoding.QUOTED_PRINTABLE) == b"one =3D 1\r\ntwo\r\n"


@pytest.mark.parametrize("octets", [b"YWJj\r\n-- \r\n", b"YQ==\r\nYQ==", b"YWJjZ", b"Y\xff"])
def test_base64_from_which_something_would_be_lost_is_not_decoded(octets: bytes) -> None:
    assert decode(octets, Encoding.BASE64) is None


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (b"", Encoding.IDENTITY),
        (b" 8BIT ", Encoding.IDENTITY),
        (b"Quoted-Printable", Encoding.QUOTED_PRINTABLE),
        (b"BASE64", Encoding.BASE64),
        (b"x-uuencode", Encoding.UNKNOWN),
    ],
)
def test_encodings_are_known_in_any_case(value: bytes, encoding: Encoding) -> None:
    assert encoding_named(value) is encoding


def test_what_cannot_be_read_decodes_to_nothing() -> None:
    assert decode(b"abc", Encoding.UNKNOWN) is None


@given(st.lists(st.sampled_from([b".", b"\r\n", b"a", b"\r\n."])).map(b"".join))
def test_doubled_dots_come_off_again(lines: bytes) -> None:
    assert plain(wire(lines)) == lines
    assert b"\r\n.\r\n" not in b"\r\n" + wire(lines) + b"\r\n"
