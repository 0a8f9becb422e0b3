"""From `[log]` to the log of a process: who gets which form, and what happens where it cannot be."""

import json
import os
import pty
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel

from smtpbridge.logbook import CannotLog, Shape, follow, open_log, shape_of, worker_log
from smtpbridge.settings.values import Level, Log, LogFormat, LogTo


@contextmanager
def going_to(kind: str) -> Iterator[int]:
    """Yield a descriptor of standard output as it may be."""
    with tempfile.TemporaryFile() as file:
        reading, writing = pty.openpty() if kind == "terminal" else os.pipe()
        try:
            yield file.fileno() if kind == "file" else writing
        finally:
            os.close(reading)
            os.close(writing)


@pytest.mark.parametrize(
    ("log", "kind", "shape"),
    [
        (Log(), "terminal", Shape.TEXT),
        (Log(), "file", Shape.TEXT),
        (Log(), "pipe", Shape.JSON),
        (Log(format=LogFormat.TEXT), "pipe", Shape.TEXT),
        (Log(format=LogFormat.JSON), "terminal", Shape.JSON),
        (Log(to=Path("log")), "pipe", Shape.TEXT),
        (Log(format=LogFormat.JSON, to=Path("log")), "terminal", Shape.JSON),
        (Log(to=LogTo.JOURNAL), "pipe", Shape.JOURNAL),
    ],
)
def test_the_form_is_chosen_by_who_reads(log: Log, kind: str, shape: Shape) -> None:
    with going_to(kind) as stdout:
        assert shape_of(log, stdout, "") is shape


@pytest.mark.parametrize("form", [LogFormat.AUTO, LogFormat.TEXT])
def test_lines_have_priorities_only_where_systemd_reads_them(form: LogFormat) -> None:
    with going_to("pipe") as stdout:
        own = os.fstat(stdout)

        assert shape_of(Log(format=form), stdout, f"{own.st_dev}:{own.st_ino}") is Shape.PRIORITIES
        assert shape_of(Log(format=form), stdout, f"{own.st_dev}:{own.st_ino + 1}") is not Shape.PRIORITIES


def test_without_a_journal_the_log_goes_to_standard_output_and_says_so(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log, shape = open_log(Log(to=LogTo.JOURNAL), writing, None, journal=str(tmp_path / "none"))
    log({"log_format": "x"})
    os.close(writing)
    with os.fdopen(reading) as lines:
        first, second = map(json.loads, lines)

    assert shape is Shape.JSON
    assert first["level"] == "warn"
    assert first["message"].startswith(
        "the journal cannot be used: no such file or directory; the log goes to standard"
    )
    assert second["message"] == "x"


def test_a_file_that_cannot_be_opened_is_named_with_the_key() -> None:
    with pytest.raises(CannotLog, match=r"cannot log to /nowhere/at/all: no such file or directory \(\[log\] to\)"):
        open_log(Log(to=Path("/nowhere/at/all")), 1, Clock())


@pytest.mark.parametrize(("shape", "start"), [(Shape.JSON, b"{"), (Shape.TEXT, b"2"), (Shape.PRIORITIES, b"<6>2")])
def test_a_worker_makes_the_lines_as_its_parent_passes_them_on(shape: Shape, start: bytes) -> None:
    reading, writing = os.pipe()
    try:
        log = worker_log(Log(), shape, 3, writing, None)
        log({"log_format": "id={id} x", "id": "A"})
        line = os.read(reading, 1000)
    finally:
        os.close(reading)
        os.close(writing)

    assert line.startswith(start)
    assert b"worker=3 id=A" in line or json.loads(line)["worker"] == 3


def test_a_level_leaves_out_what_is_below_it(tmp_path: Path) -> None:
    log, _ = open_log(Log(level=Level.ERROR, to=tmp_path / "log"), 1, Clock())
    with (tmp_path / "w").open("wb") as file:
        worker = worker_log(Log(level=Level.DEBUG), Shape.TEXT, 1, file.fileno(), None)
        for one in (log, worker):
            one({"log_format": "warning", "log_level": LogLevel.warn})
            one({"log_format": "fine print", "log_level": LogLevel.debug})
            one({"log_format": "error", "log_level": LogLevel.error})

    assert [line.split(" ", 2)[2] for line in (tmp_path / "log").read_text().splitlines()] == ["error"]
    assert len((tmp_path / "w").read_text().splitlines()) == 3


def test_another_level_counts_at_once() -> None:
    reading, writing = os.pipe()
    log, _ = open_log(Log(format=LogFormat.TEXT, level=Level.WARN), writing, None)
    own = Logger("test", observer=log)
    own.info("first")
    follow(log, Log(level=Level.INFO))
    own.info("second")
    log.finish()
    os.close(writing)
    with os.fdopen(reading) as lines:
        said = lines.read()

    assert "second" in said
    assert "first" not in said
