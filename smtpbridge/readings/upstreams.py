"""What becomes of mail at the providers, and the connections to them, by upstream."""

from collections.abc import Callable, Iterable, Iterator

from smtpbridge.ops.metrics import Figure, Kind, Sample, spans
from smtpbridge.readings.listeners import TLS_VERSIONS
from smtpbridge.relay.dial_faults import DialFault
from smtpbridge.relay.histogram import Histogram
from smtpbridge.relay.leases import Why
from smtpbridge.relay.service import RelayService
from smtpbridge.relay.tallies import Ended, Fared, UpstreamTally

# The reasons for which a connection is closed; the others are those for which a waiter is refused.
RETIRED = (Why.IDLE, Why.AGE, Why.COUNT, Why.UNUSABLE, Why.ROOM, Why.CLOSING)


def upstream_figures(relay: RelayService) -> tuple[Figure, ...]:
    """Return the figures about upstreams."""
    return (*_transaction_figures(relay), *_connection_figures(relay), *_pool_figures(relay))


def _each(relay: RelayService, read: Callable[[UpstreamTally], float]) -> Callable[[], Iterable[Sample]]:
    return lambda: (((pool.name,), read(pool.traffic)) for pool in relay.pools)


def _spans(relay: RelayService, which: Callable[[UpstreamTally], Histogram]) -> Callable[[], Iterable[Sample]]:
    def read() -> Iterator[Sample]:
        for pool in relay.pools:
            took = which(pool.traffic)
            yield from spans((pool.name,), took.up_to(), took.total)

    return read


def _transaction_figures(relay: RelayService) -> tuple[Figure, ...]:
    def transactions() -> Iterator[Sample]:
        return (((pool.name, how.value), pool.traffic.transactions[how]) for pool in relay.pools for how in Ended)

    def recipients() -> Iterator[Sample]:
        return (((pool.name, how.value), pool.traffic.recipients[how]) for pool in relay.pools for how in Fared)

    return (
        Figure(
            "smtpbridge_upstream_transactions",
            Kind.COUNTER,
            "Transactions with the provider: messages, copies, and what came from the queue.",
            ("upstream", "outcome"),
            transactions,
        ),
        Figure(
            "smtpbridge_upstream_recipients",
            Kind.COUNTER,
            "Recipients in transactions with the provider.",
            ("upstream", "outcome"),
            recipients,
        ),
        Figure(
            "smtpbridge_upstream_bytes",
            Kind.COUNTER,
            "Octets of the messages that the provider took.",
            ("upstream",),
            _each(relay, lambda tally: tally.octets),
        ),
        Figure(
            "smtpbridge_upstream_transaction_seconds",
            Kind.HISTOGRAM,
            "From MAIL to the end of a transaction with the provider.",
            ("upstream",),
            _spans(relay, lambda tally: tally.seconds),
        ),
        Figure(
            "smtpbridge_upstream_moved",
            Kind.COUNTER,
            "Transactions that were moved to another connection before their final dot.",
            ("upstream",),
            _each(relay, lambda tally: tally.moved),
        ),
    )


def _connection_figures(relay: RelayService) -> tuple[Figure, ...]:
    def failures() -> Iterator[Sample]:
        return (((pool.name, kind.value), pool.traffic.failed[kind]) for pool in relay.pools for kind in DialFault)

    def tls() -> Iterator[Sample]:
        for pool in relay.pools:
            seen = pool.traffic.tls
            for version in dict.fromkeys((*TLS_VERSIONS, *seen)):
                yield (pool.name, version), seen[version]

    def retired() -> Iterator[Sample]:
        return (((pool.name, why.name.lower()), pool.traffic.retired[why]) for pool in relay.pools for why in RETIRED)

    def lost() -> Iterator[Sample]:
        for pool in relay.pools:
            yield (pool.name, "idle"), pool.traffic.lost_idle
            yield (pool.name, "leased"), pool.traffic.lost_leased

    return (
        Figure(
            "smtpbridge_upstream_dials",
            Kind.COUNTER,
            "Connections to the provider that were begun.",
            ("upstream",),
            _each(relay, lambda tally: tally.dialled),
        ),
        Figure(
            "smtpbridge_upstream_dial_failures",
            Kind.COUNTER,
            "Connections to the provider that did not come about.",
            ("upstream", "kind"),
            failures,
        ),
        Figure(
            "smtpbridge_upstream_connect_seconds",
            Kind.HISTOGRAM,
            "From a dial to a connection that takes mail: name, TCP, TLS, login.",
            ("upstream",),
            _spans(relay, lambda tally: tally.connect_seconds),
        ),
        Figure(
            "smtpbridge_upstream_tls_connections",
            Kind.COUNTER,
            "Connections to the provider that were ready for mail, by their TLS.",
            ("upstream", "version"),
            tls,
        ),
        Figure(
            "smtpbridge_upstream_retired",
            Kind.COUNTER,
            "Connections to the provider that the bridge closed.",
            ("upstream", "reason"),
            retired,
        ),
        Figure(
            "smtpbridge_upstream_lost",
            Kind.COUNTER,
            "Connections that the provider or the network closed.",
            ("upstream", "state"),
            lost,
        ),
    )


def _pool_figures(relay: RelayService) -> tuple[Figure, ...]:
    def connections() -> Iterator[Sample]:
        for pool in relay.pools:
            counts = pool.counts()
            yield (pool.name, "dialling"), counts.dialling
            yield (pool.name, "idle"), counts.idle
            yield (pool.name, "leased"), counts.leased

    def waiting() -> Iterator[Sample]:
        return (((pool.name,), pool.counts().waiting) for pool in relay.pools)

    def most() -> Iterator[Sample]:
        return (((pool.name,), pool.max_connections) for pool in relay.pools)

    def unusable() -> Iterator[Sample]:
        for pool in relay.pools:
            yield (pool.name, "unreachable"), pool.standing.unreachable
            yield (pool.name, "login_refused"), pool.standing.login_refused

    return (
        Figure(
            "smtpbridge_upstream_connections",
            Kind.GAUGE,
            "Connections to the provider.",
            ("upstream", "state"),
            connections,
        ),
        Figure(
            "smtpbridge_upstream_max_connections",
            Kind.GAUGE,
            "How many connections to the provider there may be.",
            ("upstream",),
            most,
        ),
        Figure(
            "smtpbridge_upstream_waiting",
            Kind.GAUGE,
            "Transactions that wait for a connection.",
            ("upstream",),
            waiting,
        ),
        Figure(
            "smtpbridge_upstream_unusable",
            Kind.GAUGE,
            "Whether an upstream cannot be used, and why: 1 or 0; of several workers, how many find it so.",
            ("upstream", "reason"),
            unusable,
        ),
    )
