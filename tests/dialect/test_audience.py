"""Which targets an event is for."""

from smtpbridge.dialect.audience import Listening, audience
from smtpbridge.dialect.sparkpost_event import EventType

ALL = Listening("all", frozenset(EventType))
CLICKS = Listening("clicks", frozenset({EventType.CLICK}))
SHOP = Listening("shop", frozenset(EventType), frozenset({"7"}))
MAIN = Listening("main", frozenset(EventType), frozenset({"0"}))
TARGETS = (ALL, CLICKS, SHOP, MAIN)


def test_a_target_hears_of_the_types_that_it_takes() -> None:
    assert audience(TARGETS, EventType.CLICK, "8") == ("all", "clicks")
    assert audience(TARGETS, EventType.BOUNCE, "8") == ("all",)


def test_a_target_hears_of_the_subaccounts_that_it_takes_and_0_is_the_mail_of_none() -> None:
    assert audience(TARGETS, EventType.BOUNCE, "7") == ("all", "shop")
    assert audience(TARGETS, EventType.BOUNCE, "") == ("all", "main")


def test_without_targets_an_event_is_for_nobody() -> None:
    assert audience((), EventType.BOUNCE, "") == ()
