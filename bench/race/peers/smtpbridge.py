"""The bridge itself, as this tree has it, with the limits, deadlines and logs that it ships with."""

import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from OpenSSL import SSL

from bench.race.peers.surroundings import Surroundings
from bench.race.processes import start
from smtpbridge import __version__
from tests.integration.rig import daemon_command


@dataclass(frozen=True, slots=True)
class Smtpbridge:
    """In proxy mode, or in queue mode."""

    name: str = "smtpbridge"
    how: str = "passes through: the sender has the provider's own answer"
    mode: str = "proxy"

    def install(self, cache: Path) -> str:
        """Nothing is to be done."""
        library = b" ".join(SSL.OpenSSL_version(SSL.OPENSSL_VERSION).split()[:2]).decode("ascii")
        return f"{__version__}, Twisted {version('twisted')}, pyOpenSSL {version('pyopenssl')} with {library}"

    def start(self, around: Surroundings) -> list["subprocess.Popen[bytes]"]:
        """Write a configuration and start the daemon."""
        password = around.write("password", around.password)
        password.chmod(0o600)
        papers = f'certificate = "{around.papers.certificate}"\nkey = "{around.papers.key}"' if around.starttls else ""
        config = around.write(
            "smtpbridge.toml",
            f"""
hostname = "bridge.example.com"

[[listener]]
endpoint = "tcp:{around.port}:interface=127.0.0.1"
mode = "{self.mode}"
{papers}

[upstream.main]
hosts = ["localhost:{around.sink_port}"]
trust_roots = "{around.papers.authority}"
username = "{around.user}"
password_file = "{password}"
max_connections = {around.sessions}

[store]
path = "{around.folder / "store"}"

[process]
workers = {around.workers}
""",
        )
        return [start(daemon_command(config), around.log)]


PROXY = Smtpbridge()
QUEUE = Smtpbridge("smtpbridge-queue", "queue mode: stores and syncs before it answers, delivers afterwards", "queue")
