"""What is promised of a message's data: one end wherever the stream is cut; every defect told; dots transparent."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp.data import Block, Defects, End, EndFinder, canonical, stuff, unstuff, whole

_PIECES = [b"\r", b"\n", b"\r\n", b".", b"a", b"\r\n.", b"\r\n..", b"\0", b"b" * 60]
BODIES = st.lists(st.sampled_from(_PIECES), max_size=14).map(b"".join)


def feed(chunks: Sequence[bytes]) -> tuple[bytes, End | None]:
    """Return the data and the end that a finder makes of `chunks`; what comes after the end is its rest."""
    finder = EndFinder()
    data, end = b"", None
    for at, chunk in enumerate(chunks):
        for found in finder.feed(chunk):
            match found:
                case Block(octets):
                    assert octets, "an empty block"
                    data += octets
                case End(defects, rest):
                    end = End(defects, rest + b"".join(chunks[at + 1 :]))
        if end is not None:
            break
    return data, end


def octet_by_octet(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]


def by_lines(octets: bytes) -> tuple[bytes, Defects, bytes] | None:
    """Read the data line by line: slow and plain.  A line ends with CRLF; the line "." ends the data."""
    data, single_dots = b"", False
    rest = octets
    while b"\r\n" in rest:
        line, _, rest = rest.partition(b"\r\n")
        if line == b".":
            paired = data.replace(b"\r\n", b"")
            return data, Defects(b"\r" in paired or b"\n" in paired, single_dots, b"\0" in data), rest
        single_dots = single_dots or (line.startswith(b".") and not line.startswith(b".."))
        data += line + b"\r\n"
    return None


def content_of(data: bytes) -> list[bytes]:
    """Read data in wire form as a receiver that takes CRLF alone for a line end does."""
    lines = data.split(b"\r\n")
    assert lines.pop() == b"", "the data end within a line"
    return [line.removeprefix(b".") for line in lines]


def content_meant(data: bytes) -> list[bytes]:
    """
    Read a sender's data.

    Dots are off where its CRLF lines begin; then any LF is a line end, with or without CR; a stray CR is a blank.
    """
    text = b"\r\n".join(line.removeprefix(b".") for line in data.split(b"\r\n"))
    lines = [line.replace(b"\r", b" ") for line in re.split(rb"\r?\r\n|\n", text)]
    return lines[:-1] if lines[-1] == b"" else lines


# The end


def test_the_data_come_as_they_are_and_what_follows_the_dot_is_left_over() -> None:
    assert feed([b"one\r\n..two\r\n.\r\nQUIT\r\n"]) == (b"one\r\n..two\r\n", End(Defects(), b"QUIT\r\n"))


def test_a_dot_at_once_ends_an_empty_message() -> None:
    assert feed([b".\r\n"]) == (b"", End(Defects(), b""))
    assert feed(octet_by_octet(b".\r\nRSET")) == (b"", End(Defects(), b"RSET"))


def test_only_an_empty_line_is_a_message_of_one_empty_line() -> None:
    assert feed([b"\r\n.\r\n"]) == (b"\r\n", End(Defects(), b""))


@pytest.mark.parametrize(
    "ending",
    [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r\n.\0\r\n", b"\r\n.\r\r\n"],
)
def test_no_other_sequence_ends_the_message(ending: bytes) -> None:
    smuggled = b"one" + ending + b"MAIL FROM:<evil@example.com>\r\n"

    for chunks in ([smuggled + b".\r\nQUIT\r\n"], octet_by_octet(smuggled + b".\r\nQUIT\r\n")):
        data, end = feed(chunks)
        assert data == smuggled
        assert end is not None
        assert end.rest == b"QUIT\r\n"
        assert end.defects


@given(BODIES, BODIES)
def test_the_finder_agrees_with_reading_line_by_line(body: bytes, more: bytes) -> None:
    wire = body + b"\r\n.\r\n" + more
    expected = by_lines(wire)
    assert expected is not None
    data, defects, rest = expected

    assert feed([wire]) == (data, End(defects, rest))
    assert feed(octet_by_octet(wire)) == (data, End(defects, rest))


@given(BODIES, st.sampled_from([b"", b"\r\n"]), st.sampled_from([b".\r\n", b"", b".\r\nQUIT\r\n"]))
def test_data_are_whole_if_they_are_sound_and_their_first_line_begins_without_a_dot(
    body: bytes, end: bytes, dot: bytes
) -> None:
    wire = body + end + dot
    found = by_lines(wire)
    easy = found is not None and found[1:] == (Defects(), b"") and not found[0].startswith(b".")

    # An empty message has a line that begins with a dot: its last one.
    assert whole(wire) == (found[0] if found is not None and easy and found[0] else None)


@pytest.mark.parametrize(
    ("data", "sound"),
    [
        (b"a\r\n..b\r\n", True),
        (b"a\r\n..\r\n", True),
        (b"a\r\n...\r\n..\r\n", True),
        (b"a\r\n.b\r\n", False),
        (b"a\r\n..b\r\n.c\r\n", False),
        (b"a\r\n.\r\nb\r\n", False),
        (b"a\r\n" + b"..b\r\n" * 100, True),
        (b"a\r\n" + b"..b\r\n" * 101, False),
    ],
)
def test_doubled_dots_are_looked_at_one_by_one_as_long_as_they_are_few(data: bytes, sound: bool) -> None:
    assert whole(data + b".\r\n") == (data if sound else None)


@given(BODIES, st.data())
def test_where_the_stream_is_cut_makes_no_difference(body: bytes, data: st.DataObject) -> None:
    wire = body + b"\r\n.\r\nQUIT\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    chunks = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    assert feed(chunks) == feed([wire])


@given(BODIES)
def test_without_the_end_no_more_is_held_back_than_might_begin_it(body: bytes) -> None:
    if by_lines(body) is None:
        data, end = feed([body])

        assert end is None
        assert body.startswith(data)
        assert b"\r\n.\r\n".startswith(body[len(data) :]) or b".\r\n".startswith(body)


# Defects


@pytest.mark.parametrize(
    ("data", "defects"),
    [
        (b"plain\r\n..dot\r\n...\r\n", Defects()),
        (b"a\rb\r\n", Defects(bare_line_ends=True)),
        (b"a\nb\r\n", Defects(bare_line_ends=True)),
        (b"a\r\r\n", Defects(bare_line_ends=True)),
        (b"a\n\rb\r\n", Defects(bare_line_ends=True)),
        (b"\nb\r\n", Defects(bare_line_ends=True)),
        (b".a\r\n", Defects(single_dots=True)),
        (b"a\r\n..b\r\n.c\r\n", Defects(single_dots=True)),
        (b"a\0b\r\n", Defects(nul=True)),
        (b"\r.\0\r\n.x\r\n", Defects(True, True, True)),
    ],
)
def test_every_defect_is_told_with_the_end_wherever_the_stream_is_cut(data: bytes, defects: Defects) -> None:
    wire = data + b".\r\n"

    for cut in range(len(wire) + 1):
        assert feed([wire[:cut], wire[cut:]]) == (data, End(defects, b""))
    assert bool(defects) is (defects != Defects())


# Transparency


@given(BODIES)
def test_taking_dots_off_undoes_doubling_them(content: bytes) -> None:
    assert unstuff(stuff(content)) == content


@given(BODIES)
def test_doubled_dots_are_found_sound_and_never_end_the_message(content: bytes) -> None:
    lines = content.replace(b"\r", b"").replace(b"\n", b"\r\n") + b"\r\n"
    wire = stuff(lines)

    data, end = feed([wire + b".\r\n"])
    assert data == wire
    assert end is not None
    assert not end.defects.single_dots


@pytest.mark.parametrize(
    ("content", "wire"),
    [(b"", b""), (b".", b".."), (b".\r\n.\r\n", b"..\r\n..\r\n"), (b"a.\r\nb\r\n", b"a.\r\nb\r\n"), (b"\n.", b"\n.")],
)
def test_only_dots_that_begin_a_line_are_doubled(content: bytes, wire: bytes) -> None:
    assert stuff(content) == wire


# Writing anew


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (b"", b""),
        (b"\r\n", b"\r\n"),
        (b"a\nb\rc\r\n", b"a\r\nb c\r\n"),
        (b"..a\r\n...\r\n", b"..a\r\n...\r\n"),
        # A dot that was not doubled is taken off, as every receiver would (RFC 5321, 4.5.2).
        (b".a\r\n", b"a\r\n"),
        # A dot behind a lone LF began no line of the sender's, but begins one now.
        (b"a\n.\nb\r\n", b"a\r\n..\r\nb\r\n"),
        (b"a\r.\rb\r\n", b"a . b\r\n"),
        (b"a\r\n.\n.\r\n", b"a\r\n\r\n..\r\n"),
        (b"a\r\r\n\n\r\r\n", b"a\r\n\r\n\r\n"),
        (b"a\r\r\r\n\r", b"a \r\n "),
    ],
)
def test_data_written_anew_have_line_ends_and_dots_in_order(data: bytes, wire: bytes) -> None:
    for cut in range(len(data) + 1):
        assert b"".join(canonical([data[:cut], data[cut:]])) == wire
    assert b"".join(canonical(octet_by_octet(data))) == wire


@given(BODIES, st.data())
def test_a_receiver_reads_from_the_new_data_what_the_sender_meant(body: bytes, data: st.DataObject) -> None:
    found = by_lines(body + b"\r\n.\r\n")
    assert found is not None
    sent = found[0]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    blocks = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]

    wire = b"".join(canonical(blocks))

    assert content_of(wire) == content_meant(sent)
    assert by_lines(wire + b".\r\n") == (wire, Defects(nul=b"\0" in sent), b"")
    assert b"\r\n.\r\n" not in b"\r\n" + wire


@given(BODIES)
def test_data_written_anew_are_not_changed_again(body: bytes) -> None:
    found = by_lines(body + b"\r\n.\r\n")
    assert found is not None
    wire = b"".join(canonical([found[0]]))

    assert b"".join(canonical(octet_by_octet(wire))) == wire


@given(st.lists(BODIES, max_size=5))
def test_no_block_written_anew_is_empty_and_cuts_make_no_difference(blocks: list[bytes]) -> None:
    written = list(canonical(blocks))

    assert all(written)
    assert b"".join(written) == b"".join(canonical([b"".join(blocks)]))
