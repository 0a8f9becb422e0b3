"""
Haraka with its own queue/smtp_forward and a plugin that translates (`foreign/rewrite.js`).

Haraka 3 has no pool of upstream connections any more: smtp_forward opens one, with
TLS and AUTH, for every message.  That is what a user gets, so that is what is measured.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.race.peers.surroundings import FOREIGN, Missing, Surroundings, run
from bench.race.processes import start

_VERSION = "3.3.4"
# The newest libmime asks for a package in a version that not every mirror has yet.
_PACKAGE = {"private": True, "dependencies": {"Haraka": _VERSION}, "overrides": {"libmime": "5.4.3"}}


@dataclass(frozen=True, slots=True)
class Haraka:
    """In a folder of its own, from npm."""

    name: str = "haraka"
    how: str = "stock queue/smtp_forward: a new upstream connection with TLS and AUTH for each message; passes through"

    def install(self, cache: Path) -> str:
        """Let npm fetch it once."""
        for program in ("node", "npm", "openssl"):
            if shutil.which(program) is None:
                raise Missing(f"{program} is not installed")
        wanted, installed = json.dumps(_PACKAGE), cache / "installed"
        if not installed.exists() or installed.read_text() != wanted:
            cache.mkdir(parents=True, exist_ok=True)
            (cache / "package.json").write_text(wanted)
            run("npm", "install", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error", folder=cache)
            # At its first start Haraka makes these for itself, and takes minutes of processor time.
            run("openssl", "dhparam", "-dsaparam", "-out", cache / "dhparams.pem", "2048")
            installed.write_text(wanted)
        return f"Haraka {_VERSION}, node {run('node', '--version').strip()}"

    def start(self, around: Surroundings) -> list["subprocess.Popen[bytes]"]:
        """Write its folder and start it; more than one worker are nodes of its cluster."""
        home = around.cache / "node_modules" / "Haraka"
        shutil.copytree(home / "config", around.folder / "config")
        (around.folder / "queue").mkdir()
        (around.folder / "plugins").mkdir()
        shutil.copy(FOREIGN / "rewrite.js", around.folder / "plugins")
        for source, name in (
            (around.cache / "dhparams.pem", "dhparams.pem"),
            (around.papers.key, "tls_key.pem"),
            (around.papers.certificate, "tls_cert.pem"),
        ):
            shutil.copy(source, around.folder / "config" / name)
        nodes = around.workers if around.workers > 1 else 0
        around.write("config/smtp.ini", f"listen=127.0.0.1:{around.port}\nnodes={nodes}\nforce_shutdown_timeout=2\n")
        around.write("config/log.ini", "[main]\nlevel=error\n")
        around.write("config/me", "bridge.example.com\n")
        plugins = [*(["tls"] if around.starttls else []), "rewrite", "queue/smtp_forward"]
        around.write("config/plugins", "\n".join(plugins) + "\n")
        around.write(
            "config/smtp_forward.ini",
            f"host=localhost\nport={around.sink_port}\nenable_tls=true\nauth_type=login\nauth_user={around.user}\n"
            f"auth_pass={around.password}\n[tls]\nrejectUnauthorized=true\n",
        )
        command: list[str | Path] = ["node", home / "bin" / "haraka", "-c", around.folder]
        return [start(command, around.log, more={"NODE_EXTRA_CA_CERTS": str(around.papers.authority)})]
