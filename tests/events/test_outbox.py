"""One target's loop, with a clock, a real ledger and a target that does as it is told."""

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from smtpbridge.events.faults import Came, Outcome
from smtpbridge.events.outbox import Outbox
from smtpbridge.events.schedule import Attempts
from smtpbridge.events.target import Target
from smtpbridge.store.errors import StoreError
from smtpbridge.store.ledger import EventFilter
from tests.events.world import World, done

GOOD = Outcome(Came.TAKEN, "HTTP 200 OK", 200)
BAD = Outcome(Came.REFUSED, "HTTP 500 Internal Server Error", 500)


class FakeTarget:
    """Answers as `answer` says, at once or when told to."""

    def __init__(self, clock: Any) -> None:
        self.answer: Callable[[str], Outcome] = lambda _: GOOD
        self.posts: list[tuple[float, str, list[str]]] = []
        self.holds = False
        self.held: list[tuple[str, Deferred[Outcome]]] = []
        self._clock = clock

    def post(self, batch_id: str, body: bytes) -> "Deferred[Outcome]":
        self.posts.append((self._clock.seconds(), batch_id, [one["id"] for one in json.loads(body)]))
        if not self.holds:
            return succeed(self.answer(batch_id))
        waiting: Deferred[Outcome] = Deferred()
        self.held.append((batch_id, waiting))
        return waiting

    def close(self) -> "Deferred[None]":
        return succeed(None)

    def let_go(self) -> None:
        held, self.held = self.held, []
        for batch_id, waiting in held:
            waiting.callback(self.answer(batch_id))


class OutboxTest(TestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.clock = self.world.clock
        self.hook = FakeTarget(self.clock)

    def outbox(self, name: str = "crm", hook: FakeTarget | None = None, **settings: Any) -> Outbox:
        target = Target(name, "https://crm.test/hook", **{"batch_events": 3, "batch_seconds": 10.0, **settings})
        made = Outbox(
            target,
            hook or self.hook,
            self.world.access,
            self.clock,
            epoch=self.clock.epoch,
            chance=lambda: 0.0,
        )
        made.start()
        self.addCleanup(lambda: done(Deferred.fromCoroutine(made.stop()).addCallback(lambda _: True)))
        return made

    def sleep(self, seconds: float) -> None:
        """Let time pass in steps that no deadline falls through."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(min(1.0, end - self.clock.seconds()))

    def test_a_full_batch_goes_at_once_and_a_smaller_one_when_its_oldest_event_has_waited_long_enough(self) -> None:
        self.world.wait_with(4)
        self.outbox()

        self.assertEqual([ids for _, _, ids in self.hook.posts], [["0", "1", "2"]])
        self.sleep(9)
        self.assertEqual(len(self.hook.posts), 1)
        self.sleep(2)
        self.assertEqual([ids for _, _, ids in self.hook.posts], [["0", "1", "2"], ["3"]])
        self.assertEqual(set(self.world.standings().values()), {"delivered"})

    def test_events_that_come_without_a_word_are_seen_and_wait_no_longer_than_they_may(self) -> None:
        self.outbox()
        self.sleep(60)
        self.world.wait_with(1)
        self.sleep(11)

        self.assertEqual([ids for _, _, ids in self.hook.posts], [["0"]])

    def test_a_batch_that_was_not_taken_comes_again_with_the_same_id_and_the_same_events(self) -> None:
        answers = iter([BAD, BAD, GOOD])
        self.hook.answer = lambda _: next(answers)
        self.world.wait_with(3)
        outbox = self.outbox()
        self.sleep(600)

        self.assertEqual(len(self.hook.posts), 3)
        self.assertEqual(len({(batch_id, *ids) for _, batch_id, ids in self.hook.posts}), 1)
        self.assertEqual(outbox.tally.posts, {"refused": 2, "taken": 1})
        self.assertEqual(outbox.tally.delivered, 3)

    def test_twelve_attempts_are_made_within_eight_hours_and_then_the_batch_is_kept_as_undeliverable(self) -> None:
        self.hook.answer = lambda _: BAD
        self.world.wait_with(3)
        outbox = self.outbox()
        for _ in range(10 * 60):
            self.clock.advance(60.0)

        self.assertEqual(len(self.hook.posts), 12)
        self.assertLess(abs(self.hook.posts[-1][0] - 8 * 3600), 700)
        self.assertEqual(set(self.world.standings().values()), {"dead"})
        self.assertEqual([one.answer for one in self.world.ledger.dead_list("crm")], [BAD.words])
        self.assertEqual(outbox.tally.given_up, 3)

    def test_what_was_undeliverable_is_posted_when_it_is_replayed(self) -> None:
        self.hook.answer = lambda _: BAD
        self.world.wait_with(3)
        self.outbox(attempts=Attempts(1, 60.0))
        self.assertEqual(set(self.world.standings().values()), {"dead"})
        self.hook.answer = lambda _: GOOD
        self.world.ledger.replay(EventFilter(target="crm"))
        self.sleep(30)

        self.assertEqual([ids for _, _, ids in self.hook.posts], [["0", "1", "2"]] * 2)
        self.assertEqual(set(self.world.standings().values()), {"delivered"})

    def test_after_an_hour_of_darkness_everything_arrives_in_batches_within_minutes(self) -> None:
        self.hook.answer = lambda _: BAD
        self.outbox()
        for minute in range(60):
            self.world.wait_with(2, first=2 * minute)
            self.sleep(60)
        tried = len(self.hook.posts)
        self.hook.answer = lambda _: GOOD
        self.sleep(330)

        self.assertLess(tried, 30)
        self.assertEqual(set(self.world.standings().values()), {"delivered"})
        arrived = [ids for _, _, ids in self.hook.posts[tried:]]
        self.assertEqual(sorted(int(one) for ids in arrived for one in ids), list(range(120)))
        self.assertLess(len(arrived), 45)

    def test_one_batch_that_a_target_never_takes_holds_the_others_up_for_seconds_only(self) -> None:
        self.world.wait_with(3)
        self.hook.answer = lambda batch_id: BAD if batch_id == "batch-1" else GOOD
        self.outbox()
        for number in range(1, 30):
            self.world.wait_with(3, first=3 * number)
            self.sleep(60)
        standings = self.world.standings()

        self.assertEqual({standings[one] for one in ("0", "1", "2")}, {"sending"})
        self.assertEqual({standing for one, standing in standings.items() if int(one) > 2}, {"delivered"})

    def test_how_long_a_target_is_left_alone_is_known_until_it_is_over(self) -> None:
        self.world.wait_with(3)
        self.hook.answer = lambda _: BAD
        outbox = self.outbox()

        self.assertEqual(outbox.paused, 5.0)
        self.sleep(3)
        self.assertEqual((outbox.paused, outbox.failures, outbox.answer), (2.0, 1, BAD.words))
        self.hook.answer = lambda _: GOOD
        self.sleep(60)
        self.assertEqual((outbox.paused, outbox.failures, outbox.answer), (0.0, 0, ""))

    def test_a_target_that_hangs_does_not_hold_up_another(self) -> None:
        slow, quick = FakeTarget(self.clock), FakeTarget(self.clock)
        slow.holds = True
        self.world.wait_with(3, "slow")
        self.world.wait_with(3, "quick", first=10)
        self.outbox("slow", slow)
        self.outbox("quick", quick)
        self.sleep(5)

        self.assertEqual((len(slow.posts), len(quick.posts)), (1, 1))
        self.assertEqual(set(self.world.standings("quick").values()), {"delivered"})
        slow.let_go()

    def test_a_batch_whose_answer_was_never_noted_is_posted_again_with_its_id(self) -> None:
        self.world.wait_with(3)
        left = self.world.ledger.form_batch("crm", 3, self.clock.epoch())
        self.outbox()

        self.assertEqual([batch_id for _, batch_id, _ in self.hook.posts], [left.id])

    def test_a_ledger_that_fails_loses_nothing_and_the_loop_goes_on_when_it_is_well(self) -> None:
        self.world.wait_with(3)
        self.hook.holds = True
        self.outbox()
        self.world.ledger.broken = StoreError("the disk is full")
        self.hook.let_go()
        self.hook.holds = False
        self.sleep(30)
        self.world.ledger.broken = None
        self.sleep(30)

        self.assertEqual(len({batch_id for _, batch_id, _ in self.hook.posts}), 1)
        self.assertGreater(len(self.hook.posts), 1)
        self.assertEqual(set(self.world.standings().values()), {"delivered"})

    def test_the_end_waits_for_the_post_that_is_under_way(self) -> None:
        self.world.wait_with(6)
        self.hook.holds = True
        outbox = self.outbox()
        ended: list[None] = []
        Deferred.fromCoroutine(outbox.stop()).addCallback(ended.append)
        self.assertEqual(ended, [])
        self.hook.let_go()

        self.assertEqual(ended, [None])
        self.assertEqual(len(self.hook.posts), 1)
        self.assertEqual(sorted(set(self.world.standings().values())), ["delivered", "waiting"])
