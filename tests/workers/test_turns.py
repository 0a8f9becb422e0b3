"""Which worker gets a connection."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.workers.turns import Turns

BOTH = [1, 2]


def turns(workers: int = 2) -> Turns:
    made = Turns()
    for number in range(1, workers + 1):
        made.begin(number)
    return made


def give(to: Turns, door: int, among: list[int]) -> int:
    number = to.pick(door, among)
    to.given(door, number)
    return number


def test_a_crowd_that_comes_at_once_is_spread_evenly() -> None:
    spread = turns()

    assert Counter(give(spread, 0, BOTH) for _ in range(20)) == {1: 10, 2: 10}


@given(st.lists(st.integers(0, 2), max_size=80), st.integers(1, 5))
def test_no_worker_has_more_than_one_session_above_another_at_any_door(doors: list[int], workers: int) -> None:
    spread = turns(workers)
    got = [(door, give(spread, door, list(range(1, workers + 1)))) for door in doors]

    for door in range(3):
        counts = Counter(dict.fromkeys(range(1, workers + 1), 0))
        counts.update(number for at, number in got if at == door)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_who_lost_sessions_gets_the_next_ones() -> None:
    spread = turns()
    for _ in range(20):
        give(spread, 0, BOTH)
    spread.told(1, 10, [10])
    spread.told(2, 10, [4])

    assert [give(spread, 0, BOTH) for _ in range(6)] == [2] * 6


def test_what_was_given_and_not_yet_counted_is_not_forgotten_by_a_count_that_crossed_it() -> None:
    spread = turns()
    for _ in range(20):
        give(spread, 0, BOTH)
    spread.told(1, 3, [3])
    spread.told(2, 10, [10])

    assert Counter(give(spread, 0, BOTH) for _ in range(10)) == {1: 5, 2: 5}


def test_sessions_that_are_over_count_no_more_although_they_were_given_lately() -> None:
    spread = turns()
    for _ in range(8):
        give(spread, 0, BOTH)
    spread.told(1, 4, [0])
    spread.told(2, 4, [4])

    assert [give(spread, 0, BOTH) for _ in range(4)] == [1, 1, 1, 1]


def test_who_is_not_open_gets_nothing() -> None:
    spread = turns(3)

    assert {give(spread, 0, [1, 3]) for _ in range(9)} == {1, 3}


def test_short_sessions_take_turns() -> None:
    spread = turns(3)
    got = []
    for seen in range(9):
        number = give(spread, 0, [1, 2, 3])
        got.append(number)
        spread.told(number, seen // 3 + 1, [0])

    assert got == [1, 2, 3] * 3


def test_a_worker_that_was_started_anew_begins_with_nothing() -> None:
    spread = turns()
    for _ in range(20):
        give(spread, 0, BOTH)
    spread.begin(2)

    assert [give(spread, 0, BOTH) for _ in range(10)] == [2] * 10


def test_sessions_at_other_doors_count_where_this_one_is_even() -> None:
    spread = turns()
    spread.told(1, 0, [0, 5])
    spread.told(2, 0, [0, 0])

    assert give(spread, 0, BOTH) == 2
