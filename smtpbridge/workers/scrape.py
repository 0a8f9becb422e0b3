"""
Ask every worker for its figures, and show the sum.

A worker that does not answer in time is left out; whoever scrapes waits no longer than that.  Questions have
numbers, so an answer that comes late is not taken for one to the next question.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smtpbridge.ops.metrics import Figure, Join, Metrics
from smtpbridge.workers.sums import Sums
from smtpbridge.workers.words import Nonsense

# A scrape has ten seconds by default at Prometheus.
ANSWER_SECONDS = 2.0
# Workers are numbered from 1.
_PARENT = 0


class _Question:
    def __init__(self, of: set[int]) -> None:
        self.missing = set(of)
        self.answered: set[int] = set()
        self.over: Deferred[None] = Deferred()
        self.call: IDelayedCall | None = None


class Scrape:
    """The figures of all workers."""

    def __init__(
        self, ask: Callable[[int], Sequence[int]], own: Callable[[], Sequence[Figure]], clock: IReactorTime
    ) -> None:
        """`ask` puts the question of that number to all workers and returns whom it reached; `own` are the parent's."""
        self._ask = ask
        self._own = own
        self._clock = clock
        self._sums = Sums()
        self._questions: dict[int, _Question] = {}
        self._number = 0

    async def text(self, accept: str) -> tuple[bytes, str]:
        """See `Metrics.text`."""
        self._number += 1
        question = _Question(set(self._ask(self._number)))
        if question.missing:
            self._questions[self._number] = question
            question.call = self._clock.callLater(ANSWER_SECONDS, self._over, self._number)
            await question.over
        own = self._own()
        # What each process tells of itself stands side by side, the parent's too.
        self._sums.read(_PARENT, [one for one in own if one.join is Join.EACH])
        sums = self._sums.figures({_PARENT, *question.answered})
        return Metrics([*(one for one in own if one.join is not Join.EACH), *sums]).text(accept)

    def answered(self, worker: int, content: object) -> None:
        """A worker answers; raise `Nonsense`."""
        match content:
            case [int(number), figures]:
                self._sums.answered(worker, figures)
            case _:
                raise Nonsense("an answer to no question")
        if (question := self._questions.get(number)) is not None and worker in question.missing:
            question.answered.add(worker)
            self._settled(number, worker)

    def ended(self, worker: int) -> None:
        """A worker has ended: nobody waits for it."""
        self._sums.ended(worker)
        for number in list(self._questions):
            self._questions[number].answered.discard(worker)
            self._settled(number, worker)

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
