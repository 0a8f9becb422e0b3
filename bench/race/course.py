"""
One run: a fresh sink, a fresh contestant, a warm-up, and then the part that counts.

Counters and processor time are read when the sink has all messages of the warm-up,
and again when it has all that the senders were told are taken.  For a contestant
that stores first, that is later than the last answer, and the time until then counts.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from bench.race.peers.surroundings import PATIENCE, Peer, Surroundings, reserved_port
from bench.race.processes import Meter, Usage, end
from bench.race.scenarios import Scenario
from tests.integration.rig import ROOT, Papers, make_papers

_USER, _PASSWORD = "App", "password-of-the-race"
# A queue may need that long to be empty, in seconds.
_DRAINING = 60.0
DIRECT = "no proxy"


class Failed(Exception):
    """A run that gave no figures; the text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one run showed.  `foreign` is the part of the machine that other work had, from 0 to 1."""

    round: int
    scenario: str
    peer: str
    taken: int
    failed: int
    first_failure: str
    seconds: float
    cpu_ms: float
    median_ms: float
    p99_ms: float
    memory_mb: float
    opened: int
    violations: dict[str, int]
    foreign: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.taken / self.seconds

    def line(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


class Seen(TypedDict):
    """What the race reads of the sink's counters."""

    connections: int
    messages: int
    violations: dict[str, int]


class Sink:
    """The provider's process, seen from here."""

    def __init__(self, scenario: Scenario, papers: Papers) -> None:
        """Start it."""
        facts = {
            "certificate": str(papers.certificate), "key": str(papers.key), "user": _USER, "password": _PASSWORD,
            "kind": scenario.kind.name, "delay": scenario.delay,
        }  # fmt: skip
        here, there = socket.socketpair()
        with there:
            command = [sys.executable, "-m", "bench.race.sink", str(there.fileno()), json.dumps(facts)]
            self.process = subprocess.Popen(command, cwd=ROOT, pass_fds=[there.fileno()], start_new_session=True)
        here.settimeout(PATIENCE)
        self._words = here.makefile("rw", encoding="ascii")
        here.close()
        self.port = int(self._words.readline())

    def ask(self, word: str) -> Seen:
        """Return its counters; `reset` also sets them to zero."""
        self._words.write(f"{word}\n")
        self._words.flush()
        found: Seen = json.loads(self._words.readline())
        return found

    def has(self, count: int) -> bool:
        """Wait until it has that many messages; tell whether it came to that."""
        return _eventually(lambda: self.ask("tell")["messages"] >= count, _DRAINING)

    def stop(self) -> None:
        """End it."""
        self._words.close()
        end([self.process])


def _eventually(look: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not look():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            greeting = sock.recv(512)
            sock.sendall(b"QUIT\r\n")
            # Read to the end, or the contestant meets a connection that was torn.
            while sock.recv(512):
                pass
    except OSError:
        return False
    return greeting.startswith(b"220")


@contextmanager
def _contestant(peer: Peer, around: Surroundings, hold: socket.socket) -> Iterator[list[int]]:
    """Run it; yield the ids of its processes."""
    with hold:
        started = peer.start(around)
        try:
            alive = _eventually(
                lambda: _greets(around.port) or any(one.poll() is not None for one in started), PATIENCE
            )
            if not alive or any(one.poll() is not None for one in started):
                raise Failed(f"does not start: {_last_words(around.log)}")
            hold.close()
            yield [one.pid for one in started]
        finally:
            end(started)


def _last_words(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    return " / ".join(lines[-3:]) or "it says nothing"


def _load(scenario: Scenario, port: int, papers: Papers, seconds: float, *, direct: bool) -> dict[str, float]:
    task = {
        "port": port, "kind": scenario.kind.name, "sessions": scenario.sessions, "kept": scenario.kept,
        "starttls": scenario.starttls, "recipients": scenario.recipients, "seconds": seconds,
        "authority": str(papers.authority), "credentials": [_USER, _PASSWORD] if direct else None,
    }  # fmt: skip
    command = [sys.executable, "-m", "bench.race.load", json.dumps(task)]
    loading = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    try:
        told, _ = loading.communicate(timeout=seconds + 90)
    finally:
        end([loading])
    if loading.returncode:
        raise Failed(f"the load generator ended with {loading.returncode}")
    found: dict[str, float] = json.loads(told)
    return found


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is made of.  `peer` is none for the senders that go straight to the sink; `cache` is the peer's."""

    round: int
    scenario: Scenario
    peer: Peer | None
    workers: int
    cache: Path
    seconds: float
    warm_up: float

    @property
    def label(self) -> str:
        """The contestant's name, with its workers where they are more than one."""
        name = self.peer.name if self.peer else DIRECT
        return f"{name}@{self.workers}" if self.workers > 1 else name


def measure(run: Run) -> Row:
    """Do one run; raise `Failed`, or whatever a contestant that cannot do this raises."""
    with tempfile.TemporaryDirectory(prefix="race-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # A contestant may have changed its user and must still come through.
        folder.chmod(0o755)
        papers = make_papers(folder)
        sink = Sink(run.scenario, papers)
        try:
            if run.peer is None:
                return _measured(run, sink, sink.port, [], papers)
            hold = reserved_port()
            around = Surroundings(
                folder / "peer", run.cache, hold.getsockname()[1], sink.port, papers, _USER, _PASSWORD,
                run.scenario.sessions, run.scenario.starttls, run.workers,
            )  # fmt: skip
            around.folder.mkdir()
            with _contestant(run.peer, around, hold) as roots:
                return _measured(run, sink, around.port, roots, papers)
        finally:
            sink.stop()


def _measured(run: Run, sink: Sink, port: int, roots: list[int], papers: Papers) -> Row:
    direct = run.peer is None
    warmed = _load(run.scenario, port, papers, run.warm_up, direct=direct)
    if not sink.has(int(warmed["taken"])):
        raise Failed("the warm-up never reached the sink")
    sink.ask("reset")
    meter = Meter(roots, [sink.process.pid])
    load = _load(run.scenario, port, papers, run.seconds, direct=direct)
    answered = time.monotonic()
    sink.has(int(load["taken"]))
    late = time.monotonic() - answered
    usage = meter.stop(load["cpu"])
    return _row(run, load, sink.ask("tell"), usage, late)


def _row(run: Run, load: dict[str, float], seen: Seen, usage: Usage, late: float) -> Row:
    taken = int(load["taken"])
    if not taken:
        raise Failed(f"no message was taken: {load['first_failure']}")
    undelivered = max(0, taken - seen["messages"])
    return Row(
        round=run.round,
        scenario=run.scenario.name,
        peer=run.label,
        taken=taken,
        failed=int(load["failed"]) + undelivered,
        first_failure=str(load["first_failure"]) or ("taken, and never delivered" if undelivered else ""),
        seconds=load["seconds"] + late,
        cpu_ms=1000 * (load["cpu"] if run.peer is None else usage.cpu) / taken,
        median_ms=load["median_ms"],
        p99_ms=load["p99_ms"],
        memory_mb=usage.memory / 1e6,
        opened=seen["connections"],
        violations=seen["violations"],
        foreign=usage.foreign,
    )
