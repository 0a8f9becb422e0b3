"""What the service manager hears: at the start, in between, when the loop turns, and at the end."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.ops.health import Health, Trouble, What
from smtpbridge.ops.notify import Notices, NotifySocket, watchdog_seconds
from tests.overheard import EVERYTHING
from tests.relay.fakes import log_lines

ROOT = Path(__file__).parents[2]
PASSWORD = "upstream-secret-53"
PATIENCE = 30.0


class Listening:
    """Who hears everything, or nothing while `deaf`."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.deaf = self.closed = False

    def tell(self, *assignments: str) -> bool:
        if not self.deaf:
            self.heard += assignments
        return not self.deaf

    def close(self) -> None:
        self.closed = True

    def take(self) -> list[str]:
        heard, self.heard = self.heard, []
        return heard


class NoticesTest(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.health = Health(0.0)
        self.manager = Listening()
        self.status = "ready; 0 sessions"
        self.notices = self.build()

    def build(self, watchdog: float = 0.0) -> Notices:
        return Notices(self.manager, self.health, lambda: self.status, self.clock, watchdog, lambda: 12.5)

    def look(self, *troubles: Trouble) -> None:
        self.health.look(troubles, self.clock.seconds())
        self.notices.tick()

    def test_it_is_ready_once_and_not_before_the_start_is_over(self) -> None:
        self.look(Trouble(What.STARTING, "the store is not open yet"))
        self.assertNotIn("READY=1", self.manager.take())

        self.look()
        self.assertIn("READY=1", self.manager.take())
        self.look()
        self.assertEqual(self.manager.take(), [])

    def test_a_reload_begins_at_a_time_of_the_system_and_ends_ready(self) -> None:
        self.look()
        self.manager.take()
        self.notices.reloading()
        self.assertEqual(self.manager.take(), ["RELOADING=1", "MONOTONIC_USEC=12500000"])
        self.look()
        self.assertEqual(self.manager.take(), [])
        self.notices.reloaded()

        self.assertEqual(self.manager.take(), ["READY=1"])

    def test_the_end_of_a_reload_is_told_again_until_there_is_room_for_it(self) -> None:
        self.look()
        self.notices.reloading()
        self.manager.take()
        self.manager.deaf = True
        self.notices.reloaded()
        self.manager.deaf = False
        self.look()

        self.assertEqual(self.manager.take(), ["READY=1"])

    def test_a_sick_store_does_not_keep_the_service_from_being_up(self) -> None:
        self.look(Trouble(What.STORE, "disk full"))

        self.assertEqual(self.manager.take(), ["READY=1", "STATUS=ready; 0 sessions"])

    def test_the_status_is_told_when_it_has_changed_and_at_most_every_few_seconds(self) -> None:
        self.look()
        self.manager.take()
        told = []
        for second in range(1, 21):
            self.status = f"ready; {second} sessions"
            self.clock.advance(1)
            self.look()
            told += self.manager.take()

        self.assertEqual(told, [f"STATUS=ready; {number} sessions" for number in (5, 10, 15, 20)])
        for _ in range(20):
            self.clock.advance(1)
            self.look()
        self.assertEqual(self.manager.take(), [])

    def test_a_change_of_readiness_is_told_with_the_next_tick(self) -> None:
        self.look()
        self.manager.take()
        self.status = "NOT READY"
        self.notices.changed()
        self.look()

        self.assertEqual(self.manager.take(), ["STATUS=NOT READY"])

    def test_the_status_is_one_line_of_bounded_length(self) -> None:
        self.status = "a\nREADY=1\r\nb" + "c" * 10_000
        self.look(Trouble(What.STARTING, ""))

        [told] = self.manager.take()
        self.assertTrue(told.startswith("STATUS=a READY=1 bccc"))
        self.assertEqual(len(told), len("STATUS=") + 500)

    def test_what_could_not_be_told_is_told_later(self) -> None:
        self.manager.deaf = True
        self.look()
        self.manager.deaf = False
        self.look()

        self.assertEqual(self.manager.take(), ["READY=1", "STATUS=ready; 0 sessions"])

    def test_draining_is_told_once_and_more_time_is_asked_for_until_the_end(self) -> None:
        self.look()
        self.manager.take()
        for _ in range(60):
            self.look(Trouble(What.DRAINING, "stopping"))
            self.clock.advance(1)
        told = self.manager.take()

        self.assertEqual(told[:2], ["STOPPING=1", "EXTEND_TIMEOUT_USEC=15000000"])
        self.assertEqual(told.count("STOPPING=1"), 1)
        self.assertEqual(told.count("EXTEND_TIMEOUT_USEC=15000000"), 12)

    def test_a_stop_before_the_start_was_over_is_never_ready(self) -> None:
        self.look(Trouble(What.DRAINING, "stopping"))

        self.assertNotIn("READY=1", self.manager.take())

    def test_signs_of_life_come_at_half_of_the_time_that_is_waited_until_the_end(self) -> None:
        notices = self.build(watchdog=30.0)
        notices.start()
        self.clock.pump([1.0] * 60)
        self.assertEqual(self.manager.take(), ["WATCHDOG=1"] * 5)
        notices.stop()

        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.manager.closed)

    def test_nobody_who_does_not_wait_gets_signs_of_life(self) -> None:
        self.notices.start()

        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.notices.stop()


@pytest.mark.parametrize(
    ("microseconds", "for_process", "seconds"),
    [
        ("30000000", "77", 30.0),
        ("30000000", "", 30.0),
        ("30000000", "78", 0.0),
        ("", "77", 0.0),
        ("often", "", 0.0),
        ("-5", "", 0.0),
    ],
)
def test_the_watchdogs_time_is_read_where_it_is_meant_for_this_process(
    microseconds: str, for_process: str, seconds: float
) -> None:
    assert watchdog_seconds(microseconds, for_process, 77) == seconds


# The socket


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """Listen as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:] if address.startswith("@") else address)
        listening.settimeout(PATIENCE)
        yield listening


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A place to listen at; a socket's path has at most 108 octets, which pytest's own folders may exceed."""
    if request.param == "abstract":
        yield f"@smtpbridge-test-{uuid.uuid4()}"
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/notify"


def test_assignments_go_in_one_datagram_a_line_each(address: str) -> None:
    with manager(address) as listening:
        teller = NotifySocket(address)
        assert teller.tell("READY=1", "STATUS=all is well")
        assert listening.recv(4096) == b"READY=1\nSTATUS=all is well"
        teller.close()
        assert teller.tell("STOPPING=1"), "a later notice opens it again"
        assert listening.recv(4096) == b"STOPPING=1"
        teller.close()


@pytest.mark.parametrize("wrong", ["run/notify", "vsock:2:9", "@", "/"])
def test_an_address_of_another_kind_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="neither a path nor an abstract name"):
        NotifySocket(wrong)


def test_a_manager_that_does_not_read_makes_nobody_wait(address: str) -> None:
    with manager(address):
        teller = NotifySocket(address)
        while teller.tell("STATUS=" + "x" * 400):
            pass
        assert not teller.tell("WATCHDOG=1")
        teller.close()


class ComplaintTest(TestCase):
    def test_a_manager_that_is_not_there_is_said_once(self) -> None:
        lines = log_lines(self)
        teller = NotifySocket(f"@smtpbridge-test-{uuid.uuid4()}")
        for _ in range(3):
            self.assertFalse(teller.tell("READY=1"))
        teller.close()

        [line] = lines
        self.assertIn("the service manager cannot be told", line)
        self.assertIn("RestrictAddressFamilies", line)


# The daemon


CONFIG = """
hostname = "bridge.test"
[[listener]]
endpoint = "tcp:0:interface=127.0.0.1"
[upstream.main]
hosts = ["127.0.0.1:1"]
password_file = "password"
username = "App"
[store]
path = "{store}"
"""


@contextmanager
def daemon(folder: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the daemon as a process of its own; what it says is in its output."""
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    store = folder / "store"
    store.mkdir(exist_ok=True)
    (folder / "smtpbridge.toml").write_text(CONFIG.format(store=store))
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    process = subprocess.Popen(
        [*twistd, "--nodaemon", "--pidfile=", "smtpbridge", "--config", str(folder / "smtpbridge.toml")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard_until(listening: socket.socket, wanted: str) -> list[str]:
    """Return the assignments up to the one that begins so; the socket's own time bounds it."""
    heard: list[str] = []
    while not any(line.startswith(wanted) for line in heard):
        heard += listening.recv(8192).decode().split("\n")
    return heard


def test_a_daemon_is_up_shows_life_and_says_that_it_stops(address: str, tmp_path: Path) -> None:
    with (
        manager(address) as listening,
        daemon(tmp_path, NOTIFY_SOCKET=address, WATCHDOG_USEC="200000") as process,
    ):
        start = heard_until(listening, "READY=1")
        assert "STATUS=ready; 0 sessions, 0 messages under way, upstream main: 0 of 20 connections in use" in start
        assert "STOPPING=1" not in start
        # Ready means that senders can connect: the log has the port already.
        assert process.stdout is not None
        port = next(found[1] for line in process.stdout if (found := re.search(r"listening at .*port=(\d+)", line)))
        with socket.create_connection(("127.0.0.1", int(port)), PATIENCE) as sender:
            assert sender.recv(512).startswith(b"220 bridge.test ")
            for _ in range(3):
                assert heard_until(listening, "WATCHDOG=1")
            assert any("1 session" in line for line in heard_until(listening, "STATUS="))
        process.send_signal(signal.SIGTERM)
        heard_until(listening, "STOPPING=1")
        said, _ = process.communicate(timeout=PATIENCE)
        EVERYTHING.said(said)

    assert process.returncode == 0
    assert "Traceback" not in said


def test_a_store_that_cannot_be_opened_is_in_the_status_of_a_service_that_is_up(tmp_path: Path, address: str) -> None:
    (tmp_path / "store" / "queue.sqlite3").mkdir(parents=True)
    with manager(address) as listening, daemon(tmp_path, NOTIFY_SOCKET=address) as process:
        [status] = [line for line in heard_until(listening, "READY=1") if line.startswith("STATUS=")]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)

    assert status.startswith("STATUS=NOT READY: the store is out of order: the store cannot be opened")
    assert process.returncode == 0


def test_a_notify_socket_of_an_unknown_kind_is_said_and_the_daemon_runs(tmp_path: Path) -> None:
    with daemon(tmp_path, NOTIFY_SOCKET="vsock:2:9") as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "listening at" in line:
                process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)

    assert any("NOTIFY_SOCKET=vsock:2:9" in line for line in said), said
