"""
What becomes of an accepted message: the results and deeds that a recipient's local part asks for.

The real provider reports what receiving servers and people did.  Here the local part of a recipient names it, as in
`outcomes`: the table `FATES` is all there is to it, the case does not matter, and what stands behind a plus is free.
Whoever is not in the table gets the message.

Ids, groups, names and descriptions are those of Infobip's registry of statuses and errors.  The receiving servers'
replies are what such servers say.

What must not be known here: JSON, addresses of the web, and the message.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Status:
    """How far a message got, as Infobip's registry has it."""

    group: int
    group_name: str
    id: int
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, as Infobip's registry has it."""

    group: int
    group_name: str
    id: int
    name: str
    description: str
    permanent: bool


PENDING = Status(1, "PENDING", 7, "PENDING_ENROUTE", "Message sent to next instance")
DELIVERED = Status(3, "DELIVERED", 5, "DELIVERED_TO_HANDSET", "Message delivered to handset")
UNDELIVERABLE = Status(
    2, "UNDELIVERABLE", 4, "UNDELIVERABLE_REJECTED_OPERATOR", "Message rejected by the mailbox provider"
)
EXPIRED = Status(4, "EXPIRED", 15, "EXPIRED_EXPIRED", "Message expired")
REJECTED = Status(5, "REJECTED", 90, "REJECTED_VALIDATION_FAILED", "Message validation failed")
NO_ERROR = Problem(0, "OK", 0, "NO_ERROR", "No Error", permanent=False)


def _bounced(number: int, name: str, description: str, *, permanent: bool) -> Problem:
    return Problem(2, "USER_ERRORS", number, name, description, permanent)


def _dropped(number: int, name: str, description: str, *, permanent: bool = True) -> Problem:
    return Problem(1, "HANDSET_ERRORS", number, name, description, permanent)


class Deed(Enum):
    """What a recipient, or a server behind the first one, does with a delivered message; Infobip's words."""

    OPENED = "OPENED"
    CLICKED = "CLICKED"
    UNSUBSCRIBED = "UNSUBSCRIBED"
    COMPLAINED = "COMPLAINED"
    LATE_BOUNCE = "LATE_BOUNCE"


@dataclass(frozen=True, slots=True)
class Told:
    """
    A delivery report, so many seconds `after` the message was accepted.

    `reply` is the receiving server's, empty where none was asked; an `intermediate` one goes only to who wants those.
    """

    after: float
    status: Status
    problem: Problem = NO_ERROR
    reply: str = ""
    attempts: int = 1
    intermediate: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """A tracking notification, so many seconds `after` the message was accepted."""

    after: float
    deed: Deed


Step: TypeAlias = Told | Done

_TAKEN = "250 2.0.0 OK"
_BUSY = "421 4.7.0 Too many messages for this mailbox, try again later"
_ENROUTE = Told(0.5, PENDING, intermediate=True)
_ARRIVED = Told(1.0, DELIVERED, reply=_TAKEN)
_GONE = "550 5.1.1 No such user here"
_FULL = "452 4.2.2 The mailbox is full"
_SPAM = "554 5.7.1 The message looks like spam"
_HARD = _bounced(6012, "EC_HARD_BOUNCE", "Hard bounce", permanent=True)
_SOFT = _bounced(6011, "EC_SOFT_BOUNCE", "Soft bounce", permanent=False)
_TAKEN_FOR_SPAM = _bounced(6042, "EC_SPAM_REVERTED", "Spam reverted", permanent=True)
_SUPPRESSED = _dropped(6034, "EC_SUPPRESSED_BOUNCE", "Suppressed because of an earlier bounce")
_UNVERIFIED = _dropped(6036, "EC_SENDER_DOMAIN_UNVERIFIED", "Sender domain is not verified")
_RATE_LIMIT = _dropped(6058, "EC_MAILBOX_PROVIDER_RATE_LIMIT", "Mailbox provider rate limit", permanent=False)


@dataclass(frozen=True, slots=True)
class Fate:
    """What is reported of a recipient with this local part, in the order of its happening."""

    local_part: str
    steps: tuple[Step, ...]
    text: str


USUAL = Fate("", (_ENROUTE, _ARRIVED), "delivered")
FATES = (
    Fate("hard.bounce", (_ENROUTE, Told(1.0, UNDELIVERABLE, _HARD, _GONE)), f"bounces for good: {_GONE}"),
    Fate("soft.bounce", (_ENROUTE, Told(1.0, UNDELIVERABLE, _SOFT, _FULL, 3)), f"bounces, perhaps not again: {_FULL}"),
    Fate("spam", (_ENROUTE, Told(1.0, UNDELIVERABLE, _TAKEN_FOR_SPAM, _SPAM)), f"bounces: {_SPAM}"),
    Fate("expired", (_ENROUTE, Told(3.0, EXPIRED, attempts=7)), "expires without an answer of the receiving server"),
    Fate("suppressed", (Told(0.5, UNDELIVERABLE, _SUPPRESSED),), "dropped: the address bounced before (6034)"),
    Fate("rejected", (Told(0.5, REJECTED, _UNVERIFIED),), "rejected: the sender's domain is not verified (6036)"),
    Fate(
        "delayed",
        (
            Told(1.0, PENDING, _RATE_LIMIT, _BUSY, intermediate=True),
            Told(5.0, DELIVERED, reply=_TAKEN, attempts=2),
        ),
        "delayed by a 421, told in an intermediate report; then delivered",
    ),
    Fate("open", (_ENROUTE, _ARRIVED, Done(3.0, Deed.OPENED)), "delivered and opened"),
    Fate(
        "open.click",
        (_ENROUTE, _ARRIVED, Done(3.0, Deed.OPENED), Done(4.0, Deed.CLICKED)),
        "delivered, opened, and a link is clicked",
    ),
    Fate("complaint", (_ENROUTE, _ARRIVED, Done(5.0, Deed.COMPLAINED)), "delivered; the recipient calls it spam"),
    Fate("unsubscribe", (_ENROUTE, _ARRIVED, Done(5.0, Deed.UNSUBSCRIBED)), "delivered; the recipient unsubscribes"),
    Fate("late.bounce", (_ENROUTE, _ARRIVED, Done(8.0, Deed.LATE_BOUNCE)), "delivered, and bounces afterwards"),
)
_BY_NAME = {fate.local_part: fate for fate in FATES}


def fate_of(address: str) -> Fate:
    """Return what becomes of the copy for `address`."""
    return _BY_NAME.get(address.rpartition("@")[0].partition("+")[0].lower(), USUAL)


def fate_table() -> str:
    """Return the table for people: address, when the last of it happens, what happens; one line each."""
    return "\n".join(_rows())


def _rows() -> Iterator[str]:
    for fate in (*FATES, USUAL):
        name = f"{fate.local_part}@" if fate.local_part else "anybody else"
        yield f"{name:<16}{f'{fate.steps[-1].after:g} s':<7}{fate.text}"
