"""
The figures of all workers as one.

Counters and gauges are added up, label by label.  A counter that is summed must never fall,
or whoever computes rates takes it for a restart and counts everything a second time: what a worker had
counted stays in the sum when it has ended or does not answer, as far as it was known.  A gauge says how
things are now, so who does not answer is left out of it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from smtpbridge.ops.metrics import Figure, Kind
from smtpbridge.workers.words import Nonsense

Labels: TypeAlias = tuple[str, ...]
Samples: TypeAlias = dict[Labels, float]


def told(figures: Sequence[Figure]) -> list[object]:
    """Read every figure, and return what `Sums.answered` takes, fit for JSON."""
    return [[one.name, one.kind.value, one.help, one.labels, list(one.read())] for one in figures]


@dataclass(slots=True)
class _Known:
    kind: Kind
    help: str
    labels: Labels
    last: dict[int, Samples] = field(default_factory=dict)
    # What workers that have ended had counted.
    gone: Samples = field(default_factory=dict)


class Sums:
    """What the workers said, and the sum of it."""

    def __init__(self) -> None:
        """Nobody has said anything."""
        self._known: dict[str, _Known] = {}

    def answered(self, number: int, figures: object) -> None:
        """Take in what a worker says; raise `Nonsense`."""
        match figures:
            case list():
                for one in figures:
                    self._take(number, one)
            case _:
                raise Nonsense("figures that are none")

    def ended(self, number: int) -> None:
        """A worker is gone; what it had counted stays."""
        for known in self._known.values():
            last = known.last.pop(number, None)
            if last is not None and known.kind is Kind.COUNTER:
                _add(known.gone, last)

    def figures(self, present: Collection[int]) -> list[Figure]:
        """Return the sums; `present` are those whose answer is fresh."""
        return [self._sum(name, known, present) for name, known in self._known.items()]

    def _take(self, number: int, one: object) -> None:
        match one:
            case [str(name), str(kind), str(words), list(labels), list(samples)]:
                known = self._known.setdefault(name, _Known(Kind(kind), words, tuple(labels)))
                known.last[number] = _samples(samples)
            case _:
                raise Nonsense("a figure that is none")

    def _sum(self, name: str, known: _Known, present: Collection[int]) -> Figure:
        total = dict(known.gone)
        for number, last in known.last.items():
            if known.kind is Kind.COUNTER or number in present:
                _add(total, last)
        return Figure(name, known.kind, known.help, known.labels, total.items)


def _add(to: Samples, what: Samples) -> None:
    for labels, value in what.items():
        to[labels] = to.get(labels, 0) + value


def _samples(samples: Iterable[object]) -> Samples:
    found: Samples = {}
    for one in samples:
        match one:
            case [list(labels), int() | float() as value]:
                _add(found, {tuple(str(label) for label in labels): value})
            case _:
                raise Nonsense("a sample that is none")
    return found
