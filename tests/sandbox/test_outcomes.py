"""Promises of `smtpbridge.sandbox.outcomes`."""

import pytest

from smtpbridge.sandbox.outcomes import (
    OUTCOMES,
    AddressJudge,
    Manner,
    Outcome,
    Stage,
    outcome_table,
    provoked,
    provoked_by_any,
)
from smtpbridge.smtp.commands import Mail


def test_an_ordinary_address_is_answered_in_infobips_words() -> None:
    judge = AddressJudge()

    assert judge.sender(Mail("a@example.com")).encode() == b"250 2.1.0 Sender <a@example.com> OK\r\n"
    assert judge.recipient("b@example.com", 0).encode() == b"250 2.1.5 Recipient <b@example.com> OK\r\n"
    assert judge.sender(Mail("")).encode() == b"250 2.1.0 Sender <> OK\r\n"
    assert judge.last_words is None


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("refuse@example.com", b"550 5.7.1 Recipient <refuse@example.com> not allowed\r\n"),
        ("bad@example.com", b"501 5.1.7 Bad recipient address <bad@example.com>\r\n"),
    ],
)
def test_the_two_documented_refusals_of_a_recipient_are_in_infobips_words(address: str, line: bytes) -> None:
    assert AddressJudge().recipient(address, 0).encode() == line


@pytest.mark.parametrize("address", ["refuse@a.example", "REFUSE@a.example", "refuse+17@a.example", "Refuse+x+y@b.c"])
def test_neither_case_nor_domain_nor_what_stands_behind_a_plus_matters(address: str) -> None:
    assert AddressJudge().recipient(address, 0).code == 550


@pytest.mark.parametrize("address", ["refused@example.com", "refuse.@example.com", "postmaster", "", "a+refuse@b.c"])
def test_a_name_that_is_only_similar_provokes_nothing(address: str) -> None:
    assert [provoked(address, stage) for stage in Stage] == [None] * 4


def test_an_address_acts_at_its_own_stage_only() -> None:
    for outcome in OUTCOMES:
        address = f"{outcome.local_part}@example.com"
        assert {stage: provoked(address, stage) for stage in Stage} == {
            stage: outcome if stage is outcome.stage else None for stage in Stage
        }


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.local_part)
def test_an_outcome_is_a_refusal_whose_codes_agree_and_421_ends_the_connection(outcome: Outcome) -> None:
    assert outcome.code // 100 == int(outcome.enhanced[0])
    assert outcome.code >= 400
    assert (outcome.code == 421) is (outcome.manner is not Manner.STAY)


@pytest.mark.parametrize(
    ("address", "silent"), [("hangup@example.com", False), ("cut@example.com", True), ("cut+1@example.com", True)]
)
def test_the_judge_remembers_its_last_words(address: str, silent: bool) -> None:
    judge = AddressJudge()
    said = judge.recipient(address, 0)
    judge.recipient("hangup+later@example.com", 0)

    assert (judge.last_words, judge.silent) == (said, silent)


def test_the_first_recipient_that_asks_for_something_decides() -> None:
    found = provoked_by_any(["a@b.c", "defer.data@b.c", "reject.data@b.c"], Stage.DOT)

    assert found is not None
    assert (found[0].local_part, found[1]) == ("defer.data", "defer.data@b.c")
    assert provoked_by_any(["a@b.c"], Stage.DOT) is None


def test_the_table_for_people_has_a_line_of_at_most_120_characters_for_each_outcome() -> None:
    lines = outcome_table().splitlines()

    assert [line.split("@")[0] for line in lines] == [outcome.local_part for outcome in OUTCOMES]
    assert max(map(len, lines)) <= 120
