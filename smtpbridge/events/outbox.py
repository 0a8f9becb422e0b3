"""
The outbox: post what waits in the ledger to one target, for as long as the bridge runs.

Theory of operation
-------------------

Each target has a loop of its own with one post under way at a time, so nobody waits for another one's target.  A turn
looks what there is to do: a batch that is due again, or that a crash has left behind; else a new one, when enough
events wait or the oldest has waited long enough; else nothing, until the next event is old enough or somebody says
that there are new ones (`wake`).

What came of a post goes into the ledger before the next turn.  Between the two a crash leaves the batch as it was, and
it is posted again with the same id: at least once, never lost.

After a failure the target is left alone for a while (`schedule.pause`).  When one that was down takes a batch again,
the batches that failed meanwhile are posted at once and not hours later.

A batch that is given up stays in the ledger as undeliverable, and the log names it.

What must not be known here: what is in an event.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol as Contract

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from smtpbridge.dialect.sparkpost_event import batch as joined
from smtpbridge.events.faults import Came, Outcome
from smtpbridge.events.ledger_access import AGAIN_SECONDS, LedgerAccess
from smtpbridge.events.loop import Loop
from smtpbridge.events.schedule import DOWN, pause
from smtpbridge.events.tallies import TargetTally
from smtpbridge.events.target import Target
from smtpbridge.store.errors import StoreError
from smtpbridge.store.ledger import Batch, Ledger

# Other processes put events into the ledger without a word.
_LONGEST_LOOK = 5.0
_EVER = float("inf")


class Posts(Contract):
    """What posts to one target."""

    def post(self, batch_id: str, body: bytes) -> Awaitable[Outcome]:
        """Return what came of it."""

    def close(self) -> Awaitable[None]:
        """Give back what is kept open."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What a look into the ledger found: a batch to post again, or how many events wait and since when."""

    again: Batch | None
    waiting: int
    oldest_at: float | None


class Outbox:
    """One target's loop."""

    log = Logger()

    def __init__(
        self,
        target: Target,
        poster: Posts,
        access: LedgerAccess,
        clock: IReactorTime,
        *,
        epoch: Callable[[], float],
        chance: Callable[[], float],
        tally: TargetTally | None = None,
    ) -> None:
        """Post by `poster`; `epoch` is the time of day, `chance` gives numbers from 0 to below 1."""
        self.target = target
        self.tally = tally or TargetTally()
        self.failures = 0
        self.answer = ""
        self._poster = poster
        self._access = access
        self._clock = clock
        self._epoch = epoch
        self._chance = chance
        self._catching_up = False
        self._alone_until = 0.0
        self._loop = Loop(self._turn, clock)

    @property
    def paused(self) -> float:
        """For how many seconds more the target is left alone after a failure."""
        return max(0.0, self._alone_until - self._clock.seconds())

    def start(self) -> None:
        """Begin; the ledger is open."""
        self._loop.start()

    async def stop(self) -> None:
        """End after the post that is under way, whose deadline is near."""
        await self._loop.stop()
        await self._poster.close()

    def wake(self) -> None:
        """There may be something new to post."""
        self._loop.wake()

    async def _turn(self) -> float:
        try:
            return await self._do_what_is_due()
        except StoreError as error:
            self._access.has_failed(error)
        except Exception:
            # A fault of ours: the other targets go on, and so does this one.
            self.log.failure("an outbox failed target={target}", target=self.target.name)
        return AGAIN_SECONDS

    async def _do_what_is_due(self) -> float:
        """Do it, and return how long there is nothing to do."""
        alone = self._alone_until - self._clock.seconds()
        if alone > 0:
            return alone
        now = self._epoch()
        work = await self._access.read(lambda ledger: self._look(ledger, now))
        if work.again is not None:
            await self._post(work.again)
            return 0
        self._catching_up = False
        if work.oldest_at is None:
            return min(_LONGEST_LOOK, self.target.batch_seconds)
        ripe_in = work.oldest_at + self.target.batch_seconds - now
        if work.waiting < self.target.batch_events and ripe_in > 0:
            # Not without an end: the clock on the wall may be set back.
            return min(_LONGEST_LOOK, ripe_in)
        new = await self._access.write(
            lambda writer: writer.form_batch(self.target.name, self.target.batch_events, self._epoch())
        )
        if new is not None:
            await self._post(new)
        return 0

    def _look(self, ledger: Ledger, now: float) -> _Work:
        """Look what there is to do; called in a thread."""
        again = ledger.due(self.target.name, _EVER if self._catching_up else now)
        return _Work(again, *((0, None) if again is not None else ledger.waiting(self.target.name)))

    async def _post(self, batch: Batch) -> None:
        began = self._clock.seconds()
        outcome = await self._poster.post(batch.id, joined(batch.events))
        self.tally.posts[outcome.came.value] += 1
        if outcome.status is not None:
            self.tally.answered += 1
            self.tally.seconds += self._clock.seconds() - began
        if outcome.came is Came.TAKEN:
            await self._taken(batch)
        else:
            await self._failed(batch, outcome)

    async def _taken(self, batch: Batch) -> None:
        if self.failures:
            self.log.info(
                "events are taken again target={target} failures={failures}",
                target=self.target.name,
                failures=self.failures,
            )
            self._catching_up = self._catching_up or self.failures >= DOWN
        self.failures, self.answer = 0, ""
        await self._access.write(lambda writer: writer.delivered(batch.id))
        self.tally.delivered += len(batch.events)

    async def _failed(self, batch: Batch, outcome: Outcome) -> None:
        self._catching_up = False
        self.failures += 1
        self.answer = outcome.words
        self._alone_until = self._clock.seconds() + pause(self.failures)
        made = batch.attempts + 1
        wait = self.target.attempts.wait(made, self._chance())
        facts = {
            "target": self.target.name,
            "batch": batch.id,
            "events": len(batch.events),
            "attempt": made,
            "answer": outcome.words,
        }
        if wait is None:
            self.log.error(
                "a batch is GIVEN UP target={target} batch={batch} attempts={attempt} events={events}: {answer}; see "
                "smtpbridge events dead, and smtpbridge events replay when it is mended",
                **facts,
            )
            await self._access.write(lambda writer: writer.dead(batch.id, outcome.words))
            self.tally.given_up += len(batch.events)
            return
        self.log.warn(
            "a batch was not taken target={target} batch={batch} attempt={attempt} events={events}: {answer}; again in "
            "{wait}s",
            wait=round(wait),
            **facts,
        )
        at = self._epoch() + wait
        await self._access.write(lambda writer: writer.retry(batch.id, at, outcome.words))
