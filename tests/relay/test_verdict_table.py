"""docs/verdicts.md, held row by row against `settle`."""

from itertools import product
from pathlib import Path

import pytest

from smtpbridge.relay.settlement import Fate, settle
from smtpbridge.relay.verdict import Outcome, Refused
from smtpbridge.smtp.replies import Reply, reply

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"

TAKEN = reply(250, "2.6.0", "first")
LATER = reply(452, "4.2.2", "full")
NEVER = reply(550, "5.1.1", "unknown")
NO_LOGIN = reply(535, "5.7.8", "who are you")

# What each phrase of the column "not taken" stands for: who refused with which words, and who is unknown.
NOT_TAKEN: dict[str, tuple[tuple[Reply, ...], int]] = {
    "nobody": ((), 0),
    "refused for now": ((LATER,), 0),
    "refused for good": ((NEVER,), 0),
    "some refused for now, some for good": ((NEVER, LATER), 0),
    "refused because of the connection": ((NO_LOGIN,), 0),
    "nobody knows": ((), 1),
}
FATES = {"retried": Fate.RETRY, "reported": Fate.REPORT, "held": Fate.HOLD}


def rows() -> list[tuple[str, ...]]:
    """Return the rows of the table of proxy mode."""
    section = PAGE.read_text("utf-8").split("## Proxy mode")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def outcomes(taken: str, not_taken: str, *, apart: bool) -> list[Outcome]:
    """Return outcomes of that kind; `apart` puts what was not taken into a second transaction."""
    answers, unknown = NOT_TAKEN[not_taken]
    refused = tuple(Refused(f"r{place}@example.net", answer) for place, answer in enumerate(answers))
    lost = ("u@example.net",) * unknown
    served = () if taken == "nobody" else ("t@example.net",)
    if apart and served:
        return [Outcome(served, (), (), TAKEN), Outcome((), refused, lost, LATER)]
    return [Outcome(served, refused, lost, TAKEN if served else LATER)]


def phrases(not_taken: str) -> list[str]:
    return [one for one in NOT_TAKEN if one != "nobody"] if not_taken == "anything" else [not_taken]


def hears(promise: str, answer: Reply, answers: tuple[Reply, ...]) -> bool:
    """Tell whether an answer is what the page promises."""
    code, _, words = promise.partition(", ")
    right = str(answer.code) == code or (code.endswith("xx") and str(answer.code)[0] == code[0])
    match words:
        case "the first transaction's own words":
            return right and answer == TAKEN
        case "the provider's own words":
            return right and answer in answers
        case "with the provider's words":
            return right and answer.lines in [one.lines for one in answers]
        case "":
            return right
        case _:
            raise AssertionError(f"the page promises {words!r}, which nobody has checked")


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]}, {row[1]}, {row[2]}")
@pytest.mark.parametrize("apart", [False, True])
def test_a_row_of_the_page_is_what_is_decided(row: tuple[str, ...], apart: bool) -> None:
    taken, not_taken, store, promise, kept = row
    for phrase in phrases(not_taken):
        settlement = settle(outcomes(taken, phrase, apart=apart))

        fates = [FATES[word] for word in kept.split(", ") if word != "nothing"]
        answer = settlement.otherwise if store == "fails" else settlement.answer
        assert hears(promise, answer, NOT_TAKEN[phrase][0]), answer
        if store == "fails":
            assert settlement.leftovers
        else:
            assert [leftover.fate for leftover in settlement.leftovers] == fates
            assert (store == "takes it") is bool(fates)


def test_the_page_has_a_row_for_whatever_can_happen() -> None:
    there = {row[:2] for row in rows() if row[2] != "fails"}
    singles = [phrase for phrase in NOT_TAKEN if phrase != "nobody"]

    assert {("all", "nobody"), *product(["nobody", "some"], singles)} == there
    assert [row[:2] for row in rows() if row[2] == "fails"] == [("some", "anything")]
