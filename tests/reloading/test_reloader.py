"""What a daemon does with a signal: real files, read in a thread."""

import shutil
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from smtpbridge.config import load_recorded
from smtpbridge.reloading.reloader import Reloader
from smtpbridge.settings.record import Record
from smtpbridge.settings.values import Config
from tests.relay.fakes import log_lines

FILE = """
hostname = "bridge.test"
[[listener]]
endpoint = "tcp:2525:interface=127.0.0.1"
max_recipients = {}
[upstream.main]
region = "europe"
"""
ENVIRON = {
    "SMTPBRIDGE__UPSTREAM__MAIN__PASSWORD_FILE": "password",
    "SMTPBRIDGE__LISTENER__0__IDLE_SECONDS": "77",
}


class ReloaderTest(TestCase):
    def setUp(self) -> None:
        self.lines = log_lines(self)
        # trial's own mktemp would leave its folders where pytest was started.
        self.path = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.path)
        (self.path / "password").write_text("upstream-secret-52")
        self.file = self.path / "smtpbridge.toml"
        self.file.write_text(FILE.format(10))
        self.applied: list[Config] = []
        self.reopened = 0
        config, record = load_recorded(self.file, ENVIRON)
        self.reloader = Reloader(
            str(self.file), config, record, ENVIRON, self.apply, reactor, epoch=lambda: 0.0, reopen=self.reopen
        )

    async def apply(self, old: Config, new: Config, record: Record) -> None:
        self.applied.append(new)

    def reopen(self) -> None:
        self.reopened += 1

    async def test_the_variables_that_set_keys_count_before_the_file_after_a_reload_as_well(self) -> None:
        self.file.write_text(FILE.format(20) + "[queue]\nlifetime_seconds = 3600\n")
        outcome = await self.reloader.reloads.ask("a test")

        [config] = self.applied
        [listener] = config.listeners
        self.assertEqual((listener.max_recipients, listener.idle_seconds), (20, 77))
        self.assertTrue(outcome.well, outcome.lines)

    async def test_files_that_change_by_themselves_do_not_put_the_variables_out_of_force(self) -> None:
        (self.path / "password").write_text("upstream-secret-53")
        outcome = await self.reloader.reloads.refresh()

        assert outcome is not None
        self.assertEqual(outcome.lines, ("[upstream.main] password",))
        self.assertEqual(self.applied[0].listeners[0].idle_seconds, 77)

    async def test_a_signal_also_opens_the_log_anew_because_who_rotates_one_sends_it(self) -> None:
        self.reloader.hang_up()
        self.assertEqual(self.reopened, 1)
        await self.reloader.reloads.ask("a test")

        self.assertEqual(self.reopened, 1)
        self.assertTrue(any("reloaded by=SIGHUP" in line for line in self.lines))
