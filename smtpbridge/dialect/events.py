"""
Turn what Infobip tells into what SparkPost would have told.

Theory of operation
-------------------

`translate` takes one notification and what was sent (`Sent`, or None when that is no longer known) and returns the
events to post.  Where there are none it says why, so that nothing vanishes without a word.

A delivery report goes by the group of its status: delivered, pending, or failed.  Who leaves the group out is judged by
the status itself, then by the error, then by the receiving server's reply.  What a failure is stands in `failures`; the
reply decides the class of those rows that ask for it.  A hard class has to stand unopposed: an error that Infobip calls
temporary, a reply that asks for another attempt, a message that is still pending or that expired all make it soft,
because consumers stop writing to a recipient after a hard one, and nobody takes that back.

A pending report that names an error, or a reply that asks for another attempt, is a delay.

What must not be known here: the clock, where anything is kept, and to whom events are posted.
"""

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from smtpbridge.dialect import failures, server_reply
from smtpbridge.dialect.bounce_class import HARD, BounceClass
from smtpbridge.dialect.countries import letters
from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.failures import Failure, Kind
from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.notifications import (
    DeliveryReport,
    Device,
    Group,
    Notification,
    Place,
    PlatformEvent,
    Tracked,
    TrackingNotification,
)
from smtpbridge.dialect.sent import Sent
from smtpbridge.dialect.server_reply import ServerReply
from smtpbridge.dialect.sparkpost_event import TIMED_OUT, Event, EventType, event, iso

DUPLICATE_ID = 23  # status REJECTED_DUPLICATE_MESSAGE_ID: another copy of the same message went its way
_SUPPRESSED = "554 5.7.1 recipient address was suppressed due to customer policy"
_LATE = "550 5.0.0 [internal] [oob] the receiving side returned the message later, without a reason"
_HANDHELD = frozenset({"phone", "mobile", "smartphone", "tablet"})
_FUTURE = 86_400  # a clock may be wrong by so much; what is said to be later happened now


class Silence(Enum):
    """Why a notification makes no event."""

    PENDING = "pending"
    """The message is on its way and nothing went wrong."""
    DELAY_OFF = "delay-off"
    DUPLICATE_ID = "duplicate-id"
    PLATFORM = "platform"
    """It is about a domain of the account; SparkPost has no such event."""
    UNDECIDED = "undecided"
    """The report does not tell what became of the message."""


@dataclass(frozen=True, slots=True)
class Translation:
    """The events, or why there are none; `failure` is the row of the table that applied, to log and to count by."""

    events: tuple[Event, ...] = ()
    silence: Silence | None = None
    failure: Failure | None = None


def translate(notification: Notification, sent: Sent | None, options: EventOptions) -> Translation:
    """Return what SparkPost would have told."""
    match notification:
        case DeliveryReport():
            return _report(notification, sent, options)
        case TrackingNotification():
            return Translation(_tracked(notification, sent, options))
        case PlatformEvent():
            return Translation(silence=Silence.PLATFORM)
        case _:
            assert_never(notification)


def _report(report: DeliveryReport, sent: Sent | None, options: EventOptions) -> Translation:
    reply = server_reply.read(report.reply)
    group = _group(report, reply)
    match group:
        case None:
            return Translation(silence=Silence.UNDECIDED)
        case Group.DELIVERED:
            return Translation((_event(EventType.DELIVERY, report, sent, options, {}),))
        case Group.PENDING if report.problem is None and not (reply.is_temporary or reply.is_permanent):
            return Translation(silence=Silence.PENDING)
        case Group.PENDING if not options.delay:
            return Translation(silence=Silence.DELAY_OFF)
        case Group.REJECTED if report.problem is None and report.status.id == DUPLICATE_ID:
            return Translation(silence=Silence.DUPLICATE_ID)
        case _:
            return _failed(report, reply, group, sent, options)


def _group(report: DeliveryReport, reply: ServerReply) -> Group | None:
    """Return how far the message got, from the first of status, error and reply that says so."""
    row = failures.status_row(report.status)
    if report.status.group is not None:
        return report.status.group
    if row is not None:
        return row.group
    if report.problem is not None or reply.is_permanent:
        return Group.UNDELIVERABLE
    if reply.is_temporary:
        return Group.PENDING
    return Group.DELIVERED if reply.is_positive else None


def _failed(
    report: DeliveryReport, reply: ServerReply, group: Group, sent: Sent | None, options: EventOptions
) -> Translation:
    failure = failures.find(report.problem, report.status, group)
    is_permanent = failure.permanent
    if report.problem is not None and report.problem.permanent is not None:
        is_permanent = report.problem.permanent
    type_ = _type(failure, group)
    found = _bounce_class(failure, reply, group, is_permanent)
    if type_ is EventType.POLICY_REJECTION and options.policy_rejection_class is not None:
        found = options.policy_rejection_class
    reason = _reason(report, failure, reply, group, is_permanent)
    own: dict[str, Json] = {
        "bounce_class": found.value,
        "error_code": server_reply.read(reason).code,
        "reason": reason,
        "raw_reason": reason,
    }
    return Translation((_event(type_, report, sent, options, own),), failure=failure)


def _type(failure: Failure, group: Group) -> EventType:
    if group is Group.PENDING:
        return EventType.DELAY
    return EventType.POLICY_REJECTION if failure.kind is Kind.REFUSED else EventType.BOUNCE


def _bounce_class(failure: Failure, reply: ServerReply, group: Group, is_permanent: bool | None) -> BounceClass:
    found = failure.bounce_class
    if failure.by_reply and reply.bounce_class is not None:
        found = reply.bounce_class
    is_opposed = is_permanent is False or reply.is_temporary or group in (Group.PENDING, Group.EXPIRED)
    if found in HARD and is_opposed:
        return BounceClass.SOFT_BOUNCE
    # Discourse looks at the class alone, and takes 25 for hard.
    return BounceClass.SOFT_BOUNCE if found is BounceClass.ADMIN_FAILURE and group is Group.PENDING else found


def _reason(
    report: DeliveryReport, failure: Failure, reply: ServerReply, group: Group, is_permanent: bool | None
) -> str:
    """Return the receiving server's words, else SparkPost's for such a case, else Infobip's after a code."""
    if failure.kind is Kind.SUPPRESSED and group is not Group.PENDING:
        return f"{_SUPPRESSED} ({failure.rule})" if failure.rule else _SUPPRESSED
    if reply.is_temporary or reply.is_permanent:
        return report.reply
    if failure is failures.TIMED_OUT:
        return TIMED_OUT
    is_temporary = is_permanent is False or group is Group.PENDING
    problem = report.problem
    words = (problem.description if problem else report.status.description) or failure.meaning
    name = problem.name if problem else report.status.name
    start = "450 4.0.0" if is_temporary else "550 5.0.0"
    return f"{start} [internal] {words} ({name})" if name else f"{start} [internal] {words}"


def _event(
    type_: EventType, report: DeliveryReport, sent: Sent | None, options: EventOptions, own: dict[str, Json]
) -> Event:
    at = report.done_at
    if at is None or at > report.received_at + _FUTURE:
        at = report.received_at
    fields = own | _times(report.sent_at, sent) | {"sending_ip": report.sending_ip}
    if type_ is not EventType.POLICY_REJECTION:
        fields |= {"num_retries": _retries(report.attempts), "queue_time": _queue_time(report)}
    return event(type_, report.key, at, sent, report.about.recipient, options.account, fields)


def _times(sent_at: float | None, sent: Sent | None) -> dict[str, Json]:
    """Return the injection time as Infobip gives it, where the bridge does not know it itself."""
    return {"injection_time": iso(sent_at)} if sent is None and sent_at is not None else {}


def _retries(attempts: int | None) -> str:
    return str(attempts - 1) if attempts is not None and attempts > 0 else ""


def _queue_time(report: DeliveryReport) -> str:
    if report.sent_at is None or report.done_at is None or report.done_at < report.sent_at:
        return ""
    return str(round((report.done_at - report.sent_at) * 1000))


def _tracked(told: TrackingNotification, sent: Sent | None, options: EventOptions) -> tuple[Event, ...]:
    match told.what:
        case Tracked.OPENED:
            types = (EventType.OPEN, EventType.INITIAL_OPEN) if options.initial_open else (EventType.OPEN,)
            own = _reader(told)
        case Tracked.CLICKED:
            types, own = (EventType.CLICK,), _reader(told) | {"target_link_url": told.url}
        case Tracked.UNSUBSCRIBED:
            types, own = (EventType(options.unsubscription.value),), {"mailfrom": _recipient(told, sent)}
        case Tracked.COMPLAINED:
            types, own = (EventType.SPAM_COMPLAINT,), {"fbtype": "abuse"}
        case Tracked.LATE_BOUNCE:
            types, own = (EventType.OUT_OF_BAND,), _late_bounce()
        case _:
            assert_never(told.what)
    own |= _times(told.sent_at, sent)
    recipient, account = told.about.recipient, options.account
    return tuple(event(type_, told.key, told.received_at, sent, recipient, account, own) for type_ in types)


def _recipient(told: TrackingNotification, sent: Sent | None) -> str:
    return sent.recipient if sent else told.about.recipient


def _late_bounce() -> dict[str, Json]:
    return {
        "bounce_class": BounceClass.GENERIC_BOUNCE.value,
        "error_code": _LATE[:3],
        "reason": _LATE,
        "raw_reason": _LATE,
    }


def _reader(told: TrackingNotification) -> dict[str, Json]:
    """Return where and with what a message was read."""
    return {"geo_ip": _geo(told.place), "user_agent_parsed": _agent(told.device)}


def _geo(place: Place) -> Json:
    country, city = letters(place.country), place.city
    if not country and letters(city):
        # Infobip's own examples have the two in each other's place.
        country, city = letters(city), place.country
    return {name: value for name, value in (("country", country), ("city", city)) if value}


def _agent(device: Device) -> Json:
    family, _, version = device.system.partition(" ")
    given: dict[str, Json] = {
        "os_family": family if family.lower() != "unknown" else "",
        "os_version": version,
        "device_brand": device.name,
        "device_family": device.kind,
    }
    known: dict[str, Json] = {name: value for name, value in given.items() if value}
    if device.kind:
        known["is_mobile"] = device.kind.lower() in _HANDHELD
    return known
