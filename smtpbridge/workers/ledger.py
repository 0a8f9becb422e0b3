"""
Which worker is to be started, which to be ended, and when to give up.  No process, no clock.

Theory of operation
-------------------

Every worker has a number, from 1, and a life of its own: it is starting until it says that it
is ready, it serves, it may be leaving (somebody asked it to end), and when it has ended it waits
for its next start.

The pause before a start doubles from one end to the next, up to a minute, so a fault that
stays does not eat the machine; a worker that had served for a minute begins anew with it, because
what ended it then is no such fault.  One that had become ready at all stays down for a few seconds
at most: it can serve, so whatever ends it again and again (the kernel, short of memory; a person) must
not keep it from doing so in between.  The same holds for one that somebody else killed while it was starting.

A sign of life comes every second.  A worker that gave none for longer than the limit is stuck,
whatever it is doing, and is killed.  The parent may have been stopped itself (a suspended machine,
a log that nobody reads); the signs of that time are still unread, so a look that comes late
forgives everybody.

The first connections wait until all workers are ready, within reason: senders that keep their sessions
would all stay with whoever was ready first.

When not one worker comes up there is nothing to wait for: the parent ends, and whoever
supervises it sees a failure.  Before any was ever ready one try each is enough, because nothing has
worked yet; later it takes several, because it did.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

# A worker that is silent for this long gets no new connections, whatever it is allowed before it counts as stuck.
SUSPECT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_OF_THE_READY_SECONDS = 4.0
# After this a worker has shown that it can serve.
HEALTHY_SECONDS = 60.0
# Loading the program takes a second or two, and gives no signs of life.
_START_SECONDS = 60.0
# How long the first worker that is ready waits for the others.
_TOGETHER_SECONDS = 10.0
# Between two looks; the parent's own lateness shows when it is much more.
LOOK_SECONDS = 1.0
_LATE_SECONDS = 5.0
# Starts in a row without success, of every worker, before the whole ends.
_MOST_FAILURES = 5


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Start:
    """Start that worker."""

    number: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End that worker's process with force."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End everything, with a failure."""

    why: str


Action: TypeAlias = Start | Kill | GiveUp


@dataclass(slots=True)
class _Life:
    state: State = State.WAITING
    since: float = 0.0
    heard: float = 0.0
    pause: float = 0.0
    again_at: float = 0.0
    failures: int = 0
    killed: bool = False


class Ledger:
    """The lives of all workers."""

    def __init__(self, workers: int, stuck_seconds: float) -> None:
        """Begin with none started."""
        self._lives = {number: _Life() for number in range(1, workers + 1)}
        self._stuck_seconds = stuck_seconds
        self._looked = 0.0
        self._served = self._opened = False
        self._first_ready = 0.0
        self._until: float | None = None

    @property
    def stopping(self) -> bool:
        """Tell whether the end was asked for."""
        return self._until is not None

    @property
    def over(self) -> bool:
        """Tell whether the end was asked for and no worker is left."""
        return self.stopping and not any(self._alive())

    @property
    def numbers(self) -> list[int]:
        """Return every worker's number."""
        return list(self._lives)

    def state(self, number: int) -> State:
        """Return where a worker is."""
        return self._lives[number].state

    def count(self, state: State) -> int:
        """Return how many workers are there."""
        return sum(life.state is state for life in self._lives.values())

    def begin(self, now: float) -> list[Action]:
        """Start all."""
        self._looked = now
        return [self._start(number, now) for number in self._lives]

    def ready(self, number: int, now: float) -> None:
        """A worker takes connections."""
        life = self._lives[number]
        life.state, life.since, life.heard, life.failures = State.READY, now, now, 0
        if not self._served:
            self._served, self._first_ready = True, now

    def heard(self, number: int, now: float) -> None:
        """A worker gave a sign of life."""
        self._lives[number].heard = now

    def leaving(self, number: int) -> None:
        """A worker ends what is under way and takes no connections any more."""
        self._lives[number].state = State.LEAVING

    def open_to(self, now: float) -> list[int]:
        """Return the workers that may have new connections."""
        if not self._opened:
            self._opened = self._served and (
                not self.count(State.STARTING) or now - self._first_ready >= _TOGETHER_SECONDS
            )
        if not self._opened:
            return []
        return [
            number
            for number, life in self._lives.items()
            if life.state is State.READY and now - life.heard < SUSPECT_SECONDS
        ]

    def ended(self, number: int, now: float, *, killed: bool = False) -> list[Action]:
        """A worker's process has ended, for whatever reason; `killed` with a force that is never its own."""
        life = self._lives[number]
        # Whoever was killed by others on the way may well be able to start.
        failed = life.state is State.STARTING and (life.killed or not killed)
        if failed:
            life.failures += 1
        healthy = life.state is not State.STARTING and now - life.since >= HEALTHY_SECONDS
        most = LONGEST_PAUSE_SECONDS if failed else LONGEST_PAUSE_OF_THE_READY_SECONDS
        life.pause = 0.0 if healthy else min(most, max(FIRST_PAUSE_SECONDS, life.pause * 2))
        life.state, life.again_at = State.WAITING, now + life.pause
        if self.stopping:
            return []
        if self._is_hopeless():
            return [GiveUp("no worker can start")]
        return [self._start(number, now)] if healthy else []

    def pause(self, number: int) -> float:
        """Return how long a worker that has ended stays down, in seconds."""
        return self._lives[number].pause

    def look(self, now: float) -> list[Action]:
        """A moment has passed."""
        late, self._looked = now - self._looked > LOOK_SECONDS + _LATE_SECONDS, now
        actions: list[Action] = []
        for number, life in self._lives.items():
            if late:
                life.heard = now
            if life.state is State.WAITING:
                if not self.stopping and now >= life.again_at:
                    actions.append(self._start(number, now))
            elif not life.killed and (why := self._fault_of(life, now)):
                life.killed = True
                actions.append(Kill(number, why))
        return actions

    def stop(self, now: float, within: float) -> list[int]:
        """Start nothing more; return who has to be told to end, `within` so many seconds."""
        self._until = now + within
        return list(self._alive())

    def _start(self, number: int, now: float) -> Start:
        life = self._lives[number]
        life.state, life.since, life.heard, life.killed = State.STARTING, now, now, False
        return Start(number)

    def _alive(self) -> Iterator[int]:
        return (number for number, life in self._lives.items() if life.state is not State.WAITING)

    def _fault_of(self, life: _Life, now: float) -> str:
        if self._until is not None and now >= self._until:
            return "it did not end in time"
        silent = now - life.heard
        if life.state is State.STARTING:
            most = max(_START_SECONDS, self._stuck_seconds)
            return f"it has not become ready in {silent:.0f} seconds" if silent > most else ""
        return f"its event loop has been silent for {silent:.0f} seconds" if silent > self._stuck_seconds else ""

    def _is_hopeless(self) -> bool:
        most = _MOST_FAILURES if self._served else 1
        return all(life.state is State.WAITING and life.failures >= most for life in self._lives.values())
