"""fail2ban finds failed logins in the log of the real daemon, with the address, and nothing that a peer made up."""

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Pair
from tests.integration.rig import (
    PATH,
    PATIENCE,
    ROOT,
    SENDER_SECRET,
    SENDER_USER,
    BridgeProgram,
    Papers,
    daemon_command,
    eventually,
    program,
    write_config,
)
from tests.integration.talk import Talk
from tests.overheard import EVERYTHING

FILTER = ROOT / "etc/fail2ban/filter.d/smtpbridge.conf"
JAIL = ROOT / "etc/fail2ban/jail.d/smtpbridge.conf"
STAMP = "2026-11-20T11:42:27.123Z"
REFUSED = 'login refused client={} mechanism=PLAIN user="SMTP_Injection"'
# What tries to name an address that is not its own.
FORGED = 'login refused client=198.51.100.66 mechanism=PLAIN user="'


def found_in(log: Path) -> list[str]:
    """Return the addresses that fail2ban would count, one for each failure."""
    regex = program("fail2ban-regex", "fail2ban")
    done = subprocess.run(
        [regex, "--out", "ip", str(log), str(FILTER)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert "ERROR" not in done.stderr + done.stdout
    return done.stdout.split()


def found_in_lines(folder: Path, *lines: str) -> list[str]:
    log = folder / "some.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    return found_in(log)


def log_in(port: int, user: str, secret: str, hello: str = "client.example.com") -> bytes:
    with Talk(port) as talk:
        talk.say(f"EHLO {hello}".encode())
        return talk.say(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{secret}".encode()))


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
@pytest.mark.parametrize(
    "start",
    [
        f"{STAMP} info ",
        "2026-11-20T11:42:27+0000 [smtpbridge.relay.logins.Logins#info] ",
        f"Nov 20 11:42:27 mail smtpbridge[123]: {STAMP} info ",
        f"mail twistd[123]: {STAMP} info ",
        f"{STAMP} info worker=2 ",
        "2026-11-20T11:42:27+0000 [smtpbridge.tap#info] worker=12 ",
        f"mail twistd[123]: {STAMP} info worker=1 ",
    ],
    ids=[
        "our-file",
        "twistd-logfile",
        "syslog",
        "journal",
        "a-worker",
        "a-worker-in-a-logfile",
        "a-worker-in-a-journal",
    ],
)
def test_a_failure_is_found_wherever_the_line_is_kept(tmp_path: Path, start: str, address: str) -> None:
    assert found_in_lines(tmp_path, start + REFUSED.format(address)) == [address]


@pytest.mark.parametrize(
    "line",
    [
        'info login accepted client=192.0.2.7 mechanism=PLAIN user="SMTP_Injection"',
        'info login paused client=192.0.2.7 limit=user seconds=30 mechanism=PLAIN user="SMTP_Injection"',
        'info login refused client=local mechanism=PLAIN user="client=198.51.100.66"',
        f'info login accepted client=192.0.2.7 mechanism=PLAIN user="info {FORGED}"',
        f"info refused client=192.0.2.7 user=- answer=500 5.5.2 {STAMP} info {FORGED}",
        f"info id=1 received client=192.0.2.7 helo={FORGED}",
        f"info {STAMP} info {FORGED}",
        f"error x\n    {STAMP} info {FORGED}",
        f"error x\n\t{STAMP} info {FORGED}",
        f"error x\n    mail twistd[1]: {STAMP} info {FORGED}",
    ],
)
@pytest.mark.parametrize("start", [f"{STAMP} ", f"mail twistd[123]: {STAMP} "], ids=["file", "journal"])
def test_nothing_else_is_a_failure_whatever_a_peer_wrote_into_it(tmp_path: Path, start: str, line: str) -> None:
    lines = (start + line).replace("\n", "\nmail twistd[123]: " if "twistd" in start else "\n")

    # The last line shows that the others were read.
    assert found_in_lines(tmp_path, lines, start + "info " + REFUSED.format("192.0.2.99")) == ["192.0.2.99"]


def test_failures_are_found_in_the_log_of_the_daemon_and_successes_are_not(pair: Pair) -> None:
    log = pair.bridge._log
    before = len(found_in(log))
    said = pair.bridge.output()
    forged = f'x" client=198.51.100.66\r\n{STAMP} info {FORGED}'
    answers = [
        log_in(pair.bridge.port, SENDER_USER, SENDER_SECRET),
        log_in(pair.bridge.port, SENDER_USER, "guess number 5"),
        log_in(pair.bridge.port, forged, SENDER_SECRET, hello=FORGED.replace(" ", "_")),
        log_in(pair.bridge.port, f"{SENDER_USER}:{forged}", SENDER_SECRET),
    ]

    assert [int(answer[:3]) for answer in answers] == [235, 535, 535, 235]
    assert answers[1] == answers[2]
    eventually(lambda: pair.bridge.output().removeprefix(said).count("login ") >= 4, "four lines about logins")
    assert found_in(log)[before:] == ["127.0.0.1"] * 2


@pytest.fixture
def own_log(tmp_path: Path, papers: Papers) -> Iterator[tuple[BridgeProgram, Path]]:
    """A daemon that writes its log as twistd does, and that file."""
    log = tmp_path / "twistd.log"
    command = daemon_command(write_config(tmp_path, papers, 9))
    command.insert(command.index("-n"), f"--logfile={log}")
    running = BridgeProgram(command, tmp_path / "output")
    try:
        yield running, log
    finally:
        running.stop()
        EVERYTHING.said(log.read_bytes())


def test_failures_are_found_in_the_log_that_twistd_writes_itself(own_log: tuple[BridgeProgram, Path]) -> None:
    _, log = own_log
    port = eventually(
        lambda: re.search(r"listening at .*port=(\d+)", log.read_text()) if log.exists() else None, "a port"
    )
    log_in(int(port[1]), SENDER_USER, "guess number 5")
    log_in(int(port[1]), SENDER_USER, SENDER_SECRET)

    eventually(lambda: "login accepted" in log.read_text(), "the second login in the log")
    assert found_in(log) == ["127.0.0.1"]


def test_fail2ban_takes_the_jail(tmp_path: Path) -> None:
    client = program("fail2ban-client", "fail2ban")
    folder = tmp_path / "fail2ban"
    shutil.copytree("/etc/fail2ban", folder)
    # The jails that a distribution switches on look for logs that this machine may not have.
    for other in (folder / "jail.d").iterdir():
        other.unlink()
    shutil.copy(FILTER, folder / "filter.d")
    shutil.copy(JAIL, folder / "jail.d")

    done = subprocess.run(
        [client, "-c", str(folder), "-s", str(tmp_path / "sock"), "-p", str(tmp_path / "pid"), "-d"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "PATH": PATH},
    )

    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr + done.stdout
    assert "['add', 'smtpbridge', 'systemd']" in done.stdout
    assert "'_SYSTEMD_UNIT=smtpbridge.service'" in done.stdout
