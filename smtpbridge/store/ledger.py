"""
What must be known of a message after it was sent: whose it was, what was told about it, and who has heard.

Theory of operation
-------------------

Three things lie in a ledger, and each leads to the next.

1. An *entry* says what the bridge knows of a message.  It is written before the message goes, under a token that goes
   with it, and looked up by token and recipient.
2. A *notice* is a notification as it came, before anybody has understood it.  It is kept until `translated` puts the
   events that it means in its place, in one transaction.
3. An *event* waits for each of its targets.  `form_batch` gives some of them to a batch, whose id and events stay as
   they are until it is delivered, or dead.  An event that is there already is not added again, so whatever is told
   twice, or done twice around a crash, happens once.

`Ledger` waits: a call that returns has happened and will survive a power cut.  `LedgerWriter` is the same for a caller
that must not wait; what is asked of it while a commit is made goes into the next one together.  Its futures call back
in a thread of the ledger: briefly, and never into a `Ledger`.  All of both may be called from any thread, and several
processes may open one ledger.  Both raise (or put into the future) `StoreError`; then nothing has changed, and the same
call may be made again.

Of one target, one caller at a time may form, post and settle batches: `due` does not know what is being posted.

What must not be known here: what the octets mean, and when it is time for anything.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from smtpbridge.values import value


@value
class Copy:
    """What is known of one recipient alone.  `recipient` is in lower case."""

    recipient: str
    own: bytes


@value
class Entry:
    """A message: `token` is 16 octets that no other has, later ones greater; `common` holds for all its copies."""

    token: bytes
    at: float
    common: bytes
    copies: tuple[Copy, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What an entry says about a recipient; `own` is None when the message had no such one."""

    at: float
    common: bytes
    own: bytes | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification as it came.  The ids grow, and none is given twice."""

    id: int
    octets: bytes
    received_at: float


@value
class Outgoing:
    """
    An event for its targets.

    `id` is the event's own: a second one with the same is ignored.  `at` is when it came to the ledger, not when it
    happened: by it events are flushed, listed and purged.  `recipient` is in lower case.
    """

    id: str
    type: str
    octets: bytes
    at: float
    recipient: str
    subaccount: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are posted together; `attempts` is how many were made and have failed."""

    id: str
    target: str
    attempts: int
    events: tuple[bytes, ...]
    created_at: float


class Standing(Enum):
    """How far an event is at a target."""

    WAITING = "waiting"  # in no batch
    SENDING = "sending"  # in a batch that is posted, now or again
    DELIVERED = "delivered"
    DEAD = "dead"  # given up; kept until it is replayed or purged


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an event stands at a target; `batch` is empty while it waits, `answer` is what the target said last."""

    target: str
    standing: Standing
    batch: str = ""
    attempts: int = 0
    next_attempt: float | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """An event as it stands in the ledger.  Events that no target wanted have no deliveries."""

    id: str
    type: str
    octets: bytes
    at: float
    recipient: str
    subaccount: str
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What to list or replay; None does not matter.  `until` is excluded.  One delivery has `target` and `standing`."""

    since: float | None = None
    until: float | None = None
    target: str | None = None
    standing: Standing | None = None
    recipient: str | None = None
    type: str | None = None
    subaccount: str | None = None


EVERYTHING = EventFilter()


@dataclass(frozen=True, slots=True)
class DeadBatch:
    """A batch that was given up, and how many events it still holds."""

    id: str
    target: str
    events: int
    attempts: int
    created_at: float
    answer: str


@dataclass(frozen=True, slots=True)
class TargetCounts:
    """
    Of one target: events in no batch, events in open batches, and undeliverable ones.

    `oldest_at` is when the oldest came of those in no batch or in an open one.
    """

    target: str
    waiting: int
    oldest_at: float | None
    sending: int
    dead: int


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """How much is kept.  `used` octets of the file hold something; the rest is free for what comes."""

    entries: int
    oldest_entry: float | None
    notices: int
    oldest_notice: float | None
    events: int
    used: int
    targets: tuple[TargetCounts, ...]


@dataclass(frozen=True, slots=True)
class LedgerPurged:
    """What a step of a purge removed; `undelivered` of the events had not reached every target.  `more`: go on."""

    entries: int = 0
    events: int = 0
    undelivered: int = 0
    more: bool = False


class LedgerWriter(Protocol):
    """What changes the ledger, without waiting: the future is done when the change is durable."""

    def enter(self, entry: Entry) -> Future[None]:
        """See `Ledger.enter`."""

    def enter_all(self, entries: Sequence[Entry], events: Sequence[Outgoing] = ()) -> Future[None]:
        """Write down several messages and add events, or none of them: one request costs far less than one for each."""

    def take_in(self, octets: bytes, received_at: float) -> Future[int]:
        """See `Ledger.take_in`."""

    def take_in_all(self, notices: Sequence[tuple[bytes, float]]) -> Future[None]:
        """Keep notifications that came together, each with its time: all or none of them."""

    def translated(self, notice_id: int, events: Sequence[Outgoing]) -> Future[None]:
        """See `Ledger.translated`."""

    def add(self, events: Sequence[Outgoing]) -> Future[None]:
        """See `Ledger.add`."""

    def form_batch(self, target: str, most: int, now: float) -> Future[Batch | None]:
        """See `Ledger.form_batch`."""

    def delivered(self, batch_id: str) -> Future[bool]:
        """See `Ledger.delivered`."""

    def retry(self, batch_id: str, at: float, answer: str) -> Future[bool]:
        """See `Ledger.retry`."""

    def dead(self, batch_id: str, answer: str) -> Future[bool]:
        """See `Ledger.dead`."""

    def purge(self, before: float, max_bytes: int) -> Future[LedgerPurged]:
        """See `Ledger.purge`."""


class Ledger(Protocol):
    """Each call waits."""

    @property
    def writer(self) -> LedgerWriter:
        """The same ledger for who must not wait."""

    def enter(self, entry: Entry) -> None:
        """Write down a message.  A token that is there already is refused with a `StoreError`."""

    def find(self, token: bytes, recipient: str) -> Found | None:
        """Look a message and one of its recipients (in lower case) up; None: no such token (any more)."""

    def take_in(self, octets: bytes, received_at: float) -> int:
        """Keep a notification as it came, and return its id."""

    def notices(self, limit: int, after: int = 0) -> tuple[Notice, ...]:
        """Return up to `limit` notices with ids above `after`, in the order of their coming."""

    def translated(self, notice_id: int, events: Sequence[Outgoing]) -> None:
        """Put events in the place of a notice: both or neither.  A notice that is gone already does not matter."""

    def add(self, events: Sequence[Outgoing]) -> None:
        """Add events that no notice told; those that are there already stay as they are."""

    def form_batch(self, target: str, most: int, now: float) -> Batch | None:
        """Make a batch of up to `most` of the events that wait for a target, oldest first; None: none waits."""

    def due(self, target: str, now: float) -> Batch | None:
        """Return the open batch whose time came first: one to post again, or that a crash has left behind."""

    def waiting(self, target: str) -> tuple[int, float | None]:
        """Return how many events are in no batch, and when the oldest of them came."""

    def delivered(self, batch_id: str) -> bool:
        """End a batch well; False when there is no such open batch, here and below."""

    def retry(self, batch_id: str, at: float, answer: str) -> bool:
        """Note that an attempt failed, with the target's answer; the batch is due again at `at`."""

    def dead(self, batch_id: str, answer: str) -> bool:
        """Give a batch up after an attempt that failed; its events are kept as undeliverable."""

    def list(self, wanted: EventFilter = EVERYTHING) -> Iterator[Kept]:
        """Yield events in the order of their coming, a few at a time; what comes or goes meanwhile may show."""

    def show(self, event_id: str) -> Kept:
        """Return one event; raise `NotKept`."""

    def replay(self, wanted: EventFilter) -> int:
        """
        Let events wait again for the targets at which they were delivered or dead, and return for how many deliveries.

        What still waits or is being sent is left alone.  A crash may leave this half done.
        """

    def dead_list(self, target: str | None = None) -> tuple[DeadBatch, ...]:
        """Return the batches that were given up, of one target or of all, oldest first."""

    def counts(self) -> LedgerCounts:
        """Return how much is kept."""

    def purge(self, before: float, max_bytes: int) -> LedgerPurged:
        """
        Remove some of what came before that time, or of the oldest while the ledger uses more than `max_bytes`.

        One call is a small step, so that writers wait only briefly.  For size, the older of the oldest entry and the
        oldest event decides which kind has to go; of events those that have reached all their targets go first, then
        those given up, then the others.  Age spares none of them.  Notices are never purged.
        """

    def close(self) -> None:
        """Finish what was asked so far, and give everything back.  Whatever is asked later is refused."""
