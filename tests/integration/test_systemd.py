"""The units of etc/ under a systemd of their own: start, credentials, activation, watchdog, stop."""

import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from smtplib import SMTP

import pytest

from tests.integration.machine import ENVIRONMENT, Machine, machine
from tests.integration.rig import PATIENCE, PROVIDER_USER, ROOT, Papers, eventually
from tests.integration.scripted import Scripted, scripted
from tests.integration.talk import Talk

SENDER, RECIPIENTS = "shop@mail.example.com", ["r@example.org"]
MESSAGE = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: one\r\n\r\nhello\r\n"
ETC = ROOT / "etc"
# As shipped, but for a port that is free, and times that no test can wait for.
SOCKET = "[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n"
SERVICE = f"""
[Service]
Environment={" ".join(ENVIRONMENT)}
WatchdogSec=6s
RestartSec=100ms
LoadCredential=upstream.main.password:/etc/keys/provider
LoadCredential=fullchain.pem:/etc/keys/fullchain.pem
LoadCredential=privkey.pem:/etc/keys/privkey.pem
"""
CONFIG = """
hostname = "bridge.example.com"
[[listener]]
endpoint = "systemd:domain=INET:name=smtp"
allow = ["127.0.0.0/8"]
certificate = "credential:fullchain.pem"
key = "credential:privkey.pem"
[upstream.main]
hosts = ["127.0.0.1:{port}"]
security = "tls"
trust_roots = "authority.pem"
username = "{user}"
[process]
workers = {workers}
"""


@pytest.fixture(scope="module")
def upstream(papers: Papers) -> Iterator[Scripted]:
    with scripted(papers) as found:
        yield found


@pytest.fixture(scope="module")
def installed(papers: Papers, upstream: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the service was installed as docs/service.md says, with keys that only root can read."""
    port = free_port()
    files = {
        "systemd/system/smtpbridge.service": (ETC / "smtpbridge.service").read_text(),
        "systemd/system/smtpbridge.service.d/test.conf": SERVICE,
        "systemd/system/smtpbridge.socket": (ETC / "smtpbridge.socket").read_text(),
        "systemd/system/smtpbridge.socket.d/test.conf": SOCKET.format(port=port),
        "sysusers.d/smtpbridge.conf": (ETC / "smtpbridge.sysusers").read_text(),
        "tmpfiles.d/smtpbridge.conf": (ETC / "smtpbridge.tmpfiles").read_text(),
        "smtpbridge/smtpbridge.toml": config(upstream),
        "smtpbridge/authority.pem": papers.authority.read_text(),
        "keys/provider": papers.provider_secret.read_text(),
        "keys/fullchain.pem": papers.certificate.read_text(),
        "keys/privkey.pem": papers.key.read_text(),
    }
    with machine(tmp_path_factory.mktemp("machine"), files, port) as found:
        yield found


@pytest.fixture
def running(installed: Machine, upstream: Scripted) -> Iterator[Machine]:
    """The same, with the service up; it is stopped behind the test, and the socket stays."""
    upstream.may_answer.set()
    installed.writes("/etc/smtpbridge/smtpbridge.toml", config(upstream))
    installed.does("systemctl", "reset-failed")
    installed.does("systemctl", "start", "smtpbridge.socket", "smtpbridge.service")
    yield installed
    installed.does("systemctl", "stop", "smtpbridge.service")


def free_port() -> int:
    """Return a port that nobody has: in a unit, 0 is none."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def config(upstream: Scripted, workers: int = 1) -> str:
    return CONFIG.format(port=upstream.port, user=PROVIDER_USER, workers=workers)


def send_one(port: int) -> None:
    with Talk(port).hello() as talk:
        assert talk.send(SENDER, RECIPIENTS, MESSAGE).startswith(b"250")


def test_start_returns_when_senders_are_served_in_the_whole_sandbox_with_keys_that_only_root_can_read(
    running: Machine, papers: Papers
) -> None:
    assert running.service("ActiveState") == "active"
    assert running.service("StatusText").startswith("ready; ")
    with SMTP("127.0.0.1", running.port, timeout=PATIENCE) as sender:
        sender.starttls(context=ssl.create_default_context(cafile=str(papers.authority)))
        sender.sendmail(SENDER, RECIPIENTS, MESSAGE)

    process = running.service("MainPID")
    assert running.does("stat", "--format=%U", f"/proc/{process}", "/var/lib/smtpbridge").split() == ["smtpbridge"] * 2
    assert running.does("stat", "--format=%U %G %a", "/etc/smtpbridge", "/etc/keys/privkey.pem").splitlines() == [
        "root smtpbridge 750",
        "root root 600",
    ]
    assert running.does("sh", "-c", "ls -A /var/lib/smtpbridge").strip(), "the store"


def test_the_watchdog_ends_a_process_that_stands_still_and_systemd_starts_another(running: Machine) -> None:
    stuck, before = running.service("MainPID"), int(running.service("NRestarts"))
    running.does("kill", "-STOP", stuck)

    eventually(lambda: int(running.service("NRestarts")) > before, "a restart")
    eventually(lambda: running.service("SubState") == "running", "the service")
    assert running.service("MainPID") != stuck
    assert "Watchdog timeout" in running.journal()
    # The socket stood open all the time.
    send_one(running.port)


@pytest.mark.parametrize("workers", [1, 2])
def test_stop_waits_for_the_answer_to_a_message_under_way(running: Machine, upstream: Scripted, workers: int) -> None:
    running.writes("/etc/smtpbridge/smtpbridge.toml", config(upstream, workers))
    said = len(running.journal())
    running.does("systemctl", "restart", "smtpbridge.service")
    upstream.may_answer.clear()
    upstream.waiting = 0
    with Talk(running.port).hello() as talk:
        talk.write(b"MAIL FROM:<shop@mail.example.com>\r\nRCPT TO:<r@example.org>\r\nDATA\r\n")
        assert talk.replies(3) == [250, 250, 354]
        talk.write(MESSAGE + b".\r\n")
        eventually(lambda: upstream.waiting, "the final dot upstream")
        running.does("systemctl", "stop", "--no-block", "smtpbridge.service")
        running.says("stopping: 1 messages under way", said)
        assert running.service("ActiveState") == "deactivating"
        upstream.may_answer.set()
        assert talk.reply() == b"250 2.6.0 taken by the scripted upstream\r\n"
        assert talk.reply().startswith(b"421")
    eventually(lambda: running.service("ActiveState") == "inactive", "the end of the service")

    assert running.service("Result") == "success"
    assert "Z error " not in running.journal()[said:]
    assert "Traceback" not in running.journal()[said:]


def test_the_first_connection_starts_a_service_that_does_not_run(running: Machine) -> None:
    running.does("systemctl", "stop", "smtpbridge.service")
    assert running.service("ActiveState") == "inactive"

    send_one(running.port)

    assert running.service("ActiveState") == "active"


def test_a_process_that_is_killed_is_started_anew_and_no_connection_is_refused(running: Machine) -> None:
    running.does("systemctl", "kill", f"--signal={signal.SIGKILL.name}", "smtpbridge.service")

    send_one(running.port)


def test_a_fault_in_the_configuration_fails_the_start_and_the_journal_ends_with_the_reason(
    running: Machine, upstream: Scripted
) -> None:
    running.writes("/etc/smtpbridge/smtpbridge.toml", config(upstream) + "workerz = 2\n")

    tried = running.tries("systemctl", "restart", "smtpbridge.service")

    assert tried.returncode != 0
    assert "journalctl" in tried.stderr
    running.says("workerz")
    # Mended, it comes up by itself.
    running.writes("/etc/smtpbridge/smtpbridge.toml", config(upstream))
    eventually(lambda: running.service("ActiveState") == "active", "the service")
    send_one(running.port)


def test_a_reload_counts_when_systemctl_returns_and_one_with_a_fault_fails_and_changes_nothing(
    running: Machine, upstream: Scripted
) -> None:
    process = running.service("MainPID")
    said = len(running.journal())
    with Talk(running.port).hello() as before:
        running.writes("/etc/smtpbridge/smtpbridge.toml", config(upstream) + "[queue]\nlifetime_seconds = 3600\n")
        running.does("systemctl", "reload", "smtpbridge.service")
        running.says(r"reloaded by=control: \[queue\] lifetime_seconds \d+ -> 3600", said)

        running.writes("/etc/smtpbridge/smtpbridge.toml", config(upstream) + "workerz = 2\n")
        assert running.tries("systemctl", "reload", "smtpbridge.service").returncode != 0
        running.says("error not reloaded: .*workerz", said)

        assert before.send(SENDER, RECIPIENTS, MESSAGE).startswith(b"250"), "a session that was open goes on"
    assert (running.service("ActiveState"), running.service("MainPID")) == ("active", process)
    assert running.service("StatusText").startswith("ready; ")


def test_a_credential_that_is_not_handed_over_is_named_with_the_way_to_it(running: Machine, papers: Papers) -> None:
    here = Path("/etc/smtpbridge/smtpbridge.toml")
    script = "from smtpbridge.cli import main; main()"
    command = ["/opt/smtpbridge/bin/python", "-c", script, "check", "--config", str(here)]

    without = running.tries(*command)
    beside = running.does("env", "CREDENTIALS_DIRECTORY=/run/credentials/smtpbridge.service", *command)

    assert without.returncode != 0
    assert "$CREDENTIALS_DIRECTORY is not set here" in without.stdout + without.stderr
    assert "STARTTLS with /run/credentials/smtpbridge.service/fullchain.pem" in beside
    assert papers.provider_secret.read_text().strip() not in beside
