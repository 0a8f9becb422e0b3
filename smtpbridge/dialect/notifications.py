"""
What Infobip tells about a message after it took it, as values: neither its JSON nor SparkPost's words.

`infobip_reports` reads these out of a request; `events` makes SparkPost's events of them.  What a notification did not
say is empty text or `None`.  Text holds neither NUL nor a lone surrogate, so any store takes it.

`key` says what happened, not how often it was told: a notification that is sent again has the key that it had, and the
events that are made of it have the ids that they had.

What must not be known here: whose message it is, and what an event looks like.
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Group(Enum):
    """What a delivery report says in one word; the numbers are Infobip's."""

    PENDING = 1
    UNDELIVERABLE = 2
    DELIVERED = 3
    EXPIRED = 4
    REJECTED = 5


class Tracked(Enum):
    """What a recipient, or a server behind the first one, did with a delivered message; the words are Infobip's."""

    OPENED = "OPENED"
    CLICKED = "CLICKED"
    UNSUBSCRIBED = "UNSUBSCRIBED"
    COMPLAINED = "COMPLAINED"
    LATE_BOUNCE = "LATE_BOUNCE"


@dataclass(frozen=True, slots=True)
class About:
    """
    Which message and which recipient.

    `token` is the callback data, what the bridge itself gave to Infobip.  Recipients of one message may share a
    `message_id`, so the token and the recipient together are what to look a message up by.
    """

    token: str = ""
    recipient: str = ""
    message_id: str = ""
    bulk_id: str = ""
    application_id: str = ""
    entity_id: str = ""
    campaign_reference: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """How far a message got."""

    group: Group | None = None
    id: int | None = None
    name: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, in Infobip's registry; `permanent` is None where it does not say."""

    id: int | None = None
    name: str = ""
    group: int | None = None
    permanent: bool | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of one recipient's copy, or how it stands.  `reply` is the receiving server's; times are seconds."""

    key: str
    about: About
    received_at: float
    status: Status
    problem: Problem | None = None
    reply: str = ""
    sent_at: float | None = None
    done_at: float | None = None
    attempts: int | None = None
    sending_ip: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """What a recipient read the message with, for instance `Phone`, `iOS 12`, `Apple`."""

    kind: str = ""
    system: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recipient was: the name of a country in English, and of a city."""

    country: str = ""
    city: str = ""


@dataclass(frozen=True, slots=True)
class TrackingNotification:
    """Something that was done with a delivered message.  Infobip does not say when: `received_at` has to do."""

    key: str
    about: About
    received_at: float
    what: Tracked
    url: str = ""
    domain: str = ""
    sender: str = ""
    sent_at: float | None = None
    device: Device = Device()
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class PlatformEvent:
    """Something about a domain of the account, such as too many bounces; `kind` is Infobip's word for it."""

    key: str
    received_at: float
    kind: str
    domain: str = ""
    scope: str = ""
    bounce_rate: str = ""
    threshold: str = ""
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A request, or one item of it, that says nothing: `kind` is a fixed word to count by, `text` tells a person."""

    kind: str
    text: str


Notification: TypeAlias = DeliveryReport | TrackingNotification | PlatformEvent
