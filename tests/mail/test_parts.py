"""What is promised of finding parts: the leaves of RFC 2046, where they lie, in memory or not, and bounded work."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.mail.encodings import Encoding
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.parts import BLOCK, MediaType, Part, find, leaves, media_type


@dataclass
class Elsewhere:
    """A body that is not in memory; it remembers how much of it was asked for."""

    octets: bytes
    read: int = 0

    def __len__(self) -> int:
        return len(self.octets)

    def __getitem__(self, where: slice, /) -> bytes:
        taken = self.octets[where]
        self.read += len(taken)
        return taken


def _leaves(header: bytes, body: bytes) -> list[Part]:
    found = list(leaves(HeaderBlock.parse(header), body))
    assert list(leaves(HeaderBlock.parse(header), Elsewhere(body))) == found
    return found


def _contents(header: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    return [(part.media.name, body[part.start : part.end]) for part in _leaves(header, body)]


_MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n"


def test_a_message_without_mime_fields_is_plain_text() -> None:
    assert _leaves(b"Subject: s\r\n", b"text\r\n") == [
        Part(0, 6, MediaType(b"text/plain"), Encoding.IDENTITY, attachment=False, signed=False)
    ]


def test_a_single_part_is_described_by_the_header_of_the_message() -> None:
    header = b'Content-Type: Text/HTML;\r\n charset="UTF-8"\r\ncontent-transfer-encoding: Base64\r\n'

    (part,) = _leaves(header, b"YQ==\r\n")

    assert (part.media, part.encoding) == (MediaType(b"text/html", b"utf-8"), Encoding.BASE64)


def test_the_line_end_before_a_delimiter_belongs_to_the_delimiter() -> None:
    body = (
        b"preamble\r\n--b\r\n\r\none\r\n--b \t\r\nContent-Type: text/html\r\n\r\ntwo\r\n\r\n--b--\r\n"
        b"epilogue\r\n--b\r\n\r\nx"
    )

    assert _contents(_MIXED, body) == [(b"text/plain", b"one"), (b"text/html", b"two\r\n")]


def test_the_first_line_of_a_body_may_be_a_delimiter() -> None:
    assert _contents(_MIXED, b"--b\r\n\r\none\r\n--b--\r\n") == [(b"text/plain", b"one")]


def test_a_longer_line_that_begins_like_a_delimiter_is_text() -> None:
    body = b"--b\r\n\r\none\r\n--bc\r\n--b-\r\nx--b\r\n--b--\r\n"

    assert _contents(_MIXED, body) == [(b"text/plain", b"one\r\n--bc\r\n--b-\r\nx--b")]


def test_a_multipart_that_is_not_closed_ends_with_the_body() -> None:
    assert _contents(_MIXED, b"--b\r\n\r\none\r\n") == [(b"text/plain", b"one\r\n")]


def test_what_stands_between_two_delimiters_that_follow_each_other_is_no_part() -> None:
    body = b"--b\r\n--b\r\n\r\n--b\r\nContent-Type: text/html\r\n--b--\r\n"

    assert _contents(_MIXED, body) == [(b"text/html", b"")]


def test_multiparts_are_opened_and_attached_messages_are_not() -> None:
    body = (
        b'--b\r\nContent-Type: multipart/alternative; boundary="i \\"n"\r\n\r\n--i "n\r\n\r\nplain\r\n'
        b'--i "n\r\nContent-Type: text/html\r\n\r\nhtml\r\n--i "n--\r\n\r\n'
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\ninner\r\n--b--\r\n"
    )

    assert _contents(_MIXED, body) == [
        (b"text/plain", b"plain"),
        (b"text/html", b"html"),
        (b"message/rfc822", b"Content-Type: text/html\r\n\r\ninner"),
    ]


def test_an_inner_multipart_that_is_not_closed_ends_at_the_outer_delimiter() -> None:
    body = (
        b"--b\r\nContent-Type: multipart/related; boundary=i\r\n\r\n--i\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"
        b"--i\r\n\r\nx"
    )

    assert _contents(_MIXED, body) == [(b"text/plain", b"one"), (b"text/plain", b"two")]


def test_a_part_of_a_digest_is_a_message_unless_it_says_otherwise() -> None:
    body = b"--b\r\n\r\nSubject: s\r\n\r\nx\r\n--b--\r\n"

    assert _contents(b"Content-Type: multipart/digest; boundary=b\r\n", body)[0][0] == b"message/rfc822"


def test_attachments_and_signed_parts_are_marked_as_such() -> None:
    body = (
        b"--b\r\nContent-Disposition:\r\n ATTACHMENT; filename=a.html\r\nContent-Type: text/html\r\n\r\na\r\n"
        b"--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nsigned\r\n--s--\r\n--b--\r\n"
    )

    assert [(part.attachment, part.signed) for part in _leaves(_MIXED, body)] == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("value", "media"),
    [
        (b" text/html", MediaType(b"text/html")),
        (b" TEXT/HTML (comment) ; Charset=UTF-8", MediaType(b"text/html", b"utf-8")),
        (b' multipart/mixed; x="; boundary=no"; boundary="yes"', MediaType(b"multipart/mixed", b"", b"yes")),
        (b' multipart/mixed;\r\n\tboundary = "a\\"b" ', MediaType(b"multipart/mixed", b"", b'a"b')),
        (b" html", MediaType(b"application/octet-stream")),
        (b"", MediaType(b"application/octet-stream")),
    ],
)
def test_a_content_type_is_read_with_its_parameters(value: bytes, media: MediaType) -> None:
    assert media_type(value) == media


def test_a_large_attachment_is_searched_and_not_kept() -> None:
    attachment = b"QUJDREVGR0g=" * 400_000
    body = b"--b\r\n\r\none\r\n--b\r\nContent-Type: image/png\r\n\r\n" + attachment + b"\r\n--b--\r\n"
    elsewhere = Elsewhere(body)

    assert len(list(leaves(HeaderBlock.parse(_MIXED), elsewhere))) == 2
    assert elsewhere.read < 1.1 * len(body)


def test_a_body_of_delimiter_lines_is_given_up_in_time() -> None:
    assert len(_leaves(_MIXED, b"--b\r\n\r\n\r\n" * 20_000)) < 5_000


def test_multiparts_nested_without_end_are_given_up_in_time() -> None:
    body = b"--b\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n" + b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1) for n in range(1000)
    )

    assert _leaves(_MIXED, body) == []


@given(st.integers(0, 40), st.sampled_from([8_190, BLOCK - 3, 8_192 + BLOCK]))
def test_where_a_block_ends_makes_no_difference_to_a_search(shift: int, place: int) -> None:
    octets = b"x" * (place + shift - 20) + b"\r\n--needle" + b"x" * 50

    assert find(Elsewhere(octets), b"\r\n--needle", 5, len(octets)) == octets.find(b"\r\n--needle")


@given(
    st.text("ab-\r\n", max_size=40), st.text("ab-\r\n", min_size=1, max_size=9), st.integers(0, 9), st.integers(0, 50)
)
def test_a_search_finds_what_bytes_find(text: str, needle: str, start: int, end: int) -> None:
    octets, wanted = text.encode(), needle.encode()

    assert find(octets, wanted, start, min(end, len(octets))) == octets.find(wanted, start, end)


_LINES = [
    b"--b",
    b"--b--",
    b"--c",
    b"--c--",
    b"",
    b"text",
    b"Content-Type: text/html",
    b"Content-Type: multipart/mixed; boundary=c",
    b"Content-Type: multipart/mixed; boundary=b",
    b"Content-Transfer-Encoding: base64",
    b" fold",
    b"..dot",
]


@given(st.lists(st.sampled_from(_LINES)).map(b"\r\n".join), st.booleans())
def test_leaves_are_spans_in_order_whatever_the_lines(body: bytes, ended: bool) -> None:
    body += b"\r\n" if ended else b""
    at = 0
    for part in _leaves(_MIXED, body):
        assert at <= part.start <= part.end <= len(body)
        assert part.start == part.end or body[: part.start].endswith(b"\r\n")
        at = part.end


@given(st.binary(), st.binary())
def test_any_octets_have_leaves_or_none(header: bytes, body: bytes) -> None:
    for part in leaves(HeaderBlock.parse(b"Content-Type: multipart/mixed; boundary=b\r\n" + header), body):
        assert 0 <= part.start <= part.end <= len(body)
