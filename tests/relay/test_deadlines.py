"""Deadlines that one sweep a second looks at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.relay.deadlines import NEVER, Deadlines, paced


class Somebody:
    """Somebody who counts how often its time came."""

    def __init__(self, deadline: float, breaks: bool = False) -> None:
        self.deadline = deadline
        self.called = 0
        self.breaks = breaks

    def deadline_passed(self) -> None:
        self.called += 1
        if self.breaks:
            raise ZeroDivisionError("a defect")


class DeadlinesTest(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)

    def wait(self, seconds: int) -> None:
        self.clock.pump([1.0] * seconds)

    def test_a_deadline_is_acted_upon_within_a_second_and_not_before(self) -> None:
        one = Somebody(5.0)
        self.deadlines.watch(one)

        self.wait(4)
        self.assertEqual(one.called, 0)
        self.wait(2)
        self.assertGreaterEqual(one.called, 1)

    def test_a_deadline_that_is_moved_is_not_acted_upon(self) -> None:
        one = Somebody(5.0)
        self.deadlines.watch(one)

        self.wait(4)
        one.deadline = 10.0
        self.wait(5)
        self.assertEqual(one.called, 0)
        one.deadline = NEVER
        self.wait(1000)
        self.assertEqual(one.called, 0)

    def test_somebody_who_does_not_move_the_deadline_is_called_at_each_sweep(self) -> None:
        one = Somebody(1.0)
        self.deadlines.watch(one)

        self.wait(3)

        self.assertEqual(one.called, 3)

    def test_there_is_no_timer_while_nobody_is_watched(self) -> None:
        one, other = Somebody(NEVER), Somebody(NEVER)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.deadlines.watch(one)
        self.deadlines.watch(other)
        self.deadlines.watch(one)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

        self.deadlines.forget(one)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.deadlines.forget(other)
        self.deadlines.forget(other)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_somebody_forgotten_is_not_called(self) -> None:
        one, other = Somebody(1.0), Somebody(NEVER)
        self.deadlines.watch(one)
        self.deadlines.watch(other)
        self.deadlines.forget(one)

        self.wait(5)

        self.assertEqual(one.called, 0)

    def test_a_defect_in_one_ends_the_watch_over_it_and_over_nobody_else(self) -> None:
        broken, sound = Somebody(1.0, breaks=True), Somebody(1.0)
        self.deadlines.watch(broken)
        self.deadlines.watch(sound)

        self.wait(3)

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((broken.called, sound.called), (1, 3))

    def test_whoever_forgets_another_in_the_sweep_does_not_disturb_it(self) -> None:
        deadlines, clock = self.deadlines, self.clock
        sound = Somebody(1.0)

        class Leaver(Somebody):
            def deadline_passed(self) -> None:
                super().deadline_passed()
                deadlines.forget(self)

        leavers = [Leaver(1.0) for _ in range(3)]
        for one in [*leavers, sound]:
            deadlines.watch(one)
        clock.advance(1.0)
        clock.advance(1.0)

        self.assertEqual([one.called for one in leavers], [1, 1, 1])
        self.assertEqual(sound.called, 2)

    def test_whoever_gets_more_time_by_the_end_of_another_in_the_sweep_is_not_ended(self) -> None:
        saved = Somebody(1.0)

        class Giver(Somebody):
            def deadline_passed(self) -> None:
                super().deadline_passed()
                self.deadline = NEVER
                saved.deadline = 10.0

        giver = Giver(1.0)
        self.deadlines.watch(giver)
        self.deadlines.watch(saved)
        self.wait(3)

        self.assertEqual((giver.called, saved.called), (1, 0))

    def test_it_tells_the_time_of_its_clock(self) -> None:
        self.clock.advance(12.5)

        self.assertEqual(self.deadlines.now(), 12.5)


def lasts(blocks: list[tuple[float, int]], grace: float, min_rate: float) -> float:
    """Return how long a stream of (pause, octets) is borne."""
    now, deadline = 0.0, grace
    for pause, octets in blocks:
        now += pause
        if now > deadline:
            return deadline
        deadline = paced(deadline, now, octets, grace=grace, min_rate=min_rate)
    return deadline


def test_a_stream_at_the_minimum_rate_goes_on_and_a_slower_one_does_not() -> None:
    assert lasts([(1.0, 500)] * 10_000, 180.0, 500.0) > 10_000
    # The grace is used up by what is missing: a second in each ten.
    assert 1700 < lasts([(1.0, 450)] * 10_000, 180.0, 500.0) < 1900
    assert lasts([(1.0, 1)] * 10_000, 180.0, 500.0) < 181


def test_a_silence_lasts_no_longer_than_the_grace_and_may_last_that_long() -> None:
    assert lasts([(179.0, 100_000)] * 50, 180.0, 500.0) == 179.0 * 50 + 180.0
    assert lasts([(179.0, 100_000), (181.0, 100_000)], 180.0, 500.0) == 179.0 + 180.0


def test_what_came_fast_at_first_is_no_credit_for_a_trickle_later() -> None:
    assert lasts([(0.0, 20_000_000), *[(100.0, 1)] * 50], 180.0, 500.0) < 181


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1_000_000)), max_size=40))
def test_how_a_stream_is_cut_makes_no_difference_while_it_is_not_late(blocks: list[tuple[float, int]]) -> None:
    halves = [half for pause, octets in blocks for half in ((pause, octets // 2), (0.0, octets - octets // 2))]

    assert lasts(halves, 100.0, 500.0) == pytest.approx(lasts(blocks, 100.0, 500.0))
