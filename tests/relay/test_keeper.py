"""The store as the reactor sees it: every question has one answer, and a fault is said once when it comes and goes."""

from concurrent.futures import Future
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.keeper import Keeper
from smtpbridge.store.errors import StoreError
from smtpbridge.store.interface import Store
from tests.relay.fakes import content, log_lines
from tests.relay.shelf import AtOnce, Shelf
from tests.store.samples import parcel

FULL = StoreError("disk full")
SICK, WELL = "the store is out of order: disk full", "the store is in order again"


class KeeperTest(TestCase):
    def setUp(self) -> None:
        self.lines = log_lines(self)
        self.clock = Clock()
        self.shelf = Shelf()
        self.cannot_open = False
        self.keeper = Keeper(self.open_store, AtOnce(), Deadlines(self.clock), lambda: 1_800_000_000.0)

    def open_store(self) -> Store:
        if self.cannot_open:
            raise FULL
        return cast(Store, self.shelf)

    def let_pass(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)

    def put(self) -> bool:
        heard: list[bool] = []
        self.keeper.put([parcel()], content(b"text\r\n"), heard.append)
        [well] = heard
        return well

    def timers(self) -> int:
        return len([call for call in self.clock.getDelayedCalls() if call.active()])

    def test_what_is_put_is_kept_with_its_body(self) -> None:
        self.keeper.open()

        self.assertTrue(self.put())
        self.assertEqual([b"text\r\n"], list(self.shelf.bodies.values()))
        self.assertEqual(([], 0), (self.lines, self.timers()))

    def test_without_a_store_every_question_is_answered_no_at_once(self) -> None:
        self.assertFalse(self.put())
        self.assertEqual([], self.shelf.asked)

    def test_a_store_that_cannot_be_opened_is_opened_later_and_whoever_waits_is_told_once(self) -> None:
        told: list[str] = []
        self.keeper.when_open(lambda _: told.append("one"))
        self.cannot_open = True
        self.keeper.open()
        self.let_pass(20)
        self.assertEqual(([SICK], []), (self.lines, told))

        self.cannot_open = False
        self.let_pass(6)
        self.keeper.when_open(lambda _: told.append("two"))

        self.assertEqual(([SICK, WELL], ["one", "two"]), (self.lines, told))
        self.assertEqual(("", 0), (self.keeper.fault, self.timers()))

    def test_a_fault_is_said_once_however_often_it_is_met(self) -> None:
        self.keeper.open()
        self.shelf.fault = FULL

        self.assertEqual([False, False], [self.put(), self.put()])
        self.let_pass(60)

        self.assertEqual([SICK], self.lines)
        self.assertEqual("disk full", self.keeper.fault)

    def test_a_question_that_changes_nothing_does_not_end_a_fault(self) -> None:
        self.keeper.open()
        self.shelf.fault = FULL
        self.put()

        self.keeper.ask(lambda writer: writer.claim(0, 1, 60, "me"), lambda _: None)

        self.assertEqual([SICK], self.lines)
        self.shelf.fault = None
        self.assertTrue(self.put())
        self.assertEqual([SICK, WELL], self.lines)
        self.assertEqual(0, self.timers())

    def test_a_fault_ends_by_itself_and_leaves_nothing_to_remember(self) -> None:
        self.keeper.open()
        self.shelf.fault = FULL
        self.put()
        self.let_pass(20)
        self.shelf.fault = None
        self.let_pass(6)

        self.assertEqual([SICK, WELL], self.lines)
        self.assertLessEqual(self.shelf.remembered_until(), self.keeper.epoch())
        self.assertEqual(0, self.timers())

    def test_a_question_that_fails_before_it_is_asked_is_answered_no_too(self) -> None:
        self.keeper.open()
        heard: list[str] = []

        def fail(_: object) -> "Future[None]":
            raise FULL

        self.keeper.ask(fail, lambda _: heard.append("yes"), lambda: heard.append("no"))

        self.assertEqual((["no"], [SICK]), (heard, self.lines))
        self.keeper.close()

    def test_closing_a_store_that_is_out_of_order_leaves_no_timer(self) -> None:
        self.keeper.open()
        self.shelf.fault = FULL
        self.put()

        self.keeper.close()

        self.assertTrue(self.shelf.closed)
        self.assertEqual(0, self.timers())
        self.assertFalse(self.put())
