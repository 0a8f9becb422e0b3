"""
What Infobip would tell about an accepted message: where it posts, when, and which JSON.

Pure functions over the header of a message.  Delivery reports go to `X-IB-Notify-Url`, what recipients did to
`X-IB-Tracking-Url`; without such a header nothing is posted.  Reports of one message that happen together go in one
request, as Infobip bundles them; of tracking notifications each has a request of its own.  What the message carries in
`X-IB-Callback-Data` comes back as it was, and its copies share the id of the 250: whoever reads this must tell them
apart by recipient.

Infobip tracks opens and clicks unless `X-IB-Track-Opens`, `X-IB-Track-Clicks` or, below them, `X-IB-Track` say no;
here too.  It needs an HTML part for both.  Bodies are not read here, so whoever asks for an open gets one.

The shapes are written from the provider's pages, with the texts of its own: `geoLocation`, milliseconds for the time of
sending, no time at all of an open.

What must not be known here: the bridge's idea of any of this, and how a post is made.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from smtpbridge.mail.addresses import domain_of, first_address
from smtpbridge.mail.headers import HeaderBlock, unfold
from smtpbridge.mail.words import decode_text
from smtpbridge.sandbox.fates import Deed, Done, Told, fate_of
from smtpbridge.sandbox.folder import StoredMessage

_READERS = (Deed.OPENED, Deed.CLICKED, Deed.UNSUBSCRIBED)
_DEVICE = {"deviceType": "Phone", "os": "iOS 19", "deviceName": "Apple"}
_PLACE = {"countryName": "Croatia", "city": "Zagreb"}
_LINK = "https://link.example/offer?utm_medium=email"
_SENDING_IP = "192.0.2.25"
_SENT_AFTER = 0.25


@dataclass(frozen=True, slots=True)
class Notification:
    """A request to be made so many seconds `after` now; `text` tells people what it says."""

    after: float
    url: str
    body: bytes
    text: str


def what_follows(message: StoredMessage, new_id: Callable[[], str], speed: float = 1.0) -> list[Notification]:
    """Return what is to be posted about a message that was accepted now; with `speed` 2 all comes twice as soon."""
    wish = _Wish.read(message, new_id)
    found = [*_reports(wish, speed), *_deeds(wish, new_id, speed)]
    return sorted(found, key=lambda one: one.after)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the header of a message asks for, and what every notification about it repeats."""

    message: StoredMessage
    notify_url: str
    tracking_url: str
    intermediate: bool
    tracked: frozenset[Deed]
    sender: str
    echoed: dict[str, Any]

    @classmethod
    def read(cls, message: StoredMessage, new_id: Callable[[], str]) -> "_Wish":
        """Read the header."""
        header = HeaderBlock.parse(message.header)

        def option(name: str) -> str:
            values = header.values(b"x-ib-" + name.encode("ascii"))
            return unfold(values[0]).decode("latin-1") if values else ""

        author = next((found for value in header.values(b"from") if (found := first_address(value))), None)
        echoed: dict[str, Any] = {"bulkId": decode_text(option("bulk-id")) or new_id(), "messageId": message.id}
        named = (("callbackData", "callback-data"), ("applicationId", "application-id"), ("entityId", "entity-id"))
        echoed |= {key: value for key, name in named if (value := option(name))}
        either = option("track") or "true"
        silenced = {
            deed
            for deed, name in ((Deed.OPENED, "track-opens"), (Deed.CLICKED, "track-clicks"))
            if (option(name) or either) == "false"
        }
        return cls(
            message=message,
            # Of XML only the switch is documented, so nothing could be posted that would be worth reading.
            notify_url="" if option("notify-content-type") == "application/xml" else option("notify-url"),
            tracking_url=option("tracking-url"),
            intermediate=option("intermediate-report") == "true",
            tracked=frozenset(set(Deed) - silenced),
            sender=author or message.mail_from,
            echoed=echoed,
        )


def _reports(wish: _Wish, speed: float) -> Iterator[Notification]:
    if not wish.notify_url:
        return
    together: dict[float, list[tuple[str, Told]]] = {}
    for recipient in wish.message.rcpt_to:
        for step in fate_of(recipient).steps:
            if isinstance(step, Told) and (wish.intermediate or not step.intermediate):
                together.setdefault(step.after / speed, []).append((recipient, step))
    for after, told in together.items():
        results = [_report(wish, recipient, step, after) for recipient, step in told]
        text = ", ".join(f"{step.status.group_name} <{recipient}>" for recipient, step in told)
        yield Notification(after, wish.notify_url, _octets({"results": results}), text)


def _report(wish: _Wish, recipient: str, step: Told, after: float) -> dict[str, Any]:
    status, problem, at = step.status, step.problem, wish.message.received_at
    return wish.echoed | {
        "to": recipient,
        "sentAt": _moment(at + min(_SENT_AFTER, after / 2)),
        "doneAt": _moment(at + after),
        "smsCount": 1,
        "attemptCount": step.attempts,
        "timeToFirstAttempt": int(after * 1000),
        "sendingIp": _SENDING_IP,
        "browserLink": "",
        **({"smtp": {"response": step.reply}} if step.reply else {}),
        "price": {"pricePerMessage": 0, "currency": "EUR"},
        "status": {
            "groupId": status.group,
            "groupName": status.group_name,
            "id": status.id,
            "name": status.name,
            "description": status.description,
        },
        "error": {
            "groupId": problem.group,
            "groupName": problem.group_name,
            "id": problem.id,
            "name": problem.name,
            "description": problem.description,
            "permanent": problem.permanent,
        },
    }


def _deeds(wish: _Wish, new_id: Callable[[], str], speed: float) -> Iterator[Notification]:
    if not wish.tracking_url:
        return
    for recipient in wish.message.rcpt_to:
        for step in fate_of(recipient).steps:
            if isinstance(step, Done) and step.deed in wish.tracked:
                body = _octets(_deed(wish, recipient, step.deed, new_id()))
                yield Notification(step.after / speed, wish.tracking_url, body, f"{step.deed.value} <{recipient}>")


def _deed(wish: _Wish, recipient: str, deed: Deed, event_id: str) -> dict[str, Any]:
    told = wish.echoed | {
        "notificationType": deed.value,
        "eventId": event_id,
        "domain": domain_of(wish.sender),
        "recipient": recipient,
        "sendDateTime": int((wish.message.received_at + _SENT_AFTER) * 1000),
    }
    if deed in _READERS:
        told |= {"recipientInfo": _DEVICE, "geoLocation": _PLACE}
    else:
        told["sender"] = wish.sender
    if deed is Deed.CLICKED:
        told["url"] = _LINK
    return told


def _moment(at: float) -> str:
    """Return a time as Infobip writes it, to the millisecond and with a zone without a colon."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def _octets(document: dict[str, Any]) -> bytes:
    # Encoded words may hold half a pair of surrogates, which no UTF-8 has.
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
