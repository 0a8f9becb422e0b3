"""
What every contestant is given, and what it must be able to do.

A contestant stays in the foreground, accepts mail on 127.0.0.1 at the port it is
given, translates, and relays to the sink on localhost with STARTTLS, the
certificate verified, and AUTH.  What it cannot do here it says by `Missing`, and the
race goes on without it.
"""

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.integration.rig import Papers

# A bridge gets no more than this many seconds to begin, and an installation that many to end.
PATIENCE = 30.0
INSTALLATION = 300.0
FOREIGN = Path(__file__).resolve().parents[1] / "foreign"


class Missing(Exception):
    """The contestant cannot run here; the text says why."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`folder` is an empty one of its own, `cache` the one in which it was installed; ports are on 127.0.0.1."""

    folder: Path
    cache: Path
    port: int
    sink_port: int
    papers: Papers
    user: str
    password: str
    sessions: int
    starttls: bool
    workers: int

    def write(self, name: str, text: str) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
        return path

    @property
    def log(self) -> Path:
        """Where everything goes that the contestant says."""
        return self.folder / "log"

    def variables(self) -> dict[str, str]:
        """Return what the programs in `foreign` are told, as environment variables."""
        return {
            "RACE_PORT": str(self.port),
            "RACE_SINK_PORT": str(self.sink_port),
            "RACE_AUTHORITY": str(self.papers.authority),
            "RACE_CERTIFICATE": str(self.papers.certificate) if self.starttls else "",
            "RACE_KEY": str(self.papers.key),
            "RACE_USER": self.user,
            "RACE_PASSWORD": self.password,
        }


class Peer(Protocol):
    """A contestant."""

    @property
    def name(self) -> str:
        """What it is called on the command line and in the results."""

    @property
    def how(self) -> str:
        """What the reader of the results should know about it, in a few words."""

    def install(self, cache: Path) -> str:
        """Install it as far as it is not, and return its versions; raise `Missing`."""

    def start(self, around: Surroundings) -> list["subprocess.Popen[bytes]"]:
        """Start it."""


def reserved_port() -> socket.socket:
    """
    Return a socket that holds a free port until the contestant has bound it.

    It does not listen, and both sides set SO_REUSEADDR, so Linux lets the contestant have the port, and gives it to
    no outgoing connection in between.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


def run(*command: str | Path, folder: Path | None = None) -> str:
    """Run a step of an installation and return what it printed; raise `Missing` with its last line of complaint."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALLATION, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{Path(command[0]).name}: {type(error).__name__}") from error
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise Missing(f"{Path(command[0]).name} failed: {said[-1] if said else done.returncode}")
    return done.stdout
