"""
What one process shows of itself, as values.

What must not be known here: the relay, and how anything is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from smtpbridge.values import value

# The classes of times to the verdict: upper bounds in seconds, each a quarter longer than the one before, from half
# a millisecond to eleven minutes.  A listener's `verdict_seconds` is below that by default.
BOUNDS = tuple(0.0005 * 1.25**step for step in range(64))
# How many verdicts, and how many refusals, a page shows.
MOST_ROWS = 50
MOST_FAULTS = 20
# How many results a search has.
MOST_FOUND = 50
# What of a recipient list travels and is shown.
_FEW = 5


@dataclass(frozen=True, slots=True)
class Totals:
    """
    Numbers since the start: verdicts by class, deliveries from the queue, times to the verdict by class.

    `accepted` are 2yz, `later` 4yz, `refused` 5yz.
    """

    accepted: int = 0
    later: int = 0
    refused: int = 0
    delivered: int = 0
    times: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)

    def plus(self, other: "Totals") -> "Totals":
        """Return both together."""
        return Totals(
            self.accepted + other.accepted,
            self.later + other.later,
            self.refused + other.refused,
            self.delivered + other.delivered,
            tuple(one + more for one, more in zip(self.times, other.times, strict=True)),
        )


@value
class Row:
    """
    A verdict, or an attempt with a message from the queue (`queued`), which has no sender's verdict.

    `sender` is `None` where it is not known; `count` says how many recipients there were, `recipients` which, perhaps
    not all; `via` names the hosts, "-" where there was none.
    """

    at: float
    id: str
    client: str
    sender: str | None
    recipients: tuple[str, ...]
    count: int
    code: int
    reply: str
    via: str
    seconds: float | None
    queued: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A host of an upstream; `resting` says for how many seconds it is left alone."""

    name: str
    dialling: int = 0
    idle: int = 0
    leased: int = 0
    resting: float = 0.0


@dataclass(frozen=True, slots=True)
class Pool:
    """An upstream; `state` in words, empty where it can be used; `fault` is the last one, however old."""

    name: str
    most: int
    waiting: int
    state: str
    fault: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Door:
    """A listener."""

    name: str
    sessions: int


@dataclass(frozen=True, slots=True)
class Queue:
    """What the store keeps; `oldest` in seconds since the epoch."""

    depth: int
    held: int
    oldest: float | None
    octets: int


@dataclass(frozen=True, slots=True)
class Sight:
    """One process; `queue` is `None` while nobody knows, `queue_fault` says why."""

    totals: Totals = field(default_factory=Totals)
    doors: tuple[Door, ...] = ()
    pools: tuple[Pool, ...] = ()
    queue: Queue | None = None
    queue_fault: str = ""
    under_way: int = 0
    memory: int = 0
    temporary: int = 0
    held_up: int = 0
    verdicts: tuple[Row, ...] = ()
    faults: tuple[Row, ...] = ()

    @property
    def sessions(self) -> int:
        """All connections of senders."""
        return sum(door.sessions for door in self.doors)


@dataclass(frozen=True, slots=True)
class Crewman:
    """A worker; without a `sight` it did not answer."""

    number: int
    state: str
    sight: Sight | None


@dataclass(frozen=True, slots=True)
class Whole:
    """All processes together, and each worker where there are some."""

    sight: Sight
    crew: tuple[Crewman, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A message in the store that a search found."""

    id: str
    message_id: str
    created_at: float
    sender: str
    recipients: tuple[str, ...]
    count: int
    state: str
    attempts: int
    next_attempt: float
    last_reply: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found; `faults` says in sentences where it could not look."""

    verdicts: tuple[Row, ...] = ()
    kept: tuple[KeptRow, ...] = ()
    faults: tuple[str, ...] = ()


def few(recipients: Sequence[str]) -> tuple[str, ...]:
    """Return as many as are shown."""
    return tuple(recipients[:_FEW])
