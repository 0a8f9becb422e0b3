"""What the status page shows of events, read from the same objects as the figures."""

from smtpbridge.events.faults import Came
from smtpbridge.events.outbox import Outbox
from smtpbridge.events.service import EventsService
from smtpbridge.events.tallies import Taken
from smtpbridge.ops.events import Aim, EventsSeen, Kept, Posted
from smtpbridge.store.ledger import TargetCounts


def events_seen(events: EventsService) -> EventsSeen:
    """Return how things are; what lies in the ledger was counted some seconds ago."""
    requests, counts = events.inbox.tally.requests, events.housekeeping.counts
    taken = requests[Taken.TAKEN]
    return EventsSeen(
        taken=taken,
        refused=requests.total() - taken,
        waiting=None if counts is None else counts.notices,
        oldest=None if counts is None else counts.oldest_notice,
        fault=events.fault,
        aims=_aims(events, None if counts is None else {one.target: one for one in counts.targets}),
    )


def _aims(events: EventsService, counts: dict[str, TargetCounts] | None) -> tuple[Aim, ...]:
    """Return the targets in the order of the configuration, then those that only the ledger still knows."""
    names = dict.fromkeys((*events.outboxes, *sorted(counts or ())))
    return tuple(Aim(name, _posted(events.outboxes.get(name)), _kept(name, counts)) for name in names)


def _posted(outbox: Outbox | None) -> Posted | None:
    if outbox is None:
        return None
    posts = outbox.tally.posts
    failures = posts.total() - posts[Came.TAKEN.value]
    return Posted(outbox.tally.delivered, failures, outbox.failures, outbox.answer, outbox.paused)


def _kept(name: str, counts: dict[str, TargetCounts] | None) -> Kept | None:
    if counts is None:
        return None
    found = counts.get(name, TargetCounts(name, 0, None, 0, 0))
    return Kept(found.waiting, found.oldest_at, found.sending, found.dead)
