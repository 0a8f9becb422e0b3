"""
How fast a header is read and translated: `python -m pytest bench/test_reading.py`.

The typical message has an X-MSYS-API of 1.2 KB in folded lines, between the
fields of an ordinary mail.  What is made to cost is in `test_hostile.py`.
"""

import json
from collections.abc import Mapping

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from smtpbridge.dialect.instructions import Reading
from smtpbridge.dialect.plan import Plan
from smtpbridge.dialect.policy import Policy
from smtpbridge.dialect.sparkpost import read
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace
from smtpbridge.mail.words import encoded_words

TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTPS", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")
POLICY = Policy()
OPTIONS = {"open_tracking": True, "click_tracking": False, "transactional": True}
SMALL = {"campaign_id": "campaign-2026-11", "metadata": {"user": "8400113"}, "tags": ["welcome"], "options": OPTIONS}
TYPICAL = {**SMALL, "metadata": {f"key_{number:02}": f"{number * 7919:024x}" for number in range(26)}}


def folded(wish: Mapping[str, object]) -> bytes:
    """Return a value in lines of about 120 octets."""
    lines = [""]
    for word in json.dumps(wish).split(" "):
        if len(lines[-1]) + len(word) > 118:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines).encode()


def in_words(wish: Mapping[str, object]) -> bytes:
    """Return a value in encoded words, one a line."""
    return b" " + b"\r\n ".join(encoded_words(json.dumps(wish)))


def message(value: bytes) -> bytes:
    """Return a header block with that value in it."""
    return (
        b"From: Sender Example <news@sender.example>\r\nTo: user0@rcpt.example\r\nSubject: A typical message\r\n"
        b"Date: Fri, 20 Nov 2026 06:00:00 +0000\r\nMessage-ID: <1@sender.example>\r\nReply-To: reply@sender.example\r\n"
        b"List-Unsubscribe: <https://sender.example/u/1>\r\nX-MSYS-API:" + value + b"\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/alternative; boundary="=_b1"\r\n'
    )


VALUES = {"small": folded(SMALL), "typical": folded(TYPICAL), "typical in words": in_words(TYPICAL)}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_read_a_header_field(benchmark: BenchmarkFixture, value: bytes) -> None:
    """Raw octets to instructions."""
    assert isinstance(benchmark(read, [value]), Reading)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_translate_a_message(benchmark: BenchmarkFixture, value: bytes) -> None:
    """Octets of a header block to the octets of the plan's."""
    octets = message(value)
    envelope = Envelope("news@sender.example", ("user0@rcpt.example",))

    plan = benchmark(lambda: translate(envelope, HeaderBlock.parse(octets), TRACE, POLICY))

    assert isinstance(plan, Plan)
    assert len(plan.transactions) == 1
