"""The `twistd smtpbridge` command: its options, its faults, and the log that it chooses."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import treq
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.logger import ILogObserver, LogLevel, capturedLogs
from twisted.python import usage
from twisted.trial.unittest import TestCase

from smtpbridge import __version__
from smtpbridge.daemon import Daemon
from smtpbridge.ops.admin import AdminService
from smtpbridge.ops.control import Control
from smtpbridge.relay.service import RelayService
from smtpbridge.tap import Options, makeService
from tests.overheard import EVERYTHING
from tests.textlog import text_log

ROOT = Path(__file__).parent.parent
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
PASSWORD = "upstream-secret-41"
CONFIG = """
hostname = "bridge.test"
[[listener]]
endpoint = "tcp:{port}:interface=127.0.0.1"
[upstream.main]
region = "europe"
password_file = "password"
"""


def configured(folder: Path, port: int = 0, more: str = "") -> Path:
    """Write a configuration and the password that it names."""
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    path = folder / "smtpbridge.toml"
    path.write_text(CONFIG.format(port=port) + more)
    return path


@pytest.fixture
def port_in_use() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def options(path: Path) -> Options:
    read = Options()
    read.parseOptions(["--config", str(path)])
    return read


def test_a_configuration_becomes_a_service_that_binds_nothing_yet(tmp_path: Path) -> None:
    service = makeService(options(configured(tmp_path)))

    assert isinstance(service, Daemon)
    relay, control = service
    assert isinstance(relay, RelayService)
    assert isinstance(control, Control)
    assert relay.ports == []


def test_a_socket_that_systemd_did_not_pass_is_told_in_words(tmp_path: Path) -> None:
    path = configured(tmp_path)
    path.write_text(path.read_text().replace("tcp:0:interface=127.0.0.1", "systemd:domain=INET:name=smtp"))
    path.write_text(path.read_text().replace("[upstream.main]", 'allow = ["192.0.2.0/24"]\n[upstream.main]'))

    with pytest.raises(SystemExit, match="systemd:domain=INET:name=smtp: no such socket was passed"):
        makeService(options(path))


def test_every_fault_of_a_configuration_is_in_the_usage_error(tmp_path: Path) -> None:
    path = configured(tmp_path, more='[translation]\nbcc = "sometimes"\nenvelop_from = "auto"\n')

    with pytest.raises(usage.UsageError) as caught:
        options(path)

    said = str(caught.value)
    assert str(path) in said
    assert "bcc" in said
    assert "envelop_from" in said
    assert "envelope_from" in said, "the suggestion"


def test_a_configuration_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(usage.UsageError, match=r"none\.toml"):
        options(tmp_path / "none.toml")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"smtpbridge {__version__}\n"


def test_a_key_of_the_admin_endpoint_that_cannot_be_read_ends_the_process_in_words(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-operators-3317")
    path = configured(tmp_path, more='[admin]\nendpoint = "ssl:0:privateKey=none:certKey=none"\ntoken_file = "token"\n')

    with pytest.raises(SystemExit, match=r"smtpbridge: \[admin\] endpoint ssl:0.* cannot be used: .*No such file"):
        makeService(options(path))


def test_a_port_in_use_ends_the_process(tmp_path: Path, port_in_use: int) -> None:
    service = makeService(options(configured(tmp_path, port_in_use)))
    assert isinstance(service, Daemon)

    with pytest.raises(SystemExit, match=rf"smtpbridge: cannot listen at tcp:{port_in_use}"):
        service.privilegedStartService()


def test_the_application_logs_by_our_log_and_without_one_by_twistds(tmp_path: Path) -> None:
    service = makeService(options(configured(tmp_path)))
    assert isinstance(service, Daemon)
    relay, _ = service
    assert isinstance(relay, RelayService)

    for ours in (text_log(1), None):
        application = Application("smtpbridge")
        Daemon(relay, ours).setServiceParent(application)
        assert application.getComponent(ILogObserver) is ours


WARNING = "RUNNING AS ROOT"


def daemon_of(path: Path, ids: tuple[int, int]) -> Daemon:
    """Return a daemon whose process has this real and this effective user."""
    made = makeService(options(path))
    assert isinstance(made, Daemon)
    relay = next(child for child in made if isinstance(child, RelayService))
    relay.disownServiceParent()
    return Daemon(relay, None, user_ids=lambda: ids)


class TestRoot(TestCase):
    """What the log says of the user at start."""

    def said(self, real: int, effective: int) -> list[str]:
        """Start and stop a daemon and return its warnings about root."""
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        daemon = daemon_of(configured(folder), (real, effective))
        with capturedLogs() as events:
            daemon.startService()
        self.addCleanup(daemon.stopService)
        texts = [str(event.get("warning")) for event in events if event["log_level"] is LogLevel.critical]
        return [text for text in texts if WARNING in text]

    def test_a_daemon_of_root_says_so_at_start_and_how_not_to(self) -> None:
        [text] = self.said(0, 0)

        for way in ("smtpbridge.service", "USER", "--uid="):
            self.assertIn(way, text)

    def test_a_daemon_that_can_become_root_again_says_so_too(self) -> None:
        self.assertEqual(len(self.said(0, 65534)), 1)

    def test_a_daemon_of_anybody_else_says_nothing(self) -> None:
        self.assertEqual(self.said(65534, 65534), [])


ADMIN = '[admin]\nendpoint = "tcp:0:interface=127.0.0.1"\n'


EVENTS = """
[events]
public_url = "https://events.example.com/infobip"
endpoint = "tcp:0:interface=127.0.0.1"
secret_file = "inbox.key"
"""


class TestHealth(TestCase):
    """What whoever watches the daemon sees of its start and its end."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    async def readiness(self, admin: AdminService) -> tuple[int, list[str]]:
        assert admin.port is not None
        answer = await treq.get(f"http://127.0.0.1:{admin.port.getHost().port}/readyz", persistent=False)  # type: ignore[attr-defined]
        return answer.code, [reason["what"] for reason in await answer.json()]

    async def test_a_daemon_is_ready_when_it_runs_and_says_until_the_end_that_it_drains(self) -> None:
        service = makeService(options(configured(self.folder, more=f'{ADMIN}[store]\npath = "{self.folder}"\n')))
        assert isinstance(service, Daemon)
        relay = next(child for child in service if isinstance(child, RelayService))
        admin = next(child for child in service if isinstance(child, AdminService))
        service.privilegedStartService()
        service.startService()
        # The request is read by a later turn of the loop than the first look.
        self.assertEqual(await self.readiness(admin), (200, []))

        port = relay.ports[0].getHost().port  # type: ignore[attr-defined]
        held = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), InTransaction())
        await held.begun
        stopped = service.stopService()
        self.assertEqual(await self.readiness(admin), (503, ["draining"]))
        held.transport.abortConnection()
        await stopped
        self.assertIsNone(admin.port)

    def test_nobody_looks_where_nobody_asks(self) -> None:
        service = makeService(options(configured(self.folder)))

        assert isinstance(service, Daemon)
        self.assertIsNone(service._watch)


class TestEventsOnTheStatusPage(TestCase):
    """The part of the page is there where there are events, with one process and with the parent of several."""

    async def section(self, more: str) -> str:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        (folder / "inbox.key").write_text("a long secret of the inbox, which nobody guesses")
        (folder / "inbox.key").chmod(0o600)
        service = makeService(options(configured(folder, more=f'{ADMIN}[store]\npath = "{folder}"\n{more}')))
        assert isinstance(service, Daemon)
        admin = next(child for child in service if isinstance(child, AdminService))
        admin.privilegedStartService()
        admin.startService()
        assert admin.port is not None
        answer = await treq.get(f"http://127.0.0.1:{admin.port.getHost().port}/", persistent=False)  # type: ignore[attr-defined]
        page = await answer.text()
        await admin.stopService()
        (found,) = re.findall('<section id="events">(.*?)</section>', page)
        return str(found)

    async def test_one_process_shows_its_events(self) -> None:
        self.assertIn("Requests taken (200)", await self.section(EVENTS))

    async def test_the_parent_of_several_shows_its_events(self) -> None:
        self.assertIn("Requests taken (200)", await self.section(f"{EVENTS}[process]\nworkers = 2\n"))

    async def test_without_events_there_is_nothing(self) -> None:
        self.assertEqual(await self.section(""), "")


class InTransaction(Protocol):
    """A sender amid its message; what has begun is waited for at the end."""

    transport: Any

    def __init__(self) -> None:
        self.begun: Deferred[None] = Deferred()
        self._heard = b""

    def connectionMade(self) -> None:
        self.transport.write(b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")

    def dataReceived(self, data: bytes) -> None:
        self._heard += data
        if b"354 " in self._heard and not self.begun.called:
            self.begun.callback(None)


# As a process


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        [*TWISTD, "--nodaemon", "--pidfile=", "smtpbridge", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    EVERYTHING.said(ended.stdout + ended.stderr)
    return ended


def test_a_daemon_whose_port_is_in_use_exits_with_a_status_and_says_why(tmp_path: Path, port_in_use: int) -> None:
    ended = run(tmp_path, "--config", str(configured(tmp_path, port_in_use)))

    assert ended.returncode != 0
    said = ended.stdout + ended.stderr
    assert f"cannot listen at tcp:{port_in_use}" in said
    assert "in use" in said
    assert "Traceback" not in said
    assert PASSWORD not in said


def test_a_daemon_with_a_bad_configuration_exits_with_a_status_and_names_every_fault(tmp_path: Path) -> None:
    path = configured(tmp_path, more='[translation]\nbcc = "sometimes"\ncampaign = 7\n')
    ended = run(tmp_path, "--config", str(path))

    assert ended.returncode != 0
    said = ended.stdout + ended.stderr
    assert "[translation] bcc" in said
    assert "[translation] campaign" in said
    assert "Traceback" not in said


def said_until_stopped(config: Path, *options: str) -> list[str]:
    """Start the daemon, stop it when it has greeted somebody, see it end well, and return what it said."""
    with subprocess.Popen(
        [*TWISTD, "--nodaemon", "--pidfile=", *options, "smtpbridge", "--config", str(config)],
        cwd=config.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            EVERYTHING.said(line)
            if found := re.search(r"listening at .*port=(\d+)", line):
                # A greeting comes from a reactor that runs and minds signals.
                with socket.create_connection(("127.0.0.1", int(found[1])), 30) as sender:
                    assert sender.recv(512).startswith(b"220 bridge.test ")
                process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, lines
    return lines


def test_a_daemon_runs_until_it_is_told_to_stop_and_ends_in_good_order(tmp_path: Path) -> None:
    lines = said_until_stopped(configured(tmp_path))

    assert any('"level":"info","event":"stopped"' in line for line in lines), lines
    assert not any(PASSWORD in line for line in lines)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give root up")
@pytest.mark.parametrize(("given_up", "warnings"), [((), 1), (("--uid=65534", "--gid=65534"), 0)])
def test_root_that_is_given_up_after_binding_is_not_warned_of(
    given_up: tuple[str, ...], warnings: int, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    # The folders of pytest above it are root's alone; nobody comes through by a handle that is open already.
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o711)
    path = configured(tmp_path, more=f'[store]\npath = "{state}"\n')
    lines = said_until_stopped(path, *given_up)

    assert sum(WARNING in line for line in lines) == warnings, lines
