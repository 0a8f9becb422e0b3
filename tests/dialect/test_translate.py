"""What is promised of a translation: nobody lost, nothing invented, and what was not named leaves as it came."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.bounds import Bounds
from smtpbridge.dialect.instructions import Reading, Refusal
from smtpbridge.dialect.plan import New, Plan
from smtpbridge.dialect.policy import BccStyle, CampaignHome, Policy, Subaccount, Unsupported
from smtpbridge.dialect.sparkpost import read
from smtpbridge.dialect.translate import read_wishes, translate
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace

_DEFAULTS = Policy()
_TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTP", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")
_RECEIVED = (
    b"Received: from app.example ([192.0.2.7])\r\n by bridge.example.com with ESMTP id 8K2mq;\r\n"
    b" Fri, 20 Nov 2026 06:00:00 +0000\r\n"
)
_MADE = _RECEIVED + b"Message-ID: <8K2mq@bridge.example.com>\r\nDate: Fri, 20 Nov 2026 06:00:00 +0000\r\n"
_UNTRACKED = b"X-IB-Track-Opens: false\r\nX-IB-Track-Clicks: false\r\n"
_ENVELOPE = Envelope("bounce@sender.example", ("r@x.example",))
_DATED = b"Message-ID: <1@sender.example>\r\nDate: Fri, 20 Nov 2026 05:59:59 +0000\r\n"


def _plan(header: bytes, policy: Policy = _DEFAULTS, envelope: Envelope = _ENVELOPE, subaccount: str = "") -> Plan:
    plan = translate(envelope, HeaderBlock.parse(header), _TRACE, policy, subaccount)
    assert isinstance(plan, Plan), plan
    return plan


def _only(header: bytes, policy: Policy = _DEFAULTS) -> bytes:
    (transaction,) = _plan(header, policy).transactions
    return transaction.header


def _api(**members: object) -> bytes:
    return b"X-MSYS-API: " + json.dumps(members).encode() + b"\r\n"


def test_new_fields_stand_where_the_api_field_stood() -> None:
    header = _only(b"From: a@sender.example\r\n" + _DATED + b"x-Msys-Api : {}\r\nSubject: s\r\n")

    assert header == (_RECEIVED + b"From: a@sender.example\r\n" + _DATED + _UNTRACKED + b"Subject: s\r\n")


def test_a_message_without_the_api_field_is_marked_untracked_at_the_end() -> None:
    assert _only(b"From: a@sender.example\r\n" + _DATED) == (
        _RECEIVED + b"From: a@sender.example\r\n" + _DATED + _UNTRACKED
    )


def test_message_id_and_date_are_made_where_they_are_missing() -> None:
    assert _only(b"Subject: s\r\n") == _MADE + b"Subject: s\r\n" + _UNTRACKED


def test_a_message_that_is_all_body_gets_a_header() -> None:
    assert _only(b"") == _MADE + _UNTRACKED


def test_private_fields_never_leave() -> None:
    header = _only(
        _DATED
        + b"Bcc: secret@x.example,\r\n other@x.example\r\nresent-bcc: x@x.example\r\nX-Binding: b\r\n"
        + b"X-MSYS-ASYNC-GEN: 1\r\nX-MSYS-API: {}\r\nx-msys-api:\r\nX-Binding-Site: stays\r\n"
    )

    assert header == _RECEIVED + _DATED + _UNTRACKED + b"X-Binding-Site: stays\r\n"


def test_a_line_that_is_no_field_stays_below_the_new_fields() -> None:
    header = _only(_DATED + b"this ends the header for many readers\r\nX-MSYS-API: {}\r\nSubject: s\r\n")

    assert header == (_RECEIVED + _DATED + _UNTRACKED + b"this ends the header for many readers\r\nSubject: s\r\n")


@pytest.mark.parametrize("line", [b"From a@sender.example Fri Nov 20\r\n", b">From a@sender.example Fri Nov 20\r\n"])
def test_the_line_of_a_mailbox_file_does_not_come_to_stand_below_received(line: bytes) -> None:
    assert _only(line + _DATED) == _RECEIVED + _DATED + _UNTRACKED


def test_fifty_hops_pass_and_one_more_is_a_loop() -> None:
    hops = b"Received: from a by b; x\r\n"

    assert len(_plan(hops * 50).transactions) == 1
    refusal = translate(_ENVELOPE, HeaderBlock.parse(hops * 51), _TRACE, Policy())
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.enhanced) == (554, "5.4.6")


def test_a_header_that_sparkpost_would_refuse_is_refused() -> None:
    refusal = translate(_ENVELOPE, HeaderBlock.parse(b"X-MSYS-API: {\r\n"), _TRACE, Policy())

    assert isinstance(refusal, Refusal)
    assert refusal.text.startswith("JSON parsing error in X-MSYS-API")


def test_each_bcc_copy_differs_from_the_first_by_its_bcc_field_only() -> None:
    header = b"To: r@x.example\r\n" + _DATED + _api(bcc=["b@x.example", {"email": "c@x.example", "name": "C"}])

    first, second, third = _plan(header).transactions

    assert first.header == _RECEIVED + b"To: r@x.example\r\n" + _DATED + _UNTRACKED
    at = first.header.index(_UNTRACKED)
    assert second.header == first.header[:at] + b"Bcc: b@x.example\r\n" + first.header[at:]
    assert third.header == first.header[:at] + b"Bcc: C <c@x.example>\r\n" + first.header[at:]
    assert [t.envelope.recipients for t in (first, second, third)] == [
        ("r@x.example",),
        ("b@x.example",),
        ("c@x.example",),
    ]


def test_shared_bcc_recipients_leave_no_trace_in_the_header() -> None:
    (transaction,) = _plan(_api(bcc=["b@x.example"]), Policy(bcc=BccStyle.SHARED)).transactions

    assert transaction.envelope.recipients == ("r@x.example", "b@x.example")
    assert b"b@x.example" not in transaction.header


def test_cc_is_shown_in_every_copy_and_archive_in_none() -> None:
    header = b"To: r@x.example\r\n" + _api(cc=["c@x.example"], archive=["a@x.example"], bcc=["b@x.example"])

    plan = _plan(header)

    assert [t.envelope.recipients for t in plan.transactions] == [
        ("r@x.example", "c@x.example", "a@x.example"),
        ("b@x.example",),
    ]
    assert all(b"To: r@x.example\r\nCc: c@x.example\r\n" in t.header for t in plan.transactions)
    assert not any(b"a@x.example" in t.header for t in plan.transactions)


def test_the_envelope_sender_is_aligned_and_the_change_is_noted() -> None:
    plan = _plan(b"From: a@shop.example\r\n")

    assert plan.transactions[0].envelope.sender == "a@shop.example"
    assert [note.kind for note in plan.notes] == ["envelope-sender"]
    kept = _plan(b"From: a@shop.example\r\n", Policy(envelope_from="keep"))
    assert kept.transactions[0].envelope.sender == "bounce@sender.example"
    assert kept.notes == ()


def test_a_message_for_sinks_goes_nowhere_and_says_so() -> None:
    plan = _plan(b"", envelope=Envelope("", ("a@sink.sparkpostmail.com",)))

    assert plan.transactions == ()
    assert [note.kind for note in plan.notes] == ["sink"]


def test_the_note_on_sinks_counts_them_in_words_that_fit() -> None:
    def said(*names: str) -> str:
        recipients = tuple(f"{name}@sink.sparkpostmail.com" for name in names)
        return _plan(b"", envelope=Envelope("", recipients)).notes[0].text

    assert said("a") == "1 recipient is a sink and goes nowhere: a@sink.sparkpostmail.com"
    assert said("a", "b").startswith("2 recipients are sinks and go nowhere: a@")
    assert said("a", "b", "c", "d").endswith("c@sink.sparkpostmail.com, ...")


def test_what_translate_reads_can_be_asked_for_by_itself() -> None:
    broken = HeaderBlock.parse(b'X-MSYS-API: {\r\n "tags": ["one"]\r\n}\r\nSubject: x\r\n')

    header, reading = read_wishes(broken)

    assert isinstance(reading, Reading)
    assert reading.instructions.tags == ("one",)
    assert header.names == (b"x-msys-api", b"subject")


def test_the_subaccount_chooses_the_upstream_of_every_transaction() -> None:
    policy = Policy(subaccounts={"7": Subaccount("second", entity_id="shop")})

    plan = _plan(_api(bcc=["b@x.example"]), policy, subaccount="7")

    assert [t.upstream for t in plan.transactions] == ["second", "second"]
    assert all(b"X-IB-Entity-Id: shop\r\n" in t.header for t in plan.transactions)


def test_warnings_of_all_parts_come_together() -> None:
    plan = _plan(
        b'X-MSYS-API: {"campaign_id": "c", "metadata": {"a": "0123456789"}, "options": {"inline_css": true},}\r\n',
        Policy(callback_data_limit=40, on_inline_css=Unsupported.WARN),
    )

    assert [w.kind for w in plan.warnings] == ["lenient-json", "inline-css", "callback-data-truncated"]


_TEMPLATE = Policy(list_unsubscribe="<https://x.example/u/{recipient}>")


def test_list_unsubscribe_is_each_recipients_own() -> None:
    first, second = _plan(_api(bcc=["b@x.example"]), _TEMPLATE).transactions

    assert b"List-Unsubscribe: <https://x.example/u/r%40x.example>\r\nList-Unsubscribe-Post: " in first.header
    assert b"List-Unsubscribe: <https://x.example/u/b%40x.example>\r\nList-Unsubscribe-Post: " in second.header


@pytest.mark.parametrize(
    "header",
    [_api(options={"transactional": True}), b"list-unsubscribe: <mailto:a@b>\r\n", b"LIST-UNSUBSCRIBE-POST: x\r\n"],
)
def test_list_unsubscribe_is_not_added_to_transactional_mail_or_to_a_senders_own(header: bytes) -> None:
    plan = _plan(header, _TEMPLATE)

    assert b"x.example/u/" not in plan.transactions[0].header
    assert plan.warnings == ()


def test_list_unsubscribe_that_would_name_one_of_several_is_left_out_with_a_warning() -> None:
    plan = _plan(_api(cc=["c@x.example"]), _TEMPLATE)

    assert b"List-Unsubscribe" not in plan.transactions[0].header
    assert [w.kind for w in plan.warnings] == ["list-unsubscribe"]


_FIELDS = st.lists(
    st.sampled_from(
        [
            b"From: News <news@sender.example>\r\n",
            b"to:r@x.example\r\n",
            b"Subject:  two\r\n\t lines \r\n",
            b"Received: from a by b; x\r\n",
            b"X-IB-Custom: mine\r\n",
            b"X-Broken\x01Field: 1\r\n",
            b"no field\r\n",
            b"X-Long: " + b"y" * 2000 + b"\r\n",
            b"X-Raw: \xff\xfe\r\n",
            _DATED,
        ]
    ),
    max_size=8,
)
_ADDRESSES = st.sampled_from(
    ["a@x.example", "A@x.example", "b@x.example", '"q r"@x.example', "c@y.example", "d@sink.sparkpostmail.com"]
)
_COPIES = st.lists(
    st.one_of(_ADDRESSES, st.fixed_dictionaries({"email": _ADDRESSES, "name": st.text(max_size=12)})), max_size=5
)
_MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "cc": _COPIES,
        "bcc": _COPIES,
        "archive": _COPIES,
        "campaign_id": st.text(st.characters(exclude_categories=["Cc"]), max_size=16),
        "tags": st.lists(st.text(), max_size=3),
        "metadata": st.dictionaries(st.text(max_size=8), st.one_of(st.text(), st.booleans(), st.integers())),
    },
)
_POLICIES = st.builds(
    Policy,
    bcc=st.sampled_from(BccStyle),
    campaign=st.sampled_from(CampaignHome),
    callback_data_limit=st.integers(60, 4000),
    list_unsubscribe=st.sampled_from(["", "<https://x.example/u/{recipient}>", "<mailto:u@x.example>"]),
)


@given(_FIELDS, _FIELDS, _MEMBERS, st.lists(_ADDRESSES, max_size=4), _POLICIES)
def test_what_was_not_named_leaves_octet_for_octet_and_in_order(
    above: list[bytes], below: list[bytes], members: dict[str, object], recipients: list[str], policy: Policy
) -> None:
    header = b"".join(above) + _api(**members) + b"".join(below)
    mine = re.compile(rb"(?:X-IB-(?!Custom)[A-Za-z-]+|Bcc|Cc|List-Unsubscribe(?:-Post)?):(?:.*\r\n)(?:[ \t].*\r\n)*")

    plan = _plan(header, policy, Envelope("bounce@sender.example", tuple(recipients)))

    for transaction in plan.transactions:
        made = _RECEIVED if _DATED in above + below else _MADE
        assert transaction.header.startswith(made)
        assert mine.sub(b"", transaction.header[len(made) :]) == b"".join(above + below)


@given(_MEMBERS, st.lists(_ADDRESSES, max_size=4), _POLICIES)
def test_no_recipient_is_lost_doubled_or_invented(
    members: dict[str, list[object]], recipients: list[str], policy: Policy
) -> None:
    copies = [
        str(entry["email"]) if isinstance(entry, dict) else str(entry)
        for name in ("cc", "bcc", "archive")
        for entry in members.get(name, [])
    ]
    meant = {address.lower() for address in recipients + copies if "sink" not in address}

    plan = _plan(_api(**members), policy, Envelope("", tuple(recipients)))

    sent = [address for transaction in plan.transactions for address in transaction.envelope.recipients]
    assert sorted(address.lower() for address in sent) == sorted(meant)
    assert set(sent) <= {*recipients, *copies}


@given(_MEMBERS, _POLICIES)
def test_nothing_in_the_json_can_end_a_line_or_begin_another_field(members: dict[str, object], policy: Policy) -> None:
    allowed = re.compile(
        rb"received|message-id|date|cc|bcc|list-unsubscribe(?:-post)?"
        rb"|x-ib-(?:track-opens|track-clicks|bulk-id|entity-id|application-id|callback-data)"
    )

    for transaction in _plan(_api(**members), policy).transactions:
        assert re.fullmatch(rb"(?:[ -~]+\r\n)+", transaction.header)
        assert max(map(len, transaction.header.split(b"\r\n"))) <= 998
        names = HeaderBlock.parse(transaction.header).names
        assert all(map(allowed.fullmatch, names))
        assert len(set(names)) == len(names)


@given(st.binary(max_size=200), st.sampled_from([b"", b"X-MSYS-API: "]))
def test_any_octets_give_a_plan_or_a_refusal(octets: bytes, start: bytes) -> None:
    result = translate(_ENVELOPE, HeaderBlock.parse(start + octets), _TRACE, Policy())

    if isinstance(result, Refusal):
        assert re.fullmatch(r"[ -~]{1,500}", result.text)
    else:
        assert result.transactions


_LINKS = b"<a href=http://x.example/>\r\n" * 151
_TRACKED = _DATED + b"Content-Type: text/html\r\n" + _api(options={"click_tracking": True})


def _with_body(header: bytes, body: bytes, policy: Policy = _DEFAULTS) -> Plan:
    plan = translate(_ENVELOPE, HeaderBlock.parse(header), _TRACE, policy, body=body)
    assert isinstance(plan, Plan)
    return plan


def test_a_body_that_concerns_nobody_stays_as_it_came() -> None:
    plan = _with_body(_TRACKED, b"<a href=http://x.example/>\r\n")

    assert plan.body is None
    assert b"X-IB-Track-Clicks: true\r\n" in plan.transactions[0].header


def test_clicks_are_turned_off_where_infobip_would_drop_the_message() -> None:
    plan = _with_body(_TRACKED, _LINKS)

    assert b"X-IB-Track-Clicks: false\r\n" in plan.transactions[0].header
    assert [warning.kind for warning in plan.warnings] == ["too-many-links"]


@pytest.mark.parametrize("field", [b"X-IB-Track-Clicks: true\r\n", b"X-IB-Track: true\r\n"])
def test_tracking_that_the_sender_wrote_itself_stands_however_many_links(field: bytes) -> None:
    plan = _with_body(field + _TRACKED, _LINKS)

    assert field in plan.transactions[0].header
    assert plan.warnings == ()


def test_the_rewritten_body_and_what_was_done_to_it_are_in_the_plan() -> None:
    plan = _with_body(_DATED + b"Content-Type: text/html\r\n", b'<a data-msys-clicktrack="0">\r\n')

    assert plan.body == (New(b"<a clicktracking=off>\r\n"),)
    assert [note.kind for note in plan.notes] == ["untracked-link"]


def test_json_whose_closing_brace_stands_in_the_first_column_is_read_with_a_warning() -> None:
    header = HeaderBlock.parse(
        b'From: a@b.example\r\nX-MSYS-API: {\r\n "tags": [\r\n  "one"\r\n ]\r\n}\r\nSubject: x\r\n'
    )

    plan = translate(Envelope("a@b.example", ("c@d.example",)), header, _TRACE, Policy())

    assert isinstance(plan, Plan)
    assert [remark.kind for remark in plan.warnings] == ["broken-lines"]
    octets = plan.transactions[0].header
    assert b'X-IB-Callback-Data: {"tags":["one"]}\r\n' in octets
    assert b"}\r\nSubject: x\r\n" in octets
    assert b"\r\n}" not in octets


def test_a_value_in_many_broken_lines_is_put_together_in_linear_time() -> None:
    # This test takes minutes where the lines are added one by one.
    lines = b"1,\r\n" * 25_000
    header = HeaderBlock.parse(b'X-MSYS-API: {"metadata":{"a":[\r\n' + lines + b"1]}}\r\nSubject: x\r\n")
    usual, more = read_wishes(header), read_wishes(header, Bounds(max_json_values=26_000))

    assert isinstance(usual[1], Refusal)
    assert usual[0] is header
    assert isinstance(more[1], Reading)
    assert more[0].names == (b"x-msys-api", b"subject")


def test_broken_lines_are_not_read_behind_a_value_that_is_large_or_over_a_bound() -> None:
    end = b'"\r\n}\r\n'
    small, large = (b'X-MSYS-API: {"a":"' + b"x" * size for size in (1_000, 1 << 18))

    assert isinstance(read_wishes(HeaderBlock.parse(small + end))[1], Reading)
    for start, bounds in ((large, Bounds()), (small, Bounds(max_json_bytes=1_000))):
        header = HeaderBlock.parse(start + end)
        assert read_wishes(header, bounds) == (header, read(header.values(b"x-msys-api"), bounds))


def test_broken_lines_that_make_no_json_stay_where_they_are() -> None:
    header = HeaderBlock.parse(b'From: a@b.example\r\nX-MSYS-API: {"tags": []}\r\n}\r\nSubject: x\r\n')

    plan = translate(Envelope("a@b.example", ("c@d.example",)), header, _TRACE, Policy())

    assert isinstance(plan, Plan)
    assert not plan.warnings
    assert b"}\r\nSubject: x\r\n" in plan.transactions[0].header
