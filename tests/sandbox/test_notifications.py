"""Promises of `smtpbridge.sandbox.notifications`."""

import itertools
import json
from typing import Any

import pytest

from smtpbridge.sandbox.folder import StoredMessage
from smtpbridge.sandbox.notifications import Notification, what_follows

NOTIFY = "https://events.example/notify"
TRACKING = "https://events.example/tracking"
RECEIVED_AT = 1795154400.0
BOTH = f"X-IB-Notify-Url: {NOTIFY}\r\nX-IB-Tracking-Url: {TRACKING}\r\n"


def message(*recipients: str, header: str = BOTH) -> StoredMessage:
    return StoredMessage(
        id="0f0e",
        sequence=1,
        connection=1,
        received_at=RECEIVED_AT,
        mail_from="bounces@mail.shop.example",
        rcpt_to=recipients,
        user="App",
        tls=True,
        size=400,
        warnings=(),
        header=f"From: Shop <news@shop.example>\r\n{header}".encode("latin-1"),
    )


def told(*recipients: str, header: str = BOTH, speed: float = 1.0) -> list[tuple[Notification, Any]]:
    numbers = itertools.count(1)
    found = what_follows(message(*recipients, header=header), lambda: f"id-{next(numbers)}", speed)
    return [(one, json.loads(one.body)) for one in found]


def test_a_delivery_report_has_the_members_that_infobip_documents() -> None:
    header = BOTH + "X-IB-Bulk-Id: spring\r\nX-IB-Callback-Data: token\r\nX-IB-Entity-Id: shop\r\n"

    [(notification, body)] = told("Ada@customer.example", header=header)

    assert (notification.url, notification.after) == (NOTIFY, 1.0)
    assert body == {
        "results": [
            {
                "bulkId": "spring",
                "messageId": "0f0e",
                "callbackData": "token",
                "entityId": "shop",
                "to": "Ada@customer.example",
                "sentAt": "2026-11-20T06:00:00.250+0000",
                "doneAt": "2026-11-20T06:00:01.000+0000",
                "smsCount": 1,
                "attemptCount": 1,
                "timeToFirstAttempt": 1000,
                "sendingIp": "192.0.2.25",
                "browserLink": "",
                "smtp": {"response": "250 2.0.0 OK"},
                "price": {"pricePerMessage": 0, "currency": "EUR"},
                "status": {
                    "groupId": 3,
                    "groupName": "DELIVERED",
                    "id": 5,
                    "name": "DELIVERED_TO_HANDSET",
                    "description": "Message delivered to handset",
                },
                "error": {
                    "groupId": 0,
                    "groupName": "OK",
                    "id": 0,
                    "name": "NO_ERROR",
                    "description": "No Error",
                    "permanent": False,
                },
            }
        ]
    }


def test_a_click_has_the_members_that_infobip_documents_and_no_time_of_its_own() -> None:
    header = BOTH + "X-IB-Bulk-Id: spring\r\nX-IB-Callback-Data: token\r\n"

    notification, body = told("open.click@customer.example", header=header)[-1]

    assert (notification.url, notification.after) == (TRACKING, 4.0)
    assert body == {
        "bulkId": "spring",
        "messageId": "0f0e",
        "callbackData": "token",
        "notificationType": "CLICKED",
        "eventId": "id-2",
        "domain": "shop.example",
        "recipient": "open.click@customer.example",
        "sendDateTime": 1795154400250,
        "recipientInfo": {"deviceType": "Phone", "os": "iOS 19", "deviceName": "Apple"},
        "geoLocation": {"countryName": "Croatia", "city": "Zagreb"},
        "url": "https://link.example/offer?utm_medium=email",
    }


@pytest.mark.parametrize("name", ["complaint", "late.bounce"])
def test_who_complains_or_bounces_late_is_told_with_the_sender_and_without_a_device(name: str) -> None:
    _, body = told(f"{name}@customer.example")[-1]

    assert body["sender"] == "news@shop.example"
    assert body.keys().isdisjoint({"recipientInfo", "geoLocation", "url"})


def test_recipients_of_one_message_share_its_id_and_the_request() -> None:
    [(_, body)] = told("a@customer.example", "hard.bounce@customer.example", "b@customer.example")

    assert [(one["to"], one["messageId"], one["status"]["groupName"]) for one in body["results"]] == [
        ("a@customer.example", "0f0e", "DELIVERED"),
        ("hard.bounce@customer.example", "0f0e", "UNDELIVERABLE"),
        ("b@customer.example", "0f0e", "DELIVERED"),
    ]


def test_without_a_url_nothing_is_told() -> None:
    assert told("open.click@customer.example", header="") == []
    assert [one.url for one, _ in told("open@a.example", header=f"X-IB-Notify-Url: {NOTIFY}\r\n")] == [NOTIFY]
    assert [one.url for one, _ in told("open@a.example", header=f"X-IB-Tracking-Url: {TRACKING}\r\n")] == [TRACKING]


def test_reports_in_xml_are_not_told_because_nobody_documents_them() -> None:
    header = BOTH + "X-IB-Notify-Content-Type: application/xml\r\n"

    assert [one.url for one, _ in told("open@a.example", header=header)] == [TRACKING]


@pytest.mark.parametrize(("value", "groups"), [("true", ["PENDING", "DELIVERED"]), ("false", ["DELIVERED"])])
def test_intermediate_reports_go_to_who_asks_for_them(value: str, groups: list[str]) -> None:
    header = BOTH + f"X-IB-Intermediate-Report: {value}\r\n"

    for name in ("delayed", "anybody"):
        found = [body["results"][0] for _, body in told(f"{name}@customer.example", header=header)]
        assert [one["status"]["groupName"] for one in found] == groups


def test_a_delay_is_told_with_its_error_and_the_delivery_counts_both_attempts() -> None:
    first, last = (
        body["results"][0] for _, body in told("delayed@a.example", header=BOTH + "X-IB-Intermediate-Report: true\r\n")
    )

    assert (first["error"]["name"], first["smtp"]["response"][:3]) == ("EC_MAILBOX_PROVIDER_RATE_LIMIT", "421")
    assert [one["attemptCount"] for one in (first, last)] == [1, 2]


@pytest.mark.parametrize(
    ("switches", "deeds"),
    [
        ("", ["OPENED", "CLICKED"]),
        ("X-IB-Track: false\r\n", []),
        ("X-IB-Track-Opens: false\r\n", ["CLICKED"]),
        ("X-IB-Track-Clicks: false\r\n", ["OPENED"]),
        ("X-IB-Track: false\r\nX-IB-Track-Clicks: true\r\n", ["CLICKED"]),
    ],
)
def test_what_is_not_tracked_is_not_told(switches: str, deeds: list[str]) -> None:
    header = f"X-IB-Tracking-Url: {TRACKING}\r\n{switches}"

    assert [body["notificationType"] for _, body in told("open.click@a.example", header=header)] == deeds


def test_callback_data_come_back_unfolded_and_otherwise_as_they_were() -> None:
    header = BOTH + 'X-IB-Callback-Data: {"a":"b  c",\r\n "d":1}\r\n'

    [(_, body)] = told("a@b.example", header=header)

    assert body["results"][0]["callbackData"] == '{"a":"b  c", "d":1}'


def test_a_bulk_id_in_encoded_words_is_read_and_one_that_is_missing_is_made() -> None:
    [(_, encoded)] = told("a@b.example", header=BOTH + "X-IB-Bulk-Id: =?utf-8?q?r=C3=A4kning?=\r\n")
    [(_, missing)] = told("a@b.example")

    assert encoded["results"][0]["bulkId"] == "räkning"
    assert missing["results"][0]["bulkId"] == "id-1"


def test_speed_brings_everything_sooner_and_the_times_that_are_told_with_it() -> None:
    [(notification, body)] = told("a@b.example", speed=10)

    assert notification.after == 0.1
    assert body["results"][0]["doneAt"] == "2026-11-20T06:00:00.100+0000"
    assert body["results"][0]["sentAt"] <= body["results"][0]["doneAt"]
