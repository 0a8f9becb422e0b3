"""The events as they are written: names, JSON types, ids, and batches."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.sent import Copy, Sent
from smtpbridge.dialect.sparkpost_event import PING, Account, Event, EventType, batch, event, iso
from tests.events.examples import SENT

BOOLEANS = {"open_tracking", "click_tracking", "initial_pixel"}
ACCOUNT = Account("1521", initial_pixel=True)


def make(type_: EventType, sent: Sent | None = SENT, **own: Any) -> Event:
    return event(type_, "key", 1795154404.9, sent, "Anna.Berg@Customer.example", ACCOUNT, own)


@pytest.mark.parametrize("type_", EventType)
def test_every_value_is_a_string_but_for_switches_and_containers(type_: EventType) -> None:
    written = json.loads(make(type_, replace(SENT, transactional=True)).write())
    ((category, fields),) = written["msys"].items()

    assert category in ("message_event", "track_event", "unsubscribe_event")
    for name, value in fields.items():
        wanted = bool if name in BOOLEANS else dict if name == "rcpt_meta" else list if name == "rcpt_tags" else str
        assert type(value) is wanted, name


def test_metadata_keep_their_json_types_and_their_digits() -> None:
    assert (
        b'"rcpt_meta":{"order":12345678901234567890,"vip":true,"who":{"name":"\\u00c5sa"},"none":null}'
        in make(EventType.DELIVERY).write()
    )


def test_what_a_message_has_not_is_left_out_but_for_metadata_and_tags() -> None:
    bare = Sent(transmission_id=1, message_id="0" * 20, recipient="a@b.example", injected_at=0.0)

    fields = make(EventType.DELIVERY, bare, reason="", geo_ip={}, note=None).fields

    assert fields.keys() == {
        "type", "event_id", "timestamp", "rcpt_to", "raw_rcpt_to", "rcpt_meta", "rcpt_tags", "recipient_domain",
        "routing_domain", "customer_id", "transmission_id", "message_id", "template_id", "template_version",
        "injection_time", "open_tracking", "click_tracking", "initial_pixel", "recv_method", "delv_method",
    }  # fmt: skip
    assert (fields["rcpt_meta"], fields["rcpt_tags"]) == ({}, [])


@given(st.floats(0, 4e9))
def test_a_time_is_what_the_library_says_of_it(seconds: float) -> None:
    written = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")

    assert iso(seconds) == written.replace("+00:00", "Z")


@pytest.mark.parametrize(("copy", "told"), [(Copy.ENVELOPE, None), (Copy.CC, "cc"), (Copy.ARCHIVE, "archive")])
def test_a_copy_says_by_which_list_it_came(copy: Copy, told: str | None) -> None:
    assert make(EventType.DELIVERY, replace(SENT, copy=copy)).fields.get("rcpt_type") == told


def test_the_recipient_is_there_in_lower_case_and_as_written() -> None:
    fields = make(EventType.DELIVERY).fields

    assert (fields["rcpt_to"], fields["raw_rcpt_to"]) == ("anna.berg@customer.example", "Anna.Berg@Customer.example")


@pytest.mark.parametrize(
    ("type_", "names"),
    [
        (EventType.POLICY_REJECTION, {"subject", "msg_size", "open_tracking", "delv_method"}),
        (EventType.OUT_OF_BAND, {"rcpt_type", "click_tracking"}),
        (EventType.SPAM_COMPLAINT, {"initial_pixel", "recv_method"}),
        (EventType.CLICK, {"recv_method"}),
        (EventType.INJECTION, {"delv_method"}),
    ],
)
def test_what_sparkpost_leaves_out_of_a_type_is_left_out(type_: EventType, names: set[str]) -> None:
    sent = replace(SENT, copy=Copy.CC)

    assert names <= make(EventType.DELIVERY, sent).fields.keys()
    assert names.isdisjoint(make(type_, sent).fields)


def test_an_id_is_decimal_and_belongs_to_the_happening_and_the_type() -> None:
    opened, again, initial = make(EventType.OPEN), make(EventType.OPEN, None), make(EventType.INITIAL_OPEN)

    assert opened.id == again.id != initial.id
    assert 0 <= int(opened.id) < 2**63


@pytest.mark.parametrize("number", [0, -1, 2**63])
def test_a_transmission_id_that_no_column_takes_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="below 2"):
        replace(SENT, transmission_id=number)


def test_a_time_has_milliseconds_and_a_z() -> None:
    assert iso(1795154400.125) == "2026-11-20T06:00:00.125Z"


def test_the_ping_is_what_sparkpost_sends() -> None:
    assert json.loads(PING) == [{"msys": {}}]


@given(st.lists(st.text(), max_size=4))
def test_a_batch_is_an_array_of_its_events_in_ascii(subjects: list[str]) -> None:
    events = [make(EventType.OPEN, replace(SENT, subject=subject)) for subject in subjects]

    octets = batch(event.write() for event in events)

    assert octets.isascii()
    assert b"\n" not in octets
    assert [one["msys"]["track_event"].get("subject", "") for one in json.loads(octets)] == subjects
