"""Notifications that came, events that were made of them, and how they get to their targets."""

from collections.abc import Callable, Iterator

from smtpbridge.dialect.sparkpost_event import EventType
from smtpbridge.events.faults import Came
from smtpbridge.events.service import EventsService
from smtpbridge.events.tallies import SILENT, Taken, Unmatched
from smtpbridge.ops.metrics import Figure, Kind, Sample
from smtpbridge.store.ledger import LedgerCounts, TargetCounts

_TARGET = ("target",)


def events_figures(events: EventsService, epoch: Callable[[], float]) -> tuple[Figure, ...]:
    """Return the figures about events; `epoch` is the time of day."""
    return (*_inbox(events), *_translation(events), *_posts(events), *_kept(events, epoch))


def _inbox(events: EventsService) -> Iterator[Figure]:
    tally = events.inbox.tally
    yield Figure(
        "smtpbridge_inbox_requests",
        Kind.COUNTER,
        "Requests to the inbox by what became of them.",
        ("outcome",),
        lambda: [((one.value,), tally.requests[one]) for one in Taken],
    )
    yield Figure("smtpbridge_inbox_bytes", Kind.COUNTER, "Octets taken in.", (), lambda: [((), tally.octets)])
    yield Figure(
        "smtpbridge_inbox_under_way",
        Kind.GAUGE,
        "Requests that are being taken in.",
        (),
        lambda: [((), events.inbox.admission.at_once)],
    )


def _translation(events: EventsService) -> Iterator[Figure]:
    tally = events.translator.reader.tally
    yield Figure(
        "smtpbridge_events",
        Kind.COUNTER,
        "Events made of notifications.",
        ("type",),
        lambda: [((one.value,), tally.events[one]) for one in EventType],
    )
    yield Figure(
        "smtpbridge_notifications_without_event",
        Kind.COUNTER,
        "Notifications that made no event, by why.",
        ("reason",),
        lambda: [((one,), tally.silent[one]) for one in SILENT],
    )
    yield Figure(
        "smtpbridge_notifications_unmatched",
        Kind.COUNTER,
        "Notifications that fit no message in the ledger, by why.",
        ("reason",),
        lambda: [((one.value,), tally.unmatched[one]) for one in Unmatched],
    )


def _posts(events: EventsService) -> Iterator[Figure]:
    outboxes = events.outboxes

    def posts() -> Iterator[Sample]:
        return (((name, came.value), box.tally.posts[came.value]) for name, box in outboxes.items() for came in Came)

    def outcomes() -> Iterator[Sample]:
        for name, outbox in outboxes.items():
            yield (name, "delivered"), outbox.tally.delivered
            yield (name, "given_up"), outbox.tally.given_up

    yield Figure("smtpbridge_target_posts", Kind.COUNTER, "Posts by what came of them.", ("target", "outcome"), posts)
    yield Figure(
        "smtpbridge_target_events",
        Kind.COUNTER,
        "Events that a target took, and that were given up.",
        ("target", "outcome"),
        outcomes,
    )
    yield Figure(
        "smtpbridge_target_answer_seconds",
        Kind.COUNTER,
        "Time that posts took which were answered.",
        _TARGET,
        lambda: [((name,), box.tally.seconds) for name, box in outboxes.items()],
    )
    yield Figure(
        "smtpbridge_target_failing",
        Kind.GAUGE,
        "Posts in a row that a target has not taken.",
        _TARGET,
        lambda: [((name,), box.failures) for name, box in outboxes.items()],
    )


def _kept(events: EventsService, epoch: Callable[[], float]) -> Iterator[Figure]:
    """What lies in the ledger; none where nobody knows."""

    def age(since: float | None) -> float:
        return 0.0 if since is None else max(0.0, epoch() - since)

    def one(name: str, words: str, read: Callable[[LedgerCounts], float]) -> Figure:
        def samples() -> Iterator[Sample]:
            if events.housekeeping.counts is not None:
                yield (), read(events.housekeeping.counts)

        return Figure(f"smtpbridge_{name}", Kind.GAUGE, words, (), samples)

    def each(name: str, words: str, read: Callable[[TargetCounts], float]) -> Figure:
        def samples() -> Iterator[Sample]:
            if events.housekeeping.counts is not None:
                known = {one.target: one for one in events.housekeeping.counts.targets}
                for target in events.outboxes.keys() | known.keys():
                    yield (target,), read(known.get(target, TargetCounts(target, 0, None, 0, 0)))

        return Figure(f"smtpbridge_target_{name}", Kind.GAUGE, words, _TARGET, samples)

    yield one("notices_waiting", "Notifications that are still to be translated.", lambda counts: counts.notices)
    yield one("notices_oldest_seconds", "How old the oldest of them is.", lambda counts: age(counts.oldest_notice))
    yield one("ledger_messages", "Messages in the ledger.", lambda counts: counts.entries)
    yield one("ledger_events", "Events in the ledger, delivered ones included.", lambda counts: counts.events)
    yield one("ledger_bytes", "Octets of the ledger in use.", lambda counts: counts.used)
    yield each("waiting", "Events that wait for a target, in no batch yet.", lambda counts: counts.waiting)
    yield each("sending", "Events in batches that are posted, now or again.", lambda counts: counts.sending)
    yield each("dead", "Events that were given up.", lambda counts: counts.dead)
    yield each(
        "oldest_seconds",
        "How old the oldest event is that waits or is being posted.",
        lambda counts: age(counts.oldest_at),
    )
