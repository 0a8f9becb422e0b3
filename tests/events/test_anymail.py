"""
django-anymail's webhook view for SparkPost, as it comes from PyPI, reads every event that is written here.

The view is called in process, as Django calls it; what it tells its application by a signal is what counts.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from smtpbridge.dialect.event_options import EventOptions, Unsubscription
from smtpbridge.dialect.events import translate
from smtpbridge.dialect.infobip_reports import read
from smtpbridge.dialect.notifications import DeliveryReport, TrackingNotification
from smtpbridge.dialect.sparkpost_event import PING, Event, EventType, batch
from tests.anymail import AUTHORIZATION, listening, tracking_view
from tests.events.examples import RECEIVED_AT, SENT, injection

SENT_BY_DJANGO = replace(SENT, metadata={"order": "17", "vip": True})
OPTIONS = EventOptions(initial_open=True)


@pytest.fixture(scope="module")
def view() -> Any:
    return tracking_view()


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """Yield a list that grows by each event that anymail tells of."""
    with listening() as events:
        yield events


def post(view: Any, body: bytes) -> int:
    from django.test import RequestFactory

    headers = {"Authorization": AUTHORIZATION}
    status: int = view(RequestFactory().post("/", body, content_type="application/json", headers=headers)).status_code
    return status


def failed(error: dict[str, Any] | None, status: dict[str, Any], reply: str = "") -> list[Event]:
    item = {"to": "anna.berg@customer.example", "callbackData": "token", "status": status, "error": error}
    return events_of({"results": [item | {"smtp": {"response": reply}, "doneAt": "2026-11-20T06:00:04.500+0000"}]})


def tracked(what: str, options: EventOptions = OPTIONS, **more: Any) -> list[Event]:
    item = {"notificationType": what, "recipient": "anna.berg@customer.example", "callbackData": "token"}
    return events_of(item | more, options)


def events_of(document: Any, options: EventOptions = OPTIONS) -> list[Event]:
    (told,) = read(json.dumps(document).encode(), RECEIVED_AT)
    assert isinstance(told, (DeliveryReport, TrackingNotification))
    return list(translate(told, SENT_BY_DJANGO, options).events)


HARD = {"id": 6012, "name": "EC_HARD_BOUNCE", "groupId": 2, "permanent": True}
UNVERIFIED = {"id": 6036, "name": "EC_SENDER_DOMAIN_UNVERIFIED", "groupId": 1, "permanent": True}
SUPPRESSED = {"id": 6034, "name": "EC_SUPPRESSED_BOUNCE", "groupId": 1, "permanent": True}
LIMITED = {"id": 6058, "name": "EC_MAILBOX_PROVIDER_RATE_LIMIT", "groupId": 1, "permanent": False}
GONE = "550 5.1.1 Gone"
# The event, what anymail calls it, why it says that the message was refused, and when it was.
CASES: list[tuple[EventType, list[Event], str, str | None, int]] = [
    (EventType.INJECTION, [injection(SENT_BY_DJANGO, OPTIONS.account)], "queued", None, 1795154400),
    (EventType.DELIVERY, failed(None, {"groupId": 3}), "delivered", None, 1795154404),
    (EventType.BOUNCE, failed(HARD, {"groupId": 2}, GONE), "bounced", "invalid", 1795154404),
    (EventType.BOUNCE, failed(SUPPRESSED, {"groupId": 2}), "bounced", "blocked", 1795154404),
    (EventType.BOUNCE, failed(None, {"groupId": 4, "id": 15}), "bounced", "timed_out", 1795154404),
    (EventType.DELAY, failed(LIMITED, {"groupId": 1}, "421 4.7.0 Slow"), "deferred", "bounced", 1795154404),
    (EventType.POLICY_REJECTION, failed(UNVERIFIED, {"groupId": 5}), "rejected", "bounced", 1795154404),
    (EventType.OUT_OF_BAND, tracked("LATE_BOUNCE"), "bounced", "bounced", 1795154410),
    (EventType.SPAM_COMPLAINT, tracked("COMPLAINED"), "complained", None, 1795154410),
    (EventType.OPEN, tracked("OPENED")[:1], "opened", None, 1795154410),
    # Read, and passed over unless its user asks for it: the open counts.
    (EventType.INITIAL_OPEN, tracked("OPENED")[1:], "unknown", None, 1795154410),
    (EventType.CLICK, tracked("CLICKED", url="https://shop.example/a?b=c"), "clicked", None, 1795154410),
    (EventType.LINK_UNSUBSCRIBE, tracked("UNSUBSCRIBED"), "unsubscribed", None, 1795154410),
    (
        EventType.LIST_UNSUBSCRIBE,
        tracked("UNSUBSCRIBED", replace(OPTIONS, unsubscription=Unsubscription.LIST)),
        "unsubscribed",
        None,
        1795154410,
    ),
]


@pytest.mark.parametrize(
    ("type_", "events", "name", "refused", "at"), CASES, ids=[f"{case[0].value}-{case[3]}" for case in CASES]
)
def test_anymail_reads_the_event_as_sparkposts(
    view: Any, heard: list[Any], type_: EventType, events: list[Event], name: str, refused: str | None, at: int
) -> None:
    (event,) = events
    assert event.type is type_

    assert post(view, batch([event.write()])) == 200

    (told,) = heard
    assert (told.event_type, told.reject_reason) == (name, refused)
    assert told.recipient == "Anna.Berg@Customer.example"
    assert told.timestamp == datetime.fromtimestamp(at, UTC)
    assert told.event_id == event.id
    assert told.message_id == "7245139087123456789"
    assert told.metadata == {"order": "17", "vip": True}
    assert told.tags == ["spring"]


def test_every_type_of_event_is_shown_to_anymail() -> None:
    assert {case[0] for case in CASES} == set(EventType)


def test_anymail_tells_the_servers_words_and_the_clicked_address(view: Any, heard: list[Any]) -> None:
    events = [*failed(HARD, {"groupId": 2}, GONE), *tracked("CLICKED", url="https://shop.example/a?b=c")]

    assert post(view, batch(event.write() for event in events)) == 200

    assert [told.mta_response for told in heard] == [GONE, None]
    assert [told.click_url for told in heard] == [None, "https://shop.example/a?b=c"]


def test_anymail_answers_the_ping(view: Any, heard: list[Any]) -> None:
    assert post(view, PING) == 200
    assert heard == []
