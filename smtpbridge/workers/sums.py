"""
The figures of all workers as one.

Counters, histograms and gauges are added up, label by label, unless a figure says otherwise
(`Join`).  A counter that is summed must never fall, or whoever computes rates takes it for a restart
and counts everything a second time: what a worker had counted stays in the sum when it has ended or
does not answer, as far as it was known.  A gauge says how things are now, so who does not answer is
left out of it.

What tells of each process by itself gets a label `worker` with its number, which is 0 for the parent.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from smtpbridge.ops.metrics import Figure, Join, Kind
from smtpbridge.workers.words import Nonsense

Labels: TypeAlias = tuple[str, ...]
Samples: TypeAlias = dict[Labels, float]


def told(figures: Sequence[Figure]) -> list[object]:
    """Read every figure, and return what `Sums.answered` takes, fit for JSON."""
    return [[one.name, one.kind.value, one.join.value, one.help, one.labels, list(one.read())] for one in figures]


@dataclass(slots=True)
class _Known:
    kind: Kind
    help: str
    labels: Labels
    join: Join
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

    def read(self, number: int, figures: Sequence[Figure]) -> None:
        """Take in figures that are there to be read."""
        for one in figures:
            known = self._known.setdefault(one.name, _Known(one.kind, one.help, one.labels, one.join))
            known.last[number] = dict(one.read())

    def ended(self, number: int) -> None:
        """A worker is gone; what it had counted stays."""
        for known in self._known.values():
            last = known.last.pop(number, None)
            if last is not None and known.kind is not Kind.GAUGE and known.join is Join.SUM:
                _add(known.gone, last)

    def figures(self, present: Collection[int]) -> list[Figure]:
        """Return the sums; `present` are those whose answer is fresh."""
        return [self._sum(name, known, present) for name, known in self._known.items()]

    def _take(self, number: int, one: object) -> None:
        match one:
            case [str(name), str(kind), str(join), str(words), list(labels), list(samples)]:
                try:
                    known = self._known.setdefault(name, _Known(Kind(kind), words, tuple(labels), Join(join)))
                except ValueError as error:
                    raise Nonsense("a figure of no kind") from error
                known.last[number] = _samples(samples)
            case _:
                raise Nonsense("a figure that is none")

    def _sum(self, name: str, known: _Known, present: Collection[int]) -> Figure:
        if known.join is Join.EACH:
            return _each(name, known, present)
        total = dict(known.gone)
        for number, last in known.last.items():
            if known.kind is Kind.GAUGE and number not in present:
                continue
            if known.join is Join.GREATEST:
                _raise(total, last)
            else:
                _add(total, last)
        return Figure(name, known.kind, known.help, known.labels, total.items)


def _each(name: str, known: _Known, present: Collection[int]) -> Figure:
    shown = {
        (*labels, str(number)): value
        for number, last in sorted(known.last.items())
        if number in present
        for labels, value in last.items()
    }
    return Figure(name, known.kind, known.help, (*known.labels, "worker"), shown.items)


def _raise(to: Samples, what: Samples) -> None:
    for labels, value in what.items():
        to[labels] = max(to.get(labels, value), value)


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
