"""How all workers together are."""

import json

import pytest

from smtpbridge.ops.health import Health, Trouble, What
from smtpbridge.workers.ledger import Ledger
from smtpbridge.workers.wellness import Wellness, told
from smtpbridge.workers.words import Nonsense

LOGIN = Trouble(What.LOGIN, "upstream main refuses our login: 535", "main")
STORE = Trouble(What.STORE, "the store is out of order: no space left on device")


def ledger(*, ready: int = 2) -> Ledger:
    made = Ledger(2, 30)
    made.begin(0)
    for number in range(1, ready + 1):
        made.ready(number, 0)
    return made


def said(*troubles: Trouble) -> list[object]:
    """Return what a worker says, as it comes over the line."""
    return list(json.loads(json.dumps(told(troubles))))


def test_all_is_well_while_nobody_says_otherwise() -> None:
    assert Wellness(ledger(), 2).troubles() == []


def test_a_trouble_of_one_worker_is_one_of_the_whole_and_told_once() -> None:
    wellness = Wellness(ledger(), 2)
    wellness.told(1, 0, said(LOGIN))
    wellness.told(2, 0, said(LOGIN, STORE))

    assert sorted(wellness.troubles(), key=lambda one: one.what.value) == [LOGIN, STORE]


def test_a_trouble_ends_when_the_worker_says_so_or_is_gone() -> None:
    wellness = Wellness(ledger(), 2)
    wellness.told(1, 0, said(LOGIN))
    wellness.told(2, 0, said(STORE))
    wellness.told(1, 0, said())
    wellness.ended(2)

    assert wellness.troubles() == []


def test_a_worker_that_drains_or_starts_is_no_trouble_while_another_serves() -> None:
    wellness = Wellness(ledger(ready=1), 2)
    wellness.told(2, 0, said(Trouble(What.STARTING, "not yet"), Trouble(What.DRAINING, "no more")))

    assert wellness.troubles() == []


def test_it_is_starting_until_a_worker_serves_and_draining_from_when_it_was_stopped() -> None:
    lives = ledger(ready=0)
    wellness = Wellness(lives, 2)
    assert [one.what for one in wellness.troubles()] == [What.STARTING]
    lives.stop(0, 70)

    assert [one.what for one in wellness.troubles()] == [What.DRAINING]


def test_the_status_line_says_who_serves_and_why_not() -> None:
    wellness, health = Wellness(ledger(), 2), Health(0)
    wellness.told(1, 3, said(LOGIN))
    wellness.told(2, 4, said())
    health.look([], 0)
    assert wellness.status(health) == "ready; 2 of 2 workers serve, sessions: 7"
    health.look(wellness.troubles(), 1)

    assert wellness.status(health) == (
        "NOT READY: upstream main refuses our login: 535; 2 of 2 workers serve, sessions: 7"
    )


@pytest.mark.parametrize("trouble", [None, ["login", "why"], ["of no kind", "why", ""], [1, 2, 3]])
def test_a_trouble_that_is_none_is_nonsense(trouble: object) -> None:
    with pytest.raises(Nonsense):
        Wellness(ledger(), 2).told(1, 0, [trouble])
