"""
How fast the wire is read: `python -m pytest bench/test_wire.py`.

What stands here is done for every message, or every block of one: the search for
the end of the data, the replies of upstream, the cut of a header into fields, and
a lease of the pool's ledger.  The blocks have the size in which a socket gives them.
"""

import base64

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.test_reading import TYPICAL, folded, message
from smtpbridge.mail.headers import HeaderBlock, end_of_header
from smtpbridge.relay.leases import Action, Dial, Grant, Ledger, Limits
from smtpbridge.smtp.data import End, EndFinder
from smtpbridge.smtp.replies import ReplyReader

_BLOCK = 65_536
_LINE = base64.b64encode(bytes(range(57))) + b"\r\n"
_SIZES = {"2 KB": 2_000, "55 KB": 55_000, "10 MB": 10_000_000}
_RECIPIENTS = 50


def blocks(size: int, line: bytes = _LINE) -> list[bytes]:
    """Return data of that size with their end, cut as a socket cuts them."""
    wire = line * (size // len(line)) + b".\r\n"
    return [wire[at : at + _BLOCK] for at in range(0, len(wire), _BLOCK)]


def found_end(pieces: list[bytes]) -> bool:
    """Look for the end of the data in the way of the session."""
    finder = EndFinder()
    return any(isinstance(event, End) for piece in pieces for event in finder.feed(piece))


@pytest.mark.parametrize("size", _SIZES.values(), ids=_SIZES)
def test_find_the_end_of_the_data(benchmark: BenchmarkFixture, size: int) -> None:
    assert benchmark(found_end, blocks(size))


def test_find_the_end_of_data_that_are_all_dots(benchmark: BenchmarkFixture) -> None:
    """The dearest body there is: every line begins with a dot."""
    assert benchmark(found_end, blocks(_SIZES["55 KB"], b"..\r\n"))


def replies_in(octets: bytes) -> int:
    """Read all replies there are."""
    reader = ReplyReader()
    reader.feed(octets)
    count = 0
    while reader.next() is not None:
        count += 1
    return count


@pytest.mark.parametrize("recipients", [1, _RECIPIENTS])
def test_read_the_replies_to_an_envelope(benchmark: BenchmarkFixture, recipients: int) -> None:
    octets = b"250 2.0.0 OK\r\n250 2.1.0 Sender OK\r\n" + b"250 2.1.5 Recipient OK\r\n" * recipients
    octets += b"354 Start mail input; end with <CRLF>.<CRLF>\r\n"

    assert benchmark(replies_in, octets) == recipients + 3


def test_read_a_reply_that_is_never_the_same(benchmark: BenchmarkFixture) -> None:
    """The reply to the final dot carries the provider's id."""
    numbers = iter(range(10**9))

    assert benchmark(lambda: replies_in(b"250 2.6.0 <%016x@mx.example.net> queued\r\n" % next(numbers))) == 1


def test_read_a_reply_of_many_lines(benchmark: BenchmarkFixture) -> None:
    lines = [b"mx.example.net", b"PIPELINING", b"SIZE 20971520", b"8BITMIME", b"ENHANCEDSTATUSCODES", b"AUTH LOGIN"]
    octets = b"".join(b"250-%s\r\n" % line for line in lines) + b"250 HELP\r\n"

    assert benchmark(replies_in, octets) == 1


def test_cut_a_header_into_fields(benchmark: BenchmarkFixture) -> None:
    octets = message(folded(TYPICAL))

    assert b"x-msys-api" in benchmark(HeaderBlock.parse, octets)


def test_find_the_end_of_a_header(benchmark: BenchmarkFixture) -> None:
    header = message(folded(TYPICAL))
    content = header + b"\r\n" + _LINE * 700

    assert benchmark(end_of_header, content) == (len(header), len(header) + 2)


def granted(actions: list[Action]) -> Grant:
    """Return the only thing that is to be done."""
    [grant] = actions
    assert isinstance(grant, Grant)
    return grant


def leased(connections: int) -> tuple[Ledger, list[int]]:
    """Return the books of a pool with so many connections, and their numbers; all of them are leased."""
    ledger, numbers = Ledger(Limits(hosts=1, max_connections=connections, max_messages=10**9)), list[int]()
    for _ in range(connections):
        _, [dial] = ledger.ask(0.0, 1.0)
        assert isinstance(dial, Dial)
        numbers.append(granted(ledger.opened(dial.connection, 0.0)).connection)
    return ledger, numbers


def test_lease_and_release(benchmark: BenchmarkFixture) -> None:
    """The usual case: one is idle."""
    ledger, numbers = leased(20)
    for number in numbers:
        ledger.returned(number, 0.0, usable=True)

    def lease() -> None:
        _, actions = ledger.ask(1.0, 2.0)
        ledger.returned(granted(actions).connection, 1.0, usable=True)

    benchmark(lease)

    assert ledger.counts().idle == 20


def test_release_to_one_who_waits(benchmark: BenchmarkFixture) -> None:
    """The case under load: all are leased, and the next in line gets what comes back."""
    ledger, [number] = leased(1)

    def hand_over() -> None:
        ledger.ask(1.0, 2.0)
        assert granted(ledger.returned(number, 1.0, usable=True)).connection == number

    benchmark(hand_over)

    assert ledger.counts().waiting == 0
