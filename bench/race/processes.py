"""
What processes cost, from /proc, and how those that the race starts are ended.

A contestant may be many processes that come and go.  Its processor time is that of
all living ones below those that were started, with the children that they have
reaped.  Its memory is the proportional set size: what several share is
counted once.

Every process is started in a session of its own, so that Ctrl-C reaches the race
alone, and is ended by its own id, after those that it has started were written down.
"""

import os
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Of the machine, not of this process: /proc/stat counts them all.
PROCESSORS = os.cpu_count() or 1
_TICK = os.sysconf("SC_CLK_TCK")
# The kernel walks all pages for one answer, so it is not asked often.
_MEMORY_SECONDS = 0.5
_PATIENCE = 10.0
_PROC = Path("/proc")


def start(
    command: Sequence[str | Path], log: Path, *, folder: Path | None = None, more: dict[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a process that says what it says into a file; `more` goes into its environment."""
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third on; a name may hold anything, a bracket as well."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def tree(roots: Iterable[int]) -> list[int]:
    """Return the ids of the processes with those ids and of all below them."""
    children = defaultdict(list)
    for name in os.listdir(_PROC):
        if name.isdigit() and (fields := _stat(int(name))) is not None:
            children[int(fields[1])].append(int(name))
    found, open_ends = list[int](), list(roots)
    while open_ends:
        pid = open_ends.pop()
        found.append(pid)
        open_ends += children[pid]
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the time in user and kernel mode of the whole tree, reaped children included."""
    stats = [fields for pid in tree(roots) if (fields := _stat(pid)) is not None]
    return sum(int(ticks) for fields in stats for ticks in fields[11:15]) / _TICK


def busy_seconds() -> float:
    """Return how long the processors of the machine were busy, all together, with anything."""
    user, nice, system, _, _, irq, softirq = map(int, (_PROC / "stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / _TICK


class Memory:
    """Watches a tree; `most` is the most octets that it had."""

    def __init__(self, roots: Sequence[int]) -> None:
        """Begin to watch."""
        self.most = 0
        self._roots = roots
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look once more, and watch no longer."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_MEMORY_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        self.most = max(self.most, sum(_octets(pid) for pid in tree(self._roots)))


def _octets(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used in a while: seconds and octets of a tree, and the part of the machine that other work had."""

    cpu: float
    memory: int
    foreign: float


class Meter:
    """Measures a tree from now on; `others` are processes that work for the race as well."""

    def __init__(self, roots: Sequence[int], others: Sequence[int]) -> None:
        """Begin."""
        self._roots, self._others = roots, others
        self._memory = Memory(roots)
        self._begun = self._now()

    def stop(self, more: float) -> Usage:
        """Return what was used; `more` seconds of processor time were of processes that have already ended."""
        begun, ended = self._begun, self._now()
        self._memory.stop()
        seconds, busy, of_it, of_others = (after - before for before, after in zip(begun, ended, strict=True))
        foreign = (busy - of_it - of_others - more) / seconds / PROCESSORS
        return Usage(of_it, self._memory.most, max(0.0, foreign))

    def _now(self) -> tuple[float, float, float, float]:
        return time.monotonic(), busy_seconds(), cpu_seconds(self._roots), cpu_seconds(self._others)


def end(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """End them, politely first; what they have started and left behind as well."""
    below = {pid: _born(pid) for pid in tree(process.pid for process in processes)}
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pid, born in below.items():
        # An id is given anew in time; the moment of birth tells whose it is.
        if born is not None and _born(pid) == born:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def _born(pid: int) -> str | None:
    fields = _stat(pid)
    return None if fields is None else fields[19]
