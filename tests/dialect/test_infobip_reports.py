"""One request from Infobip into values: tolerant, bounded, and never an exception."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.infobip_reports import ReportBounds, read
from smtpbridge.dialect.notifications import (
    About,
    DeliveryReport,
    Device,
    Group,
    Place,
    PlatformEvent,
    Problem,
    Status,
    Tracked,
    TrackingNotification,
    Unreadable,
)

NOW = 1795154410.0
DONE = 1795154404.5
REPORT: dict[str, Any] = {
    "bulkId": "b-1",
    "messageId": "m-1",
    "to": "Anna@customer.example",
    "sentAt": "2026-11-20T06:00:01.250+0000",
    "doneAt": "2026-11-20T06:00:04.500+0000",
    "attemptCount": 2,
    "sendingIp": "192.0.2.25",
    "callbackData": "token",
    "applicationId": "app",
    "entityId": "shop",
    "campaignReferenceId": "spring",
    "status": {"groupId": 2, "groupName": "UNDELIVERABLE", "id": 4, "name": "UNDELIVERABLE_REJECTED_OPERATOR"},
    "error": {"groupId": 2, "id": 6012, "name": "EC_HARD_BOUNCE", "permanent": True, "description": "Hard bounce"},
    "smtp": {"response": "550 5.1.1 Gone"},
}
OPENED: dict[str, Any] = {
    "notificationType": "OPENED",
    "eventId": "e-1",
    "domain": "shop.example",
    "recipient": "anna@customer.example",
    "sendDateTime": 1795154401250,
    "messageId": "m-1",
    "callbackData": "token",
    "recipientInfo": {"deviceType": "Phone", "os": "iOS 19", "deviceName": "Apple"},
    "geoLocation": {"countryName": "Sweden", "city": "Uppsala"},
}
PLATFORM: dict[str, Any] = {
    "eventId": "p-1",
    "createdAt": 1795154401250,
    "eventDetails": {
        "type": "HIGH_BOUNCE_RATE_WARNING",
        "domain": "shop.example",
        "warnThreshold": 5,
        "bounceRate": 6.5,
        "scope": "DAILY",
    },
}


def read_json(document: Any, at: float = NOW) -> list[Any]:
    return read(json.dumps(document).encode(), at)


def only(document: Any, at: float = NOW) -> Any:
    (one,) = read_json(document, at)
    return one


def report(**changes: Any) -> DeliveryReport:
    found = only({"results": [REPORT | changes]})
    assert isinstance(found, DeliveryReport)
    return found


def opened(at: float = NOW, **changes: Any) -> TrackingNotification:
    found = only(OPENED | changes, at)
    assert isinstance(found, TrackingNotification)
    return found


def test_a_report_is_read_whole() -> None:
    found = report()

    assert found == DeliveryReport(
        key=found.key,
        about=About("token", "Anna@customer.example", "m-1", "b-1", "app", "shop", "spring"),
        received_at=NOW,
        status=Status(Group.UNDELIVERABLE, 4, "UNDELIVERABLE_REJECTED_OPERATOR"),
        problem=Problem(6012, "EC_HARD_BOUNCE", 2, True, "Hard bounce"),
        reply="550 5.1.1 Gone",
        sent_at=1795154401.25,
        done_at=DONE,
        attempts=2,
        sending_ip="192.0.2.25",
    )


def test_a_tracking_notification_is_read_whole() -> None:
    found = opened()

    assert found == TrackingNotification(
        key=found.key,
        about=About("token", "anna@customer.example", "m-1"),
        received_at=NOW,
        what=Tracked.OPENED,
        domain="shop.example",
        sent_at=1795154401.25,
        device=Device("Phone", "iOS 19", "Apple"),
        place=Place("Sweden", "Uppsala"),
    )


def test_a_platform_event_is_read_whole() -> None:
    found = only(PLATFORM)

    assert found == PlatformEvent(
        found.key, NOW, "HIGH_BOUNCE_RATE_WARNING", "shop.example", "DAILY", "6.5", "5", 1795154401.25
    )


@pytest.mark.parametrize(
    "document",
    [
        {"results": [REPORT]},
        {"results": REPORT},
        {"emailResults": [REPORT]},
        [{"results": [REPORT]}],
        [[REPORT]],
        REPORT,
    ],
)
def test_a_report_is_read_however_it_is_wrapped(document: Any) -> None:
    assert read_json(document) == [report()]


def test_items_keep_their_order_whatever_they_are() -> None:
    found = read_json([OPENED, {"results": [REPORT, REPORT]}, PLATFORM])

    kinds = [type(one) for one in found]
    assert kinds == [TrackingNotification, DeliveryReport, DeliveryReport, PlatformEvent]


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-20T06:00:04.500+0000",
        "2026-11-20T03:00:04.500-0300",
        "2026-11-20T06:00:04.500+00:00",
        "2026-11-20T06:00:04.500Z",
        "2026-11-20T06:00:04.5",
        1795154404500,
        "1795154404500",
    ],
)
def test_a_time_is_read_in_every_spelling_of_its_zone(time: Any) -> None:
    assert report(doneAt=time).done_at == DONE


@pytest.mark.parametrize(
    "time", ["", "soon", None, {}, 0, -5, 9 * 10**14, 10**400, "9" * 5000, "0001-01-01T00:00:00+14:00", True]
)
def test_a_time_that_is_none_is_left_out(time: Any) -> None:
    assert report(doneAt=time).done_at is None


@pytest.mark.parametrize("number", [6012, "6012", " 6012 ", 6012.0, "6012.0"])
def test_a_number_is_read_as_one_or_as_text(number: Any) -> None:
    found = report(error=REPORT["error"] | {"id": number}).problem

    assert found is not None
    assert found.id == 6012


@pytest.mark.parametrize(("given", "wanted"), [(True, True), ("false", False), (1, True), ("0", False), ("?", None)])
def test_permanent_is_read_in_every_spelling(given: Any, wanted: bool | None) -> None:
    found = report(error=REPORT["error"] | {"permanent": given}).problem

    assert found is not None
    assert found.permanent is wanted


@pytest.mark.parametrize(
    "error",
    [
        None,
        {},
        [],
        {"groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR", "permanent": False},
        {"id": "0"},
        "NO_ERROR",
    ],
)
def test_no_error_is_none(error: Any) -> None:
    assert report(error=error).problem is None


def test_an_error_and_a_status_may_be_their_names() -> None:
    found = report(error="EC_SOFT_BOUNCE", status="DELIVERED")

    assert (found.problem, found.status) == (
        Problem(name="EC_SOFT_BOUNCE"),
        Status(Group.DELIVERED, name="DELIVERED"),
    )


@pytest.mark.parametrize(
    ("status", "group"),
    [
        ({"groupId": "3"}, Group.DELIVERED),
        ({"groupName": "Expired"}, Group.EXPIRED),
        ({"groupId": 0, "groupName": "ACCEPTED"}, Group.PENDING),
        ({"groupId": 9, "name": "NEW"}, None),
    ],
)
def test_the_group_of_a_status_is_its_number_or_its_name(status: Any, group: Group | None) -> None:
    assert report(status=status).status.group is group


@pytest.mark.parametrize("smtp", ["250 2.0.0 OK", {"response": "250 2.0.0 OK"}])
def test_a_servers_reply_is_text_or_an_object(smtp: Any) -> None:
    assert report(smtp=smtp).reply == "250 2.0.0 OK"


def test_ids_may_be_numbers() -> None:
    assert report(messageId=4711, bulkId=17).about == replace(report().about, message_id="4711", bulk_id="17")


def test_the_place_goes_by_either_of_its_names() -> None:
    older = {name: value for name, value in OPENED.items() if name != "geoLocation"}

    found = only(older | {"geoLocationInfo": OPENED["geoLocation"]})

    assert found.place == Place("Sweden", "Uppsala")


def test_what_no_store_takes_is_replaced() -> None:
    found = only(OPENED | {"recipient": "a\0b\ud800@customer.example"})

    assert found.about.recipient == "a\ufffdb\ufffd@customer.example"


def test_octets_that_are_not_utf8_cost_only_themselves() -> None:
    octets = json.dumps(OPENED).replace("Uppsala", "V\x00").encode().replace(b"V\x00", b"V\xe4ster")

    (found,) = read(octets, NOW)

    assert isinstance(found, TrackingNotification)
    assert (found.place.city, found.about.token) == ("V\ufffdster", "token")


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><reportResponse/>", "xml"),
        (b"{", "not-json"),
        (b"status=DELIVERED&to=a", "not-json"),
        (b"[" * 17 + b"]" * 17, "too-much"),
        (b"[" * 100_000, "too-much"),
        (b'{"a":[' + b"1," * 250_001 + b"1]}", "too-much"),
        (b'"text"', "not-an-object"),
        (b"null", "not-an-object"),
        (b"{}", "unknown-keys"),
        (b'{"status":{}}', "no-status"),
        (b'{"results":[{"error":null}]}', "no-status"),
        (b'{"notificationType":"BURNT"}', "unknown-type"),
        (b'{"notificationType":null}', "unknown-type"),
        (('{"notificationType":"%s"}' % ("\U0010ffff" * 500)).encode(), "unknown-type"),
        (b'{"eventDetails":[]}', "unknown-type"),
    ],
)
def test_what_says_nothing_is_told_by_its_kind(octets: bytes, kind: str) -> None:
    (found,) = read(octets, NOW)

    assert isinstance(found, Unreadable)
    assert found.kind == kind
    assert found.text.isprintable()
    assert len(found.text) < 300


@pytest.mark.parametrize("octets", [b"[]", b'{"results":[]}'])
def test_a_request_without_items_tells_nothing(octets: bytes) -> None:
    assert read(octets, NOW) == []


def test_items_beyond_the_bound_are_one_refusal() -> None:
    found = read(json.dumps([REPORT] * 5).encode(), NOW, ReportBounds(items=3))

    assert [type(one) for one in found] == [DeliveryReport] * 3 + [Unreadable]


def test_a_report_that_is_sent_again_has_its_key() -> None:
    later = only({"results": [REPORT]}, NOW + 86_400)

    assert later.key == report().key


@pytest.mark.parametrize(
    "change",
    [
        {"callbackData": "other"},
        {"to": "bert@customer.example"},
        {"messageId": "m-2"},
        {"status": {"groupId": 1, "id": 7}},
        {"error": {"id": 6011, "name": "EC_SOFT_BOUNCE"}},
        {"doneAt": "2026-11-20T06:05:04.500+0000"},
        {"attemptCount": 3},
    ],
)
def test_a_report_of_something_else_has_another_key(change: dict[str, Any]) -> None:
    assert report(**change).key != report().key


def test_the_case_of_an_address_and_the_spelling_of_a_zone_do_not_make_another_key() -> None:
    assert report(to="ANNA@CUSTOMER.EXAMPLE", doneAt="2026-11-20T03:00:04.500-0300").key == report().key


def test_a_notification_with_an_event_id_counts_once_whenever_it_comes() -> None:
    assert opened(NOW + 7200).key == opened().key
    assert opened(eventId="e-2").key != opened().key


def test_an_open_without_an_event_id_counts_once_a_second() -> None:
    assert opened(NOW + 0.5, eventId=None).key == opened(eventId=None).key
    assert opened(NOW + 1, eventId=None).key != opened(eventId=None).key


@pytest.mark.parametrize("word", ["UNSUBSCRIBED", "COMPLAINED", "LATE_BOUNCE"])
def test_what_happens_once_to_a_message_counts_once_without_an_event_id(word: str) -> None:
    again = opened(NOW + 7200, eventId=None, notificationType=word)

    assert again.key == opened(eventId=None, notificationType=word).key


@given(st.binary())
def test_any_octets_are_read(octets: bytes) -> None:
    assert all(
        isinstance(one, (DeliveryReport, TrackingNotification, PlatformEvent, Unreadable)) for one in read(octets, 1)
    )
