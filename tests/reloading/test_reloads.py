"""A reload: all or nothing, one at a time, and everybody who asked hears what came of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from smtpbridge.config import Config, ConfigError, loads
from smtpbridge.reloading.reloads import NotApplied, Outcome, Reading, Reloads, figures_of
from smtpbridge.settings.record import Record
from tests.relay.fakes import log_lines

TEXT = """
hostname = "bridge.test"
[[listener]]
endpoint = "tcp:2525:interface=127.0.0.1"
[upstream.main]
region = "europe"
max_connections = {connections}
"""


def config(connections: int = 20) -> Config:
    environ = {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "upstream-secret-61"}
    return loads(TEXT.format(connections=connections), base=Path("/"), environ=environ)


def record() -> Record:
    return Record("", "/", "00")


def nothing_happens() -> dict[str, Any]:
    """Return what reloads are made with, for who only looks at them."""
    return {"read": None, "reread": None, "apply": None, "in_thread": None, "epoch": lambda: 0.0}


class ReloadsTest(TestCase):
    def setUp(self) -> None:
        self.lines = log_lines(self)
        self.next: Config | Exception = config(7)
        self.fault: Exception | None = None
        self.applied: list[Config] = []
        self.told: list[str] = []
        self.now = 1000.0
        self.slow: Deferred[None] | None = None
        self.reads = 0
        self.reloads = Reloads(
            config(),
            record(),
            read=self.read,
            reread=self.read,
            apply=self.apply,
            in_thread=lambda call: self.slow.addCallback(lambda _: call()) if self.slow else succeed(call()),
            epoch=lambda: self.now,
            begun=lambda: self.told.append("begun"),
            over=lambda: self.told.append("over"),
        )

    def read(self, _: Record) -> Reading:
        self.reads += 1
        if isinstance(self.next, Exception):
            raise self.next
        return self.next, record()

    async def apply(self, old: Config, new: Config, _: Record) -> None:
        self.assertIs(old, self.reloads.config)
        if self.fault is not None:
            raise self.fault
        self.applied.append(new)

    def outcome(self) -> Outcome:
        return self.successResultOf(self.reloads.ask("SIGHUP"))

    def figures(self) -> dict[tuple[str, ...], float]:
        return dict(figures_of(self.reloads)[0].read())

    def test_what_was_read_is_put_in_force_and_said_in_one_line(self) -> None:
        self.now = 2000.0
        outcome = self.outcome()

        self.assertEqual(outcome, Outcome(True, ("[upstream.main] max_connections 20 -> 7",)))
        self.assertEqual([one.upstreams[0].max_connections for one in self.applied], [7])
        self.assertEqual(self.reloads.config.upstreams[0].max_connections, 7)
        self.assertEqual(
            [line for line in self.lines if "reload" in line],
            ["reloaded by=SIGHUP: [upstream.main] max_connections 20 -> 7"],
        )
        self.assertEqual(self.told, ["begun", "over"])
        self.assertEqual(self.reloads.loaded_at, 2000.0)
        self.assertEqual(self.figures(), {("done",): 1, ("refused",): 0})

    def test_a_bad_file_changes_nothing_and_every_fault_is_an_error_line(self) -> None:
        self.next = ConfigError(("hostname: is wrong", "[queue]: is wrong too"))
        outcome = self.outcome()

        self.assertEqual(outcome, Outcome(False, ("hostname: is wrong", "[queue]: is wrong too")))
        self.assertEqual(self.applied, [])
        self.assertEqual(
            self.lines,
            [
                "not reloaded: hostname: is wrong",
                "not reloaded: [queue]: is wrong too",
                "not reloaded by=SIGHUP faults=2: all that was in force stays in force",
            ],
        )
        self.assertEqual(self.told, ["begun", "over"])
        self.assertEqual(self.figures(), {("done",): 0, ("refused",): 1})

    def test_a_change_that_needs_a_restart_refuses_all_the_others(self) -> None:
        changed = config(7)
        self.next = replace(changed, process=replace(changed.process, workers=4))

        self.assertEqual(self.outcome(), Outcome(False, ("[process] workers 1 -> 4: needs a restart",)))
        self.assertEqual(self.applied, [])

    def test_what_cannot_be_put_in_force_leaves_what_was_there(self) -> None:
        before = self.reloads.config
        self.fault = NotApplied("worker 2 has not answered in time")

        self.assertEqual(self.outcome(), Outcome(False, ("worker 2 has not answered in time",)))
        self.assertIs(self.reloads.config, before)

    def test_an_error_that_nobody_foresaw_is_told_without_its_text(self) -> None:
        self.fault = RuntimeError("secret inside")

        self.assertEqual(self.outcome(), Outcome(False, ("internal error; the log has more",)))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.fault = None
        self.assertTrue(self.outcome().well)

    def test_a_reload_that_finds_nothing_new_is_a_success_and_says_so(self) -> None:
        self.next = config()

        self.assertEqual(self.outcome(), Outcome(True, ()))
        self.assertEqual(self.lines, ["reloaded by=SIGHUP: nothing has changed"])

    def test_who_asks_while_one_is_under_way_shares_the_next_one(self) -> None:
        self.slow = Deferred()
        first, *others = [self.reloads.ask("SIGHUP") for _ in range(100)]
        self.assertNoResult(first)
        slow, self.slow = self.slow, None
        slow.callback(None)

        self.successResultOf(first)
        for other in others:
            self.assertTrue(self.successResultOf(other).well)
        self.assertEqual(self.reads, 2)

    def test_files_that_changed_by_themselves_are_taken_in_with_one_line(self) -> None:
        outcome = self.successResultOf(Deferred.fromCoroutine(self.reloads.refresh()))

        self.assertEqual(outcome, Outcome(True, ("[upstream.main] max_connections 20 -> 7",)))
        self.assertEqual(self.lines, ["reloaded by=files: [upstream.main] max_connections 20 -> 7"])
        self.assertEqual(self.told, [], "nobody asked")

    def test_files_with_nothing_new_are_taken_in_without_a_word(self) -> None:
        self.next = config()
        outcome = self.successResultOf(Deferred.fromCoroutine(self.reloads.refresh()))

        self.assertEqual(outcome, Outcome(True, ()))
        self.assertEqual((self.lines, self.applied), ([], []))
        self.assertEqual(self.figures(), {("done",): 0, ("refused",): 0})

    def test_files_wait_while_somebody_reloads(self) -> None:
        self.slow = Deferred()
        self.reloads.ask("SIGHUP")

        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(self.reloads.refresh())))

    def test_a_note_is_said_when_it_is_new(self) -> None:
        self.next = replace(config(), notes=("OPEN RELAY",))
        self.outcome()
        self.outcome()

        self.assertEqual([line for line in self.lines if "OPEN" in line], ["OPEN RELAY"])

    def test_nothing_is_reloaded_while_the_bridge_stops(self) -> None:
        self.slow = Deferred()
        under_way, waiting = self.reloads.ask("SIGHUP"), self.reloads.ask("control")
        self.reloads.stop()
        self.assertFalse(self.successResultOf(waiting).well)
        self.slow.callback(None)

        self.assertEqual(self.successResultOf(under_way), Outcome(False, ("the bridge is stopping",)))
        self.assertEqual(self.successResultOf(self.reloads.ask("SIGHUP")).lines, ("the bridge is stopping",))
        self.assertEqual(self.applied, [])
