"""
Figures for Prometheus, read when they are asked for.

Theory of operation
-------------------

Nobody pushes a figure in here: the relay counts in plain numbers of its own, and
a `Figure` says how one of them is called and where it is read.  A message costs
nothing for it; a scrape costs one reading of each.

The text is written by prometheus-client, with a registry of our own: the global
one would bring figures of whatever else was imported.

What must not be known here: what the relay is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

# The label values of a sample, in the order of the figure's labels, and the sample.
Sample: TypeAlias = tuple[tuple[str, ...], float]


class Kind(Enum):
    """Whether a figure only grows."""

    COUNTER = "counter"
    GAUGE = "gauge"


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


class Metrics(Collector):
    """All figures of a process."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        """Show these."""
        self.figures = figures
        # The registry calls `collect` once as this is entered, to know the names.
        self._registry = CollectorRegistry(auto_describe=True)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Read every figure."""
        for figure in self.figures:
            family = _FAMILIES[figure.kind](figure.name, figure.help, labels=figure.labels)
            for labels, value in figure.read():
                family.add_metric(labels, value)
            yield family

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the figures and the type of the text, in the form that an `Accept` field asks for."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type


_FAMILIES: dict[Kind, Callable[..., CounterMetricFamily | GaugeMetricFamily]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
}
