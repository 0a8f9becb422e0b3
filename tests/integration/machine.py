"""
A systemd of its own, to run the units of etc/ as they are.

`boot-machine` makes namespaces in which systemd is the first process.  What it finds
there as /etc is written here: the units and the other files of the service as an operator installs
them, two users, and nothing that this machine has enabled.  The network is this machine's, so senders and
providers of the tests are ordinary ones; the socket unit gets a port that is free.

Where such a machine cannot be made (no root, no systemd, a container that allows no mounts) the tests are skipped
by name; whether it can is found out before anything of ours is started.

What must not be known here: what a test is about.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.rig import PATIENCE, ROOT, Program, eventually, is_root
from tests.overheard import EVERYTHING

UNITS = Path("/usr/lib/systemd/system")
# What a service needs of the many things that belong to a start.
_KEPT = {
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup.service",
}
# What an installation by pip would not need: the source stands beside its libraries, and a Python that was built for
# another place looks for its own library there and may find another one's.
ENVIRONMENT = ("PYTHONPATH=/opt/smtpbridge/source", "LD_LIBRARY_PATH=/opt/smtpbridge/python/lib")
_NSENTER = ("nsenter", "--mount", "--uts", "--ipc", "--pid", "--cgroup")


@dataclass(slots=True)
class Machine:
    """Its first process, and what an operator does there."""

    program: Program
    port: int
    first: int = 0

    def tries(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program there to its end."""
        enter = [*_NSENTER, f"--target={self.first}", "env", "-i", f"PATH={os.defpath}:/usr/sbin", *ENVIRONMENT]
        return subprocess.run(
            [*enter, *command], input=stdin, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
        )

    def does(self, *command: str, stdin: str = "") -> str:
        """Run a program there and return what it says; a failure of it is one of the test."""
        done = self.tries(*command, stdin=stdin)
        assert done.returncode == 0, f"{command}: {done.stderr}\n{self.journal()}"
        return done.stdout

    def writes(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file there, which belongs to root."""
        self.does("install", "-D", "-m", mode, "/dev/stdin", path, stdin=text)

    def service(self, name: str, unit: str = "smtpbridge.service") -> str:
        """Return a property of the service."""
        return self.does("systemctl", "show", "--property", name, "--value", unit).strip()

    def journal(self) -> str:
        """Return what the service and systemd say about it, from the beginning."""
        return self.tries("journalctl", "--no-pager", "--output=cat", "--unit=smtpbridge.service").stdout

    def says(self, pattern: str, behind: int = 0) -> re.Match[str]:
        """Wait for a match in the journal, `behind` so many characters of it."""
        return eventually(lambda: re.search(pattern, self.journal()[behind:]), f"{pattern!r} in the journal")


@contextmanager
def machine(folder: Path, files: dict[str, str], port: int) -> Iterator[Machine]:
    """
    Boot one in `folder`; the service is to listen on `port`.

    `files` are the texts of further files in its /etc, by their paths below that.
    """
    if not is_root() or not Path("/usr/lib/systemd/systemd").exists() or not shutil.which("unshare"):
        pytest.skip("no systemd of its own can be started: that takes root, systemd and unshare (util-linux)")
    _write_etc(folder / "etc", files)
    (folder / "root").mkdir()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with _control_group() as group:
        command = [str(ROOT / "tests/integration/boot-machine"), str(group), str(folder / "root"), str(folder / "etc")]
        command += [sys.base_prefix, version, sysconfig.get_path("purelib"), str(ROOT)]
        found = Machine(Program(command, folder / "machine.log"), port)
        try:
            _wait_for(found)
            yield found
        finally:
            if found.first:
                EVERYTHING.said(found.journal())
                os.kill(found.first, signal.SIGKILL)
            found.program.stop()


def _wait_for(found: Machine) -> None:
    """Wait until it has started, or skip."""

    def up() -> bool:
        children = Path(f"/proc/{found.program.pid}/task/{found.program.pid}/children")
        try:
            found.first = int((children.read_text().split() or ["0"])[0])
            # Until it is systemd it is still the script, in the root of this machine.
            here = found.first and Path(f"/proc/{found.first}/comm").read_text() == "systemd\n"
        except OSError:
            pytest.skip(f"no systemd of its own can be started here: {found.program.output().strip()[-300:]}")
        return bool(here) and found.tries("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    eventually(up, f"the start of systemd: {found.program.output()}")


@contextmanager
def _control_group() -> Iterator[Path]:
    """Make a control group below the one of this process."""
    mounts = re.findall(r"(?m)^(?:\S+ ){4}(\S+) .* - cgroup2 ", Path("/proc/self/mountinfo").read_text())
    own = re.findall(r"(?m)^0::(.*)$", Path("/proc/self/cgroup").read_text())
    if not mounts or not own:
        pytest.skip("no systemd of its own can be started: there are no control groups of version 2")
    group = Path(mounts[0] + own[0]) / f"smtpbridge-test-{uuid4()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no systemd of its own can be started: no control group can be made ({error.strerror})")
    try:
        yield group
    finally:
        eventually(lambda: not _members(group), "the end of all processes")
        for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            folder.rmdir()
        group.rmdir()


def _members(group: Path) -> str:
    """Return the processes in a control group and below."""
    return "".join(
        path.read_text() for path in [group, *group.rglob("*")] if path.is_dir() for path in [path / "cgroup.procs"]
    )


def _write_etc(etc: Path, files: dict[str, str]) -> None:
    for name, text in {
        "passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
        "group": "root:x:0:\nnogroup:x:65534:\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "hosts": "127.0.0.1 localhost\n",
        "machine-id": f"{uuid4().hex}\n",
        **files,
    }.items():
        path = etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        # Keys among them.
        path.chmod(0o600 if name.startswith("keys/") else 0o644)
    shutil.copy("/etc/ld.so.cache", etc)
    units = etc / "systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    (units / "default.target").symlink_to(UNITS / "multi-user.target")
    for wanted in {path.name for path in UNITS.glob("*.wants/*")} - _KEPT:
        if not wanted.endswith(".target"):
            (units / wanted).symlink_to("/dev/null")
