"""
What the daemon shows of itself in figures: from the objects of the relay to `ops.metrics`.

Each subject has a module in `readings`; here is what belongs to none of them, and the whole.
`docs/metrics.md` explains each of them; a test compares the two.
"""

from collections.abc import Iterator

from smtpbridge.ops.metrics import Figure, Kind, Sample
from smtpbridge.readings.listeners import listener_figures
from smtpbridge.readings.queue import queue_figures
from smtpbridge.readings.translation import translation_figures
from smtpbridge.readings.upstreams import upstream_figures
from smtpbridge.relay.service import RelayService
from smtpbridge.relay.tally import Limit


def figures_of(relay: RelayService) -> tuple[Figure, ...]:
    """Return every figure; each is read when it is asked for."""
    return (
        *listener_figures(relay),
        *upstream_figures(relay),
        *translation_figures(relay.tally.translation),
        *queue_figures(relay.tally.queue),
        *_process_wide(relay),
    )


def _process_wide(relay: RelayService) -> tuple[Figure, ...]:
    def limits() -> Iterator[Sample]:
        # All of them from the start: an alert on an increase needs the zero before it.
        return (((limit.value,), relay.tally.limits[limit]) for limit in Limit)

    def logins() -> Iterator[Sample]:
        return (((outcome,), relay.tally.logins[outcome == "accepted"]) for outcome in ("accepted", "refused"))

    return (
        Figure(
            "smtpbridge_limit_reached",
            Kind.COUNTER,
            "How often a bound was reached; the label is its key in the configuration.",
            ("limit",),
            limits,
        ),
        Figure("smtpbridge_logins", Kind.COUNTER, "Logins of senders that were decided about.", ("outcome",), logins),
        Figure(
            "smtpbridge_body_memory_bytes",
            Kind.GAUGE,
            "Octets of messages under way in memory.",
            (),
            lambda: [((), relay.budget.memory)],
        ),
        Figure(
            "smtpbridge_temporary_bytes",
            Kind.GAUGE,
            "Octets of messages under way in temporary files.",
            (),
            lambda: [((), relay.budget.temporary)],
        ),
        Figure(
            "smtpbridge_held_up",
            Kind.GAUGE,
            "Senders that are not read until there is room for what they send.",
            (),
            lambda: [((), relay.budget.waiting)],
        ),
        Figure(
            "smtpbridge_messages_under_way",
            Kind.GAUGE,
            "Messages that were received and have no verdict yet.",
            (),
            lambda: [((), relay.under_way)],
        ),
    )
