"""
Ask every worker how it is, or to look for a message, for the status page.

A worker that does not answer in time is shown as one that did not; whoever looks waits no longer.  What a worker
had counted stays in the sum when it is gone, and so do its last verdicts, as far as they were told.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smtpbridge.ops.passage import NotASight, found_of, sight_of
from smtpbridge.ops.sight import MOST_FAULTS, MOST_ROWS, Crewman, Found, Sight, Whole
from smtpbridge.ops.together import found_together, newest, together
from smtpbridge.workers.words import Nonsense

# A look reads numbers; a search reads the disk.
_LOOK_SECONDS = 2.0
_SEARCH_SECONDS = 10.0
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Question:
    missing: set[int]
    over: "Deferred[None]" = field(default_factory=lambda: Deferred())
    answers: dict[int, object] = field(default_factory=dict)
    call: IDelayedCall | None = None


class Survey:
    """Where the status page of several workers has everything from."""

    def __init__(
        self,
        ask: Callable[[list[object]], Sequence[int]],
        states: Callable[[], Mapping[int, str]],
        clock: IReactorTime,
    ) -> None:
        """`ask` puts a question to all workers and returns whom it reached; `states` are the workers' by number."""
        self._ask = ask
        self._states = states
        self._clock = clock
        self._questions: dict[int, _Question] = {}
        self._number = 0
        # What each had said last, and what those had said that are gone.
        self._last: dict[int, Sight] = {}
        self._gone = Sight()

    async def look(self) -> Whole:
        """See `Source`."""
        answers = await self._answers(None, _LOOK_SECONDS)
        fresh = {number: sight for number, sight in self._last.items() if number in answers}
        stale = [_counted(sight) for number, sight in self._last.items() if number not in answers]
        crew = (Crewman(number, state, fresh.get(number)) for number, state in self._states().items())
        return Whole(together([*fresh.values(), *stale, self._gone]), tuple(crew))

    async def find(self, words: str) -> Found:
        """See `Source`."""
        answers = await self._answers(words, _SEARCH_SECONDS)
        silent = [number for number in self._states() if number not in answers]
        faults = (f"Worker {number} did not answer: what it has seen is not in this list." for number in silent)
        found = [found_of(answer) for answer in answers.values()]
        return found_together([*found, Found(faults=tuple(faults))])

    def answered(self, worker: int, content: object) -> None:
        """A worker answers; raise `Nonsense`."""
        match content:
            case [int(number), None, answer]:
                self._last[worker] = _sane(sight_of, answer)
            case [int(number), str(), answer]:
                _sane(found_of, answer)
            case _:
                raise Nonsense("an answer to no question")
        question = self._questions.get(number)
        if question is not None and worker in question.missing:
            question.answers[worker] = answer
            self._settled(number, worker)

    def ended(self, worker: int) -> None:
        """A worker has ended: nobody waits for it."""
        last = self._last.pop(worker, None)
        if last is not None:
            self._gone = _counted(together([self._gone, last]))
        for number in list(self._questions):
            self._settled(number, worker)

    async def _answers(self, words: str | None, within: float) -> dict[int, object]:
        self._number += 1
        number = self._number
        question = _Question(set(self._ask([number, words])))
        if question.missing:
            self._questions[number] = question
            question.call = self._clock.callLater(within, self._over, number)
            await question.over
        return question.answers

    def _settled(self, number: int, worker: int) -> None:
        question = self._questions[number]
        question.missing.discard(worker)
        if not question.missing:
            self._over(number)

    def _over(self, number: int) -> None:
        question = self._questions.pop(number)
        if question.call is not None and question.call.active():
            question.call.cancel()
        question.over.callback(None)


def _counted(sight: Sight) -> Sight:
    """Return what stays true when a process is gone or silent."""
    return Sight(
        sight.totals,
        verdicts=newest(sight.verdicts, MOST_ROWS),
        faults=newest(sight.faults, MOST_FAULTS),
    )


def _sane(read: Callable[[object], Answer], answer: object) -> Answer:
    try:
        return read(answer)
    except NotASight as error:
        raise Nonsense(str(error)) from error
