"""The data of a message while it is on its way: memory or file, canonical, given back."""

import os
import re
import resource
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.budget import Budget
from smtpbridge.relay.content import CHUNK, Content
from smtpbridge.relay.spool import HeaderTooLong, NoSpace, Spool
from smtpbridge.smtp.data import Block, Defects, End, EndFinder, canonical, unstuff

NO_DEFECTS = Defects()
HEADER = b"From: a@example.com\r\nSubject: one"
BODY = b"line\r\n..dot\r\nlast\r\n"
PIECES = st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"A: b\r\n", b"\r\n\r\n", b"\xff" * 40]))


def spooled(*blocks: bytes, threshold: int = 1000, folder: str | None = None) -> Spool:
    spool = Spool(threshold, Budget(folder=folder))
    for block in blocks:
        spool.write(block)
    return spool


def sealed(*blocks: bytes, threshold: int = 1000, defects: Defects = NO_DEFECTS, max_header: int = 500) -> Content:
    return spooled(*blocks, threshold=threshold).seal(defects, max_header)


def body_of(content: Content) -> bytes:
    body = b""
    while chunk := content.read(len(body)):
        body += chunk
    return body


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def nameless_files() -> set[int]:
    """Return the descriptors of files that have no name; the test runner has some too."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}").endswith("(deleted)"):
                found.add(int(number))
        except FileNotFoundError:
            pass  # the one by which the list was read
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list descriptors")


@pytest.mark.parametrize("threshold", [0, 10, 1000])
def test_header_and_body_are_told_apart_in_memory_and_in_a_file(threshold: int) -> None:
    content = sealed(HEADER + b"\r\n\r\n", BODY, threshold=threshold)

    assert content.header == HEADER + b"\r\n"
    assert (content.in_memory is None) == (threshold < 1000)
    assert body_of(content) == BODY
    assert content.body_size == len(BODY)
    assert content.size == len(HEADER) + 4 + len(BODY)
    content.close()


def test_data_up_to_the_threshold_stay_in_memory_and_one_octet_more_does_not() -> None:
    data = HEADER + b"\r\n\r\n" + BODY
    inside, outside = sealed(data, threshold=len(data)), sealed(data, threshold=len(data) - 1)

    assert inside.in_memory == BODY
    assert outside.in_memory is None
    outside.close()


@pytest.mark.parametrize("threshold", [0, 1000])
@pytest.mark.parametrize(
    ("data", "header", "body"),
    [
        (b"", b"", b""),
        (b"\r\nbody\r\n", b"", b"body\r\n"),
        (b"A: b\r\n\r\n", b"A: b\r\n", b""),
        (b"A: b\r\n", b"A: b\r\n", b""),
        (b"..A: b\r\n\r\nbody\r\n", b".A: b\r\n", b"body\r\n"),
    ],
)
def test_a_header_without_body_and_a_body_without_header_are_messages(
    threshold: int, data: bytes, header: bytes, body: bytes
) -> None:
    content = sealed(data, threshold=threshold)

    assert (content.header, body_of(content)) == (header, body)
    content.close()


@given(PIECES.map(b"".join), st.integers(0, 200), st.integers(1, 50))
def test_memory_and_file_and_where_the_data_are_cut_make_no_difference(data: bytes, threshold: int, cut: int) -> None:
    found = EndFinder().feed(data + b"\r\n.\r\n")
    end = found[-1]
    assert isinstance(end, End)
    wire = b"".join(one.octets for one in found if isinstance(one, Block))
    blocks = [wire[at : at + cut] for at in range(0, len(wire), cut)]

    one = sealed(wire, threshold=100_000, defects=end.defects, max_header=100_000)
    other = sealed(*blocks, threshold=threshold, defects=end.defects, max_header=100_000)

    assert (one.header, body_of(one), one.size) == (other.header, body_of(other), other.size)
    assert one.is_ascii() == other.is_ascii()
    assert body_of(one).endswith(b"\r\n") or not body_of(one)
    other.close()


@pytest.mark.parametrize("threshold", [0, 1000])
def test_data_that_are_not_canonical_are_written_anew(threshold: int) -> None:
    data = b"A: b\n\r\n.one\r\ntwo\rthree\n.four\r\n"
    content = sealed(data, threshold=threshold, defects=Defects(bare_line_ends=True, single_dots=True))

    rewritten = b"".join(canonical([data]))
    assert content.header == b"A: b\r\n"
    assert body_of(content) == rewritten.partition(b"\r\n\r\n")[2]
    assert b"one\r\ntwo three\r\n" in unstuff(body_of(content))
    content.close()


@pytest.mark.parametrize("threshold", [0, 100_000])
def test_a_header_at_the_limit_is_taken_and_over_it_is_refused(threshold: int) -> None:
    header = b"A: " + b"b" * 200 + b"\r\n"
    data = header + b"\r\n" + b"body\r\n" * 1000

    content = sealed(data, threshold=threshold, max_header=len(header))
    assert content.header == header
    content.close()
    with pytest.raises(HeaderTooLong):
        sealed(data, threshold=threshold, max_header=len(header) - 1)


@pytest.mark.parametrize("excess", [-1, 0, 1, 2, CHUNK])
def test_a_header_that_does_not_end_is_refused_when_it_is_over_the_limit(excess: int) -> None:
    header = b"A: " + b"b" * (3 * CHUNK)
    spool = spooled(header, threshold=0)

    if excess <= 0:
        content = spool.seal(NO_DEFECTS, len(header) - excess)
        assert (content.header, content.body_size) == (header, 0)
        content.close()
    else:
        with pytest.raises(HeaderTooLong):
            spool.seal(NO_DEFECTS, len(header) - excess)


def test_a_header_without_end_is_never_read_back_whole() -> None:
    spool = Spool(0)
    for _ in range(300):
        spool.write(b"X-A: b\r\n" * 8000)
    assert spool.size > 19_000_000

    tracemalloc.start()
    try:
        with pytest.raises(HeaderTooLong):
            spool.seal(NO_DEFECTS, 1_000_000)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 1_500_000


def test_a_header_over_many_chunks_of_a_file_is_read_whole() -> None:
    header = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 60) for number in range(4000))
    content = sealed(header + b"\r\nbody\r\n", threshold=0, max_header=len(header))

    assert len(header) > 2 * CHUNK
    assert content.header == header
    assert body_of(content) == b"body\r\n"
    content.close()


@pytest.mark.parametrize("offset", [-3, -2, -1, 0, 1])
def test_the_end_of_the_header_is_found_across_the_chunks_of_a_file(offset: int) -> None:
    header = b"A: " + b"b" * (CHUNK - 5 + offset) + b"\r\n"
    content = sealed(header + b"\r\nbody\r\n", threshold=0, max_header=2 * CHUNK)

    assert (content.header, body_of(content)) == (header, b"body\r\n")
    content.close()


@pytest.mark.parametrize("threshold", [0, 10_000_000])
def test_a_body_is_read_at_positions_by_several_at_once(threshold: int) -> None:
    body = b"".join(b"%06d\r\n" % number for number in range(3 * CHUNK // 8))
    content = sealed(b"A: b\r\n\r\n", body, threshold=threshold)

    first, second = content.read(0), content.read(0)
    assert first == second == body[:CHUNK]
    assert content.read(2 * CHUNK) == body[2 * CHUNK : 3 * CHUNK]
    assert content.read(CHUNK + 1) == body[CHUNK + 1 : 2 * CHUNK + 1]
    assert content.read(len(body)) == b""
    content.close()


@pytest.mark.parametrize("threshold", [0, 1000])
def test_eight_bit_octets_are_seen_in_header_and_body(threshold: int) -> None:
    for data, ascii_only in [
        (b"A: b\r\n\r\nbody\r\n", True),
        (b"A: b\r\n\r\nb\xc3\xb6dy\r\n", False),
        (b"A: \xff\r\n\r\nbody\r\n", False),
    ]:
        content = sealed(data, threshold=threshold)
        assert content.is_ascii() is ascii_only
        content.close()


def test_a_disk_that_takes_nothing_is_told_at_the_end_and_no_earlier(tmp_path: Path) -> None:
    spool = Spool(10, Budget(folder=str(tmp_path / "gone")))
    for _ in range(100):
        spool.write(b"A: b\r\n")

    assert spool.size == 600
    # Whoever has to make room must know where.
    with pytest.raises(NoSpace, match=re.escape(str(tmp_path / "gone"))):
        spool.seal(NO_DEFECTS, 500)


@needs_proc
def test_a_disk_that_fails_while_data_are_written_anew_is_told_too(tmp_path: Path) -> None:
    before = descriptors()
    folder = tmp_path / "folder"
    folder.mkdir()
    spool = spooled(b"A: b\n\nbody\n" * 10, threshold=10, folder=str(folder))
    folder.rmdir()  # the file has no name, so the folder is empty

    with pytest.raises(NoSpace):
        spool.seal(Defects(bare_line_ends=True), 500)
    assert descriptors() == before


@needs_proc
def test_a_disk_that_fails_in_the_middle_of_a_message_gives_everything_back() -> None:
    before = descriptors()
    budget = Budget()
    spool = Spool(1000, budget)
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool.write(b"A: b\r\n" * 1000)
    assert budget.temporary == 6000
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (7000, allowed[1]))
        spool.write(b"A: b\r\n" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)

    assert (budget.memory, budget.temporary, descriptors()) == (0, 0, before)
    spool.write(b"A: b\r\n" * 1000)
    assert (budget.memory, budget.temporary, descriptors()) == (0, 0, before)
    with pytest.raises(NoSpace, match="File too large"):
        spool.seal(NO_DEFECTS, 500)


@needs_proc
def test_a_process_without_descriptors_keeps_no_message_and_loses_no_descriptor() -> None:
    before = descriptors()
    budget = Budget()
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    # One more would do for a file, but it takes two for a moment to get one without a name.
    room = os.open(os.devnull, os.O_RDONLY)
    os.close(room)
    for spare in (0, 1):
        spool = Spool(10, budget)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (room + spare, allowed[1]))
            spool.write(b"A: b\r\n" * 10)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
        with pytest.raises(NoSpace, match="Too many open files"):
            spool.seal(NO_DEFECTS, 500)
        assert (budget.memory, budget.temporary, descriptors()) == (0, 0, before)


@needs_proc
def test_a_file_that_cannot_be_read_back_is_a_message_that_could_not_be_kept() -> None:
    for defects in (NO_DEFECTS, Defects(bare_line_ends=True)):
        before, others = descriptors(), nameless_files()
        budget = Budget()
        spool = Spool(0, budget)
        spool.write(b"A: b\r\n\r\nbody\r\n")
        (number,) = nameless_files() - others
        # A descriptor that only writes stands in for a disk that gives an error.
        blind = os.open(os.devnull, os.O_WRONLY)
        os.dup2(blind, number, inheritable=False)
        os.close(blind)

        with pytest.raises(NoSpace):
            spool.seal(defects, 500)
        assert (budget.memory, budget.temporary, descriptors()) == (0, 0, before)


@needs_proc
def test_the_file_has_no_name_and_is_its_owners_alone(tmp_path: Path) -> None:
    others = nameless_files()
    spool = spooled(b"A: b\r\n" * 10, threshold=10, folder=str(tmp_path))

    assert list(tmp_path.iterdir()) == []
    (number,) = nameless_files() - others
    assert os.fstat(number).st_mode & 0o777 == 0o600
    assert not os.get_inheritable(number)
    spool.discard()


def test_octets_that_come_one_by_one_cost_hardly_more_than_those_that_come_together() -> None:
    octets = os.urandom(200_000)
    spool = Spool(1 << 20)
    tracemalloc.start()
    try:
        for at in range(0, len(octets), 2):
            spool.write(octets[at : at + 2])
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert held < 2 * len(octets)
    content = spool.seal(NO_DEFECTS, 1 << 20)
    assert content.header + body_of(content) == octets


@needs_proc
def test_every_descriptor_is_given_back() -> None:
    before = descriptors()
    defects = Defects(bare_line_ends=True)
    content = sealed(b"A: b\r\n\r\n", BODY, threshold=0)
    assert descriptors() == before + 1
    content.close()
    content.close()
    assert descriptors() == before

    rewritten = sealed(b"A: b\r\n\r\nx\ny\r\n", threshold=0, defects=defects)
    assert descriptors() == before + 1
    rewritten.close()

    spool = spooled(b"A: b\r\n", threshold=0)
    spool.discard()
    spool.discard()
    assert descriptors() == before

    for found in (NO_DEFECTS, defects):
        with pytest.raises(HeaderTooLong):
            sealed(b"A: b\r\n" * 100, threshold=0, defects=found, max_header=10)
    assert descriptors() == before


def test_a_closed_file_is_not_read_even_when_another_has_its_number() -> None:
    content = sealed(b"A: b\r\n\r\n", BODY, threshold=0)
    content.close()
    other = sealed(b"A: b\r\n\r\n", b"secret of somebody else\r\n", threshold=0)

    with pytest.raises(OSError, match="Bad file descriptor"):
        content.read(0)
    other.close()
