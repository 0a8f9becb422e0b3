"""Another configuration for all workers or for none; and what a worker does with it."""

import os
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.reloading.reloads import NotApplied
from smtpbridge.workers import words
from smtpbridge.workers.agreement import ENFORCE_SECONDS, PREPARE_SECONDS, Agreement, record_from
from smtpbridge.workers.words import Kind, Nonsense
from tests.workers.test_child import World


class AgreementTest(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.full: set[int] = set()
        self.said: list[tuple[int, Kind, object]] = []
        self.records: dict[int, bytes] = {}
        self.taken = 0
        self.agreement = Agreement(self.send, self.clock)

    def send(self, number: int, packet: bytes, descriptors: Sequence[int] = ()) -> bool:
        if number in self.full:
            return False
        self.said.append((number, *words.read(packet)))
        for one in descriptors:
            self.records[number] = record_from(os.dup(one))
        return True

    def take(self) -> list[int]:
        self.taken += 1
        return [1, 2]

    def begin(self) -> "Deferred[None]":
        task = self.agreement.reach([1, 2], lambda number: b"be %d" % number, self.take)
        return Deferred.fromCoroutine(task)

    def enforced(self) -> list[int]:
        return [number for number, kind, _ in self.said if kind is Kind.ENFORCE]

    def fault(self, reached: "Deferred[None]") -> tuple[str, ...]:
        error = self.failureResultOf(reached, NotApplied).value
        assert isinstance(error, NotApplied)
        return error.faults

    def test_all_prepare_before_anybody_obeys(self) -> None:
        reached = self.begin()
        self.assertEqual(self.records, {1: b"be 1", 2: b"be 2"})
        self.agreement.prepared(1, [1, []])
        self.assertEqual((self.taken, self.enforced()), (0, []))

        self.agreement.prepared(2, [1, []])
        self.assertEqual((self.taken, self.enforced()), (1, [1, 2]))
        self.assertNoResult(reached)
        self.agreement.enforced(1, 1)
        self.agreement.enforced(2, 1)
        self.successResultOf(reached)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_cannot_keeps_all_from_it_and_says_why(self) -> None:
        reached = self.begin()
        self.agreement.prepared(1, [1, []])
        self.agreement.prepared(2, [1, ["one thing", "another"]])

        self.assertEqual(self.fault(reached), ("worker 2: one thing", "worker 2: another"))
        self.assertEqual((self.taken, self.enforced()), (0, []))

    def test_one_that_does_not_answer_keeps_all_from_it(self) -> None:
        reached = self.begin()
        self.agreement.prepared(1, [1, []])
        self.clock.advance(PREPARE_SECONDS)

        self.assertEqual(self.fault(reached), ("worker 2 has not answered in time",))
        self.agreement.prepared(2, [1, []])
        self.assertEqual(self.enforced(), [], "it is too late")

    def test_one_that_ends_meanwhile_keeps_all_from_it(self) -> None:
        reached = self.begin()
        self.agreement.prepared(1, [1, []])
        self.agreement.ended(2)

        self.assertEqual(self.fault(reached), ("worker 2 ended while it looked at the new configuration",))

    def test_one_that_has_no_room_on_its_line_keeps_all_from_it(self) -> None:
        self.full.add(2)
        reached = self.begin()
        self.agreement.prepared(1, [1, []])

        self.assertEqual(self.fault(reached), ("worker 2 has no room on its line",))

    def test_one_that_is_started_meanwhile_is_asked_too(self) -> None:
        reached = self.begin()
        for number in (1, 2):
            self.agreement.prepared(number, [1, []]) if number == 1 else self.agreement.started(3)
        self.agreement.prepared(2, [1, []])
        self.assertNoResult(reached)
        self.agreement.prepared(3, [1, ["no"]])

        self.assertEqual(self.fault(reached), ("worker 3: no",))

    def test_who_has_no_room_for_the_word_to_go_on_hears_it_later(self) -> None:
        self.begin()
        self.agreement.prepared(1, [1, []])
        self.full.add(2)
        self.agreement.prepared(2, [1, []])
        self.assertEqual(self.enforced(), [1])
        self.full.clear()
        self.agreement.look()
        self.agreement.look()

        self.assertEqual(self.enforced(), [1, 2])
        self.agreement.enforced(1, 1)
        self.agreement.enforced(2, 1)

    def test_who_does_not_confirm_is_not_waited_for_long(self) -> None:
        reached = self.begin()
        self.agreement.prepared(1, [1, []])
        self.agreement.prepared(2, [1, []])
        self.agreement.enforced(1, 1)
        self.clock.advance(ENFORCE_SECONDS)

        self.successResultOf(reached)

    def test_an_answer_to_an_earlier_question_counts_for_nothing(self) -> None:
        first = self.begin()
        self.clock.advance(PREPARE_SECONDS)
        self.failureResultOf(first, NotApplied)
        second = self.begin()
        for number in (1, 2):
            self.agreement.prepared(number, [1, []])
        self.assertNoResult(second)
        for number in (1, 2):
            self.agreement.prepared(number, [2, []])

        self.assertEqual(self.enforced(), [1, 2])
        for number in (1, 2):
            self.agreement.enforced(number, 2)

    def test_what_is_no_answer_is_nonsense(self) -> None:
        for content in (None, [1], ["1", []], [1, [2]]):
            self.assertRaises(Nonsense, self.agreement.prepared, 1, content)


class ChildTest(TestCase):
    """The worker's side."""

    def setUp(self) -> None:
        self.world = World()
        self.world.line.said.clear()

    def prepare(self, turn: int, record: bytes) -> None:
        descriptor = os.memfd_create("record")
        os.write(descriptor, record)
        self.world.child.heard(words.packet(Kind.PREPARE, turn), [descriptor])
        self.assertRaises(OSError, os.fstat, descriptor)

    def enforce(self, turn: int) -> None:
        self.world.child.heard(words.packet(Kind.ENFORCE, turn), [])

    def test_a_worker_obeys_when_it_is_told_and_not_before(self) -> None:
        self.prepare(3, b"new")
        self.assertEqual((self.world.obeyed, self.world.line.said), ([], [(Kind.PREPARED, [3, []])]))

        self.enforce(3)
        self.assertEqual(self.world.obeyed, [b"new"])
        self.assertEqual(self.world.line.said[1:], [(Kind.ENFORCED, 3)])

    def test_a_worker_that_cannot_says_each_reason(self) -> None:
        self.prepare(3, b"bad")

        self.assertEqual(self.world.line.said, [(Kind.PREPARED, [3, ["cannot be built: it is bad", "and worse"]])])

    def test_a_worker_forgets_what_it_prepared_for_nothing(self) -> None:
        self.prepare(3, b"old")
        self.prepare(4, b"new")
        self.enforce(3)
        self.assertEqual(self.world.obeyed, [])
        self.enforce(4)

        self.assertEqual(self.world.obeyed, [b"new"])
