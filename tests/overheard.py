"""
What the whole test run said: every event of the log, and the output of every program of ours that a test started.

How it works: the conftest adds `EVERYTHING` to Twisted's log for the whole run.
An event is kept as its text, uncut, with the traceback of a failure and all that
led to it, and as the `repr` of each field: what no format shows today is shown by
the next way to write the log.  A program that runs by itself is not heard by that;
whoever starts one gives its output to `said`, or the file that it goes to to
`begins` and `ends`.

All of it goes to a file without a name, with the test that caused it, so it
takes no memory and nothing stays.  What is found there is told without showing it.

What must not be known here: what is secret.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from twisted.logger import ILogObserver, LogEvent, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

# What comes before the name of a test; no log of ours has it.
_NEXT_TEST = b"\x1e"
# Twisted's own fields that hold what formatEvent has shown or no text at all.
_OF_NO_INTEREST = frozenset({"log_format", "log_level", "log_time", "log_logger", "log_system", "log_flattened"})


@dataclass(frozen=True, slots=True)
class Hit:
    """A line that holds what was looked for, and the test in which it was said; the thing itself is three stars."""

    test: str
    line: str


@implementer(ILogObserver)
class Overheard:
    """Keep what was said; find something in it."""

    def __init__(self) -> None:
        """Begin with nothing, outside any test."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the run
        self._running: dict[Path, str] = {}
        self.events = self.program_lines = 0
        self.now_in("between tests")

    def now_in(self, test: str) -> None:
        """What comes next is of that test."""
        self._test = test
        # Hypothesis repeats a test a hundred times, and almost every line with it.
        self._said_before: set[int] = set()
        self._file.write(b"%b%b\n" % (_NEXT_TEST, test.encode("utf-8", "backslashreplace")))

    def __call__(self, event: LogEvent) -> None:
        """Keep an event."""
        self.events += 1
        self._write("\n".join(_texts(event)).encode("utf-8", "backslashreplace"))

    def said(self, output: str | bytes) -> None:
        """Keep what a program has written."""
        octets = output.encode("utf-8", "backslashreplace") if isinstance(output, str) else output
        self.program_lines += octets.count(b"\n")
        self._write(octets)

    def begins(self, log: Path) -> None:
        """A program has begun to write to that file, which is read at its end, or before something is looked for."""
        self._running[log] = self._test

    def ends(self, log: Path) -> None:
        """The program that writes to that file has ended; a second call does nothing."""
        if (test := self._running.pop(log, None)) is not None:
            self._read(log, test)

    def find(self, needles: Iterable[bytes]) -> Iterator[Hit]:
        """Yield the first line with each of them."""
        for log, test in list(self._running.items()):
            self._read(log, test)
        self._file.flush()
        with mmap(self._file.fileno(), 0, access=ACCESS_READ) as everything:
            for needle in needles:
                if (at := everything.find(needle)) >= 0:
                    yield _hit(everything, needle, at)

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def _read(self, log: Path, test: str) -> None:
        """Keep what stands in a file as said in `test`, which began to write it."""
        now = self._test
        self.now_in(test)
        self.said(log.read_bytes())
        self.now_in(now)

    def _write(self, octets: bytes) -> None:
        # Not the octets themselves: they would be the memory that the file saves.
        if (number := hash(octets)) not in self._said_before:
            self._said_before.add(number)
            self._file.write(octets + b"\n")


def _hit(everything: mmap, needle: bytes, at: int) -> Hit:
    test = everything.rfind(_NEXT_TEST, 0, at) + 1
    line = everything.rfind(b"\n", 0, at) + 1
    name = everything[test : everything.find(b"\n", test)]
    text = everything[line : everything.find(b"\n", at + len(needle))].replace(needle, b"***")
    return Hit(name.decode("utf-8", "replace"), text.decode("utf-8", "replace"))


def _texts(event: LogEvent) -> Iterator[str]:
    yield formatEvent(event)
    for name, value in event.items():
        if isinstance(value, Failure):
            yield value.getTraceback()
            yield from _errors(value.value)
        elif name not in _OF_NO_INTEREST:
            yield f"{name}={_shown(value)}"


def _errors(error: BaseException | None) -> Iterator[str]:
    """Yield an error and what led to it."""
    while error is not None:
        yield _shown(error)
        error = error.__cause__ or error.__context__


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        # Twisted says nothing else of it either.
        return f"a {type(value).__name__} that cannot be shown"


# There is one log in a process, and so one that hears it.
EVERYTHING = Overheard()
