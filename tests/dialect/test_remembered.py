"""With a token a message carries it and nothing of itself, and its plan tells what SparkPost's events want to know."""

import json
from dataclasses import replace

import pytest

from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.number import Number
from smtpbridge.dialect.plan import Plan
from smtpbridge.dialect.policy import BccStyle, CallbackData, Policy, Subaccount
from smtpbridge.dialect.remembered import Remembered
from smtpbridge.dialect.sent import Copy, Shared
from smtpbridge.dialect.token import Tokens
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace

INBOX = "https://events.example.com/infobip/abc"
POLICY = Policy(
    callback_data=CallbackData.TOKEN,
    notify_url=INBOX,
    tracking_url=INBOX,
    notify_content_type="application/json",
    intermediate_report=True,
    subaccounts={"7": Subaccount()},
)
TOKEN = Tokens(b"a secret of the operator").write(b"0123456789abcdef")
TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTP", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")
ENVELOPE = Envelope("bounces@mail.shop.example", ("Ann@x.example", "ben@x.example"))
FROM = b"From: Shop <billing@shop.example>\r\n"


def plan_of(header: bytes, policy: Policy = POLICY, envelope: Envelope = ENVELOPE, token: str = TOKEN) -> Plan:
    plan = translate(envelope, HeaderBlock.parse(header), TRACE, policy, "7", token=token)
    assert isinstance(plan, Plan), plan
    return plan


def known(header: bytes, policy: Policy = POLICY) -> Remembered:
    found = plan_of(header, policy).remembered
    assert found is not None
    return found


def api(**members: object) -> bytes:
    return b"X-MSYS-API: " + json.dumps(members).encode() + b"\r\n"


def test_the_callback_data_are_the_token_and_reports_come_to_the_inbox() -> None:
    (transaction,) = plan_of(FROM + api(campaign_id="spring", metadata={"order": 1}, tags=["a"])).transactions

    for field in (
        f"X-IB-Callback-Data: {TOKEN}",
        f"X-IB-Notify-Url: {INBOX}",
        f"X-IB-Tracking-Url: {INBOX}",
        "X-IB-Notify-Content-Type: application/json",
        "X-IB-Intermediate-Report: true",
    ):
        assert transaction.header.count(field.encode() + b"\r\n") == 1
    assert b"order" not in transaction.header


def test_what_events_say_of_a_message_is_told_as_its_sender_meant_it() -> None:
    metadata: dict[str, Json] = {"order": Number("1.10"), "vip": True}
    found = known(
        FROM
        + b"Subject: =?utf-8?q?Din_r=C3=A4kning?=\r\n for May\r\n"
        + b'X-MSYS-API: {"campaign_id":"spring","metadata":{"order":1.10,"vip":true},"tags":["a","b"],'
        + b'"options":{"open_tracking":true,"transactional":true,"ip_pool":"fast"}}\r\n'
    )

    assert found.shared == Shared(
        campaign="spring",
        metadata=metadata,
        tags=("a", "b"),
        subject="Din räkning for May",
        friendly_from="billing@shop.example",
        msg_from="bounces@mail.shop.example",
        open_tracking=True,
        click_tracking=False,
        transactional=True,
        subaccount="7",
        ip_pool="fast",
    )


def test_defaults_count_where_a_message_does_not_say() -> None:
    found = known(FROM, replace(POLICY, click_tracking=True, transactional=True, ip_pool="slow")).shared

    assert (found.open_tracking, found.click_tracking, found.transactional, found.ip_pool) == (
        False,
        True,
        True,
        "slow",
    )


@pytest.mark.parametrize("style", BccStyle)
def test_each_recipient_is_known_by_the_first_list_that_names_it(style: BccStyle) -> None:
    header = FROM + api(
        cc=["cc@x.example", "ANN@x.example"],
        bcc=["bcc@x.example", "cc@x.example"],
        archive=["archive@x.example", {"email": "bcc@x.example"}],
    )

    assert set(known(header, replace(POLICY, bcc=style)).copies) == {
        ("Ann@x.example", Copy.ENVELOPE),
        ("ben@x.example", Copy.ENVELOPE),
        ("cc@x.example", Copy.CC),
        ("bcc@x.example", Copy.BCC),
        ("archive@x.example", Copy.ARCHIVE),
    }


def test_who_gets_nothing_is_not_remembered() -> None:
    envelope = Envelope("a@shop.example", ("a@sink.sparkpostmail.com", "ben@x.example"))

    found = plan_of(FROM, envelope=envelope).remembered

    assert found is not None
    assert found.copies == (("ben@x.example", Copy.ENVELOPE),)


def test_what_the_sender_says_itself_about_tracking_counts() -> None:
    own = b"X-IB-Track-Opens: true\r\nX-IB-Track: false\r\n"
    found = known(FROM + own + api(options={"click_tracking": True})).shared

    assert (found.open_tracking, found.click_tracking) == (True, False)


def test_a_subject_that_is_no_text_is_kept_readable_and_a_long_one_is_cut() -> None:
    assert known(FROM + b"Subject: caf\xe9\r\n").shared.subject == "café"
    assert len(known(FROM + b"Subject: " + b"s" * 5000 + b"\r\n").shared.subject) == 1996
    assert known(FROM).shared.subject == ""


def test_without_an_address_in_from_the_reverse_path_stands_for_it() -> None:
    assert known(b"From: nobody\r\n").shared.friendly_from == "bounces@mail.shop.example"


def test_callback_data_of_the_sender_stay_with_a_warning_and_nothing_is_remembered() -> None:
    plan = plan_of(FROM + b"X-IB-Callback-Data: mine\r\n")

    assert plan.remembered is None
    assert [warning.kind for warning in plan.warnings] == ["own-callback-data"]
    assert TOKEN.encode() not in plan.transactions[0].header


def test_addresses_of_the_sender_for_reports_stay_with_a_warning_and_the_token_is_there_for_the_others() -> None:
    plan = plan_of(FROM + b"X-IB-Notify-Url: https://x.example\r\nX-IB-Tracking-Url: https://y.example\r\n")

    assert plan.remembered is not None
    assert [warning.kind for warning in plan.warnings] == ["own-notify-url", "own-tracking-url"]
    assert INBOX.encode() not in plan.transactions[0].header


def test_without_a_token_nothing_is_remembered_and_no_empty_field_is_written() -> None:
    plan = plan_of(FROM, token="")

    assert plan.remembered is None
    assert b"X-IB-Callback-Data" not in plan.transactions[0].header


def test_without_events_a_plan_remembers_nothing() -> None:
    assert plan_of(FROM, replace(Policy(), subaccounts=POLICY.subaccounts), token="").remembered is None
