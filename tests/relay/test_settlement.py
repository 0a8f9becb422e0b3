"""What is kept of a message: nobody twice, nobody not at all.  (The table itself: `test_verdict_table`.)"""

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.settlement import Fate, leftovers_of, settle
from smtpbridge.relay.verdict import Outcome, Refused
from smtpbridge.smtp.replies import Reply, reply

TAKEN = reply(250, "2.6.0", "yes")
ANSWERS = st.sampled_from(
    [reply(450, "4.2.1", "later"), reply(550, "5.1.1", "never"), reply(421, "4.3.2", "bye"), reply(535, "5.7.8", "who")]
)
ENDS = st.one_of(st.just("taken"), st.just("unknown"), ANSWERS)


def outcome(place: int, ends: list[str | Reply]) -> Outcome:
    named = [(f"{number}@t{place}.test", end) for number, end in enumerate(ends)]
    taken = tuple(address for address, end in named if end == "taken")
    refused = tuple(Refused(address, end) for address, end in named if isinstance(end, Reply))
    unknown = tuple(address for address, end in named if end == "unknown")
    answer = TAKEN if taken else (refused[0].answer if refused else reply(451, "4.4.2", "lost"))
    return Outcome(taken, refused, unknown, answer)


OUTCOMES = st.lists(st.lists(ENDS, min_size=1, max_size=4), min_size=1, max_size=4).map(
    lambda all_of_them: [outcome(place, ends) for place, ends in enumerate(all_of_them)]
)


@given(OUTCOMES)
def test_behind_a_250_everybody_was_taken_or_is_left_over_once(outcomes: list[Outcome]) -> None:
    settlement = settle(outcomes)
    left = [one.address for leftover in settlement.leftovers for one in leftover.recipients]
    taken = [address for one in outcomes for address in one.taken]
    everybody = [
        *taken,
        *(refused.address for one in outcomes for refused in one.refused),
        *(address for one in outcomes for address in one.unknown),
    ]

    if settlement.answer.is_positive:
        assert sorted([*taken, *left]) == sorted(everybody)
    else:
        assert not taken
        assert not left


@given(OUTCOMES)
def test_without_a_store_only_what_was_taken_whole_is_250(outcomes: list[Outcome]) -> None:
    settlement = settle(outcomes)

    assert settlement.otherwise.is_positive is all(not one.refused and not one.unknown for one in outcomes)
    if settlement.leftovers:
        assert settlement.otherwise.code == 451


@given(OUTCOMES)
def test_each_leftover_lies_in_the_transaction_that_it_comes_from(outcomes: list[Outcome]) -> None:
    for leftover in settle(outcomes).leftovers:
        assert leftover.recipients
        assert all(one.address.endswith(f"@t{leftover.place}.test") for one in leftover.recipients)


def test_the_fate_of_a_recipient_follows_from_what_was_said_of_it() -> None:
    later, never, login = reply(450, "4.2.1", "later"), reply(550, "5.1.1", "no"), reply(535, "5.7.8", "who are you")
    refused = (Refused("later@b", later), Refused("never@b", never), Refused("login@b", login))

    found = leftovers_of(3, Outcome((), refused, ("lost@b",), later))

    assert {one.fate: [each.address for each in one.recipients] for one in found} == {
        Fate.RETRY: ["later@b", "login@b"],
        Fate.REPORT: ["never@b"],
        Fate.HOLD: ["lost@b"],
    }
    assert {one.place for one in found} == {3}
