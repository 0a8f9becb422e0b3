"""What is promised of a header block: nothing is lost, and every field is found by its name."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.mail.headers import HeaderBlock, count_fields, end_of_header, unfold

_LINES = st.lists(
    st.sampled_from(
        [b"A: b", b"Subject : x", b" fold", b"\tfold", b"no field", b" ", b"X-Y:", b":", b"a\rb: c", b"\xff:"]
    )
)


def test_names_are_found_in_any_case_and_with_a_blank_before_the_colon() -> None:
    block = HeaderBlock.parse(b"FROM: a\r\nX-Msys-API : {}\r\nto\t:b\r\n")

    assert block.names == (b"from", b"x-msys-api", b"to")
    assert b"x-msys-api" in block
    assert b"X-MSYS-API" not in block


def test_a_folded_field_is_one_field_with_its_folds() -> None:
    block = HeaderBlock.parse(b"A: one\r\n two\r\n\tthree\r\nB: x\r\n")

    assert block.fields == (b"A: one\r\n two\r\n\tthree\r\n", b"B: x\r\n")
    assert block.values(b"a") == [b" one\r\n two\r\n\tthree"]


def test_a_line_that_is_no_field_keeps_its_place_under_the_empty_name() -> None:
    block = HeaderBlock.parse(b"A: one\r\nwhat is this\r\n goes with it\r\nB: two\r\n")

    assert list(block) == [
        (b"a", b"A: one\r\n"),
        (b"", b"what is this\r\n goes with it\r\n"),
        (b"b", b"B: two\r\n"),
    ]


def test_values_come_in_order_with_every_colon_but_the_first() -> None:
    block = HeaderBlock.parse(b"A: 1:2\r\nB: x\r\na:3\r\n")

    assert block.values(b"a") == [b" 1:2", b"3"]
    assert block.values(b"c") == []
    assert block.count(b"a") == 2


def test_the_block_without_some_fields_keeps_the_others_in_order() -> None:
    block = HeaderBlock.parse(b"A: 1\r\nBcc: x\r\nB: 2\r\nbcc: y\r\n")

    assert block.without([b"bcc"]).octets() == b"A: 1\r\nB: 2\r\n"


@given(_LINES)
def test_reading_and_writing_gives_the_same_octets(lines: list[bytes]) -> None:
    octets = b"".join(line + b"\r\n" for line in lines)

    block = HeaderBlock.parse(octets)

    assert block.octets() == octets
    assert len(block.names) == len(block.fields)


@given(_LINES.map(b"\r\n".join))
def test_the_last_line_end_may_be_missing(octets: bytes) -> None:
    assert HeaderBlock.parse(octets) == HeaderBlock.parse(octets + b"\r\n")


@given(st.lists(st.sampled_from([b"\r\n", b"A: b", b" c", b"\r", b"\n", b"x"])).map(b"".join))
def test_no_octets_give_a_block_with_an_empty_line_inside(octets: bytes) -> None:
    wire = HeaderBlock.parse(octets).octets()

    assert b"\r\n\r\n" not in wire
    assert not wire.startswith(b"\r\n")


@given(_LINES, _LINES)
def test_what_was_read_before_makes_no_difference(before: list[bytes], lines: list[bytes]) -> None:
    octets = b"".join(line + b"\r\n" for line in lines)
    # So many fields are never compared with those of another block.
    alone = HeaderBlock.parse(octets + b"Z: z\r\n" * 100)

    HeaderBlock.parse(b"\r\n".join(before))
    block = HeaderBlock.parse(octets)

    assert block == HeaderBlock(alone.names[:-100], alone.fields[:-100])


@pytest.mark.parametrize("other", [b"A: 1\nB: 2\r\n", b"A: 1\rB: 2\r\n", b"A: 1\r\nB : 2\r\n", b"A: 1\r\nb: 2\r\n"])
def test_a_block_that_only_looks_like_the_one_before_is_read_for_itself(other: bytes) -> None:
    HeaderBlock.parse(b"A: 1\r\nB: 2\r\n")

    block = HeaderBlock.parse(other)

    assert block.octets() == other
    assert block.names == (b"a", b"b")[: other.count(b"\r\n")]


def test_a_field_of_a_million_folds_is_read_in_linear_time() -> None:
    octets = b"A: b\r\n" + b" \r\n" * 1_000_000
    begin = time.process_time()

    block = HeaderBlock.parse(octets)

    # Joining line by line takes minutes for this.
    assert time.process_time() - begin < 2
    assert block.fields == (octets,)


def test_unfolding_takes_out_the_line_ends_and_the_blanks_around() -> None:
    assert unfold(b" one\r\n two\r\n\t three \t") == b"one two\t three"


@pytest.mark.parametrize(
    ("content", "header", "body"),
    [
        (b"A: b\r\n\r\nbody\r\n", b"A: b\r\n", b"body\r\n"),
        (b"A: b\r\nC: d\r\n", b"A: b\r\nC: d\r\n", b""),
        (b"\r\nbody\r\n", b"", b"body\r\n"),
        (b"only a body\r\n\r\nwith: two parts\r\n", b"", b"only a body\r\n\r\nwith: two parts\r\n"),
        (b"From x@example.com Fri Nov 20\r\nA: b\r\n\r\nbody", b"From x@example.com Fri Nov 20\r\nA: b\r\n", b"body"),
        (b" starts with a fold\r\nA: b\r\n\r\n", b"", b" starts with a fold\r\nA: b\r\n\r\n"),
        (b"", b"", b""),
    ],
)
def test_header_and_body_part_at_the_first_empty_line(content: bytes, header: bytes, body: bytes) -> None:
    length, start = end_of_header(content)

    assert content[:length] == header
    assert content[start:] == body


@given(_LINES)
def test_fields_are_counted_as_they_would_be_cut(lines: list[bytes]) -> None:
    octets = b"".join(line + b"\r\n" for line in [b"A: b", *lines])

    assert count_fields(octets) == len(HeaderBlock.parse(octets).fields)


@pytest.mark.parametrize("end", [b"", b"\r\n"])
@pytest.mark.parametrize("strange", [b"A\nB: one", b"A b: one", b"A", b": one", b" A: one", b"A: one\rB: two", b""])
def test_one_strange_line_changes_nothing_about_the_names_of_the_others(strange: bytes, end: bytes) -> None:
    block = HeaderBlock.parse(b"From: a@b.example\r\n" + strange + b"\r\nTO : c@d.example" + end)

    assert (block.names[0], block.names[-1]) == (b"from", b"to")
    assert block.fields[-1] == b"TO : c@d.example\r\n"
    assert b"".join(block.fields).count(b"\r\n") == (2 if not strange else 3)


def test_names_that_are_long_together_are_read_like_others() -> None:
    names = [b"X-%d-%b" % (number, b"N" * 60) for number in range(40)]

    block = HeaderBlock.parse(b"".join(name + b": v\r\n" for name in names))

    assert list(block.names) == [name.lower() for name in names]
