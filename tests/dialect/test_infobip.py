"""What is promised of the X-IB-* fields: each wish has its field, and the sender's own fields win."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.infobip import Account, Fields, write
from smtpbridge.dialect.instructions import Instructions
from smtpbridge.dialect.policy import CallbackData, CampaignHome, Policy, Priority
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.words import decode

_NO_WISHES, _DEFAULTS = Instructions(), Policy()
_MAIN = Account("main")
_UNTRACKED = b"X-IB-Track-Opens: false\r\nX-IB-Track-Clicks: false\r\n"
_CONFIGURED = Policy(
    notify_url="https://x.example/n?a=1",
    tracking_url="https://x.example/t",
    notify_content_type="application/json",
    intermediate_report=True,
    application_id="app",
    entity_id="ent",
    skip_passive_storage=True,
    skip_active_storage=False,
)


def _fields(
    wishes: Instructions = _NO_WISHES, policy: Policy = _DEFAULTS, account: Account = _MAIN, own: str = ""
) -> dict[str, str]:
    written = write(wishes, policy, account, frozenset(own.encode().split()))
    block = HeaderBlock.parse(written.octets)
    return {name.decode(): decode(field.split(b":", 1)[1].strip()) for name, field in block}


def test_a_message_without_wishes_says_that_it_is_not_tracked_and_nothing_else() -> None:
    assert write(Instructions(), Policy(), _MAIN, frozenset()) == Fields(_UNTRACKED)


@pytest.mark.parametrize("opens", [None, True, False])
@pytest.mark.parametrize("clicks", [None, True, False])
@pytest.mark.parametrize("default", [True, False])
def test_tracking_is_always_said_and_the_default_fills_what_the_sender_left_open(
    opens: bool | None, clicks: bool | None, default: bool
) -> None:
    wishes = Instructions(open_tracking=opens, click_tracking=clicks)

    fields = _fields(wishes, Policy(open_tracking=default, click_tracking=not default))

    assert fields == {
        "x-ib-track-opens": str(default if opens is None else opens).lower(),
        "x-ib-track-clicks": str(not default if clicks is None else clicks).lower(),
    }


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ("x-ib-track", set()),
        ("x-ib-track-opens", {"x-ib-track-clicks"}),
        ("x-ib-track-clicks", {"x-ib-track-opens"}),
        ("x-ib-track-opens x-ib-track-clicks", set()),
        ("x-ib-tracking-url", {"x-ib-track-opens", "x-ib-track-clicks"}),
    ],
)
def test_a_track_field_of_the_senders_own_silences_that_kind_of_tracking(own: str, left: set[str]) -> None:
    assert set(_fields(own=own)) == left


@pytest.mark.parametrize(
    ("home", "name"),
    [
        (CampaignHome.BULK_ID, "x-ib-bulk-id"),
        (CampaignHome.ENTITY_ID, "x-ib-entity-id"),
        (CampaignHome.APPLICATION_ID, "x-ib-application-id"),
    ],
)
def test_the_campaign_goes_where_the_switch_says(home: CampaignHome, name: str) -> None:
    fields = _fields(Instructions("spring sale"), Policy(campaign=home))

    assert fields[name] == "spring sale"
    assert fields["x-ib-callback-data"] == '{"campaign_id":"spring sale"}'
    assert len(fields) == 4


def test_a_campaign_without_a_home_is_in_the_callback_data_only() -> None:
    assert list(_fields(Instructions("c"), Policy(campaign=CampaignHome.NONE)))[2:] == ["x-ib-callback-data"]


def test_a_campaign_outside_ascii_is_encoded_words_in_the_field_and_escapes_in_the_json() -> None:
    written = write(Instructions("\u00fcber"), Policy(), _MAIN, frozenset())

    assert b"X-IB-Bulk-Id: =?UTF-8?" in written.octets
    assert b'{"campaign_id":"\\u00fcber"}' in written.octets
    assert _fields(Instructions("\u00fcber"))["x-ib-bulk-id"] == "\u00fcber"


def test_an_empty_campaign_is_no_bulk_id() -> None:
    assert "x-ib-bulk-id" not in _fields(Instructions(""))


def test_the_campaign_wins_over_the_subaccount_and_the_subaccount_over_the_configuration() -> None:
    policy = Policy(campaign=CampaignHome.ENTITY_ID, entity_id="e0", application_id="a0")

    assert _fields(Instructions("c"), policy, Account("main", "e1", "a1"))["x-ib-entity-id"] == "c"
    assert _fields(Instructions(), policy, Account("main", "e1", "a1"))["x-ib-entity-id"] == "e1"
    assert _fields(Instructions(), policy)["x-ib-entity-id"] == "e0"
    assert _fields(Instructions("c"), policy, Account("main", "e1", "a1"))["x-ib-application-id"] == "a1"
    assert _fields(Instructions("c"), policy)["x-ib-application-id"] == "a0"


@pytest.mark.parametrize(
    ("transactional", "priority", "there"),
    [
        (True, Priority.HIGH, True),
        (False, Priority.HIGH, False),
        (None, Priority.HIGH, False),
        (True, Priority.NONE, False),
    ],
)
def test_transactional_mail_has_high_priority_where_the_switch_says(
    transactional: bool | None, priority: Priority, there: bool
) -> None:
    fields = _fields(Instructions(transactional=transactional), Policy(transactional_priority=priority))

    assert fields.get("x-ib-client-priority") == ("HIGH" if there else None)


def test_configured_fields_are_written_as_infobip_names_them() -> None:
    written = write(Instructions(), _CONFIGURED, _MAIN, frozenset())

    assert written.octets == _UNTRACKED + (
        b"X-IB-Entity-Id: ent\r\n"
        b"X-IB-Application-Id: app\r\n"
        b"X-IB-Notify-Url: https://x.example/n?a=1\r\n"
        b"X-IB-Notify-Content-Type: application/json\r\n"
        b"X-IB-Intermediate-Report: true\r\n"
        b"X-IB-Tracking-Url: https://x.example/t\r\n"
        b"X-IB-Skip-Passive-Storage: true\r\n"
        b"X-IB-Skip-Active-Storage: false\r\n"
    )


def test_every_field_of_the_senders_own_wins() -> None:
    wishes = Instructions("c", {"a": "b"}, ("t",), transactional=True, open_tracking=True, click_tracking=True)
    everything = _fields(wishes, _CONFIGURED)

    assert len(everything) == 13
    for name in everything:
        assert set(_fields(wishes, _CONFIGURED, own=name)) == everything.keys() - {name}


def test_callback_data_can_be_switched_off() -> None:
    assert "x-ib-callback-data" not in _fields(Instructions("c"), Policy(callback_data=CallbackData.NONE))


def test_what_the_callback_data_lost_is_a_warning_with_numbers() -> None:
    wishes = Instructions("c", {"one": "x" * 60, "two": "x" * 60}, ("t",))

    written = write(wishes, Policy(callback_data_limit=140), _MAIN, frozenset())

    (warning,) = written.warnings
    assert warning.kind == "callback-data-truncated"
    assert " no room for 1 member of metadata: it takes 140 octets in all" in warning.text
    assert b'"truncated":true}' in written.octets


@pytest.mark.parametrize(
    ("wishes", "left_out"),
    [
        (Instructions(tags=("t" * 30,)), "1 tag"),
        (Instructions(tags=("t" * 30, "u" * 30)), "2 tags"),
        (Instructions(tags=("t" * 30,), metadata={"a": "b" * 30, "c": "d"}), "2 members of metadata and 1 tag"),
    ],
)
def test_the_warning_names_only_what_was_left_out_and_counts_it_in_words_that_fit(
    wishes: Instructions, left_out: str
) -> None:
    (warning,) = write(wishes, Policy(callback_data_limit=20), _MAIN, frozenset()).warnings

    assert f" no room for {left_out}: " in warning.text


@given(st.text(max_size=64), st.lists(st.text(), max_size=3).map(tuple), st.dictionaries(st.text(), st.text()))
@pytest.mark.parametrize("home", CampaignHome)
def test_no_text_can_end_its_line_or_begin_another_field(
    home: CampaignHome, campaign: str, tags: tuple[str, ...], metadata: dict[str, str]
) -> None:
    octets = write(Instructions(campaign, dict(metadata), tags), Policy(campaign=home), _MAIN, frozenset()).octets

    assert re.fullmatch(rb"(?:X-IB-[A-Za-z-]+:(?:\r\n)?(?: [!-~][ -~]*\r\n)+)+", octets)
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    block = HeaderBlock.parse(octets)
    assert len(set(block.names)) == len(block.names)
