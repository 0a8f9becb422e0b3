"""Promises of `smtpbridge.sandbox.incoming`."""

import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.sandbox.incoming import Incoming
from smtpbridge.smtp.data import Block, EndFinder, stuff


class Collected:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.octets = b""

    def write(self, octets: bytes) -> None:
        self.octets += octets

    def keep(self, name: os.PathLike[str]) -> None:
        raise AssertionError("nobody here keeps anything")

    def discard(self) -> None:
        self.octets = b""


def received(wire: bytes, cuts: list[int]) -> tuple[Incoming, bytes]:
    """Send the data in `wire` through the finder, cut at `cuts`."""
    sink = Collected()
    incoming = Incoming("a@example.com", ("b@example.com",), sink)
    finder = EndFinder()
    bounds = [0, *sorted(cuts), len(wire)]
    for start, end in pairwise(bounds):
        for found in finder.feed(wire[start:end]):
            if isinstance(found, Block):
                incoming.take(found.octets)
    return incoming, sink.octets


TEXTS = st.lists(
    st.sampled_from([b"\r\n", b".", b"..", b"a", b"From: a@b.c\r\n", b"\r\n\r\n", b"\r\n.\r\n", b"\r\n.a", b"x" * 70])
).map(lambda parts: b"".join(parts) + b"\r\n")


@given(TEXTS, st.data())
def test_the_content_comes_out_as_it_was_before_its_dots_were_doubled(text: bytes, data: st.DataObject) -> None:
    wire = stuff(text) + b".\r\n"
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=8))

    incoming, kept = received(wire, cuts)

    assert kept == text
    assert incoming.size == len(text)
    assert incoming.header() == received(wire, [])[0].header()


def test_octet_by_octet_is_as_good_as_whole() -> None:
    wire = b"From: a@b.c\r\nSubject: s\r\n\r\n..one\r\n...\r\n\r\n.\r\n"

    incoming, kept = received(wire, list(range(len(wire))))

    assert kept == b"From: a@b.c\r\nSubject: s\r\n\r\n.one\r\n..\r\n\r\n"
    assert incoming.header().octets() == b"From: a@b.c\r\nSubject: s\r\n"
    assert not incoming.in_header


@pytest.mark.parametrize(
    ("text", "header"),
    [
        (b"From: a@b.c\r\n", b"From: a@b.c\r\n"),
        (b"\r\nFrom: a@b.c\r\n", b""),
        (b"no field\r\nFrom: a@b.c\r\n\r\n", b""),
        (b"From: a@b.c\r\n\r\nTo: d@e.f\r\n\r\n", b"From: a@b.c\r\n"),
        (b"", b""),
    ],
)
def test_the_header_ends_at_the_first_empty_line(text: bytes, header: bytes) -> None:
    incoming, _ = received(text + b".\r\n", [])

    assert incoming.header().octets() == header


def test_without_a_sink_the_message_is_still_measured() -> None:
    incoming = Incoming("", (), None)
    incoming.take(b"From: a@b.c\r\n\r\n..\r\n")
    incoming.discard()

    assert incoming.size == 18
    assert incoming.header().values(b"from") == [b" a@b.c"]
