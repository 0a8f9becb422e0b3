"""
The form of what goes upstream, whatever came in (docs/smuggling.md).

The provider in `memory` fails on a lone CR or LF, on a dot that is not doubled and on a NUL; here stand the length of
lines, the content, and 8-bit text.
"""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.injection.memory import relay

HEADER = b"From: news@sender.test\r\nTo: a@rcpt.test\r\nSubject: hello\r\n"
API = b'X-MSYS-API: {"campaign_id": "%b", "metadata": {"k": "%b"}, "cc": [%b]}\r\n'
LONGEST = 998
PIECES = [
    b"\r\n", b"\n", b"\r", b".", b"..", b"\r\n.", b"\r\n.\r", b"\n.\n", b"\r.\r", b"a", b" ", b"\t",
    b"x" * LONGEST, b"y" * 999, b"z" * 3000, b"\xc3\xbc", b"\x0b\x0c\x1a\x85", b"MAIL FROM:<evil@evil.test>", b":",
    b"X-Y: z",
]  # fmt: skip
DATA = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)


def rewritten(data: bytes) -> bytes:
    """Return what is to arrive of data (CRLF lines, the last ended): dots undone line by line, other ends made CRLF."""
    plain = b"\r\n".join(line.removeprefix(b".") for line in data.split(b"\r\n"))
    return b"\r\n".join(line.replace(b"\r", b" ") for line in re.split(rb"\r?\r\n|\n", plain))


def sendable(data: bytes) -> bytes:
    """Return `data` as nobody takes it for ended before its end."""
    while b"\r\n.\r\n" in b"\r\n" + data + b"\r\n":
        data = (b"\r\n" + data + b"\r\n").replace(b"\r\n.\r\n", b"\r\n.,\r\n")[2:-2]
    return data + b"\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return the octets in pieces."""
    ends = sorted({min(place, len(data)) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


def said_to(data: bytes, places: list[int], *, spool: int = 1 << 30) -> tuple[str, list[bytes]]:
    """Send the data in pieces; return the answer, and the content of what went upstream."""
    with relay(spool=spool) as world:
        peer = world.peer()
        peer.lines(b"MAIL FROM:<news@sender.test>\r\nRCPT TO:<a@rcpt.test>\r\nDATA\r\n")
        for piece in cut(data, places):
            assert peer.say(piece) == b""
        [answer] = peer.lines(b".\r\n")
        world.journal.check()
        return answer, [sent.content for sent in world.provider.taken]


@given(DATA, st.lists(st.integers(0, 4000), max_size=6), st.sampled_from([1, 500, 1 << 30]))
def test_a_body_arrives_as_it_came_or_as_the_rule_says(body: bytes, places: list[int], spool: int) -> None:
    data = HEADER + b"\r\n" + sendable(body)
    answer, [content] = said_to(data, places, spool=spool)

    assert answer.startswith("250")
    head, _, rest = content.partition(b"\r\n\r\n")
    assert rest == rewritten(data).partition(b"\r\n\r\n")[2]
    assert all(len(line) <= LONGEST for line in head.split(b"\r\n"))


@given(DATA, st.lists(st.integers(0, 4000), max_size=6), st.sampled_from([1, 1 << 30]))
def test_no_line_over_the_limit_goes_out_that_did_not_come_in(data: bytes, places: list[int], spool: int) -> None:
    """Here the header is anything, too."""
    data = sendable(data)
    answer, contents = said_to(data, places, spool=spool)

    assert answer[:3] in ("250", "550")
    came = set(rewritten(data).split(b"\r\n"))
    for content in contents:
        assert {line for line in content.split(b"\r\n") if len(line) > LONGEST} <= came


@given(st.text(max_size=64), st.text(min_size=1, max_size=5000), st.integers(0, 60))
def test_the_fields_that_the_bridge_writes_are_never_over_the_limit(campaign: str, value: str, copies: int) -> None:
    def escaped(text: str) -> bytes:
        return re.sub(r"[^ !#-\[\]-~]", lambda found: f"\\u{ord(found[0]) & 0xFFFF:04x}", text).encode()

    addresses = b",".join(b'{"email": "copy%d@example.org", "name": "%b"}' % (n, b"n" * 100) for n in range(copies))
    api = API % (escaped(campaign), escaped(value), addresses)
    answer, contents = said_to(HEADER + api + b"\r\nbody\r\n", [])

    assert answer[:3] in ("250", "550")
    for content in contents:
        assert all(len(line) <= LONGEST for line in content.split(b"\r\n"))
        assert content.partition(b"\r\n\r\n")[0].isascii()


@pytest.mark.parametrize("place", [b"\0", b"a\0b", b"\r\n\0.\r\n", b".\0"])
def test_a_nul_is_refused_wherever_it_stands(place: bytes) -> None:
    for data in (HEADER + b"\r\n" + place, HEADER + b"X: " + place):
        answer, contents = said_to(sendable(data), [])
        assert answer.startswith("550 5.6.0 ")
        assert contents == []


@pytest.mark.parametrize("declared", [b"", b" BODY=8BITMIME", b" BODY=7BIT"])
@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("text", [b"plain", "grün".encode()])
def test_eight_bit_text_is_declared_as_the_sender_declared_it_and_refused_where_that_cannot_be(
    declared: bytes, offered: bool, text: bytes
) -> None:
    with relay(keywords=("8BITMIME", "PIPELINING") if offered else ("PIPELINING",)) as world:
        peer = world.peer()
        peer.lines(b"MAIL FROM:<news@sender.test>" + declared + b"\r\nRCPT TO:<a@rcpt.test>\r\nDATA\r\n")
        [answer] = peer.lines(HEADER + b"\r\n" + text + b"\r\n.\r\n")
        eight = declared.endswith(b"8BITMIME")
        if eight and not offered and not text.isascii():
            assert answer == "554 5.6.3 The provider does not take 8-bit content"
            assert world.provider.taken == []
        else:
            [sent] = world.provider.taken
            assert sent.body == text + b"\r\n"
            assert sent.mail.endswith(b" BODY=8BITMIME") == (eight and offered)
