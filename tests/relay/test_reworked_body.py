"""A body that the translation changes leaves in pieces: right wherever it is cut, and without a copy of the rest."""

import base64
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.plan import Kept, New, Piece
from smtpbridge.relay.content import CHUNK, Content
from smtpbridge.relay.spool import Spool
from smtpbridge.smtp.data import Defects
from tests.relay.world import RelayCase

BODY = bytes(range(97, 123)) * 4


def _content(body: bytes, threshold: int) -> Content:
    spool = Spool(threshold)
    spool.write(b"Subject: s\r\n\r\n" + body)
    return spool.seal(Defects(), 1_000)


def _joined(pieces: tuple[Piece, ...], body: bytes) -> bytes:
    return b"".join(one.octets if isinstance(one, New) else body[one.start : one.end] for one in pieces)


def _read(content: Content) -> bytes:
    body = b""
    while chunk := content.read(len(body)):
        body += chunk
    return body


_pieces = st.lists(
    st.one_of(
        st.binary(max_size=9).map(New),
        st.tuples(st.integers(0, len(BODY)), st.integers(0, len(BODY))).map(lambda ends: Kept(min(ends), max(ends))),
    )
).map(tuple)


@given(_pieces, st.sampled_from([0, 10_000]), st.integers(0, 300), st.integers(0, 300))
def test_any_span_of_a_reworked_body_is_that_of_its_pieces_joined(
    pieces: tuple[Piece, ...], threshold: int, start: int, end: int
) -> None:
    content = _content(BODY, threshold)
    try:
        reworked = content.reworked(pieces)
        expected = _joined(pieces, BODY)

        assert _read(reworked) == expected
        assert reworked.body_size == len(reworked.body()) == len(expected)
        assert reworked.span(start, end) == reworked.body()[start:end] == expected[start:end]
        assert reworked.header == b"Subject: s\r\n"
    finally:
        content.close()


@pytest.mark.parametrize("threshold", [0, 10_000])
def test_a_body_can_be_looked_at_as_octets(threshold: int) -> None:
    content = _content(BODY, threshold)

    body = content.body()
    assert len(body) == len(BODY)
    assert (body[:5], body[100:1_000], body[104:]) == (BODY[:5], BODY[100:], b"")
    content.close()


def test_a_body_in_memory_is_looked_at_without_a_copy() -> None:
    content = _content(BODY, 10_000)

    assert content.body() is content.in_memory


def test_a_reworked_body_can_be_reworked_again() -> None:
    content = _content(BODY, 0)

    once = content.reworked((New(b"12345"), Kept(0, 26)))
    assert _read(once.reworked((Kept(3, 8), New(b"!")))) == b"45abc!"
    content.close()


def test_a_reworked_body_leaves_the_file_to_the_content_that_has_it() -> None:
    content = _content(BODY, 0)
    reworked = content.reworked((Kept(0, 3), New(b"\xff")))

    reworked.close()
    assert _read(reworked) == b"abc\xff"
    assert not reworked.is_ascii()
    content.close()
    with pytest.raises(OSError, match="file descriptor"):
        reworked.read(0)


class ThroughTheRelay(RelayCase):
    """Whole messages, from a sender to the upstream."""

    async def test_a_large_message_arrives_with_its_small_html_part_changed(self) -> None:
        attachment = base64.encodebytes(os.urandom(1_500_000)).replace(b"\n", b"\r\n")
        head = b"--b\r\nContent-Type: text/html\r\n\r\n"
        rest = b"\r\n..dot\r\n--b\r\nContent-Type: image/png\r\n\r\n" + attachment + b"--b--\r\n"
        upstream = await self.upstream()
        await self.relay()
        caller = await self.caller()

        data = b'From: news@sender.test\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n' + head
        answer = await caller.mail("a@rcpt.test", "b@rcpt.test", data=data + b'<a data-msys-clicktrack="0">' + rest)

        assert answer.startswith("250"), answer
        (taken,) = upstream.taken
        assert taken.data.split(b"\r\n\r\n", 1)[1] == head + b"<a clicktracking=off>" + rest.replace(b"..", b".")
        assert any("note=untracked-link" in line for line in self.log())
        assert len(attachment) > 20 * CHUNK

    async def test_a_message_with_too_many_links_leaves_untracked(self) -> None:
        upstream = await self.upstream()
        await self.relay()
        caller = await self.caller()
        api = json.dumps({"options": {"click_tracking": True}}).encode()
        header = b"From: news@sender.test\r\nContent-Type: text/html\r\nX-MSYS-API: " + api + b"\r\n\r\n"

        for count in (150, 151):
            answer = await caller.mail("a@rcpt.test", data=header + b"<a href=http://x.example/>\r\n" * count)
            assert answer.startswith("250"), answer

        few, many = upstream.taken
        assert b"X-IB-Track-Clicks: true\r\n" in few.data
        assert b"X-IB-Track-Clicks: false\r\n" in many.data
        assert any("warning=too-many-links" in line for line in self.log())
