"""
What is counted about events: plain numbers, read by whoever shows figures.

Every word that is counted by is fixed, and there from the start: an alert on an increase needs the zero before it.

What must not be known here: who reads.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from smtpbridge.dialect.events import Silence
from smtpbridge.dialect.sparkpost_event import EventType


class Taken(Enum):
    """What became of a request to the inbox."""

    TAKEN = "taken"
    UNKNOWN_PATH = "unknown_path"
    NOT_POST = "not_post"
    FORBIDDEN_ADDRESS = "forbidden_address"
    BAD_LOGIN = "bad_login"
    BAD_SIGNATURE = "bad_signature"
    ENCODED = "encoded"
    TOO_LARGE = "too_large"
    TOO_FAST = "too_fast"
    TOO_MANY = "too_many"
    TOO_SLOW = "too_slow"
    NOT_KEPT = "not_kept"


class Unmatched(Enum):
    """Why a notification could not be led back to a message that the bridge sent."""

    FOREIGN = "foreign"
    """Its token is none of ours: another program's mail, or something made up."""
    EXPIRED = "expired"
    """The token is ours, and the ledger has forgotten it."""
    NO_SUCH_RECIPIENT = "no_such_recipient"
    """The message had no such recipient."""
    DAMAGED = "damaged"
    """What the ledger has of the message cannot be read."""


# Why notifications make no event: `events.Silence`, what could not be read, what is foreign, and our own fault.
UNREADABLE, FAILED = "unreadable", "failed"
SILENT = (*(one.value for one in Silence), Unmatched.FOREIGN.value, UNREADABLE, FAILED)


@dataclass(slots=True)
class InboxTally:
    """Requests by what became of them, and octets that were taken in."""

    requests: Counter[Taken] = field(default_factory=Counter)
    octets: int = 0


@dataclass(slots=True)
class TranslationTally:
    """Events that were made, by type; notifications that made none, by why; and those that nobody's message fits."""

    events: Counter[EventType] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    unmatched: Counter[Unmatched] = field(default_factory=Counter)


@dataclass(slots=True)
class TargetTally:
    """What a target was posted: batches by what became of them, events that it took, batches and events given up."""

    posts: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    given_up: int = 0
    seconds: float = 0.0
    answered: int = 0
