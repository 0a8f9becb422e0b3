"""
Another configuration for all workers, or for none.

Theory of operation
-------------------

Every worker is asked to prepare: it reads the record, builds all that is new, changes nothing, and says whether it
could.  When all could, the parent takes the new record for the workers that it will start, and tells every worker to
put in force what it has; that cannot fail, short of the end of the worker, and then its successor starts with the new
record.  When one could not, ended, or did not answer in time, nothing happens at all: what was prepared is forgotten
with the next question.

A worker that is started while others prepare has been given the old record, so it is asked too.  One that has no room
on its line for the word to go on is told again with each look of the parent.

A record is larger than a packet and holds secrets, so it travels as an open file that has no name and lies in memory.

What must not be known here: what a configuration is.
"""

import os
from collections.abc import Callable, Collection, Sequence
from typing import Protocol as Contract

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smtpbridge.reloading.reloads import NotApplied
from smtpbridge.workers import words
from smtpbridge.workers.words import Kind, Nonsense

# One that is only just being started answers when it has come up.
PREPARE_SECONDS = 30.0
ENFORCE_SECONDS = 5.0


class Lines(Contract):
    """How workers are reached."""

    def __call__(self, number: int, packet: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Send a packet; tell whether there was room for it."""


class Agreement:
    """What the workers have been asked, and what they said."""

    def __init__(self, send: Lines, clock: IReactorTime) -> None:
        """Ask by `send`."""
        self._send = send
        self._clock = clock
        self._turn = 0
        self._task: Callable[[int], bytes] | None = None
        self._missing: set[int] = set()
        self._faults: list[str] = []
        self._settled: Deferred[None] | None = None
        self._untold: set[int] = set()

    async def reach(
        self, members: Collection[int], task: Callable[[int], bytes], take: Callable[[], Collection[int]]
    ) -> None:
        """
        Have all `members` obey what `task` says to each; raise `NotApplied`, and then nobody does.

        `take` is called in between, when all have agreed: from then on workers are started with it.  It returns who is
        to be told.
        """
        self._turn += 1
        self._task, self._faults, self._missing, self._untold = task, [], set(), set()
        for number in members:
            self.started(number)
        await self._answers(PREPARE_SECONDS, "has not answered in time")
        self._task = None
        if self._faults:
            raise NotApplied(*self._faults)
        self._missing = set(take())
        self._untold = set(self._missing)
        self.look()
        # Who does not confirm is stuck, and is replaced for that.
        await self._answers(ENFORCE_SECONDS, "")

    def started(self, number: int) -> None:
        """A worker can be asked, and perhaps was started only now."""
        if self._task is None:
            return
        self._missing.add(number)
        try:
            asked = self._ask(number, self._task(number))
        except OSError as error:
            self._fail(number, f"cannot be told: {error.strerror}")
            return
        if not asked:
            self._fail(number, "has no room on its line")

    def ended(self, number: int) -> None:
        """A worker is gone."""
        self._untold.discard(number)
        if number in self._missing:
            if self._task is not None:
                self._faults.append(f"worker {number} ended while it looked at the new configuration")
            self._have(number)

    def prepared(self, number: int, content: object) -> None:
        """A worker says whether it could; raise `Nonsense`."""
        match content:
            case [int(turn), list(faults)] if all(isinstance(one, str) for one in faults):
                if turn == self._turn and self._task is not None and number in self._missing:
                    self._faults += [f"worker {number}: {fault}" for fault in faults]
                    self._have(number)
            case _:
                raise Nonsense("a preparation that is none")

    def enforced(self, number: int, content: object) -> None:
        """A worker obeys what it had prepared."""
        if content == self._turn and self._task is None:
            self._have(number)

    def look(self) -> None:
        """Tell those to go on who have not heard it."""
        packet = words.packet(Kind.ENFORCE, self._turn)
        self._untold = {number for number in self._untold if not self._send(number, packet)}

    def _ask(self, number: int, task: bytes) -> bool:
        descriptor = os.memfd_create("smtpbridge-record", os.MFD_CLOEXEC)
        try:
            written = 0
            while written < len(task):
                written += os.write(descriptor, task[written:])
            return self._send(number, words.packet(Kind.PREPARE, self._turn), (descriptor,))
        finally:
            os.close(descriptor)

    def _fail(self, number: int, why: str) -> None:
        self._faults.append(f"worker {number} {why}")
        self._have(number)

    def _have(self, number: int) -> None:
        self._missing.discard(number)
        if not self._missing and self._settled is not None:
            settled, self._settled = self._settled, None
            settled.callback(None)

    async def _answers(self, seconds: float, otherwise: str) -> None:
        """Wait until nobody is missing, or for so long; then whoever is has the fault `otherwise`, if it is one."""
        if not self._missing:
            return
        settled: Deferred[None] = Deferred()
        self._settled = settled
        late: IDelayedCall = self._clock.callLater(seconds, self._give_up, otherwise)
        await settled
        if late.active():
            late.cancel()

    def _give_up(self, otherwise: str) -> None:
        for number in sorted(self._missing):
            if otherwise:
                self._faults.append(f"worker {number} {otherwise}")
            self._have(number)


def record_from(descriptor: int) -> bytes:
    """Return what came along, and close it."""
    try:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)
