"""The ledger within its bounds, and what is said about it."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from smtpbridge.events.housekeeping import Bounds, Housekeeping
from smtpbridge.store.errors import StoreError
from smtpbridge.store.ledger import EventFilter
from tests.events.world import World, done


def said(heard: Sequence[LogEvent]) -> str:
    return "\n".join(map(formatEvent, heard))


class HousekeepingTest(TestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)

    def start(self, days: float = 60.0) -> Housekeeping:
        made = Housekeeping(self.world.access, Bounds(days, 2**30), self.world.clock, self.world.clock.epoch)
        made.start()
        self.addCleanup(lambda: done(Deferred.fromCoroutine(made.stop()).addCallback(lambda _: True)))
        return made

    def test_what_is_older_than_its_days_goes_and_what_was_never_delivered_is_said(self) -> None:
        self.world.remember("a@rcpt.test")
        self.world.wait_with(450)
        keeping = self.start()
        self.world.clock.advance(59 * 86_400)
        self.assertEqual(len(self.world.standings()), 450)
        with capturedLogs() as heard:
            self.world.clock.advance(2 * 86_400)

        self.assertEqual(list(self.world.ledger.list(EventFilter())), [])
        self.assertIn("events=450 of which undelivered=450 NEVER REACHED", said(heard))
        self.world.clock.advance(15)
        assert keeping.counts is not None
        self.assertEqual((keeping.counts.entries, keeping.counts.events), (0, 0))

    def test_while_the_ledger_cannot_be_read_nobody_claims_to_know_and_the_loop_goes_on(self) -> None:
        keeping = self.start()
        self.assertIsNotNone(keeping.counts)
        self.world.ledger.broken = StoreError("the disk is gone")
        self.world.clock.advance(15)
        self.assertIsNone(keeping.counts)
        self.world.ledger.broken = None
        self.world.clock.advance(15)

        self.assertIsNotNone(keeping.counts)

    def test_a_fault_is_said_once_and_over_only_when_something_was_kept(self) -> None:
        self.start()
        with capturedLogs() as heard:
            self.world.ledger.broken = StoreError("the disk is full")
            for _ in range(10):
                self.world.clock.advance(15)
            self.world.ledger.broken = None
            self.world.clock.advance(61)
            self.assertEqual(said(heard).count("out of order"), 1)
            self.assertNotIn("in order again", said(heard))
            self.world.access.write(lambda writer: writer.take_in(b"{}", 0.0))

        self.assertEqual(said(heard).count("in order again"), 1)
