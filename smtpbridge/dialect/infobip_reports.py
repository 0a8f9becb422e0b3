"""
Read the notifications of one request from Infobip, from octets to values.

Theory of operation
-------------------

Delivery reports, tracking notifications and platform events may come to one URL; an item's keys tell which it is:
`notificationType`, `eventDetails`, or `status` and `error`.  Reports come wrapped (`{"results": [...]}`), the others
alone; either is read either way, one or many.

The writer is not strict, so the reader is not (`loose_fields`).  What cannot be read becomes an `Unreadable` in its
place: nothing is raised, and one bad item costs no other.  Items, values and depth are bounded; octets are the
listener's to bound.

A key is derived from what tells two happenings apart.  For a report: token, recipient, message id, status, error, time
and number of attempts, because intermediate reports of one message differ in the last two only.  For the others:
Infobip's own `eventId`.  Where that is missing (older accounts), opens and clicks count once a second, and what
happens to a message once (an unsubscription, a complaint, a late bounce) counts once.

The same octets with the same `received_at` give the same values, so octets may be kept and read later.

What must not be known here: the clock, what was sent, and what SparkPost would say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.jsontext import BadJson, TooMuch, read_strict
from smtpbridge.dialect.loose_fields import boolean, integer, members, moment, short, text
from smtpbridge.dialect.notifications import (
    About,
    DeliveryReport,
    Device,
    Group,
    Notification,
    Place,
    PlatformEvent,
    Problem,
    Status,
    Tracked,
    TrackingNotification,
    Unreadable,
)
from smtpbridge.dialect.typed import quoted

_BOM = b"\xef\xbb\xbf"
_WRAPPERS = ("results", "emailResults")
_OF_A_REPORT = frozenset({"status", "error", "smtp"})
_GROUPS = {group.name: group for group in Group} | {"ACCEPTED": Group.PENDING}
# What may happen more than once to one message.
_REPEATED = frozenset({Tracked.OPENED, Tracked.CLICKED})


@dataclass(frozen=True, slots=True)
class ReportBounds:
    """How much of one request is read.  Infobip puts up to 2,000 reports into one, each of about 30 values."""

    items: int = 5_000
    values: int = 250_000
    levels: int = 16


_USUAL = ReportBounds()


def read(octets: bytes, received_at: float, bounds: ReportBounds = _USUAL) -> list[Notification | Unreadable]:
    """Return what one request tells, in its order; an `Unreadable` stands for what tells nothing."""
    plain = octets.removeprefix(_BOM).strip()
    if not plain:
        return [Unreadable("empty", "the request has no body")]
    if plain.startswith(b"<"):
        reason = "the request is XML: set the content type of notifications to application/json"
        return [Unreadable("xml", reason)]
    try:
        document = read_strict(plain.decode("utf-8", "replace"), bounds.values, bounds.levels)
    except TooMuch as error:
        return [Unreadable("too-much", f"the request is larger than what is read: {error.reason}")]
    except BadJson as error:
        return [Unreadable("not-json", f"the request is not JSON at character {error.position + 1}")]
    found: list[Notification | Unreadable] = []
    for item in _items(document):
        if len(found) == bounds.items:
            found.append(Unreadable("too-many", f"the request holds more than {bounds.items} notifications"))
            break
        found.append(_read_one(item, received_at))
    return found


def _items(document: Json) -> Iterator[Json]:
    """Go over the single notifications, however they are wrapped; what is no object comes as it is."""
    waiting = [document]
    while waiting:
        match waiting.pop():
            case list() as entries:
                waiting.extend(reversed(entries))
            case dict() as item:
                inner = next((item[name] for name in _WRAPPERS if isinstance(item.get(name), (list, dict))), None)
                if inner is None:
                    yield item
                else:
                    waiting.append(inner)
            case other:
                yield other


def _read_one(item: Json, received_at: float) -> Notification | Unreadable:
    if not isinstance(item, dict):
        return Unreadable("not-an-object", "a notification is not a JSON object")
    if "notificationType" in item:
        return _tracking(item, received_at)
    if "eventDetails" in item:
        return _platform(item, received_at)
    if not item.keys().isdisjoint(_OF_A_REPORT):
        return _report(item, received_at)
    return Unreadable("unknown-keys", "a notification has none of the keys that tell what it is")


def _about(item: dict[str, Json]) -> About:
    return About(
        token=short(item.get("callbackData")),
        recipient=short(item.get("to")) or short(item.get("recipient")) or short(item.get("destination")),
        message_id=short(item.get("messageId")),
        bulk_id=short(item.get("bulkId")),
        application_id=short(item.get("applicationId")),
        entity_id=short(item.get("entityId")),
        campaign_reference=short(item.get("campaignReferenceId")),
    )


def _key(*parts: object) -> str:
    """Return 32 hexadecimal digits that stand for the parts, none of which holds a NUL."""
    return sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def _report(item: dict[str, Json], received_at: float) -> DeliveryReport | Unreadable:
    about, status, problem = _about(item), _status(item.get("status")), _problem(item.get("error"))
    smtp = item.get("smtp")
    reply = text(smtp) or text(members(smtp).get("response"))
    if status == Status() and not problem and not reply:
        return Unreadable("no-status", "a delivery report tells neither a status nor an error")
    done_at, attempts = moment(item.get("doneAt")), integer(item.get("attemptCount"))
    result = (status.group, status.id, status.name, *((problem.id, problem.name) if problem else ()))
    return DeliveryReport(
        key=_key("report", about.token, about.recipient.lower(), about.message_id, *result, done_at, attempts),
        about=about,
        received_at=received_at,
        status=status,
        problem=problem,
        reply=reply,
        sent_at=moment(item.get("sentAt")),
        done_at=done_at,
        attempts=attempts,
        sending_ip=short(item.get("sendingIp")),
    )


def _status(value: Json) -> Status:
    if isinstance(value, str):
        name = short(value)
        return Status(group=_GROUPS.get(name.upper()), name=name)
    given = members(value)
    return Status(
        group=_group(integer(given.get("groupId")), short(given.get("groupName")).upper()),
        id=integer(given.get("id")),
        name=short(given.get("name")),
        description=text(given.get("description")),
    )


def _group(number: int | None, name: str) -> Group | None:
    try:
        return Group(number)
    except ValueError:
        return _GROUPS.get(name)


def _problem(value: Json) -> Problem | None:
    """Return an error, or None where there is none: Infobip writes that as id 0, NO_ERROR."""
    if isinstance(value, str):
        value = {"name": value}
    given = members(value)
    number, name = integer(given.get("id")), short(given.get("name"))
    if (not number and not name) or name == "NO_ERROR":
        return None
    return Problem(
        id=number or None,
        name=name,
        group=integer(given.get("groupId")),
        permanent=boolean(given.get("permanent")),
        description=text(given.get("description")),
    )


def _tracking(item: dict[str, Json], received_at: float) -> TrackingNotification | Unreadable:
    word = short(item.get("notificationType")).upper()
    if word not in Tracked.__members__:
        return Unreadable("unknown-type", f"a tracking notification of the unknown type {quoted(word)}")
    what, about, url = Tracked[word], _about(item), text(item.get("url"))
    where = item.get("geoLocation") or item.get("geoLocationInfo")
    device, place = members(item.get("recipientInfo")), members(where)
    told_apart = short(item.get("eventId")) or (url, int(received_at) if what in _REPEATED else 0)
    return TrackingNotification(
        key=_key("tracking", what.value, about.token, about.recipient.lower(), about.message_id, told_apart),
        about=about,
        received_at=received_at,
        what=what,
        url=url,
        domain=short(item.get("domain")),
        sender=short(item.get("sender")),
        sent_at=moment(item.get("sendDateTime")),
        device=Device(short(device.get("deviceType")), short(device.get("os")), short(device.get("deviceName"))),
        place=Place(short(place.get("countryName")), short(place.get("city"))),
    )


def _platform(item: dict[str, Json], received_at: float) -> PlatformEvent | Unreadable:
    details = members(item.get("eventDetails"))
    kind, domain, created_at = short(details.get("type")), short(details.get("domain")), moment(item.get("createdAt"))
    if not kind:
        return Unreadable("unknown-type", "a platform event without a type")
    return PlatformEvent(
        key=_key("platform", short(item.get("eventId")), kind, domain, created_at),
        received_at=received_at,
        kind=kind,
        domain=domain,
        scope=short(details.get("scope")),
        bounce_rate=short(details.get("bounceRate")),
        threshold=short(details.get("blockThreshold")) or short(details.get("warnThreshold")),
        created_at=created_at,
    )
