"""Where the log goes, and what becomes of it when the other end is slow, full, moved or gone."""

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from smtpbridge.ops.log_forms import JournalForm, TextForm
from smtpbridge.ops.log_sinks import File, Journal, Sink, Stream, journal_fault
from smtpbridge.ops.logs import EventLog

MOST = 4 * 1024 * 1024


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's two ends: to read, without waiting, and to write."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def all_of(descriptor: int) -> bytes:
    found = b""
    try:
        while came := os.read(descriptor, 1_000_000):
            found += came
    except BlockingIOError:
        pass
    return found


def test_a_reader_that_stands_still_stops_nobody_and_gets_what_waits_later(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    sink = Stream(writing)
    lines = [b"%06d %b\n" % (number, b"x" * 500) for number in range(1000)]
    for line in lines:
        sink.write([line])
    assert sink.waits

    found = b""
    while sink.waits:
        found += all_of(reading)
        sink.write([])

    assert (found + all_of(reading)) == b"".join(lines)
    assert sink.lost == 0


def test_what_waits_is_bounded_and_what_is_dropped_is_counted_and_said(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    clock = Clock()
    log = EventLog(TextForm(), Stream(writing), clock)
    sent = 12_000
    for number in range(sent):
        log({"log_format": "{number:06d} {filling}", "number": number, "filling": "x" * 500, "log_time": 0.0})
    found = b""
    for _ in range(200):
        found += all_of(reading)
        clock.advance(0.1)
    found += all_of(reading)

    lines = found.decode().splitlines()
    kept = [line for line in lines if line.endswith("x")]
    said = [line for line in lines if "lines of the log were lost: nobody reads fast enough count=" in line]
    assert len(said) == 1
    assert len(kept) + int(said[0].rpartition("=")[2]) == sent
    assert 0 < sent - len(kept) < sent - 5000
    numbers = [int(line.split()[2]) for line in kept]
    assert numbers == sorted(numbers)
    assert numbers[:5000] == list(range(5000))


def test_every_descriptor_that_was_handed_down_stays_as_it_was(pipe: tuple[int, int]) -> None:
    _, writing = pipe
    sink = Stream(writing)
    for _ in range(300):
        sink.write([b"x" * 1000 + b"\n"])

    assert sink.waits
    assert os.get_blocking(writing)


class FullDisk:
    """Stands for a disk: `/dev/full` until there is room."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.full = True

    def open(self) -> int:
        return os.open("/dev/full" if self.full else self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def test_a_full_disk_loses_nothing_that_fits_into_memory(folder: Path) -> None:
    clock = Clock()
    disk = FullDisk(folder / "log")
    sink = File(disk.open, str(folder / "log"), clock.seconds)
    sink.write([b"one\n"])
    sink.write([b"two\n"])
    assert sink.waits
    assert sink.why == os.strerror(errno.ENOSPC).lower()

    disk.full = False
    # The name stands for no file that is open: after a second somebody looks.
    clock.advance(1)
    sink.write([b"three\n"])

    assert (folder / "log").read_bytes() == b"one\ntwo\nthree\n"


def opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def test_a_file_that_was_moved_away_is_opened_anew_within_a_second(folder: Path) -> None:
    clock, path = Clock(), folder / "log"
    sink = File(lambda: opened(path), str(path), clock.seconds)
    sink.write([b"before\n"])
    path.rename(folder / "log.1")
    sink.write([b"still before\n"])
    clock.advance(1)
    sink.write([b"after\n"])

    assert (folder / "log.1").read_bytes() == b"before\nstill before\n"
    assert path.read_bytes() == b"after\n"


def test_a_file_can_be_opened_anew_at_once_and_what_was_said_before_is_in_the_old_one(folder: Path) -> None:
    clock, path = Clock(), folder / "log"
    log = EventLog(TextForm(), File(lambda: opened(path), str(path), clock.seconds), clock)
    log({"log_format": "before"})
    path.rename(folder / "log.1")
    log.reopen()
    log({"log_format": "after"})
    log.finish()

    assert "before" in (folder / "log.1").read_text()
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["after"]


def test_a_file_that_cannot_be_opened_anew_is_said_and_the_old_one_goes_on(folder: Path) -> None:
    clock, path = Clock(), folder / "log"
    may = [True]

    def open_if_allowed() -> int:
        if not may[0]:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path)

    log = EventLog(TextForm(), File(open_if_allowed, str(path), clock.seconds), clock)
    may[0] = False
    log.reopen()
    log({"log_format": "later"})
    log.finish()

    first, second = path.read_text().splitlines()
    assert "error the log file cannot be opened anew: Permission denied" in first
    assert second.endswith("later")


def test_a_reader_that_is_gone_is_forgotten() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    sink: Sink = Stream(writing)
    sink.write([b"to nobody\n"])
    os.close(writing)

    assert not sink.waits


def test_the_end_waits_a_while_for_a_slow_reader_but_not_for_ever(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    sink = Stream(writing)
    for _ in range(300):
        sink.write([b"x" * 1000 + b"\n"])
    # Nobody reads, so the first wait is the last one.
    sink.drain(0.01)

    assert sink.waits
    assert all_of(reading)


# The journal


def test_entries_go_to_the_journal_one_each(folder: Path) -> None:
    path = str(folder / "socket")
    with closing(Journal(path)) as sink, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        journal.setblocking(False)
        log = EventLog(JournalForm(), sink, None)
        log({"log_format": "id={id} one", "id": "A", "log_level": LogLevel.info})
        log({"log_format": "id={id} two", "id": "B", "log_level": LogLevel.error})

        first, second = journal.recv(65_536), journal.recv(65_536)

    assert b"MESSAGE=id=A one\nPRIORITY=6\n" in first
    assert b"SMTPBRIDGE_ID=B\n" in second


def test_entries_wait_for_a_journal_that_is_started_anew(folder: Path) -> None:
    path = str(folder / "socket")
    with closing(Journal(path)) as sink, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        sink.write([b"MESSAGE=early\n"])
        assert sink.waits
        journal.bind(path)
        journal.setblocking(False)
        sink.write([b"MESSAGE=late\n"])

        assert [journal.recv(100), journal.recv(100)] == [b"MESSAGE=early\n", b"MESSAGE=late\n"]
        assert not sink.waits
        assert sink.lost == 0


def test_a_journal_that_does_not_keep_up_loses_what_is_counted(folder: Path) -> None:
    path = str(folder / "socket")
    with closing(Journal(path)) as sink, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        for _ in range(MOST // 60_000 + 20):
            sink.write([b"x" * 60_000])

        assert sink.waits
        assert sink.lost > 0


def test_where_there_is_no_journal_it_is_said_why(folder: Path) -> None:
    assert journal_fault(str(folder / "socket")) == "no such file or directory"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(folder / "socket"))

        assert journal_fault(str(folder / "socket")) == ""
