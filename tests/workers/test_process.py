"""A worker's process as the parent sees it, without one."""

from typing import Any

import pytest
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure

from smtpbridge.workers.process import LINE, Worker
from tests.workers.fakes import HandReactor


class SpawningReactor(HandReactor):
    """Starts nothing, and keeps what would have been started."""

    pid = 4711

    def __init__(self) -> None:
        super().__init__()
        self.command: list[str] = []
        self.files: dict[int, object] = {}
        self.written = b""
        self.signals: list[str] = []
        self.gone = self.exhausted = False

    def spawnProcess(
        self, protocol: object, executable: str, args: list[str], env: None, childFDs: dict[int, object]
    ) -> "SpawningReactor":
        if self.exhausted:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.command, self.files = args, childFDs
        return self

    def write(self, octets: bytes) -> None:
        self.written += octets

    def closeStdin(self) -> None:
        self.written += b"<end>"

    def signalProcess(self, name: str) -> None:
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(name)


class World:
    """A worker that was started, and what its parent heard."""

    def __init__(self) -> None:
        self.reactor = SpawningReactor()
        self.lines: list[bytes] = []
        self.endings: list[tuple[int, str]] = []
        self.worker = Worker(
            3,
            self.reactor,
            task=b"a task",
            heard=lambda *_: None,
            lines=self.lines.append,
            ended=lambda *said: self.endings.append(said),
        )

    def end(self, why: Any) -> str:
        self.worker.processEnded(Failure(why))
        [(number, said)] = self.endings
        assert number == 3
        return said


def test_a_worker_is_told_its_task_where_no_list_of_processes_shows_it() -> None:
    world = World()
    world.end(ProcessDone(0))

    assert world.reactor.command[1:] == ["-m", "smtpbridge.workers", "3"]
    assert world.reactor.written == b"a task<end>"
    assert set(world.reactor.files) == {0, 1, 2, LINE}


def test_lines_of_the_log_are_passed_on_whole() -> None:
    world = World()
    for piece in (b"one\ntw", b"o\nthr", b"ee", b"\n"):
        world.worker.outReceived(piece)
    world.end(ProcessDone(0))

    assert world.lines == [b"one\n", b"two\n", b"three\n"]


def test_the_last_words_of_a_process_that_died_within_a_line_are_a_line() -> None:
    world = World()
    world.worker.outReceived(b"half a li")
    world.end(ProcessTerminated(None, 9, 9))

    assert world.lines == [b"half a li\n"]


def test_a_line_without_an_end_does_not_grow_for_ever() -> None:
    world = World()
    for _ in range(100):
        world.worker.outReceived(b"x" * 10_000)
    world.end(ProcessDone(0))

    assert b"".join(world.lines).count(b"x") == 1_000_000
    assert max(len(one) for one in world.lines) < 100_000


def test_what_python_says_when_it_dies_is_in_the_log() -> None:
    world = World()
    with capturedLogs() as events:
        world.worker.errReceived(b"Fatal Python err")
        world.worker.errReceived(b"or\nno more")
        world.end(ProcessTerminated(None, 6, 6))

    assert [(one["log_level"], one["line"]) for one in events] == [
        (LogLevel.error, "Fatal Python error"),
        (LogLevel.error, "no more"),
    ]


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (ProcessDone(0), "ended"),
        (ProcessTerminated(3, None, 768), "ended with status 3"),
        (ProcessTerminated(None, 9, 9), "killed by signal 9"),
    ],
)
def test_why_it_ended_is_said_in_words(ending: Exception, words: str) -> None:
    assert World().end(ending) == words


def test_killing_one_that_has_just_ended_is_no_fault() -> None:
    world = World()
    world.worker.kill()
    world.reactor.gone = True
    world.worker.kill()
    world.end(ProcessDone(0))

    assert world.reactor.signals == ["KILL"]


def test_a_process_that_the_system_does_not_give_leaves_nothing_open() -> None:
    reactor = SpawningReactor()
    reactor.exhausted = True
    with pytest.raises(BlockingIOError):
        Worker(1, reactor, task=b"", heard=lambda *_: None, lines=lambda _: None, ended=lambda *_: None)

    assert reactor.readers == set()
