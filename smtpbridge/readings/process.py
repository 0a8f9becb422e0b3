"""
What the process is and takes: version, start, and what the system says of it.

The latter is read by prometheus-client, under the names that every exporter has; where there is no /proc there is
none of it.  Of several processes each is shown by itself: one that grows is not to hide behind the others.
"""

import platform
from collections.abc import Callable, Iterable

from prometheus_client import ProcessCollector

from smtpbridge import __version__
from smtpbridge.ops.metrics import Figure, Join, Kind, Sample


def build_figures(start: float) -> tuple[Figure, ...]:
    """Return the figures about the program; it started at `start`, in seconds since the epoch."""
    return (
        Figure(
            "smtpbridge_build_info",
            Kind.GAUGE,
            "Always 1; the labels say what runs.",
            ("version", "python"),
            lambda: [((__version__, platform.python_version()), 1)],
        ),
        Figure(
            "smtpbridge_start_time_seconds",
            Kind.GAUGE,
            "When the daemon was started, since the epoch.",
            (),
            lambda: [((), start)],
        ),
    )


def process_figures() -> tuple[Figure, ...]:
    """Return what the system says of this process."""
    # It belongs to no registry: whoever shows figures asks it through them.
    process = ProcessCollector(registry=None)

    def read(name: str) -> Callable[[], Iterable[Sample]]:
        return lambda: [((), one.samples[0].value) for one in process.collect() if one.name == name]

    return tuple(
        Figure(one.name, Kind(one.type), one.documentation, (), read(one.name), Join.EACH) for one in process.collect()
    )
