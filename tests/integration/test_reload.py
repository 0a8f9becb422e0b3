"""
The daemon obeys another configuration while it runs: real processes, real signals, senders at work meanwhile.
"""

import http.client
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from tests.integration.load import Load
from tests.integration.rig import (
    PATIENCE,
    BridgeProgram,
    Papers,
    SandboxProgram,
    bridge,
    daemon_command,
    eventually,
    sandbox,
    write_config,
)
from tests.integration.talk import Talk
from tests.overheard import EVERYTHING

SENDER, RECIPIENT = "shop@mail.example.com", "r@example.org"
COMMAND = [sys.executable, "-c", "from smtpbridge.cli import main; main()"]
TWO = "[process]\nworkers = 2\n"


def message(subject: str) -> bytes:
    return f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: {subject}\r\n\r\nhello\r\n".encode()


class Setting:
    """A bridge's folder: its configuration, which can change, and the certificate of its listener."""

    def __init__(self, folder: Path, papers: Papers, upstream: int, more: str = "") -> None:
        self.folder = folder
        self._papers = papers
        self._upstream = upstream
        self._more = more
        self._authority = trustme.CA()
        self.context = ssl.create_default_context(cadata=self._authority.cert_pem.bytes().decode())
        self.renew()
        self.path = self.write()

    def write(self, listener: str = "", upstream: str = "", more: str = "") -> Path:
        files = f'certificate = "{self.folder}/chain.pem"\nkey = "{self.folder}/key.pem"\n'
        path = write_config(self.folder, self._papers, self._upstream, listener=files + listener, upstream=upstream)
        path.write_text(path.read_text() + self._more + more)
        return path

    def renew(self) -> int:
        """Put another certificate and its key in the place of those before; return its serial number."""
        leaf = self._authority.issue_cert("localhost")
        for name, pem in (("chain.pem", leaf.cert_chain_pems[0]), ("key.pem", leaf.private_key_pem)):
            fresh = self.folder / f"{name}.fresh"
            pem.write_to_path(str(fresh))
            fresh.chmod(0o600)
            fresh.rename(self.folder / name)
        return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number

    def reload(self, config: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Ask for a reload with the command."""
        command = [*COMMAND, "reload", "--config", str(config or self.path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        EVERYTHING.said(done.stdout + done.stderr)
        return done


def shown(port: int) -> int:
    """Return the serial number of the certificate that a new session is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as session:
        session.starttls(context=context)
        assert isinstance(session.sock, ssl.SSLSocket)
        found = session.sock.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


def load(setting: Setting, port: int, senders: int) -> Load:
    """Return senders under TLS."""
    return Load(
        port,
        senders,
        lambda session, subject: session.sendmail(SENDER, [RECIPIENT], message(subject)),
        prepare=lambda session: session.starttls(context=setting.context),
        # Some stay for long, others come anew and meet whichever certificate is there.
        stays=lambda number: 5 if number % 2 else 10_000,
    )


@contextmanager
def running(folder: Path, papers: Papers, more: str = "") -> Iterator[tuple[Setting, SandboxProgram, BridgeProgram]]:
    with sandbox(folder, papers) as upstream:
        setting = Setting(folder, papers, upstream.port, more)
        with bridge(setting.path) as relay:
            for number in (1, 2) if TWO in more else ():
                relay.says(f"worker {number} is ready")
            yield setting, upstream, relay


def recipients_taken(port: int) -> list[int]:
    """Return what a new session hears to two recipients."""
    with Talk(port).hello() as talk:
        talk.write(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nRCPT TO:<s@example.org>\r\n".encode())
        return talk.replies(3)[1:]


def reloads(relay: BridgeProgram) -> int:
    return len(re.findall(r" reloaded by=", relay.output()))


@pytest.mark.parametrize("more", ["", TWO], ids=["alone", "workers"])
def test_reloads_and_new_certificates_under_load_fail_no_message_and_lose_none(
    papers: Papers, tmp_path: Path, more: str
) -> None:
    with running(tmp_path, papers, more) as (setting, upstream, relay):
        with load(setting, relay.port, 6) as senders:
            eventually(lambda: len(senders.taken) > 20, "messages taken")
            for number in range(1, 13):
                if number % 3 == 0:
                    setting.renew()
                setting.write(f"idle_seconds = {300 + number}\n", f"max_connections = {20 + number % 2}\n")
                before, sent = reloads(relay), len(senders.taken)
                relay.signal(signal.SIGHUP)
                eventually(lambda before=before: reloads(relay) > before, "a reload")  # type: ignore[misc]
                eventually(lambda sent=sent: len(senders.taken) > sent + 6, "more messages")  # type: ignore[misc]
        assert senders.failed == []
        subjects = [one.field("Subject") or "" for one in upstream.new_messages()]
        assert sorted(subjects) == sorted(senders.taken)
        assert "not reloaded" not in relay.output()
        assert relay.stop() == 0
    assert "Traceback" not in relay.output()


def test_a_certificate_that_is_renewed_is_shown_without_anybody_asking(papers: Papers, tmp_path: Path) -> None:
    with running(tmp_path, papers) as (setting, _, relay):
        old = shown(relay.port)
        # Nothing of the text counts before somebody says so.
        setting.write("max_recipients = 1\n")
        new = setting.renew()
        relay.says(r"reloaded by=files: \[\[listener\]\] \S+ certificate\n")

        assert shown(relay.port) == new != old
        relay.says(r"new certificate of \[\[listener\]\] 1 \S+ days=\d+ sha256=([0-9a-f]{2}:){7}")


def test_the_command_waits_until_it_is_in_force_and_says_what_has_changed(papers: Papers, tmp_path: Path) -> None:
    with running(tmp_path, papers) as (setting, _, relay):
        setting.write("max_recipients = 1\n")
        done = setting.reload()

        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"\[\[listener\]\] \S+ max_recipients 1000 -> 1\nreloaded\n", done.stdout)
        assert recipients_taken(relay.port) == [250, 452]
        assert setting.reload().stdout == "reloaded; nothing has changed\n"


def test_a_bad_file_changes_nothing_and_every_fault_is_printed_and_logged(papers: Papers, tmp_path: Path) -> None:
    with running(tmp_path, papers) as (setting, _, relay):
        setting.write("idle_secondz = 3\nmax_recipients = 1\n", 'security = "none"\n')
        done = setting.reload()

        assert done.returncode == 1
        assert "all that was in force stays in force" in done.stderr
        for fault in ("idle_secondz", "security"):
            assert fault in done.stderr
            relay.says(rf" error not reloaded: .*{fault}")
        assert recipients_taken(relay.port) == [250, 250]


def test_what_needs_a_restart_is_refused_as_a_whole(papers: Papers, tmp_path: Path) -> None:
    with running(tmp_path, papers) as (setting, _, relay):
        setting.write("max_recipients = 1\n", more='[admin]\nendpoint = "tcp:0:interface=127.0.0.1"\n')
        done = setting.reload()

        assert done.returncode == 1
        assert "[admin] added: needs a restart" in done.stderr
        assert recipients_taken(relay.port) == [250, 250]


@pytest.mark.parametrize("more", ["", TWO], ids=["alone", "workers"])
def test_token_and_certificate_of_the_admin_endpoint_are_others_from_then_on(
    papers: Papers, tmp_path: Path, more: str
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-operators-61")
    pem = f"privateKey={tmp_path}/key.pem:certKey={tmp_path}/chain.pem"
    admin = f'[admin]\nendpoint = "ssl:0:interface=127.0.0.1:{pem}"\ntoken_file = "{token}"\n'
    with running(tmp_path, papers, admin + more) as (setting, _, relay):
        port = int(relay.says(r"figures at \S+ port=(\d+)")[1])

        def asked(told: str) -> tuple[int, int]:
            """Return the status, and the serial number of the certificate."""
            line = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=setting.context)
            line.request("GET", "/help", headers={"Authorization": f"Bearer {told}"})
            assert isinstance(line.sock, ssl.SSLSocket)
            found = x509.load_der_x509_certificate(line.sock.getpeercert(binary_form=True) or b"").serial_number
            status = line.getresponse().status
            line.close()
            return status, found

        old = asked("a-token-of-operators-61")
        token.write_text("a-token-of-operators-62")
        new = setting.renew()
        done = setting.reload()

        assert done.returncode == 0, done.stderr
        assert "[admin] token_file\n[admin] endpoint (the files that it names)\n" in done.stdout
        assert asked("a-token-of-operators-62") == (200, new) != old
        assert asked("a-token-of-operators-61")[0] == 401


def test_workers_obey_together_and_so_does_one_that_comes_later(papers: Papers, tmp_path: Path) -> None:
    with running(tmp_path, papers, TWO) as (setting, _, relay):
        setting.write("max_recipients = 1\n")
        assert setting.reload().returncode == 0
        # Two in a row are one for each.
        assert [recipients_taken(relay.port) for _ in range(2)] == 2 * [[250, 452]]
        # By its id, as the daemon told it.
        subprocess.run(["kill", "-KILL", relay.says(r"worker 1 starts pid=(\d+)")[1]], check=True)
        relay.says(r"(?s)worker 1 is gone.*worker 1 is ready")
        assert [recipients_taken(relay.port) for _ in range(2)] == 2 * [[250, 452]]


def test_where_no_daemon_runs_the_command_says_so(papers: Papers, tmp_path: Path) -> None:
    setting = Setting(tmp_path, papers, 9)
    done = setting.reload()

    assert done.returncode == 1
    assert f"not reloaded: no daemon answers at {tmp_path}/control" in done.stderr


def test_systemd_hears_of_the_beginning_and_the_end_of_a_reload(papers: Papers, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE)
        manager.bind(str(tmp_path / "notify"))
        config = Setting(tmp_path, papers, 9).path
        # `env` becomes the daemon itself, so it has the id that signals go to.
        command = ["env", f"NOTIFY_SOCKET={tmp_path}/notify", *daemon_command(config)]
        relay = BridgeProgram(command, tmp_path / "log")
        try:
            said = heard(manager, "READY=1")
            relay.signal(signal.SIGHUP)
            said = heard(manager, "READY=1")
        finally:
            relay.stop()

    assert said[0].startswith("RELOADING=1\nMONOTONIC_USEC=")


def heard(manager: socket.socket, last: str) -> list[str]:
    """Return the notices up to the one that says `last`."""
    said: list[str] = []
    while not said or last not in said[-1].split("\n"):
        notice = manager.recv(4096).decode()
        if not notice.startswith(("WATCHDOG", "STATUS")):
            said.append(notice)
    return said
