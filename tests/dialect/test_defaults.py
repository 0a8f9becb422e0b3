"""What is promised of defaults for fewer senders than all: the place nearest to the message wins, key by key."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.plan import Plan, Transaction
from smtpbridge.dialect.policy import UNSAID, Defaults, Policy, Subaccount
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace

_TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTP", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")
_ENVELOPE = Envelope("bounce@sender.example", ("r@x.example",))
_NAMES = [one.name for one in fields(Defaults)]
_SWITCH = st.sampled_from([None, True, False])
_DEFAULTS = st.builds(
    Defaults,
    _SWITCH,
    _SWITCH,
    _SWITCH,
    st.sampled_from([None, "one", "TWO", "default"]),
    st.sampled_from([None, "", "<mailto:a@x.example>", "<mailto:b@x.example>"]),
    st.sampled_from([None, "auto", "keep", "fixed@x.example"]),
)
_POOLS = {"one": "up1", "two": "up2"}


def _sent(policy: Policy, defaults: Defaults = UNSAID, subaccount: str = "", **options: object) -> Transaction:
    api = b"X-MSYS-API: " + json.dumps({"options": options}).encode() + b"\r\n"
    header = HeaderBlock.parse(b"From: a@other.example\r\n" + api)
    plan = translate(_ENVELOPE, header, _TRACE, policy, subaccount, defaults)
    assert isinstance(plan, Plan), plan
    (transaction,) = plan.transactions
    return transaction


def _first(name: str, *places: object) -> object:
    return next((value for place in places if (value := getattr(place, name)) is not None), None)


@given(_DEFAULTS, _DEFAULTS, _DEFAULTS)
def test_the_nearest_place_that_says_something_wins_key_by_key(one: Defaults, two: Defaults, three: Defaults) -> None:
    joined = one.over(two).over(three)

    assert joined == one.over(two.over(three))
    assert {name: getattr(joined, name) for name in _NAMES} == {name: _first(name, one, two, three) for name in _NAMES}


@given(_DEFAULTS)
def test_a_place_that_says_nothing_changes_nothing_and_costs_nothing(defaults: Defaults) -> None:
    policy = Policy(subaccounts={"7": Subaccount("second")})

    assert defaults.over(UNSAID) is defaults
    assert UNSAID.over(defaults) is defaults
    assert policy.under(UNSAID) is policy
    assert policy.under(Defaults()) is policy
    assert policy.for_sender(UNSAID, "7") is policy
    assert policy.for_sender(UNSAID, "unknown") is policy


@given(_DEFAULTS, _DEFAULTS, _DEFAULTS)
def test_subaccount_then_login_then_everybody(near: Defaults, login: Defaults, all_others: Defaults) -> None:
    policy = Policy(ip_pools=_POOLS, subaccounts={"7": Subaccount(defaults=near)}).under(all_others)

    settled = policy.for_sender(login, "7")

    assert {name: getattr(settled, name) for name in _NAMES} == {
        name: _first(name, near, login, all_others, Policy()) for name in _NAMES
    }
    assert policy.for_sender(login, "8") == policy.under(login)


@given(_DEFAULTS, _DEFAULTS)
def test_what_was_settled_for_one_sender_is_kept_for_its_next_message_only(near: Defaults, login: Defaults) -> None:
    policy = Policy(ip_pools=_POOLS, subaccounts={"7": Subaccount(defaults=near), "8": Subaccount()})
    asked = [(login, "7"), (login, "8"), (login, ""), (UNSAID, "7"), (UNSAID, "8"), (near, "7"), (login, "unknown")]

    first = [policy.for_sender(*one) for one in asked]

    assert all(policy.for_sender(*one) is settled for one, settled in zip(asked, first, strict=True))
    for (defaults, number), settled in zip(asked, first, strict=True):
        booked = policy.subaccounts.get(number, Subaccount())
        assert settled == policy.under(booked.defaults.over(defaults))


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize(
    ("option", "field"),
    [("open_tracking", "X-IB-Track-Opens: {}"), ("click_tracking", "X-IB-Track-Clicks: {}")],
)
def test_the_message_wins_over_every_place(option: str, field: str, said: bool) -> None:
    other = Defaults(**{option: not said})  # type: ignore[arg-type]  # both options are switches
    policy = Policy(subaccounts={"7": Subaccount(defaults=other)})

    def line(value: bool) -> bytes:
        return field.format(str(value).lower()).encode() + b"\r\n"

    assert line(said) in _sent(policy, other, "7", **{option: said}).header
    assert line(not said) in _sent(policy, other, "7").header


def test_mail_that_is_transactional_by_default_has_priority_and_no_list_unsubscribe() -> None:
    defaults = Defaults(transactional=True, list_unsubscribe="<mailto:u@x.example>")

    by_default, said_not = _sent(Policy(), defaults).header, _sent(Policy(), defaults, transactional=False).header

    assert b"X-IB-Client-Priority: HIGH\r\n" in by_default
    assert b"List-Unsubscribe" not in by_default
    assert b"X-IB-Client-Priority" not in said_not
    assert b"List-Unsubscribe: <mailto:u@x.example>\r\n" in said_not


def test_a_template_can_be_taken_back() -> None:
    policy = Policy(list_unsubscribe="<mailto:u@x.example>")

    assert b"List-Unsubscribe" in _sent(policy).header
    assert b"List-Unsubscribe" not in _sent(policy, Defaults(list_unsubscribe="")).header


def test_each_sender_can_have_an_envelope_sender_of_its_own() -> None:
    policy = Policy(envelope_from="keep", subaccounts={"7": Subaccount(defaults=Defaults(envelope_from="b@x.example"))})

    assert _sent(policy).envelope.sender == "bounce@sender.example"
    assert _sent(policy, Defaults(envelope_from="auto")).envelope.sender == "a@other.example"
    assert _sent(policy, Defaults(envelope_from="auto"), "7").envelope.sender == "b@x.example"


@pytest.mark.parametrize(
    ("pool", "near", "login", "everybody", "upstream"),
    [
        ("two", Subaccount("sub"), "one", "one", "up2"),  # the message says it
        ("default", Subaccount("sub"), "one", "one", "sub"),  # "default" asks for what is used anyway
        ("strange", Subaccount("sub"), "one", "one", "sub"),  # a name that leads nowhere is warned about
        (None, Subaccount("sub"), "one", "two", "sub"),
        (None, Subaccount(defaults=Defaults(ip_pool="two")), "one", "one", "up2"),
        (None, Subaccount(defaults=Defaults(ip_pool="default")), "one", "one", "main"),
        (None, Subaccount(), "ONE", "two", "up1"),
        (None, Subaccount(), "default", "two", "main"),
        (None, Subaccount(), None, "two", "up2"),
        (None, Subaccount(), None, "", "main"),
    ],
)
def test_the_nearest_word_about_the_way_out_counts(
    pool: str | None, near: Subaccount, login: str | None, everybody: str, upstream: str
) -> None:
    policy = Policy(ip_pools=_POOLS, ip_pool=everybody, subaccounts={"7": near})

    assert _sent(policy, Defaults(ip_pool=login), "7", ip_pool=pool).upstream == upstream
