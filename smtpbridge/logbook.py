"""
From `[log]` to the log of a process.

"auto" looks at where standard output goes.  People read a terminal, the journal and a file, so those get text; a pipe
is most often that of a container, whose other end is a program, so it gets JSON.  Where standard output is the
journal's (systemd says so in $JOURNAL_STREAM) each line begins with its priority, so `journalctl -p err` works.

A worker makes the lines as they will stand in the log, and its parent passes them on unread; entries for the journal a
worker sends there itself.

What must not be known here: the relay, and the environment.
"""

import os
import signal
import stat
from enum import Enum
from pathlib import Path
from typing import Any

from twisted.logger import Logger, LogLevel

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.ops.log_forms import Form, JournalForm, JsonForm, TextForm
from smtpbridge.ops.log_sinks import JOURNAL, File, Journal, Sink, Stream, journal_fault
from smtpbridge.ops.logs import EventLog
from smtpbridge.settings.values import Log, LogFormat, LogTo

# Its owner writes, a group may read: the names of senders and recipients are nobody else's business.
_MODE = 0o640
_LEVELS = {level.name for level in LogLevel.iterconstants()}


class CannotLog(SmtpbridgeError):
    """The log file cannot be opened."""


class Shape(Enum):
    """How the events of a process are written."""

    TEXT = "text"
    PRIORITIES = "text with priorities"
    JSON = "json"
    JOURNAL = "journal"


def shape_of(log: Log, stdout: int, journal_stream: str) -> Shape:
    """Decide the shape; `journal_stream` is $JOURNAL_STREAM."""
    if log.to is LogTo.JOURNAL:
        return Shape.JOURNAL
    if log.format is LogFormat.JSON:
        return Shape.JSON
    if log.to is not LogTo.STDOUT:
        return Shape.TEXT
    if _is_journal(stdout, journal_stream):
        return Shape.PRIORITIES
    if log.format is LogFormat.AUTO and not (os.isatty(stdout) or stat.S_ISREG(os.fstat(stdout).st_mode)):
        return Shape.JSON
    return Shape.TEXT


def open_log(
    log: Log, stdout: int, reactor: Any, *, journal_stream: str = "", journal: str = JOURNAL
) -> tuple[EventLog, Shape]:
    """Return the log of this process, and the shape that its workers write in; raise `CannotLog`."""
    shape = shape_of(log, stdout, journal_stream)
    fault = journal_fault(journal) if shape is Shape.JOURNAL else ""
    if fault:
        shape = shape_of(Log(level=log.level), stdout, journal_stream)
    sink: Sink = Journal(journal) if shape is Shape.JOURNAL else _lines_to(log.to, stdout, reactor)
    events = EventLog(_form(shape), sink, reactor, least=_level(log))
    if fault:
        Logger("smtpbridge.log", observer=events).warn(
            "the journal cannot be used: {why}; the log goes to standard output socket={socket}",
            why=fault,
            socket=journal,
        )
    return events, shape


def daemon_log(log: Log, stdout: int, journal_stream: str, reactor: Any) -> tuple[EventLog, Shape]:
    """As `open_log`, and let the log live as long as the process, and be opened anew on SIGUSR1."""
    events, shape = open_log(log, stdout, reactor, journal_stream=journal_stream)
    # Whoever rotates a log sends it; unheard, the signal would end the process.
    signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(events.reopen))
    reactor.addSystemEventTrigger("after", "shutdown", events.finish)
    return events, shape


def worker_log(log: Log, shape: Shape, number: int, stdout: int, reactor: Any) -> EventLog:
    """Return the log of worker `number`: lines for its parent, or entries for the journal."""
    sink: Sink = Journal() if shape is Shape.JOURNAL else Stream(stdout)
    return EventLog(_form(shape, number), sink, reactor, least=_level(log))


def say_of_workers(lines: bytes) -> None:
    """Give lines of workers to the log that twistd was told to write, which has a time and level of its own."""
    for line in lines.decode("utf-8", "backslashreplace").splitlines():
        _, level, text = [*line.split(" ", 2), "", ""][:3]
        known = level in _LEVELS
        Logger("smtpbridge.workers").emit(
            LogLevel.lookupByName(level if known else "error"), "{line}", line=text if known else line
        )


def follow(events: EventLog, log: Log) -> None:
    """Log from now on what `log` wants; how and where to is as it was at the start."""
    events.leave_out_below(_level(log))


def _form(shape: Shape, worker: int = 0) -> Form:
    match shape:
        case Shape.JSON:
            return JsonForm(worker)
        case Shape.JOURNAL:
            return JournalForm(worker)
        case _:
            return TextForm(f"worker={worker}" if worker else "", priorities=shape is Shape.PRIORITIES)


def _level(log: Log) -> object:
    return LogLevel.lookupByName(log.level.value)


def _lines_to(where: LogTo | Path, stdout: int, reactor: Any) -> Sink:
    if isinstance(where, LogTo):
        return Stream(stdout)
    path = str(where)

    def opened() -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)

    try:
        return File(opened, path, reactor.seconds)
    except OSError as error:
        raise CannotLog(f"cannot log to {path}: {(error.strerror or str(error)).lower()} ([log] to)") from error


def _is_journal(descriptor: int, journal_stream: str) -> bool:
    """Tell whether a descriptor is the one that $JOURNAL_STREAM speaks of (systemd.exec(5))."""
    if not journal_stream:
        return False
    found = os.fstat(descriptor)
    return journal_stream == f"{found.st_dev}:{found.st_ino}"
