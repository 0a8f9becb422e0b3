"""
Programs that want paths or a machine of their own: mail servers of which only one can be installed at a time.

They lie unpacked in .cache/debian (`setup-system` puts them there), and run in a
mount namespace: the folder of a test is /mnt there, the test's authority stands in for
those of the system, and the host has a full name.  What happens in a namespace ends
with it.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.rig import PATIENCE, ROOT, Papers, is_root, program

UNPACKED = ROOT / ".cache" / "debian"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_BEFORE = f"""set -e
mount --bind "$1" /mnt
mount --bind /mnt/ca.pem {_AUTHORITIES}
hostname app.example.com
"""


class World:
    """A folder that programs see as /mnt."""

    def __init__(self, folder: Path) -> None:
        """Know where it is."""
        self.folder = folder

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file for the programs to read."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)

    def run(self, script: str, *, stdin: bytes = b"") -> str:
        """Run a shell script in the namespace and return what it said; a failure of it is the test's."""
        command = ["unshare", "--mount", "--uts", "sh", "-c", _BEFORE + script, "sh", str(self.folder)]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=2 * PATIENCE, check=False)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, said
        return said


def unpacked(name: str) -> Path:
    """Return the folder of an unpacked package, or skip the test."""
    folder = UNPACKED / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not unpacked (tests/integration/setup-system does it, as root on a Debian)")
    return folder


@contextmanager
def world(papers: Papers) -> Iterator[World]:
    """Make one; skip where namespaces cannot be had."""
    program("unshare", "util-linux")
    if not is_root() or not _AUTHORITIES.exists():
        pytest.skip("a namespace with an authority of its own wants root and the package ca-certificates")
    if subprocess.run(["unshare", "--mount", "--uts", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no namespaces")
    # Outside of pytest's folder, which only root can enter.
    folder = Path(tempfile.mkdtemp(prefix="sbrx-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        shutil.copy(papers.authority, folder / "ca.pem")
        (folder / "ca.pem").chmod(0o644)
        yield World(folder)
    finally:
        shutil.rmtree(folder)
