"""From notifications to SparkPost's events: what is decided, and what holds for any notification whatever."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect import server_reply
from smtpbridge.dialect.bounce_class import HARD, BounceClass
from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.events import Silence, Translation, translate
from smtpbridge.dialect.failures import ERRORS, STATUSES
from smtpbridge.dialect.infobip_reports import read
from smtpbridge.dialect.notifications import (
    About,
    DeliveryReport,
    Device,
    Group,
    Place,
    Problem,
    Status,
    Tracked,
    TrackingNotification,
    Unreadable,
)
from tests.events.examples import RECEIVED_AT, SENT

CORPUS = Path(__file__).parent.parent / "events" / "corpus"
OPTIONS = EventOptions()
FAILED = DeliveryReport(
    key="k", about=About("token", "anna@customer.example"), received_at=RECEIVED_AT, status=Status(Group.UNDELIVERABLE)
)
HARD_BOUNCE = Problem(6012, "EC_HARD_BOUNCE", 2, True)
CLICKED = TrackingNotification(
    key="k", about=FAILED.about, received_at=RECEIVED_AT, what=Tracked.CLICKED, url="https://shop.example/"
)


def fields(translation: Translation) -> dict[str, Any]:
    (event,) = translation.events
    return event.fields


def bounce(**changes: Any) -> dict[str, Any]:
    return fields(translate(replace(FAILED, **changes), SENT, OPTIONS))


@pytest.mark.parametrize(
    "opposed",
    [
        {"problem": replace(HARD_BOUNCE, permanent=False)},
        {"problem": HARD_BOUNCE, "reply": "450 4.2.0 Later"},
        {"problem": HARD_BOUNCE, "status": Status(Group.PENDING)},
        {"problem": HARD_BOUNCE, "status": Status(Group.EXPIRED)},
        {"problem": Problem(6011, "EC_SOFT_BOUNCE", 2), "reply": "550 5.1.1 No such user"},
        {"problem": Problem(6007, "EC_MAILBOX_TEMPORARY_UNAVAILABLE", 2, False), "reply": "550 5.1.1 No such user"},
    ],
)
def test_a_hard_class_does_not_stand_against_a_word_that_says_otherwise(opposed: dict[str, Any]) -> None:
    assert bounce(problem=HARD_BOUNCE)["bounce_class"] == "30"
    assert bounce(**opposed)["bounce_class"] in ("20", "70")


def test_the_servers_reply_softens_a_hard_bounce() -> None:
    assert bounce(problem=HARD_BOUNCE, reply="550 5.2.2 Mailbox full")["bounce_class"] == "22"


def test_the_servers_reply_does_not_change_a_class_that_says_enough() -> None:
    problem = Problem(6048, "EC_DMARC_POLICY_ISSUE", 2, True)

    assert bounce(problem=problem, reply="550 5.7.26 Unauthenticated")["bounce_class"] == "40"


def test_reasons_are_the_servers_words_as_they_came() -> None:
    reply = "smtp; 550-5.1.1 Not\r\n550 5.1.1 here"

    told = bounce(problem=HARD_BOUNCE, reply=reply)

    assert (told["reason"], told["raw_reason"], told["error_code"]) == (reply, reply, "550")


def test_a_positive_reply_is_no_reason_for_a_failure() -> None:
    told = bounce(problem=replace(HARD_BOUNCE, description="Hard bounce"), reply="250 2.0.0 OK")

    assert told["reason"] == "550 5.0.0 [internal] Hard bounce (EC_HARD_BOUNCE)"


@pytest.mark.parametrize(
    ("changes", "type_"),
    [
        ({"status": Status(id=5)}, "delivery"),
        ({"status": Status(name="DELIVERED_TO_HANDSET")}, "delivery"),
        ({"status": Status(Group.DELIVERED), "problem": HARD_BOUNCE}, "delivery"),
        ({"status": Status(), "reply": "250 OK"}, "delivery"),
        ({"status": Status(), "reply": "451 4.3.0 Later"}, "delay"),
        ({"status": Status(), "reply": "550 5.7.1 No"}, "bounce"),
        ({"status": Status(), "problem": HARD_BOUNCE}, "bounce"),
        ({"status": Status(Group.PENDING), "reply": "451 4.3.0 Later"}, "delay"),
        ({"status": Status(Group.REJECTED)}, "policy_rejection"),
        ({"status": Status(Group.UNDELIVERABLE)}, "bounce"),
        ({"status": Status(Group.EXPIRED)}, "bounce"),
        ({"status": Status(Group.REJECTED, 23), "problem": HARD_BOUNCE}, "bounce"),
    ],
)
def test_the_group_or_else_what_there_is_says_what_happened(changes: dict[str, Any], type_: str) -> None:
    assert bounce(**changes)["type"] == type_


@pytest.mark.parametrize(
    ("changes", "silence"),
    [
        ({"status": Status(Group.PENDING)}, Silence.PENDING),
        ({"status": Status(Group.PENDING), "reply": "250 OK"}, Silence.PENDING),
        ({"status": Status(name="NEW")}, Silence.UNDECIDED),
        ({"status": Status(), "reply": "no code"}, Silence.UNDECIDED),
        ({"status": Status(Group.REJECTED, 23)}, Silence.DUPLICATE_ID),
    ],
)
def test_a_report_that_makes_no_event_says_why(changes: dict[str, Any], silence: Silence) -> None:
    assert translate(replace(FAILED, **changes), SENT, OPTIONS) == Translation(silence=silence)


def test_a_failure_names_its_row_for_the_log() -> None:
    failure = translate(replace(FAILED, problem=HARD_BOUNCE), SENT, OPTIONS).failure

    assert failure is not None
    assert failure.name == "EC_HARD_BOUNCE"


def test_a_suppressed_recipient_who_is_still_pending_is_not_given_a_class_that_counts_as_hard() -> None:
    told = bounce(status=Status(Group.PENDING), problem=Problem(6034, "EC_SUPPRESSED_BOUNCE", 1, True))

    assert (told["type"], told["bounce_class"], told["error_code"]) == ("delay", "20", "450")


def test_an_event_happens_when_infobip_says_unless_that_is_to_come() -> None:
    assert bounce(done_at=RECEIVED_AT - 100)["timestamp"] == str(int(RECEIVED_AT) - 100)
    assert bounce(done_at=RECEIVED_AT + 10**6)["timestamp"] == str(int(RECEIVED_AT))
    assert bounce(done_at=None)["timestamp"] == str(int(RECEIVED_AT))


@pytest.mark.parametrize(("attempts", "retries"), [(1, "0"), (4, "3"), (0, None), (None, None), (-2, None)])
def test_retries_are_the_attempts_after_the_first(attempts: int | None, retries: str | None) -> None:
    assert bounce(attempts=attempts).get("num_retries") == retries


def test_a_queue_time_that_runs_backwards_is_left_out() -> None:
    assert bounce(sent_at=10.0, done_at=12.5)["queue_time"] == "2500"
    assert "queue_time" not in bounce(sent_at=12.5, done_at=10.0)


def test_an_unknown_system_and_a_missing_device_are_left_out() -> None:
    told = replace(CLICKED, device=Device(system="Unknown"), place=Place("Atlantis", ""))

    assert {"user_agent_parsed", "geo_ip"}.isdisjoint(fields(translate(told, SENT, OPTIONS)))


def test_the_customer_is_named_where_it_is_configured() -> None:
    told = fields(translate(CLICKED, SENT, replace(OPTIONS, customer_id="1521")))

    assert told["customer_id"] == "1521"


# Whatever comes

ROWS = st.sampled_from([(row.id, row.name, row.group) for row in ERRORS] + [(None, "EC_NEW", 2), (6012, "EC_NEW", 2)])
REPLIES = st.sampled_from(["550 5.1.1 No such user", "451 4.1.1 No such user", "550 No such user", "250 OK", "", "??"])
REPORTS = st.builds(
    lambda row, permanent, status, group, reply: replace(
        FAILED,
        problem=Problem(row[0], row[1], row[2], permanent) if row else None,
        status=Status(group, *status),
        reply=reply,
    ),
    st.none() | ROWS,
    st.none() | st.booleans(),
    st.sampled_from([(row.id, row.name) for row in STATUSES] + [(None, ""), (999, "NEW")]),
    st.none() | st.sampled_from(Group),
    REPLIES | st.text(),
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
REQUESTS = [json.loads(path.read_text("utf-8")) for path in CORPUS.glob("*/in.json")]


def damaged(document: Any, way: list[int], junk: Any) -> Any:
    """Return the document with something else in the place that the way leads to."""
    if not way or not isinstance(document, (list, dict)) or not document:
        return junk
    if isinstance(document, list):
        at = way[0] % len(document)
        return [*document[:at], damaged(document[at], way[1:], junk), *document[at + 1 :]]
    name = sorted(document)[way[0] % len(document)]
    return document | {name: damaged(document[name], way[1:], junk)}


def damages(documents: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(damaged, documents, st.lists(st.integers(0, 30), max_size=4), ANY_JSON)


@given(REPORTS)
def test_a_hard_class_is_never_against_a_word_that_says_otherwise(report: DeliveryReport) -> None:
    for event in translate(report, SENT, OPTIONS).events:
        if event.fields.get("bounce_class") in {one.value for one in HARD}:
            assert event.fields["type"] == "bounce"
            assert report.problem is None or report.problem.permanent is not False
            assert report.status.group not in (Group.PENDING, Group.EXPIRED)
            assert not server_reply.read(report.reply).is_temporary


@given(ANY_JSON | damages(damages(st.sampled_from(REQUESTS))), st.sampled_from([SENT, None]))
def test_any_json_becomes_an_event_or_a_word_why_not(document: Any, known: Any) -> None:
    options = EventOptions(initial_open=True, policy_rejection_class=BounceClass.ADMIN_FAILURE)
    octets = json.dumps(document).encode()

    for told in read(octets, RECEIVED_AT):
        if isinstance(told, Unreadable):
            assert told.kind
            continue
        translation = translate(told, known, options)
        assert (translation.silence is None) == bool(translation.events)
        for event in translation.events:
            written = json.loads(event.write())["msys"][event.category]
            assert written["type"] == event.type.value
            assert written["timestamp"].isdigit()
            assert (type(written["rcpt_meta"]), type(written["rcpt_tags"])) == (dict, list)
            assert "" not in written.values()
