"""What the bridge took over, and what became of it."""

from collections.abc import Iterator

from smtpbridge.ops.metrics import Figure, Kind, Sample, spans
from smtpbridge.relay.tallies import QueueTally


def queue_figures(tally: QueueTally) -> tuple[Figure, ...]:
    """Return the figures about what this process put into the queue and took out of it."""

    def recipients() -> Iterator[Sample]:
        yield ("delivered",), tally.delivered
        yield ("deferred",), tally.deferred
        yield ("given_up",), tally.given_up
        yield ("unknown",), tally.unknown

    def ages() -> Iterator[Sample]:
        for outcome, ages in (("delivered", tally.delivered_seconds), ("given_up", tally.given_up_seconds)):
            yield from spans((outcome,), ages.up_to(), ages.total)

    return (
        Figure(
            "smtpbridge_queue_kept",
            Kind.COUNTER,
            "Parcels that were put into the queue.",
            (),
            lambda: [((), tally.kept)],
        ),
        Figure(
            "smtpbridge_queue_recipients",
            Kind.COUNTER,
            "Recipients of parcels, counted at each attempt.",
            ("outcome",),
            recipients,
        ),
        Figure(
            "smtpbridge_queue_age_seconds",
            Kind.HISTOGRAM,
            "How old parcels were when recipients of them were delivered or given up.",
            ("outcome",),
            ages,
        ),
        Figure("smtpbridge_store_commits", Kind.COUNTER, "Commits of the store.", (), lambda: [((), tally.commits)]),
        Figure(
            "smtpbridge_store_faults",
            Kind.COUNTER,
            "How often the store went out of order.",
            (),
            lambda: [((), tally.faults)],
        ),
    )
