"""Delivering what is kept, by a clock that a test moves: an upstream that is down, and what a store may refuse."""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.reports import Reporter, Route
from smtpbridge.relay.runner import QueueRunner
from smtpbridge.relay.schedule import Schedule
from smtpbridge.relay.tallies import UpstreamTally
from smtpbridge.smtp.client import Concluded, Phase
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.store.errors import StoreError
from smtpbridge.store.interface import Store
from smtpbridge.store.values import OTHER, TRANSACTIONAL, Body, Parcel
from tests.relay.fakes import log_lines
from tests.relay.shelf import AtOnce, Shelf

EPOCH = 1_800_000_000.0
YES = reply(250, "2.0.0", "yes")
GO_ON = Reply(354, "", ("go on",))
DOWN = reply(451, "4.4.1", "The provider cannot be reached")
CONNECTIONS = 20
ROUTE = Route("main", "", "mailer-daemon@bridge.test")


class Provider:
    """A pool and all its connections in one: down, or taking a message in a tenth of a second."""

    max_connections = CONNECTIONS

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.traffic = UpstreamTally(clock.seconds)
        self.is_up = True
        self.asked: list[float] = []
        self.taken: list[str] = []
        self.under_way = 0
        # How many were under way each time that one began.
        self.crowds: list[int] = []
        self.refuses: dict[str, Reply] = {}

    def lease(self) -> None:
        """Nothing is idle."""

    def ask(self, waiter: Any, until: float, *, fresh: bool = False, bounded: bool = True) -> int:
        self.asked.append(self.clock.seconds())
        if self.is_up:
            waiter.granted(Connection(self))
        else:
            waiter.refused(DOWN)
        return len(self.asked)

    def give_back(self, connection: object) -> None:
        self.under_way -= 1


class Connection:
    label = "mx.example.net:587"
    takes_eight_bit = False

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def send(self, letter: Any, done: Callable[[Concluded], None]) -> None:
        self._provider.under_way += 1
        self._provider.crowds.append(self._provider.under_way)
        self._provider.clock.callLater(0.1, self._end, letter.recipients, done)

    def _end(self, recipients: tuple[str, ...], done: Callable[[Concluded], None]) -> None:
        answers = tuple(self._provider.refuses.get(address, YES) for address in recipients)
        self._provider.taken += [one for one, said in zip(recipients, answers, strict=True) if said is YES]
        if YES in answers:
            done(Concluded(Phase.ANSWERED, YES, answers, GO_ON, YES))
        else:
            done(Concluded(Phase.ANSWERED, YES, answers, reply(503, "5.5.1", "nobody"), None))


class RunnerCase(TestCase):
    def setUp(self) -> None:
        self.lines = log_lines(self)
        self.clock = Clock()
        self.shelf = Shelf()
        self.provider = Provider(self.clock)
        deadlines = Deadlines(self.clock)
        self.keeper = Keeper(lambda: cast(Store, self.shelf), AtOnce(), deadlines, self.epoch)
        self.runner = QueueRunner(
            self.keeper,
            {"main": cast(Pool, self.provider)},
            deadlines,
            Reporter("bridge.test", ROUTE, 3600.0, self.epoch),
            Schedule(),
            AtOnce(),
            owner="me",
            chance=lambda: 0.5,
        )
        self.runner.start()
        self.keeper.open()

    def epoch(self) -> float:
        return EPOCH + self.clock.seconds()

    def put(self, *recipients: str, priority: int = OTHER, upstream: str = "main", lives: float = 86_400.0) -> None:
        now = self.epoch()
        header = b"Subject: one\r\n"
        parcel = Parcel(
            "0001", upstream, "s@a.test", "o@a.test", recipients, header, False, priority, "shop", now + lives, now
        )
        self.shelf.put([parcel], Body.of(b"text\r\n"), now)
        self.runner.look()

    def let_pass(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)


class UpstreamDownTest(RunnerCase):
    def test_after_ten_minutes_everything_arrives_the_urgent_first_and_in_no_herd(self) -> None:
        self.provider.is_up = False
        for number in range(600):
            self.put(f"c{number}@b.test")
            if number % 10 == 0:
                self.put(f"t{number}@b.test", priority=TRANSACTIONAL)
            self.let_pass(1)
        # 660 messages came; the provider was tried now and then, by one of them at a time.
        self.assertLess(len(self.provider.asked), 15)
        pauses = [later - one for one, later in zip(self.provider.asked, self.provider.asked[1:], strict=False)]
        self.assertEqual(sorted(pauses), pauses)
        self.provider.is_up, self.provider.crowds = True, []

        self.let_pass(900)

        self.assertEqual({}, self.shelf.kept)
        self.assertEqual(660, len(self.provider.taken))
        self.assertEqual(660, len(set(self.provider.taken)))
        late = max(place for place, address in enumerate(self.provider.taken) if address.startswith("t"))
        # A campaign that begins in the same moment as the last urgent ones is no harm.
        self.assertLess(late, 60 + CONNECTIONS)
        self.assertEqual(1, self.provider.crowds[0])
        self.assertLessEqual(max(self.provider.crowds), CONNECTIONS // 2)
        # The crowd grows with each success and not before: twice as many after one, four times after three.
        self.assertLessEqual(max(self.provider.crowds[:3]), 2)
        self.assertLessEqual(max(self.provider.crowds[:7]), 4)
        self.assertEqual(CONNECTIONS // 2, max(self.provider.crowds))


class StoreTest(RunnerCase):
    def test_what_the_store_did_not_hear_is_told_again_and_not_done_again(self) -> None:
        self.put("a@b.test")
        self.shelf.fault = StoreError("disk full")
        self.let_pass(10)
        self.assertEqual(["a@b.test"], self.provider.taken)
        self.assertEqual(1, len(self.shelf.kept))

        self.shelf.fault = None
        self.let_pass(10)

        self.assertEqual({}, self.shelf.kept)
        self.assertEqual(["a@b.test"], self.provider.taken)
        self.assertEqual(0, self.runner.under_way)

    def test_while_the_store_has_not_heard_nothing_else_is_begun(self) -> None:
        self.put("a@b.test")
        self.shelf.fault = StoreError("disk full")
        self.let_pass(0.2)
        claims = self.shelf.asked.count("claim")

        self.runner.look()

        self.assertEqual(claims, self.shelf.asked.count("claim"))

    def test_a_report_is_kept_before_its_parcel_is_removed(self) -> None:
        self.provider.refuses["b@b.test"] = reply(550, "5.1.1", "unknown")
        self.put("a@b.test", "b@b.test")
        self.let_pass(0.2)

        self.assertLess(self.shelf.asked.index("put", 1), self.shelf.asked.index("done"))
        self.let_pass(5)
        self.assertEqual(["a@b.test", "o@a.test"], self.provider.taken)

    def test_a_recipient_refused_for_now_is_alone_in_the_next_attempt(self) -> None:
        self.provider.refuses["b@b.test"] = reply(452, "4.2.2", "full")
        self.put("a@b.test", "b@b.test")
        self.let_pass(1)
        [kept] = self.shelf.kept.values()
        self.assertEqual(("b@b.test",), kept.parcel.recipients)
        self.provider.refuses.clear()

        self.let_pass(90)

        self.assertEqual(["a@b.test", "b@b.test"], self.provider.taken)

    def test_what_is_too_old_is_tried_once_more_and_then_given_up_by_name(self) -> None:
        self.provider.refuses["a@b.test"] = reply(452, "4.2.2", "full")
        self.put("a@b.test", lives=100)
        self.let_pass(300)

        self.assertTrue([line for line in self.lines if "given_up=<a@b.test>" in line and "452 4.2.2 full" in line])
        self.assertEqual(["o@a.test"], self.provider.taken)
        self.assertEqual({}, self.shelf.kept)

    def test_a_parcel_for_an_upstream_that_is_gone_goes_by_the_default_one_and_the_log_says_so(self) -> None:
        self.put("a@b.test", upstream="gone")
        self.let_pass(5)

        self.assertEqual(["a@b.test"], self.provider.taken)
        self.assertEqual({}, self.shelf.kept)
        self.assertEqual(1, len([line for line in self.lines if "upstream=main: gone is not configured" in line]))

    def test_a_lease_is_renewed_for_as_long_as_the_delivery_lasts(self) -> None:
        self.provider.clock = Clock()  # nobody advances it, so the delivery does not end
        self.put("a@b.test")
        self.let_pass(600)

        [kept] = self.shelf.kept.values()
        self.assertGreater(kept.next_attempt, self.epoch())
        self.assertEqual(1, len(self.provider.asked))

    def test_to_stop_is_to_wait_for_what_is_under_way_and_to_begin_nothing(self) -> None:
        self.put("a@b.test")
        idle: list[str] = []

        self.runner.stop(lambda: idle.append("idle"))
        self.put("late@b.test")

        self.assertEqual([], idle)
        self.let_pass(1)
        self.assertEqual((["idle"], ["a@b.test"]), (idle, self.provider.taken))
        self.assertEqual([], [call for call in self.clock.getDelayedCalls() if call.active()])
