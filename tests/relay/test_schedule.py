"""The back-off of a parcel and the pace of an upstream: pure, so properties hold for all of it."""

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.schedule import Pace, Schedule

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), CHANCE)
def test_no_wait_is_shorter_than_the_first_or_longer_than_the_longest_but_for_a_fifth(
    attempts: int, chance: float
) -> None:
    pause = Schedule(first=60, longest=3600).pause(attempts, chance)

    assert 60 * 0.8 <= pause <= 3600 * 1.2


@given(st.integers(1, 100), CHANCE)
def test_each_wait_is_twice_the_one_before_until_the_longest(attempts: int, chance: float) -> None:
    schedule = Schedule(first=60, longest=3600)
    now, later = schedule.pause(attempts, chance), schedule.pause(attempts + 1, chance)

    assert abs(later - min(2 * now, 3600 * (0.8 + 0.4 * chance))) < 1e-6


def test_parcels_that_failed_together_do_not_come_back_together() -> None:
    schedule = Schedule()

    assert schedule.pause(3, 0.0) < schedule.pause(3, 0.5) < schedule.pause(3, 0.99)


def test_as_many_as_are_allowed_may_begin_less_those_under_way() -> None:
    pace = Pace(10, 5, 300)
    pace.under_way = 4

    assert pace.room(0) == 6
    pace.under_way = 12
    assert pace.room(0) == 0


def test_a_refusal_of_the_provider_lets_nobody_through_for_a_while_and_then_one() -> None:
    pace = Pace(10, 5, 300)
    pace.went_wrong(100)

    assert pace.room(104.9) == 0
    assert pace.room(105) == 1


def test_refusals_at_the_same_time_count_once() -> None:
    pace = Pace(10, 5, 300)
    for _ in range(8):
        pace.went_wrong(100)

    assert pace.paused_until == 105


def test_each_refusal_in_turn_doubles_the_pause_up_to_the_longest() -> None:
    pace, pauses = Pace(10, 5, 60), []
    for _ in range(6):
        now = pace.paused_until
        pace.went_wrong(now)
        pauses.append(pace.paused_until - now)

    assert pauses == [5, 10, 20, 40, 60, 60]


def test_a_success_begins_the_pauses_anew_and_doubles_how_many_may_begin() -> None:
    pace = Pace(10, 5, 300)
    for _ in range(4):
        pace.went_wrong(pace.paused_until)
    now, rooms = pace.paused_until, []
    for _ in range(5):
        rooms.append(pace.room(now))
        pace.went_well()
    pace.went_wrong(now)

    assert rooms == [1, 2, 4, 8, 10]
    assert pace.paused_until == now + 5


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1000))), st.integers(1, 50))
def test_whatever_happens_the_room_is_between_none_and_the_most(steps: list[tuple[bool, float]], most: int) -> None:
    pace, now = Pace(most, 5, 300), 0.0
    for well, passed in steps:
        now += passed
        if well:
            pace.went_well()
        else:
            pace.went_wrong(now)
        assert 0 <= pace.room(now) <= most
        assert pace.paused_until <= now + 300
        assert pace.room(pace.paused_until) >= 1
