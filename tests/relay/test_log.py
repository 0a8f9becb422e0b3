"""A `Log` says what Twisted's logger says, in the same events."""

from typing import cast

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from smtpbridge.relay.log import Log

OF_THE_MOMENT = {"log_time", "log_logger", "log_source"}
HEARD: list[LogEvent] = []
OBSERVER = cast(ILogObserver, HEARD.append)


class Ours:
    log = Log(observer=OBSERVER)


class Derived(Ours):
    """A class that has its logger from another one."""


class Theirs:
    log = Logger(observer=OBSERVER)


class LogTest(SynchronousTestCase):
    def setUp(self) -> None:
        HEARD.clear()

    def test_an_event_has_what_twisteds_has(self) -> None:
        ours, theirs = Ours(), Theirs()

        ours.log.info("id={id} taken", id="A1", size=3)
        theirs.log.info("id={id} taken", id="A1", size=3)

        mine, usual = HEARD
        self.assertEqual(set(usual), set(mine))
        self.assertEqual(
            {name: mine[name] for name in mine if name not in OF_THE_MOMENT},
            {name: usual[name] for name in usual if name not in OF_THE_MOMENT} | {"log_namespace": f"{__name__}.Ours"},
        )
        self.assertGreaterEqual(usual["log_time"], mine["log_time"])
        self.assertIs(LogLevel.info, mine["log_level"])

    def test_each_object_is_the_source_of_its_own_events(self) -> None:
        one, other = Ours(), Derived()

        for _ in range(2):
            one.log.info("one")
            other.log.warn("other")
        Ours.log.info("the class")

        sources = [event["log_source"] for event in HEARD]
        self.assertEqual([one, other, one, other, Ours], sources)
        self.assertEqual(f"{__name__}.Derived", HEARD[1]["log_namespace"])

    def test_a_failure_is_told_as_twisted_tells_it(self) -> None:
        try:
            raise ValueError("lost")
        except ValueError:
            Ours().log.failure("id={id} broke", id="A1")

        [event] = HEARD
        self.assertIs(LogLevel.critical, event["log_level"])
        self.assertIn("ValueError: lost", event["log_failure"].getTraceback())
