"""What a PromQL query names, held against the figures that there are.  Not a parser: promtool is that."""

import re

from smtpbridge.ops.metrics import Figure, Kind
from tests.ops.every_figure import every_figure

_SELECTOR = re.compile(r"\b((?:smtpbridge|process)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|=|!=)"([^"]*)"')
# What Prometheus adds by itself, and what the sum over workers does.
_ADDED = {"job", "instance", "worker"}


def figures_by_query_name() -> dict[str, Figure]:
    """Return every name that a query can have, with its figure."""
    found: dict[str, Figure] = {}
    for one in every_figure():
        endings = ("_bucket", "_sum", "_count") if one.kind is Kind.HISTOGRAM else ("",)
        found |= {one.shown + ending: one for ending in endings}
    return found


def faults_of(query: str, known: dict[str, Figure]) -> list[str]:
    """Return what a query names that there is not: figures, labels of a figure, values of a label."""
    faults = []
    for name, matchers in _SELECTOR.findall(query):
        figure = known.get(name)
        if figure is None:
            faults.append(f"no figure {name}")
            continue
        for label, how, value in _MATCHER.findall(matchers):
            if label in _ADDED:
                continue
            if label not in figure.labels:
                faults.append(f"{name} has no label {label}")
            elif how != "=~" and value not in {labels[figure.labels.index(label)] for labels, _ in figure.read()}:
                faults.append(f'{name} never has {label}="{value}"')
    return faults
