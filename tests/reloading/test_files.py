"""Files that change on disk: noticed in time, taken in whole, and said once when they cannot be used."""

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.machine import Stamp
from smtpbridge.reloading.files import AGAIN_SECONDS, LOOK_SECONDS, FileWatch
from smtpbridge.reloading.reloads import Outcome
from tests.relay.fakes import log_lines

BAD = Outcome(False, ("the key does not belong to the certificate",))
GOOD = Outcome(True, ("certificate",))


def stamp(number: int) -> Stamp:
    return 1, number, 10, 100


class FileWatchTest(TestCase):
    def setUp(self) -> None:
        self.lines = log_lines(self)
        self.clock = Clock()
        self.stamps: dict[str, Stamp | None] = {"cert.pem": stamp(1), "key.pem": stamp(1)}
        self.outcome: Outcome | None = GOOD
        self.refreshed = 0
        self.watch = self.begin()

    def begin(self) -> FileWatch:
        watch = FileWatch(lambda: succeed(dict(self.stamps)), self.refresh, self.clock, dict(self.stamps))
        watch.start()
        self.look()
        return watch

    async def refresh(self) -> Outcome | None:
        self.refreshed += 1
        return self.outcome

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(LOOK_SECONDS)

    def test_files_that_stay_as_they_are_are_left_alone(self) -> None:
        self.look(100)

        self.assertEqual(self.refreshed, 0)

    def test_a_change_is_taken_in_once_when_nothing_moves_any_more(self) -> None:
        self.stamps["cert.pem"] = stamp(2)
        self.look()
        self.stamps["key.pem"] = stamp(2)
        self.look()
        self.assertEqual(self.refreshed, 0, "somebody is still writing")
        self.look(10)

        self.assertEqual(self.refreshed, 1)
        self.assertEqual(self.lines, [])

    def test_half_of_a_pair_does_no_harm_is_said_once_and_the_other_half_mends_it(self) -> None:
        self.outcome = BAD
        self.stamps["cert.pem"] = stamp(2)
        self.look(5)
        self.assertEqual(self.refreshed, 1)
        self.outcome = GOOD
        self.stamps["key.pem"] = stamp(2)
        self.look(2)

        self.assertEqual(self.refreshed, 2)
        [line] = self.lines
        self.assertIn("the key does not belong to the certificate; what was read before stays in force", line)

    def test_what_no_stamp_shows_is_found_within_a_minute(self) -> None:
        self.outcome = BAD
        self.stamps["key.pem"] = None
        self.look(3)
        self.outcome = GOOD
        self.look(int(AGAIN_SECONDS / LOOK_SECONDS) + 1)

        self.assertEqual(self.refreshed, 2)
        self.assertEqual(len(self.lines), 1)

    def test_a_file_that_comes_back_as_it_was_is_no_change(self) -> None:
        self.stamps["key.pem"] = None
        self.look()
        self.stamps["key.pem"] = stamp(1)
        self.look(5)

        self.assertEqual(self.refreshed, 0)

    def test_while_something_else_is_reloaded_it_waits(self) -> None:
        self.outcome = None
        self.stamps["key.pem"] = stamp(2)
        self.look(3)
        self.outcome = GOOD
        self.look(5)

        self.assertEqual(self.refreshed, 3)

    def test_a_change_between_the_reading_and_the_first_look_is_noticed(self) -> None:
        at_first = dict(self.stamps)
        self.stamps["cert.pem"] = stamp(2)
        watch = FileWatch(lambda: succeed(dict(self.stamps)), self.refresh, self.clock, at_first)
        self.watch.stop()
        watch.start()
        self.look(5)

        self.assertEqual(self.refreshed, 1)

    def test_what_the_user_that_the_daemon_became_cannot_see_is_no_change(self) -> None:
        at_first = dict(self.stamps)
        self.stamps["key.pem"] = None
        watch = FileWatch(lambda: succeed(dict(self.stamps)), self.refresh, self.clock, at_first)
        self.watch.stop()
        watch.start()
        self.look(5)

        self.assertEqual((self.refreshed, self.lines), (0, []))

    def test_it_stops(self) -> None:
        self.watch.stop()

        self.assertEqual(self.clock.getDelayedCalls(), [])
