"""The events of which the bridge itself knows."""

from dataclasses import replace

import pytest

from smtpbridge.dialect.bounce_class import BounceClass
from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.own_events import expired, refused
from tests.events.examples import SENT

OPTIONS = EventOptions()


@pytest.mark.parametrize(
    ("reply", "code", "bounce_class"),
    [
        ("550 5.7.1 Recipient <a@b.example> not allowed", "550", "40"),
        ("501 5.1.7 Bad recipient address <a@b.example>", "501", "40"),
        ("550 5.1.1 No such user", "550", "40"),
        ("452 4.5.3 Too many recipients", "452", "70"),
    ],
)
def test_a_refusal_of_infobip_is_a_soft_policy_rejection_with_its_words(
    reply: str, code: str, bounce_class: str
) -> None:
    fields = refused(SENT, 1795154500.0, reply, OPTIONS).fields

    assert (fields["type"], fields["timestamp"]) == ("policy_rejection", "1795154500")
    assert (fields["error_code"], fields["bounce_class"], fields["raw_reason"]) == (code, bounce_class, reply)


def test_a_refusal_can_have_sparkposts_class() -> None:
    options = replace(OPTIONS, policy_rejection_class=BounceClass.ADMIN_FAILURE)

    assert refused(SENT, 0.0, "550 5.7.1 No", options).fields["bounce_class"] == "25"


def test_a_refusal_without_a_reply_has_a_reason_all_the_same() -> None:
    fields = refused(SENT, 0.0, "", OPTIONS).fields

    assert fields["error_code"] == "550"
    assert str(fields["reason"]).startswith("550 5.0.0 [internal] ")


def test_a_message_that_nobody_took_in_time_is_a_timeout() -> None:
    fields = expired(SENT, 1795154500.0, OPTIONS).fields

    assert (fields["type"], fields["bounce_class"], fields["error_code"]) == ("bounce", "24", "554")


def test_giving_up_twice_is_one_event() -> None:
    assert expired(SENT, 1.0, OPTIONS).id == expired(SENT, 2.0, OPTIONS).id
