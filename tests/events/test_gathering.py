"""What comes while a commit is made goes into the next one."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from smtpbridge.events.gathering import Gathering
from smtpbridge.events.ledger_access import LedgerAccess
from smtpbridge.store.errors import StoreError
from tests.events.world import InlineReactor, World, done


class SlowWriter:
    """A ledger and its writer, which is done when a test says so."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        self.futures: list[Future[None]] = []
        self.writer = self

    def take_in_all(self, notices: Sequence[tuple[bytes, float]]) -> Future[None]:
        self.asked.append([body for body, _ in notices])
        self.futures.append(Future())
        return self.futures[-1]


class GatheringTest(TestCase):
    def setUp(self) -> None:
        self.slow: Any = SlowWriter()
        reactor = InlineReactor()
        access = LedgerAccess(lambda: self.slow, reactor)
        done(Deferred.fromCoroutine(access.open()))
        self.gathering = Gathering(access, reactor.epoch)

    def test_the_first_goes_at_once_and_the_others_together_in_their_order(self) -> None:
        answers = [self.gathering.keep(b"%d" % number) for number in range(4)]
        self.assertEqual(self.slow.asked, [[b"0"]])
        self.slow.futures[0].set_result(None)

        self.assertEqual(self.slow.asked, [[b"0"], [b"1", b"2", b"3"]])
        self.assertEqual([one.called for one in answers], [True, False, False, False])
        self.slow.futures[1].set_result(None)
        self.assertEqual([one.called for one in answers], [True] * 4)

    def test_when_a_commit_fails_each_in_it_hears_so_and_the_next_is_tried(self) -> None:
        answers = [self.gathering.keep(b"%d" % number) for number in range(3)]
        self.slow.futures[0].set_exception(StoreError("the disk is full"))
        self.failureResultOf(answers[0], StoreError)
        self.slow.futures[1].set_exception(StoreError("the disk is full"))
        for one in answers[1:]:
            self.failureResultOf(one, StoreError)
        last = self.gathering.keep(b"3")
        self.slow.futures[2].set_result(None)

        self.assertIsNone(self.successResultOf(last))


def test_what_came_together_is_in_the_ledger_in_its_order_with_its_times() -> None:
    world = World()
    try:
        bodies = [(b"%d" % number, float(number)) for number in range(1200)]
        world.ledger.writer.take_in_all(bodies)
        found = world.ledger.notices(2000)
        counted = world.ledger.counts().notices
    finally:
        world.close()

    assert [(one.octets, one.received_at) for one in found] == bodies
    assert counted == 1200
