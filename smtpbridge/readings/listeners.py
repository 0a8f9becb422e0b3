"""What senders do, and what they hear, by listener."""

from collections.abc import Callable, Iterable, Iterator

from smtpbridge.ops.metrics import Figure, Join, Kind, Sample, spans
from smtpbridge.relay.service import Door, RelayService
from smtpbridge.relay.tallies import NO_UPSTREAM, Lane

# The first digits of replies that can end a message or a command.
CLASSES = (2, 4, 5)
REFUSED_CLASSES = (4, 5)
# What is spoken at all (`relay.tls`): shown from the start, whatever was agreed on.
TLS_VERSIONS = ("TLSv1.2", "TLSv1.3")
_NOTHING = Lane()


def listener_figures(relay: RelayService) -> tuple[Figure, ...]:
    """Return the figures about listeners."""
    return (*_message_figures(relay), *_session_figures(relay), *_tls_figures(relay))


def _message_figures(relay: RelayService) -> tuple[Figure, ...]:
    by = ("listener", "class", "upstream")

    def lanes(count: Callable[[Lane], list[int]]) -> Callable[[], Iterable[Sample]]:
        return lambda: (
            ((door.description, f"{first}xx", upstream), count(lane)[first])
            for door in relay.doors
            for upstream, lane in _lanes(relay, door)
            for first in CLASSES
        )

    def seconds() -> Iterator[Sample]:
        for door in relay.doors:
            for first in CLASSES:
                took = door.gate.traffic.seconds[first]
                yield from spans((door.description, f"{first}xx"), took.up_to(), took.total)

    def refused() -> Iterator[Sample]:
        for door in relay.doors:
            for first in REFUSED_CLASSES:
                yield (door.description, f"{first}xx"), door.gate.traffic.refused_commands[first]

    return (
        Figure(
            "smtpbridge_messages",
            Kind.COUNTER,
            "Messages that have their verdict.",
            by,
            lanes(lambda lane: lane.messages),
        ),
        Figure(
            "smtpbridge_recipients",
            Kind.COUNTER,
            "Envelope recipients of messages that have their verdict.",
            by,
            lanes(lambda lane: lane.recipients),
        ),
        Figure(
            "smtpbridge_message_bytes",
            Kind.COUNTER,
            "Octets of messages that have their verdict.",
            by,
            lanes(lambda lane: lane.octets),
        ),
        Figure(
            "smtpbridge_verdict_seconds",
            Kind.HISTOGRAM,
            "From the final dot of a message to its verdict.",
            ("listener", "class"),
            seconds,
        ),
        Figure(
            "smtpbridge_refused_commands",
            Kind.COUNTER,
            "Refusals before the final dot, one for commands that came together.",
            ("listener", "class"),
            refused,
        ),
    )


def _lanes(relay: RelayService, door: Door) -> Iterator[tuple[str, Lane]]:
    """Yield all upstreams that there are, and those that are gone with what they had."""
    lanes = door.gate.traffic.lanes
    for upstream in dict.fromkeys((*(pool.name for pool in relay.pools), NO_UPSTREAM, *lanes)):
        yield upstream, lanes.get(upstream, _NOTHING)


def _session_figures(relay: RelayService) -> tuple[Figure, ...]:
    def connections() -> Iterator[Sample]:
        for door in relay.doors:
            yield (door.description, "let_in"), door.gate.traffic.let_in
            yield (door.description, "turned_away"), door.gate.traffic.turned_away

    def sessions() -> Iterator[Sample]:
        return (((door.description,), len(door.gate.sessions)) for door in relay.doors)

    def paused() -> Iterator[Sample]:
        return (((door.description,), sum(one.paused for one in door.gate.sessions)) for door in relay.doors)

    return (
        Figure(
            "smtpbridge_connections",
            Kind.COUNTER,
            "Connections of senders that were begun.",
            ("listener", "outcome"),
            connections,
        ),
        Figure("smtpbridge_sessions", Kind.GAUGE, "Connections of senders.", ("listener",), sessions),
        Figure(
            "smtpbridge_paused_sessions",
            Kind.GAUGE,
            "Connections of senders that are not read for the moment.",
            ("listener",),
            paused,
        ),
    )


def _tls_figures(relay: RelayService) -> tuple[Figure, ...]:
    def handshakes() -> Iterator[Sample]:
        for door in relay.doors:
            seen = door.gate.traffic.tls
            for version in dict.fromkeys((*TLS_VERSIONS, *seen)):
                yield (door.description, version), seen[version]

    def failures() -> Iterator[Sample]:
        return (((door.description,), door.gate.traffic.tls_failed) for door in relay.doors)

    def ends() -> Iterator[Sample]:
        return (((door.description,), tls.expires) for door in relay.doors if (tls := door.tls) is not None)

    return (
        Figure(
            "smtpbridge_tls_handshakes",
            Kind.COUNTER,
            "TLS handshakes with senders that were completed.",
            ("listener", "version"),
            handshakes,
        ),
        Figure(
            "smtpbridge_tls_failures", Kind.COUNTER, "TLS handshakes with senders that failed.", ("listener",), failures
        ),
        Figure(
            "smtpbridge_certificate_expiry_timestamp_seconds",
            Kind.GAUGE,
            "When the certificate that a listener offers ends, since the epoch.",
            ("listener",),
            ends,
            Join.GREATEST,
        ),
    )
