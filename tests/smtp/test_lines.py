"""What is promised of the line reader: CRLF alone ends a line, nothing grows, and cuts make no difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp.lines import Defect, LineReader

LIMIT = 12
_OCTETS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\0", b"\xff", b"b" * 7, b"c" * 30])).map(b"".join)


def drain(reader: LineReader) -> list[bytes | Defect]:
    found = []
    while (line := reader.next()) is not None:
        found.append(line)
    return found


def collect(*chunks: bytes, limit: int = LIMIT) -> list[bytes | Defect]:
    reader = LineReader(limit)
    found = []
    for chunk in chunks:
        reader.feed(chunk)
        found += drain(reader)
    return found


def octet_by_octet(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]


def by_splitting(octets: bytes) -> list[bytes | Defect]:
    """Say the same as the reader, slowly: a piece ends at LF, and is a line where CRLF stands on both sides of it."""
    found: list[bytes | Defect] = []
    torn = False
    for piece in octets.split(b"\n")[:-1]:
        torn, before = not piece.endswith(b"\r"), torn
        if len(piece) + 1 > LIMIT:
            found.append(Defect.TOO_LONG)
        else:
            found.append(Defect.BARE_LF if torn or before else piece[:-1])
    return found


def test_lines_come_without_their_crlf_and_what_is_left_over_waits() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"NOOP\r\n\r\nQU")

    assert drain(reader) == [b"NOOP", b""]
    assert len(reader) == 2
    assert reader.take_rest() == b"QU"
    assert len(reader) == 0


def test_the_rest_is_all_that_no_line_has_used() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"DATA\r\none\r\ntwo\r\n")

    assert reader.next() == b"DATA"
    assert reader.take_rest() == b"one\r\ntwo\r\n"
    assert reader.next() is None


def test_a_bare_lf_ends_no_line_but_is_told() -> None:
    assert collect(b"one\ntwo\n\r\n\n") == [Defect.BARE_LF] * 4


@pytest.mark.parametrize("head", [b"", b"RCPT TO:<a@b>", b"x" * 2 * LIMIT], ids=["nothing", "a-command", "too-long"])
def test_what_stands_behind_a_bare_lf_is_no_line_of_its_own(head: bytes) -> None:
    for cut in range(len(head) + 6):
        whole = head + b"\nevil\r\nNOOP\r\n"
        found = collect(whole[:cut], whole[cut:])

        assert found[1:] == [Defect.BARE_LF, b"NOOP"]
        assert isinstance(found[0], Defect)


def test_a_line_too_long_that_ends_well_spoils_nothing_behind_it() -> None:
    for cut in range(2 * LIMIT + 1):
        whole = b"x" * 2 * LIMIT + b"\r\nNOOP\r\n"
        assert collect(whole[:cut], whole[cut:]) == [Defect.TOO_LONG, b"NOOP"]
        assert collect(whole[:cut], whole[cut : 2 * LIMIT + 1], whole[2 * LIMIT + 1 :]) == [Defect.TOO_LONG, b"NOOP"]


def test_a_bare_cr_is_part_of_the_line() -> None:
    assert collect(b"a\rb\r\r\n") == [b"a\rb\r"]


def test_a_line_may_have_as_many_octets_as_the_limit_and_no_more() -> None:
    exact, longer = b"x" * (LIMIT - 2) + b"\r\n", b"x" * (LIMIT - 1) + b"\r\n"

    for cut in ([exact + longer + b"ok\r\n"], octet_by_octet(exact + longer + b"ok\r\n")):
        assert collect(*cut) == [exact[:-2], Defect.TOO_LONG, b"ok"]


def test_of_a_line_without_end_nothing_is_kept() -> None:
    reader = LineReader(LIMIT)
    for _ in range(1000):
        reader.feed(b"x" * 100)
        assert reader.next() is None
        assert reader.take_rest() == b""

    reader.feed(b"\r\nok\r\n")
    assert drain(reader) == [Defect.TOO_LONG, b"ok"]


def test_an_unfinished_line_counts_as_waiting_even_when_its_octets_were_dropped() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"x" * 100)

    assert reader.next() is None
    assert len(reader) > 0

    reader.feed(b"\n")
    assert reader.next() is Defect.TOO_LONG
    assert len(reader) == 0


def test_a_new_limit_holds_from_the_next_line_on() -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"x" * 40 + b"\r\n")
    reader.limit = 100

    assert reader.next() == b"x" * 40


@given(_OCTETS)
def test_the_reader_agrees_with_plain_splitting_wherever_the_stream_is_cut(octets: bytes) -> None:
    assert collect(octets) == by_splitting(octets)
    assert collect(*octet_by_octet(octets)) == by_splitting(octets)


@given(_OCTETS, st.data())
def test_two_cuts_anywhere_make_no_difference(octets: bytes, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(octets)))
    second = data.draw(st.integers(first, len(octets)))

    assert collect(octets[:first], octets[first:second], octets[second:]) == collect(octets)


@given(st.lists(st.binary(max_size=LIMIT - 2).filter(lambda line: b"\n" not in line)), st.binary(max_size=5))
def test_lines_that_were_written_are_read_and_the_rest_is_left_over(lines: list[bytes], rest: bytes) -> None:
    reader = LineReader(LIMIT)
    reader.feed(b"".join(line + b"\r\n" for line in lines) + rest.replace(b"\n", b""))

    assert drain(reader) == lines
    assert reader.take_rest() == rest.replace(b"\n", b"")
