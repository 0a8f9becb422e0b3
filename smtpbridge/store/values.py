"""
The values that go into the store and come out of it.

A *parcel* is one upstream transaction that is still to be made: an envelope, a
header block, and a body that it shares with the other parcels of its message.
Times are seconds since the epoch, always given by the caller.  Addresses are
ASCII text as the address gate lets them in; octets are as they go on the wire.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

# `Parcel.priority`; a smaller number is served first.
TRANSACTIONAL = 0
OTHER = 1


class State(Enum):
    """Whether a parcel waits for its time, for the operator, or for the end of an attempt."""

    QUEUED = "queued"
    HELD = "held"
    LEASED = "leased"


@dataclass(frozen=True, slots=True)
class Parcel:
    """
    What is to be kept of one transaction.

    `message_id` joins log lines.  `sender` is the reverse-path to send with, `original_sender` the one that the
    message came with ("" is the null one: never bounced).  `source` is by whom fairness is kept: a credential or a
    client address.  `certain` is False when an earlier attempt may have been taken: its outcome is unknown (RFC 1047).
    One that is `held` lies until an operator releases it.
    """

    message_id: str
    upstream: str
    sender: str
    original_sender: str
    recipients: tuple[str, ...]
    header: bytes
    eight_bit: bool
    priority: int
    source: str
    expires_at: float
    not_before: float
    certain: bool = True
    last_reply: str = ""
    held: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be kept: no recipient, or one with the character that separates them in the store."""
        if not all(self.recipients) or not self.recipients or "\n" in "".join(self.recipients):
            raise ValueError("a parcel has recipients, and each is an address")


@dataclass(frozen=True, slots=True)
class Body:
    """A body in wire form: blocks of any length that add up to `size` octets.  It is read once."""

    size: int
    blocks: Iterable[bytes]

    @classmethod
    def of(cls, octets: bytes) -> "Body":
        """Return the body that is these octets."""
        return cls(len(octets), (octets,))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that failed: when, with which host, in which phase, and what the host said."""

    at: float
    host: str
    phase: str
    reply: str


@dataclass(frozen=True, slots=True)
class Kept:
    """
    A parcel as it stands in the store.

    `parcel` is up to date: its recipients are those still to serve, `certain` and `last_reply` tell of the newest
    attempt.  `attempts` counts all, `history` has the newest of them, oldest first.  `interruptions` counts leases
    that ran out without a report: the process died or hung, and that attempt may have been taken.  While `owner` has
    a lease, `next_attempt` is its end.
    """

    id: str
    parcel: Parcel
    state: State
    attempts: int
    next_attempt: float
    created_at: float
    owner: str
    interruptions: int
    history: tuple[Attempt, ...]
    body_size: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which parcels to list; what is None does not matter.  Addresses are compared without case."""

    state: State | None = None
    upstream: str | None = None
    source: str | None = None
    message_id: str | None = None
    original_sender: str | None = None
    recipient: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is kept: parcels, those of them that are held, when the oldest came, and octets of bodies."""

    depth: int
    held: int
    oldest: float | None
    octets: int


@dataclass(frozen=True, slots=True)
class Purged:
    """What was removed: answers past their time, and files and rows of bodies that belong to no parcel."""

    answers: int
    bodies: int
    files: int
