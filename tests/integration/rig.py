"""
What the tests with real programs stand on: the daemon, the sandbox and others as processes of their own.

Everything listens on 127.0.0.1 at a port that the system chose, and the port is
read from the program's own output.  A `Program` writes to a file, so that no pipe
can fill up; whoever waits for something polls (`eventually`) until a deadline.  Each
process is ended by its own id when its `with` block ends, whatever happened.

What must not be known here: what a test is about.
"""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
import trustme

from tests.overheard import EVERYTHING

ROOT = Path(__file__).resolve().parents[2]
NODE_MODULES = ROOT / ".cache" / "node" / "node_modules"
# Daemons live in sbin, which is not in everybody's path.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
# How long anything may take on a busy machine before it counts as not happening, in seconds.
PATIENCE = 30.0
SENDER_USER, SENDER_SECRET = "SMTP_Injection", "sender key 1"
PROVIDER_USER, PROVIDER_SECRET = "App", "provider key 1"
_TWISTD = "from twisted.scripts.twistd import run; run()"
_LISTENING = re.compile(r"listening at .*port=(\d+)")

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], what: str, seconds: float = PATIENCE) -> Found:
    """Return the first true thing that `look` finds; fail when `seconds` pass without one."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return found


def program(name: str, package: str) -> str:
    """Return the path of an installed program, or skip the test and name the package that is missing."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed (package {package})")
    return found


@dataclass(frozen=True, slots=True)
class Papers:
    """The files that prove who is who: an authority, a certificate of localhost and 127.0.0.1, and the secrets."""

    authority: Path
    certificate: Path
    key: Path
    sender_secret: Path
    provider_secret: Path


def make_papers(folder: Path) -> Papers:
    """Write new ones into `folder`."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    papers = Papers(*(folder / name for name in ("ca.pem", "server.pem", "server.key", "sender", "provider")))
    authority.cert_pem.write_to_path(str(papers.authority))
    papers.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(papers.key))
    papers.sender_secret.write_text(SENDER_SECRET + "\n")
    papers.provider_secret.write_text(PROVIDER_SECRET + "\n")
    for secret in (papers.key, papers.sender_secret, papers.provider_secret):
        secret.chmod(0o600)
    return papers


class Program:
    """A process in the background; its output is in a file."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        """Start it."""
        self._log = log
        EVERYTHING.begins(log)
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid

    def output(self) -> str:
        """Return what it has said so far."""
        return self._log.read_text("utf-8", "replace")

    def says(self, pattern: "str | re.Pattern[str]") -> re.Match[str]:
        """Wait for a match in its output; a process that ends before is a failure."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output())
            if found is None and self._process.poll() is not None and not re.search(pattern, self.output()):
                pytest.fail(f"ended with {self._process.returncode} before saying {pattern!r}:\n{self.output()}")
            return found

        return eventually(look, f"{pattern!r} in the output")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self, seconds: float = PATIENCE) -> int:
        """Wait for its end and return its exit status."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {seconds:g} s:\n{self.output()}")

    def stop(self) -> int:
        """End it, with force if it will not listen; return its exit status."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
        status = self._process.wait()
        EVERYTHING.ends(self._log)
        return status


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that the sandbox took: what stands in its two files."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    connection: int
    warnings: tuple[str, ...]
    path: Path

    @property
    def octets(self) -> bytes:
        """The whole message, with its dots undone."""
        return self.path.read_bytes()

    @property
    def header(self) -> bytes:
        """The header block without the empty line."""
        return self.octets.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def body(self) -> bytes:
        """What stands behind the empty line."""
        return self.octets.partition(b"\r\n\r\n")[2]

    def field(self, name: str) -> str | None:
        """Return the one field of that name, unfolded; `None` when there is none."""
        found = re.findall(rb"(?im)^%s:[ \t]*(.*(?:\r\n[ \t].*)*)\r\n" % name.encode(), self.header)
        assert len(found) <= 1, f"{name} stands {len(found)} times"
        return re.sub(rb"\r\n[ \t]+", b" ", found[0]).decode() if found else None


class SandboxProgram(Program):
    """The stand-in for Infobip in its own process."""

    def __init__(self, command: Sequence[str], log: Path, folder: Path) -> None:
        """Start it; `folder` is where it keeps messages."""
        super().__init__(command, log)
        self._folder = folder
        self._taken: set[Path] = set()

    @functools.cached_property
    def port(self) -> int:
        """Where it listens; waits until it does."""
        return int(self.says(r"sandbox listens on port (\d+)")[1])

    def new_messages(self) -> list[Stored]:
        """Return the messages that came in since the last call, in their order."""
        paths = sorted(set(self._folder.glob("*.eml")) - self._taken)
        self._taken.update(paths)
        return [_stored(path) for path in paths]

    def one_message(self) -> Stored:
        """Return the one message that came in since the last call."""
        [message] = self.new_messages()
        return message

    def statistics(self) -> dict[str, object]:
        """End it and return its counters."""
        assert self.stop() == 0
        found: dict[str, object] = json.loads(self.says(r"(?m)^statistics (.*)$")[1])
        return found


def _stored(path: Path) -> Stored:
    facts = json.loads(path.with_suffix(".json").read_text())
    return Stored(facts["mail_from"], tuple(facts["rcpt_to"]), facts["connection"], tuple(facts["warnings"]), path)


class BridgeProgram(Program):
    """The real daemon."""

    @functools.cached_property
    def port(self) -> int:
        """Where it listens; waits until it does."""
        return int(self.says(_LISTENING)[1])

    def memory(self, name: str = "VmRSS") -> int:
        """Return an entry of /proc/PID/status in octets; `VmHWM` is the most that there ever was."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"(?m)^{name}:\s+(\d+) kB$", status)
        assert found is not None
        return int(found[1]) * 1024


@contextmanager
def sandbox(
    folder: Path, papers: Papers, port: int = 0, *, implicit_tls: bool = False, posts: bool = False
) -> Iterator[SandboxProgram]:
    """Run the sandbox; `folder` keeps its messages and its log, with `posts` it reports what becomes of them."""
    mail = folder / "mail"
    mail.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.integration.sandbox_process", str(mail), str(port)]
    command += [str(papers.certificate), str(papers.key), PROVIDER_USER, PROVIDER_SECRET]
    command += [*(["--implicit-tls"] if implicit_tls else []), *(["--posts"] if posts else [])]
    running = SandboxProgram(command, folder / "sandbox.log", mail)
    try:
        assert running.port
        yield running
    finally:
        running.stop()


def write_config(
    folder: Path,
    papers: Papers,
    upstream_port: int,
    *,
    endpoint: str = "",
    listener: str = "",
    upstream: str = "",
    tables: str = "",
) -> Path:
    """
    Write a configuration file with one listener and one upstream.

    `listener` and `upstream` are further lines of theirs, `tables` stands at the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "smtpbridge.toml"
    path.write_text(f"""
hostname = "bridge.example.com"

[[listener]]
endpoint = "{endpoint or "tcp:0:interface=127.0.0.1"}"
{listener}

[[credential]]
username = "{SENDER_USER}"
secret_file = "{papers.sender_secret}"

[upstream.main]
hosts = ["127.0.0.1:{upstream_port}"]
trust_roots = "{papers.authority}"
username = "{PROVIDER_USER}"
password_file = "{papers.provider_secret}"
{upstream}

[store]
path = "{folder}"
{tables}
""")
    return path


def starttls_lines(papers: Papers) -> str:
    """Return the lines of a listener that offers STARTTLS."""
    return f'certificate = "{papers.certificate}"\nkey = "{papers.key}"'


def daemon_command(config: Path) -> list[str]:
    """Return the command line of the daemon."""
    return [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", "smtpbridge", "--config", str(config)]


@contextmanager
def bridge(config: Path) -> Iterator[BridgeProgram]:
    """Run the daemon with that configuration file; its log goes beside it."""
    running = BridgeProgram(daemon_command(config), config.with_name("bridge.log"))
    try:
        assert running.port
        yield running
    finally:
        running.stop()


def run(command: Sequence[str], *, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    """Run a program to its end and return its standard output; an exit status other than 0 is a failure."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, timeout=PATIENCE, check=False, env={**os.environ, **(env or {})}
    )
    assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
    return done.stdout


@functools.cache
def is_root() -> bool:
    """Tell whether daemons that change their user can be started."""
    return os.geteuid() == 0
