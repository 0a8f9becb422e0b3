"""Turns, and sleep between them."""

from collections.abc import Iterator

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpbridge.events.loop import Loop


class LoopTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = 0
        self.under_way: Deferred[float] | None = None
        self.loop = Loop(self.turn, self.clock)

    def turn(self) -> "Deferred[float]":
        self.turns += 1
        self.under_way = Deferred()
        return self.under_way

    def ended(self, seconds: float) -> None:
        assert self.under_way is not None
        self.under_way.callback(seconds)

    def stopping(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self.loop.stop())

    def turns_seen(self, *seconds: float) -> Iterator[int]:
        for one in seconds:
            self.clock.advance(one)
            yield self.turns

    def test_there_is_a_turn_when_the_last_one_said_so(self) -> None:
        self.loop.start()
        self.ended(3)

        self.assertEqual([1, 2], list(self.turns_seen(2.9, 0.1)))

    def test_a_turn_that_leaves_something_to_do_is_followed_at_once(self) -> None:
        self.loop.start()
        self.ended(0)

        self.assertEqual(2, self.turns)

    def test_a_wake_ends_the_sleep(self) -> None:
        self.loop.start()
        self.ended(60)
        self.loop.wake()

        self.assertEqual(2, self.turns)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_wake_during_a_turn_counts_for_the_sleep_behind_it_and_for_no_other(self) -> None:
        self.loop.start()
        self.loop.wake()
        self.ended(60)
        self.assertEqual(2, self.turns)

        self.ended(60)

        self.assertEqual(2, self.turns)
        self.loop.wake()
        self.successResultOf(self.end())

    def test_the_end_waits_for_the_turn_that_is_under_way_and_nothing_comes_behind_it(self) -> None:
        self.loop.start()
        end = self.stopping()
        self.assertNoResult(end)

        self.ended(0)

        self.successResultOf(end)
        self.assertEqual(1, self.turns)

    def test_a_sleeping_loop_ends_at_once(self) -> None:
        self.loop.start()
        self.ended(60)

        self.successResultOf(self.stopping())
        self.assertEqual([], self.clock.getDelayedCalls())

    def end(self) -> "Deferred[None]":
        """End with the turn that is under way."""
        end = self.stopping()
        self.ended(0)
        return end
