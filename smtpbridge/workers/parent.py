"""
The parent of the workers: binds, starts, hands connections on, supervises.  It relays nothing itself.

Theory of operation
-------------------

The ports are bound before root is given up, by `Doors`.  Then each worker is started as a fresh process and
says when it is ready.  What is to be done about a worker, `Ledger` decides; which one gets a
connection, `Turns`; here both are told what happens, and obeyed.

A connection that was accepted goes to its worker as an open file over their line, and is closed
here: from then on the parent has nothing to do with it.  A worker whose line has no room is
passed over.

To stop, the sockets are closed and every worker is told; each drains for itself.  One that was killed
by somebody else, or died, is replaced; its sessions are cut, and their senders repeat what they have no answer for.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from smtpbridge.ops.metrics import Figure, Kind
from smtpbridge.relay.service import DRAIN_SECONDS
from smtpbridge.workers import words
from smtpbridge.workers.agreement import Agreement
from smtpbridge.workers.doors import Doors, Opening
from smtpbridge.workers.following import FollowingParent
from smtpbridge.workers.ledger import LOOK_SECONDS, Action, GiveUp, Kill, Ledger, Start, State
from smtpbridge.workers.process import KILLED, Worker
from smtpbridge.workers.scrape import Scrape
from smtpbridge.workers.survey import Survey
from smtpbridge.workers.turns import Turns
from smtpbridge.workers.wellness import Wellness
from smtpbridge.workers.words import Nonsense

# Beyond its drain a worker closes its connections upstream and its store.
STOP_SECONDS = DRAIN_SECONDS + 10.0


class Parent(Service):
    """All workers."""

    log = Logger()

    def __init__(
        self,
        openings: Sequence[Opening],
        ledger: Ledger,
        reactor: Any,
        *,
        task: Callable[[int], bytes],
        lines: Callable[[bytes], None],
        give_up: Callable[[str], None],
        wellness: Wellness,
        figures: Sequence[Figure] = (),
        notes: Sequence[str] = (),
        start: Callable[..., Worker] = Worker,
    ) -> None:
        """
        Supervise as `ledger` decides.

        `task` is what a worker has to know, by its number; `lines` gets what workers log; `give_up` hears, in words,
        that there is no use in going on; `wellness` hears how they are; `figures` are those of the parent's process;
        `notes` are sentences for the log at start; `start` makes a worker's process.
        """
        self.workers: dict[int, Worker] = {}
        self.doors = Doors(openings, reactor, self._hand_on)
        self.figures = Scrape(self._ask, self._own_figures, reactor)
        self.following = FollowingParent(self._tell_all)
        self.survey = Survey(self._ask_to_look, self._states, reactor)
        self._ledger = ledger
        self._reactor = reactor
        self._task = task
        self._lines = lines
        self._give_up = give_up
        self._wellness = wellness
        self._more_figures = figures
        self._notes = notes
        self._start_worker = start
        self._turns = Turns()
        self._agreement = Agreement(self._say, reactor)
        self._restarts = 0
        self._next_look: IDelayedCall | None = None
        self._over: Deferred[None] = Deferred()

    def privilegedStartService(self) -> None:
        """Bind all listeners; raise `CannotListen`."""
        self.doors.bind()

    def startService(self) -> None:
        """Start the workers as soon as the reactor runs, which takes note when one ends."""
        super().startService()
        for note in self._notes:
            self.log.warn("{note}", note=note)
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> "Deferred[None]":
        """Let every worker drain and end; fires when the last one has."""
        super().stopService()
        self.doors.close()
        told = self._ledger.stop(self._now(), STOP_SECONDS)
        self.log.info("stopping: {count} workers", count=len(told))
        for number in told:
            self.workers[number].send(words.packet(words.Kind.STOP))
        self._be_over()
        return self._over

    async def renew(self, task: Callable[[int], bytes]) -> None:
        """Have all workers, and those that are started from now on, do what `task` says; raise `NotApplied`."""

        def take() -> list[int]:
            self._task = task
            return self._members()

        await self._agreement.reach(self._members(), task, take)

    def _members(self) -> list[int]:
        """Return who has to agree: one that is leaving serves nobody new."""
        return [number for number in self.workers if self._ledger.state(number) is not State.LEAVING]

    def _say(self, number: int, packet: bytes, descriptors: Sequence[int] = ()) -> bool:
        # Who is gone by now needs to hear nothing.
        return number not in self.workers or self.workers[number].send(packet, descriptors)

    def _begin(self) -> None:
        if self._ledger.stopping:
            return
        self._act(self._ledger.begin(self._now()))
        self._next_look = self._reactor.callLater(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        # The next look is set first: what fails below must not end the supervision.
        self._next_look = self._reactor.callLater(LOOK_SECONDS, self._look)
        self._act(self._ledger.look(self._now()))
        if self._ledger.stopping:
            # One that had no room for it on its line, or was only just being started, has not heard it.
            for worker in self.workers.values():
                worker.send(words.packet(words.Kind.STOP))
        self._agreement.look()
        self._welcome()

    def _act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Start(number):
                    self._start(number)
                case Kill(number, why):
                    self.log.critical(
                        "worker {number} is killed: {why} pid={pid}",
                        number=number,
                        why=why,
                        pid=self.workers[number].pid,
                    )
                    self.workers[number].kill()
                case GiveUp(why):
                    self.log.critical("{why}; the reasons are above", why=why)
                    self._give_up(why)

    def _start(self, number: int) -> None:
        self._turns.begin(number)
        try:
            worker = self._start_worker(
                number,
                self._reactor,
                task=self._task(number),
                heard=self._heard,
                lines=self._lines,
                ended=self._ended,
            )
        except OSError as error:
            self.log.error("worker {number} cannot be started: {error}", number=number, error=str(error))
            self._act(self._ledger.ended(number, self._now()))
            return
        self.workers[number] = worker
        self.log.info("worker {number} starts pid={pid}", number=number, pid=worker.pid)
        self._agreement.started(number)

    def _ended(self, number: int, why: str) -> None:
        del self.workers[number]
        self.figures.ended(number)
        self._agreement.ended(number)
        self._wellness.ended(number)
        was = self._ledger.state(number)
        actions = self._ledger.ended(number, self._now(), killed=why == KILLED)
        self.survey.ended(number)
        if self._ledger.stopping:
            self.log.info("worker {number} is gone: {why}", number=number, why=why)
            self._be_over()
            return
        self._restarts += 1
        self.log.error(
            "worker {number} is gone: {why}; it was {state}; its next start is in {pause} s",
            number=number,
            why=why,
            state=was.value,
            pause=round(self._ledger.pause(number)),
        )
        self._act(actions)
        self._welcome()

    def _be_over(self) -> None:
        if self._ledger.over and not self._over.called:
            if self._next_look is not None:
                self._next_look.cancel()
            self.log.info("stopped")
            self._over.callback(None)

    # What workers say

    def _heard(self, number: int, packet: bytes) -> None:
        try:
            self._take(number, *words.read(packet))
        except Nonsense as error:
            self.log.critical("worker {number} is killed: it said {error}", number=number, error=str(error))
            self.workers[number].kill()

    def _take(self, number: int, kind: words.Kind, content: object) -> None:
        now = self._now()
        self._ledger.heard(number, now)
        match kind:
            case words.Kind.READY:
                self._ledger.ready(number, now)
                self.log.info("worker {number} is ready", number=number)
                for packet in self.following.packets():
                    self.workers[number].send(packet)
                self._welcome()
            case words.Kind.COUNTS:
                seen, sessions, troubles = words.counts(content)
                self._turns.told(number, seen, sessions)
                self._wellness.told(number, sum(sessions), troubles)
            case words.Kind.LEAVING:
                self._ledger.leaving(number)
                self._welcome()
            case words.Kind.PREPARED:
                self._agreement.prepared(number, content)
            case words.Kind.ENFORCED:
                self._agreement.enforced(number, content)
            case words.Kind.SHOWN:
                self.survey.answered(number, content)
            case words.Kind.FIGURES:
                self.figures.answered(number, content)
            case words.Kind.LINES:
                self.following.heard(content)
            case _:
                raise Nonsense("what only the parent says")

    # Connections

    def _welcome(self) -> None:
        """Accept connections while there is somebody to take them."""
        self.doors.accept(not self._ledger.stopping and bool(self._ledger.open_to(self._now())))

    def _hand_on(self, door: int, came: Sequence[socket.socket]) -> None:
        open_to = self._ledger.open_to(self._now())
        for connection in came:
            with connection:
                self._hand_on_one(door, connection, open_to)
        if not open_to:
            self._welcome()

    def _hand_on_one(self, door: int, connection: socket.socket, open_to: list[int]) -> None:
        while open_to:
            number = self._turns.pick(door, open_to)
            if self.workers[number].send(words.connections(bytes((door,))), (connection.fileno(),)):
                self._turns.given(door, number)
                return
            open_to.remove(number)
        self.log.error("no worker has room for a connection; it is closed, and its sender will try again")

    # Figures

    def _ask(self, question: int) -> list[int]:
        return self._ask_all(words.packet(words.Kind.ASK, question))

    def _ask_to_look(self, question: list[object]) -> list[int]:
        return self._ask_all(words.packet(words.Kind.LOOK, question))

    def _states(self) -> dict[int, str]:
        return {number: self._ledger.state(number).value for number in self._ledger.numbers}

    def _ask_all(self, packet: bytes) -> list[int]:
        return [number for number in self._ledger.open_to(self._now()) if self.workers[number].send(packet)]

    def _tell_all(self, packet: bytes) -> None:
        for worker in self.workers.values():
            worker.send(packet)

    def _own_figures(self) -> list[Figure]:
        return [*self._more_figures, *worker_figures(self._ledger, lambda: self._restarts)]

    def _now(self) -> float:
        return float(self._reactor.seconds())


def worker_figures(ledger: Ledger, ends: Callable[[], int]) -> tuple[Figure, ...]:
    """Return the figures about workers; `ends` is how many ended by themselves."""
    return (
        Figure(
            "smtpbridge_workers",
            Kind.GAUGE,
            "Workers, by where they are in their lives.",
            ("state",),
            lambda: [((state.value,), ledger.count(state)) for state in State],
        ),
        Figure(
            "smtpbridge_worker_ends",
            Kind.COUNTER,
            "Workers that ended although nobody stopped the bridge.",
            (),
            lambda: [((), ends())],
        ),
    )
