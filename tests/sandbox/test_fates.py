"""Promises of `smtpbridge.sandbox.fates`."""

from pathlib import Path

import pytest

from smtpbridge.sandbox.fates import FATES, USUAL, Deed, Done, Fate, Told, fate_of, fate_table
from smtpbridge.sandbox.outcomes import OUTCOMES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sandbox.md"


@pytest.mark.parametrize("address", ["hard.bounce@a.example", "HARD.Bounce@a.example", "hard.bounce+17+x@b.example"])
def test_neither_case_nor_domain_nor_what_stands_behind_a_plus_matters(address: str) -> None:
    assert fate_of(address).local_part == "hard.bounce"


@pytest.mark.parametrize("address", ["ada@a.example", "hard.bounces@a.example", "a+hard.bounce@b.example", "", "open"])
def test_whoever_is_not_in_the_table_gets_the_message(address: str) -> None:
    assert fate_of(address) is USUAL


def test_a_name_does_not_also_ask_for_a_refusal() -> None:
    assert {fate.local_part for fate in FATES} & {outcome.local_part for outcome in OUTCOMES} == set()


@pytest.mark.parametrize("fate", [*FATES, USUAL], ids=lambda fate: fate.local_part)
def test_a_fate_is_told_in_the_order_of_time_and_ends_in_one_result_before_any_deed(fate: Fate) -> None:
    reports = [step for step in fate.steps if isinstance(step, Told)]
    deeds = [step for step in fate.steps if isinstance(step, Done)]

    assert [step.after for step in fate.steps] == sorted(step.after for step in fate.steps)
    assert [step.intermediate for step in reports] == [step.status.group == 1 for step in reports]
    assert [step.status.group == 1 for step in reports].count(False) == 1
    assert fate.steps == (*reports, *deeds)


def test_every_deed_and_every_final_group_can_be_asked_for() -> None:
    steps = [step for fate in FATES for step in fate.steps]

    assert {step.deed for step in steps if isinstance(step, Done)} == set(Deed)
    assert {step.status.group for step in steps if isinstance(step, Told)} == {1, 2, 3, 4, 5}


def test_the_table_for_people_has_a_line_of_at_most_120_characters_for_each_fate() -> None:
    lines = fate_table().splitlines()

    assert [line.split("@")[0] for line in lines[:-1]] == [fate.local_part for fate in FATES]
    assert lines[-1].startswith("anybody else")
    assert max(map(len, lines)) <= 120


def test_the_page_has_a_row_for_each_fate_and_each_outcome() -> None:
    page = PAGE.read_text("utf-8")

    for fate in FATES:
        assert f"| `{fate.local_part}@` | {fate.steps[-1].after:g} s | {fate.text} |" in page
    for outcome in OUTCOMES:
        assert f"| `{outcome.local_part}@` | {outcome.stage.value} | " in page
