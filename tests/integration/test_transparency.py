"""What a sender wrote into a body is what the provider gets, octet by octet."""

import base64
import random
import smtplib

import pytest

from tests.integration.conftest import Pair
from tests.integration.talk import Talk

HEADER = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: body\r\nMIME-Version: 1.0\r\n"
SENDER, RECIPIENTS = "shop@mail.example.com", ["r@example.org"]


def wire(body: bytes) -> bytes:
    """Return header and body as they go over the wire, dots doubled (RFC 5321, 4.5.2)."""
    doubled = body.replace(b"\r\n.", b"\r\n..")
    return HEADER + b"\r\n" + (b"." + doubled if body.startswith(b".") else doubled)


def base64_lines(size: int) -> bytes:
    return base64.encodebytes(random.Random(size).randbytes(size)).replace(b"\n", b"\r\n")


BODIES = {
    "nothing": b"",
    "one-empty-line": b"\r\n",
    "one-line": b"hello\r\n",
    "leading-dots": b".\r\n..\r\n...\r\n.x\r\n\r\n.\r\nMAIL FROM:<a@b>\r\n.",
    "dots-at-every-place": b"".join(b"x" * n + b"\r\n.\r\n" for n in range(70)) * 40,
    "lines-of-998": (b"a" * 998 + b"\r\n" + b"." + b"b" * 997 + b"\r\n") * 80,
    "eight-bit": "Grüße aus Zürich ✓\r\n".encode() + bytes(range(0x80, 0x100)) + b"\r\n",
    "no-line-end-at-all": b"x" * 300_000,
    "a-megabyte-of-base64": base64_lines(1_000_000),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_arrives_octet_by_octet(pair: Pair, body: bytes) -> None:
    # The line end before the final dot belongs to the last line (RFC 5321, 4.1.1.4).
    body = body if body.endswith(b"\r\n") or not body else body + b"\r\n"

    with Talk(pair.bridge.port).hello() as talk:
        answer = talk.send(SENDER, RECIPIENTS, wire(body))

    assert answer.startswith(b"250")
    stored = pair.sandbox.one_message()
    assert stored.body == body
    assert stored.warnings == ()


def test_a_message_without_an_empty_line_is_a_header_alone(pair: Pair) -> None:
    with Talk(pair.bridge.port).hello() as talk:
        assert talk.send(SENDER, RECIPIENTS, HEADER).startswith(b"250")

    stored = pair.sandbox.one_message()
    assert stored.body == b""
    assert stored.field("Subject") == "body"


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (b"one\ntwo\n.\nthree\r\n", b"one\r\ntwo\r\n.\r\nthree\r\n"),
        (b"one\rtwo\r\n", b"one two\r\n"),
        (b"one\r\n.single dot\r\n", b"one\r\nsingle dot\r\n"),
    ],
    ids=["bare-lf", "bare-cr", "a-dot-that-was-not-doubled"],
)
def test_a_body_that_is_not_canonical_is_written_anew_and_ends_only_at_the_final_dot(
    pair: Pair, sent: bytes, arrives: bytes
) -> None:
    with Talk(pair.bridge.port).hello() as talk:
        assert talk.send(SENDER, RECIPIENTS, HEADER + b"\r\n" + sent).startswith(b"250")
        assert talk.say(b"NOOP").startswith(b"250")

    stored = pair.sandbox.one_message()
    assert stored.body == arrives
    assert stored.warnings == ()


def test_smtplib_ends_an_open_last_line_and_nothing_else_changes(pair: Pair) -> None:
    with smtplib.SMTP("127.0.0.1", pair.bridge.port, timeout=30) as client:
        client.sendmail(SENDER, RECIPIENTS, HEADER + b"\r\n.first\r\nthe last line has no end")

    assert pair.sandbox.one_message().body == b".first\r\nthe last line has no end\r\n"
