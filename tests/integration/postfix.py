"""
A Postfix of our own: its configuration, queue and log in a temporary folder, next to whatever runs on the machine.

Nothing of the machine's Postfix is read or changed (its programs apart), nothing
listens but what the test asks for, and the log is a file, so no syslog is needed.
The folder lies outside pytest's, which only root can enter, and its name is short,
because the sockets in it have long paths already.
"""

import base64
import os
import re
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.rig import PATIENCE, eventually, is_root, program

# What a relaying Postfix consists of: its own master.cf, less what listens, delivers locally or reports.
_SERVICES = """
pickup    unix  n - n 1     1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 1     1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
verify    unix  - - n -     1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
smtp      unix  - - n -     - smtp
showq     unix  n - n -     - showq
error     unix  - - n -     - error
retry     unix  - - n -     - error
discard   unix  - - n -     - discard
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
"""
_SETTINGS = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = legacy.example.com
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
smtputf8_enable = no
in_flow_delay = 0
smtp_dns_support_level = disabled
"""


class Postfix:
    """A running instance."""

    def __init__(self, folder: Path) -> None:
        """Know where it lives."""
        self.folder = folder
        self._config = str(folder / "etc")

    @property
    def log(self) -> str:
        """What it has logged so far."""
        path = self.folder / "maillog"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def queue(self) -> str:
        """Return what is queued, one JSON object a line."""
        return _run(program("postqueue", "postfix"), "-c", self._config, "-j")

    def control(self, verb: str) -> None:
        """Say start or stop."""
        _run(program("postfix", "postfix"), "-c", self._config, verb)

    def inject(self, dialogue: bytes) -> int:
        """Have an SMTP session on standard input; return how many messages were queued."""
        done = subprocess.run(
            [program("sendmail", "postfix"), "-C", self._config, "-bs"],
            input=dialogue,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        return len(re.findall(rb"(?m)^250 2\.0\.0 Ok: queued as ", done.stdout))


@contextmanager
def postfix(settings: str, services: str = "") -> Iterator[Postfix]:
    """Run an instance with these further lines of main.cf and master.cf; skip where that cannot be done."""
    program("postfix", "postfix")
    if not is_root():
        pytest.skip("Postfix starts only as root")
    folder = Path(tempfile.mkdtemp(prefix="sbpf-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        for name in ("etc", "spool", "data"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        (folder / "etc" / "main.cf").write_text(_SETTINGS.format(folder=folder) + settings)
        (folder / "etc" / "master.cf").write_text(_SERVICES + services)
        instance = Postfix(folder)
        instance.control("start")
        try:
            eventually(lambda: "daemon started" in instance.log, "the start of Postfix")
            yield instance
        finally:
            instance.control("stop")
    finally:
        shutil.rmtree(folder)


def needs_sasl_plain() -> None:
    """Skip the test where Cyrus SASL, with which Postfix logs in, has no PLAIN."""
    if not any([*Path("/usr").glob("lib*/sasl2/libplain.so*"), *Path("/usr").glob("lib*/*/sasl2/libplain.so*")]):
        pytest.skip("Cyrus SASL has no PLAIN (package libsasl2-modules)")


def free_port() -> int:
    """Return a port that nobody listens on: Postfix cannot say which one it was given."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class _Logins(socketserver.ThreadingUnixStreamServer):
    """Answers smtpd's questions about logins."""

    daemon_threads = True
    user = secret = ""


class _LoginQuestions(socketserver.StreamRequestHandler):
    """One smtpd: the server's side of the Dovecot authentication protocol, version 1, PLAIN alone."""

    server: _Logins

    def handle(self) -> None:
        self.wfile.write(b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n")
        for line in self.rfile:
            what, *fields = line.decode().rstrip("\n").split("\t")
            if what == "AUTH":
                response = next(one[5:] for one in fields if one.startswith("resp="))
                _, user, secret = base64.b64decode(response).decode().split("\0")
                known = (user, secret) == (self.server.user, self.server.secret)
                self.wfile.write(f"{'OK' if known else 'FAIL'}\t{fields[0]}\tuser={user}\n".encode())


@contextmanager
def login_server(user: str, secret: str) -> Iterator[Path]:
    """Run what tells a Postfix who may log in; yield the path for `smtpd_sasl_path`."""
    with tempfile.TemporaryDirectory(prefix="sbsa-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "auth"
        with _Logins(str(path), _LoginQuestions) as server:
            server.user, server.secret = user, secret
            path.chmod(0o666)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            try:
                yield path
            finally:
                server.shutdown()
                thread.join(PATIENCE)


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "PATH": os.defpath + ":/usr/sbin:/sbin"},
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
