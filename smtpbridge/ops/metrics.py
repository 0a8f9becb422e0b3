"""
Figures for Prometheus, read when they are asked for.

Theory of operation
-------------------

Nobody pushes a figure in here: the relay counts in plain numbers of its own, and
a `Figure` says how one of them is called and where it is read.  A message costs
nothing for it; a scrape costs one reading of each.

A histogram is read as counters: its last label is a bound, with the number of values that are not
above it, or `sum`, with their sum.  So what adds counters up adds histograms up.

Several processes make one page of their figures (`workers.sums`); how two readings of one become
one, a figure says itself (`Join`).

The text is written by prometheus-client, with a registry of our own: the global
one would bring figures of whatever else was imported.

What must not be known here: what the relay is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

# The label values of a sample, in the order of the figure's labels, and the sample.
Sample: TypeAlias = tuple[tuple[str, ...], float]


class Kind(Enum):
    """Whether a figure only grows, and whether it is one number or many."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Join(Enum):
    """How the readings of several processes become one: added up, the greatest, or each with its `worker`."""

    SUM = "sum"
    GREATEST = "greatest"
    EACH = "each"


# The last label of the sample that holds the sum of a histogram's values.
_SUM = "sum"


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One figure.

    `name` is without the `_total` that is put behind a counter's; `read` gives a sample for each set of labels.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[], Iterable[Sample]]
    join: Join = Join.SUM

    @property
    def shown(self) -> str:
        """The name in queries, but for the endings of a histogram's samples."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


def spans(labels: tuple[str, ...], up_to: Iterable[tuple[float, int]], total: float) -> Iterator[Sample]:
    """Yield the samples of one histogram: `up_to` leads from each bound, and infinity, to the values not above it."""
    for bound, count in up_to:
        yield (*labels, floatToGoString(bound)), count
    yield (*labels, _SUM), total


class Metrics(Collector):
    """All figures of a process."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        """Show these."""
        self.figures = figures
        # It would read every figure to know the names, each time that a sum over workers is shown.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read every figure."""
        for figure in self.figures:
            yield _histogram(figure) if figure.kind is Kind.HISTOGRAM else _plain(figure)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the figures and the type of the text, in the form that an `Accept` field asks for."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type


def _plain(figure: Figure) -> Metric:
    make = CounterMetricFamily if figure.kind is Kind.COUNTER else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = make(figure.name, figure.help, labels=figure.labels)
    for labels, value in figure.read():
        family.add_metric(labels, value)
    return family


def _histogram(figure: Figure) -> Metric:
    family = HistogramMetricFamily(figure.name, figure.help, labels=figure.labels)
    buckets: dict[tuple[str, ...], list[tuple[str, float]]] = {}
    for (*labels, span), value in figure.read():
        if span == _SUM:
            family.add_metric(labels, buckets.pop(tuple(labels), []), value)
        else:
            buckets.setdefault(tuple(labels), []).append((span, value))
    return family
