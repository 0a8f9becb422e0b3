"""What is promised of wishes without a counterpart: a place, a warning or a refusal, and never silence."""

import pytest

from smtpbridge.dialect.infobip import Account
from smtpbridge.dialect.instructions import Instructions, Refusal
from smtpbridge.dialect.options import Judgement, judge
from smtpbridge.dialect.policy import Policy, Subaccount, Unsupported

_DEFAULTS = Policy()
_LACKS = [
    ("ip_pool", "on_ip_pool", "ip-pool", Instructions(ip_pool="gold")),
    ("inline_css", "on_inline_css", "inline-css", Instructions(inline_css=True)),
    ("skip_suppression", "on_skip_suppression", "skip-suppression", Instructions(skip_suppression=True)),
    ("dkim_key", "on_dkim_key", "dkim-key", Instructions(dkim_key="k1")),
]


def _judged(wishes: Instructions, policy: Policy = _DEFAULTS, subaccount: str = "") -> Judgement:
    judgement = judge(wishes, policy, subaccount)
    assert isinstance(judgement, Judgement)
    return judgement


@pytest.mark.parametrize(("option", "switch", "kind", "wishes"), _LACKS)
@pytest.mark.parametrize("stance", [Unsupported.MAP, Unsupported.WARN])
def test_what_cannot_be_granted_is_a_warning(
    option: str, switch: str, kind: str, wishes: Instructions, stance: Unsupported
) -> None:
    (warning,) = _judged(wishes, Policy(**{switch: stance})).warnings  # type: ignore[arg-type]  # names come from _LACKS

    assert warning.kind == kind
    assert f"'{option}'" in warning.text


@pytest.mark.parametrize(("option", "switch", "kind", "wishes"), _LACKS)
def test_what_cannot_be_granted_is_refused_on_request(
    option: str, switch: str, kind: str, wishes: Instructions
) -> None:
    refusal = judge(wishes, Policy(**{switch: Unsupported.REFUSE}), "")  # type: ignore[arg-type]  # as above

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.enhanced) == (550, "5.6.0")
    assert refusal.text.startswith(f"X-MSYS-API '{option}'")


@pytest.mark.parametrize(
    "wishes",
    [
        Instructions(),
        Instructions(inline_css=False, skip_suppression=False),
        Instructions(ip_pool="", dkim_key=""),
        Instructions(ip_pool="default", dkim_key="Default"),
    ],
)
def test_an_option_that_asks_for_nothing_is_let_pass(wishes: Instructions) -> None:
    refuse = Unsupported.REFUSE
    policy = Policy(on_ip_pool=refuse, on_inline_css=refuse, on_skip_suppression=refuse, on_dkim_key=refuse)

    assert _judged(wishes, policy) == Judgement(Account("main"))


@pytest.mark.parametrize("pool", ["gold", "GOLD"])
def test_a_pool_leads_to_its_upstream_in_any_case(pool: str) -> None:
    policy = Policy(ip_pools={"Gold": "second"}, on_ip_pool=Unsupported.REFUSE)

    assert _judged(Instructions(ip_pool=pool), policy) == Judgement(Account("second"))


def test_a_subaccount_has_its_upstream_entity_and_application() -> None:
    policy = Policy(subaccounts={"123": Subaccount("second", "shop", "web")})

    assert _judged(Instructions(), policy, "123") == Judgement(Account("second", "shop", "web"))


def test_a_subaccount_without_an_upstream_uses_the_default_one() -> None:
    policy = Policy(default_upstream="first", subaccounts={"123": Subaccount(entity_id="shop")})

    assert _judged(Instructions(), policy, "123") == Judgement(Account("first", "shop"))


def test_the_pool_wins_over_the_subaccount() -> None:
    policy = Policy(ip_pools={"gold": "third"}, subaccounts={"123": Subaccount("second", "shop")})

    assert _judged(Instructions(ip_pool="gold"), policy, "123").account == Account("third", "shop")


def test_an_unknown_subaccount_goes_to_the_default_upstream_with_a_warning() -> None:
    judgement = _judged(Instructions(), Policy(), "999")

    assert judgement.account == Account("main")
    assert [warning.kind for warning in judgement.warnings] == ["subaccount"]


@pytest.mark.parametrize("name", ["\r\nRSET", "\U0001f600" * 5000, "\ud800", "'" * 5000, "\x00"])
def test_a_refusal_is_printable_ascii_and_fits_a_reply(name: str) -> None:
    refusal = judge(Instructions(ip_pool=name), Policy(on_ip_pool=Unsupported.REFUSE), "")

    assert isinstance(refusal, Refusal)
    assert refusal.text.isascii()
    assert refusal.text.isprintable()
    assert len(refusal.text) < 400


@pytest.mark.parametrize(
    ("stance", "can_inline", "inlined", "why"),
    [
        (Unsupported.MAP, True, True, None),
        (Unsupported.MAP, False, False, "not installed"),
        (Unsupported.WARN, True, False, "the configuration"),
    ],
)
def test_css_is_to_be_inlined_where_that_is_wanted_and_can_be_done(
    stance: Unsupported, can_inline: bool, inlined: bool, why: str | None
) -> None:
    judgement = judge(Instructions(inline_css=True), Policy(on_inline_css=stance), "", can_inline=can_inline)

    assert isinstance(judgement, Judgement)
    assert judgement.inline_css is inlined
    assert [why is not None and why in warning.text for warning in judgement.warnings] == [True] * (why is not None)


def test_css_is_not_inlined_unasked() -> None:
    assert judge(Instructions(), _DEFAULTS, "", can_inline=True) == Judgement(Account("main"))
