"""
What a header that is made to cost takes of a processor: `python -m pytest bench/test_hostile.py`.

Each shape of `tests.dialect.hostile` is a mebibyte of one thing, or comes close
to several bounds at once, on one line, broken into lines, or in encoded words.
What is measured is the whole way from the octets of a header block to the plan
or the refusal, in time of the processor, because all other sessions wait for
just that.  The promise is 250 ms for each; `--benchmark-sort=max` shows the
worst.  With `HOSTILE_OCTETS=262144` each takes a quarter: what takes much less
than that grows faster than the header.

Nothing may be remembered from one round to the next, so the memory of domains
is emptied before each.
"""

import os
import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from smtpbridge.dialect.instructions import Refusal
from smtpbridge.dialect.plan import Plan
from smtpbridge.dialect.policy import Policy
from smtpbridge.dialect.translate import translate
from smtpbridge.mail import addresses
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace
from tests.dialect.hostile import BLOCKS, MEBIBYTE, SHAPES, WAYS, block, field, value

TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTPS", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")
ENVELOPE = Envelope("news@sender.example", ("user0@rcpt.example",))
POLICY = Policy()
OCTETS = int(os.environ.get("HOSTILE_OCTETS", MEBIBYTE))

pytestmark = pytest.mark.benchmark(timer=time.process_time)


def answered(octets: bytes) -> Plan | Refusal:
    """Do what the bridge does with a header block."""
    return translate(ENVELOPE, HeaderBlock.parse(octets), TRACE, POLICY)


def measure(benchmark: BenchmarkFixture, octets: bytes) -> None:
    """Measure three times, and keep the answer beside the times."""
    found = benchmark.pedantic(answered, (octets,), rounds=3, setup=addresses._to_ascii.cache_clear)
    benchmark.extra_info["answer"] = found.text[:60] if isinstance(found, Refusal) else "read"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHAPES)
def test_a_value_of_one_shape(benchmark: BenchmarkFixture, name: str, way: str) -> None:
    """One X-MSYS-API."""
    measure(benchmark, block(field(value(name, way, OCTETS))))


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_of_one_shape(benchmark: BenchmarkFixture, name: str) -> None:
    """X-MSYS-API with others of its kind, or with what stands around it."""
    measure(benchmark, block(BLOCKS[name](OCTETS)))
