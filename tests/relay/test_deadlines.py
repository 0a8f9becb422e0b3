"""Deadlines that one sweep a second looks at."""

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.relay.deadlines import NEVER, Deadlines


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

    def test_it_tells_the_time_of_its_clock(self) -> None:
        self.clock.advance(12.5)

        self.assertEqual(self.deadlines.now(), 12.5)
