"""
Write SparkPost's webhook events: their fields, their JSON types, and batches of them.

How it works: `event` lays down what every event of a message carries, takes away what SparkPost leaves out for that
type, and adds what the type has of its own.  Numbers are strings and switches booleans, as SparkPost has them; a field
without a value is left out; `rcpt_meta` and `rcpt_tags` are always there, because consumers fall over without them.

An event is written once, to octets, and a batch only joins octets: what is kept and what is posted are the same.

`event_id` is decimal and below 2^63, like SparkPost's own, and derived from the notification's key and the type: the
same notification gives the same id.

What must not be known here: Infobip.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from math import modf

from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.jsontext import write as write_json
from smtpbridge.dialect.sent import Copy, Sent
from smtpbridge.mail.addresses import domain_of

PING = b'[{"msys":{}}]'
"""What SparkPost posts to see whether a target answers."""
TIMED_OUT = "554 5.4.7 [internal] exceeded max time without delivery"
"""What SparkPost says about a message that nobody took in time."""


class EventType(Enum):
    """The events that the bridge writes, by SparkPost's names."""

    INJECTION = "injection"
    DELIVERY = "delivery"
    DELAY = "delay"
    BOUNCE = "bounce"
    OUT_OF_BAND = "out_of_band"
    POLICY_REJECTION = "policy_rejection"
    SPAM_COMPLAINT = "spam_complaint"
    OPEN = "open"
    INITIAL_OPEN = "initial_open"
    CLICK = "click"
    LIST_UNSUBSCRIBE = "list_unsubscribe"
    LINK_UNSUBSCRIBE = "link_unsubscribe"


_TRACKED = frozenset({EventType.OPEN, EventType.INITIAL_OPEN, EventType.CLICK})
_UNSUBSCRIPTIONS = frozenset({EventType.LIST_UNSUBSCRIBE, EventType.LINK_UNSUBSCRIBE})

_FLAGS = frozenset({"open_tracking", "click_tracking", "initial_pixel"})
# What SparkPost leaves out of an event of that type.
_LEFT_OUT: dict[EventType, frozenset[str]] = {
    EventType.INJECTION: frozenset({"delv_method"}),
    EventType.OUT_OF_BAND: _FLAGS | {"rcpt_type"},
    EventType.SPAM_COMPLAINT: _FLAGS | {"recv_method"},
    EventType.POLICY_REJECTION: _FLAGS | {"subject", "msg_size", "routing_domain", "delv_method"},
    EventType.OPEN: frozenset({"recv_method"}),
    EventType.INITIAL_OPEN: frozenset({"recv_method"}),
    EventType.CLICK: frozenset({"recv_method"}),
    EventType.LIST_UNSUBSCRIBE: frozenset({"delv_method"}),
}
_NOTHING: frozenset[str] = frozenset()
_ALWAYS = frozenset({"rcpt_meta", "rcpt_tags"})
_EMPTY: tuple[Json, ...] = (None, "", {})


@dataclass(frozen=True, slots=True)
class Account:
    """What is the same for all events: `customer_id` is left out when empty, `initial_pixel` tells of its use."""

    customer_id: str = ""
    initial_pixel: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as SparkPost names its fields."""

    type: EventType
    fields: dict[str, Json]

    @property
    def id(self) -> str:
        """Return what tells events apart, and is the same for two that tell the same."""
        return str(self.fields["event_id"])

    @property
    def category(self) -> str:
        """Return the one key that SparkPost puts the event below."""
        if self.type in _TRACKED:
            return "track_event"
        return "unsubscribe_event" if self.type in _UNSUBSCRIPTIONS else "message_event"

    def write(self) -> bytes:
        """Return the event in its wrapping, as compact ASCII JSON."""
        return write_json({"msys": {self.category: self.fields}}).encode("ascii")


def batch(events: Iterable[bytes]) -> bytes:
    """Return the body of one post; each event as `Event.write` gave it."""
    return b"[" + b",".join(events) + b"]"


def event(
    type_: EventType,
    key: str,
    at: float,
    sent: Sent | None,
    recipient: str,
    account: Account,
    own: dict[str, Json],
) -> Event:
    """
    Return an event that happened `at` (seconds) to `recipient`'s copy.

    `key` names the happening, `own` are the fields of this type.  Without `sent` there is only what was reported; with
    it `recipient` does not count.
    """
    name = type_.value
    fields: dict[str, Json] = {"type": name, "event_id": event_id(key, name), "timestamp": str(int(at))}
    fields |= _of_recipient(recipient) | {"rcpt_meta": {}, "rcpt_tags": []} if sent is None else _of(sent, account)
    fields |= {"recv_method": "esmtp", "delv_method": "esmtp"}
    for left_out in _LEFT_OUT.get(type_, _NOTHING):
        fields.pop(left_out, None)
    fields |= own
    return Event(type_, {name: value for name, value in fields.items() if value not in _EMPTY or name in _ALWAYS})


def event_id(key: str, type_: str) -> str:
    """Return the id of an event of that type, of what `key` tells."""
    digest = sha256(f"{key}\0{type_}".encode()).digest()
    return str(int.from_bytes(digest[:8], "big") >> 1)


def iso(seconds: float) -> str:
    """Return a time as `injection_time` has it: ISO 8601 with milliseconds, UTC."""
    fraction, whole = modf(seconds)
    # To microseconds first, as `datetime` has it.
    second, microseconds = divmod(int(whole) * 1_000_000 + round(fraction * 1_000_000), 1_000_000)
    return f"{_second(second)}.{microseconds // 1000:03}Z"


@lru_cache(maxsize=16)
def _second(whole: int) -> str:
    """Return a whole second; many messages come in each."""
    return datetime.fromtimestamp(whole, UTC).isoformat()[:19]


def _of_recipient(recipient: str) -> dict[str, Json]:
    domain = domain_of(recipient) if "@" in recipient else ""
    return {
        "rcpt_to": recipient.lower(),
        "raw_rcpt_to": recipient,
        "recipient_domain": domain,
        "routing_domain": domain,
    }


def _of(sent: Sent, account: Account) -> dict[str, Json]:
    transmission = str(sent.transmission_id)
    return _of_recipient(sent.recipient) | {
        "message_id": sent.message_id,
        # SparkPost has none for recipients of the envelope, and Mautic passes over whoever has one.
        "rcpt_type": "" if sent.copy is Copy.ENVELOPE else sent.copy.value,
        "rcpt_meta": sent.metadata,
        "rcpt_tags": list(sent.tags),
        "transmission_id": transmission,
        # SparkPost's for mail that came by SMTP.
        "template_id": f"smtp_{transmission}",
        "template_version": "0",
        "injection_time": iso(sent.injected_at),
        "customer_id": account.customer_id,
        "subaccount_id": sent.subaccount,
        "campaign_id": sent.campaign,
        "friendly_from": sent.friendly_from,
        "sending_domain": domain_of(sent.friendly_from) if "@" in sent.friendly_from else "",
        "msg_from": sent.msg_from,
        "msg_size": str(sent.size) if sent.size else "",
        "subject": sent.subject,
        "ip_pool": sent.ip_pool,
        "transactional": "1" if sent.transactional else "",
        "open_tracking": sent.open_tracking,
        "click_tracking": sent.click_tracking,
        "initial_pixel": account.initial_pixel and sent.open_tracking,
    }
