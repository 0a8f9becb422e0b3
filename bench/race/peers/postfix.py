"""
Postfix with a milter in Python that translates (`foreign/rewrite_milter.py`).

An instance of its own: configuration, queue and data are in the folder of the run, and
the port is the one that is given.  Everything that would slow it down without
need is off: name look-ups, the pause for new mail when the queue grows, limits on clients.
Upstream connections are kept, also under TLS.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.race.peers.surroundings import FOREIGN, Missing, Surroundings, run
from bench.race.processes import start

# The module Milter needs libmilter; Debian has both, for its own Python.
_PYTHON = Path("/usr/bin/python3")
_DAEMONS = Path("/usr/lib/postfix/sbin")

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsproxy unix - - n - 0 tlsproxy
"""

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
multi_instance_enable = no
myhostname = bridge.example.com
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_host_lookup = native
message_size_limit = 52428800
in_flow_delay = 0
default_process_limit = 300
qmgr_message_active_limit = 20000
relayhost = [localhost]:{sink_port}
default_destination_concurrency_limit = {sessions}
initial_destination_concurrency = {sessions}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = static:{user}:{password}
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = verify
smtp_tls_verify_cert_match = hostname
smtp_tls_CAfile = {authority}
smtp_tls_connection_reuse = yes
smtp_connection_cache_destinations = static:all
smtp_connection_reuse_count_limit = 0
smtp_connection_reuse_time_limit = 300s
smtpd_milters = unix:{folder}/milter
milter_default_action = tempfail
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """From the packages of Debian."""

    name: str = "postfix"
    how: str = "headers-only milter, upstream connections kept; stores and syncs before it answers, delivers afterwards"

    def install(self, cache: Path) -> str:
        """Ask for what it needs; only the package of the milter's module is small enough to be fetched here."""
        if shutil.which("postconf") is None or not _DAEMONS.is_dir():
            raise Missing("postfix is not installed")
        if os.geteuid() != 0:
            raise Missing("only root can start Postfix")
        try:
            return self._versions()
        except Missing:
            apt = ("apt-get", "-qq", "-y", "--no-install-recommends", "--no-remove", "-o", "DPkg::Lock::Timeout=60")
            run(*apt, "install", "python3-milter", "libsasl2-modules")
            return self._versions()

    def _versions(self) -> str:
        asked = "import Milter, sys; print(f'pymilter {Milter.__version__}, Python', sys.version.split()[0])"
        return f"Postfix {run('postconf', '-h', 'mail_version').strip()}, {run(_PYTHON, '-c', asked).strip()}"

    def start(self, around: Surroundings) -> list["subprocess.Popen[bytes]"]:
        """Start the milter and the master."""
        if around.workers != 1:
            raise Missing("Postfix has its own idea of how many processes it needs")
        folder = around.folder
        # Its daemons run as its own user, and must come through to the queue.
        folder.chmod(0o755)
        for name in ("queue", "data"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        settings = _MAIN.format(
            folder=folder, sink_port=around.sink_port, sessions=around.sessions, user=around.user,
            password=around.password, authority=around.papers.authority,
        )  # fmt: skip
        if around.starttls:
            settings += "smtpd_tls_security_level = may\n"
            settings += f"smtpd_tls_chain_files = {around.papers.key}, {around.papers.certificate}\n"
        around.write("etc/main.cf", settings)
        around.write("etc/master.cf", _MASTER.format(port=around.port))
        run("postfix", "-c", folder / "etc", "check")
        milter = start([_PYTHON, FOREIGN / "rewrite_milter.py", folder / "milter"], around.log)
        return [start([_DAEMONS / "master", "-c", folder / "etc", "-d"], around.log), milter]
