"""From options to the parent of several workers."""

from pathlib import Path

import pytest

from smtpbridge.daemon import Daemon
from smtpbridge.tap import Options, makeService
from smtpbridge.workers.parent import Parent

CONFIG = """
hostname = "bridge.test"
[[listener]]
endpoint = "{endpoint}"
allow = ["192.0.2.0/24"]
[upstream.main]
region = "europe"
password_file = "password"
[process]
workers = {workers}
"""


def made(folder: Path, *, endpoint: str = "tcp:0:interface=127.0.0.1", workers: int = 2) -> Daemon:
    password = folder / "password"
    password.write_text("upstream-secret-41")
    password.chmod(0o600)
    path = folder / "smtpbridge.toml"
    path.write_text(CONFIG.format(endpoint=endpoint, workers=workers))
    options = Options()
    options.parseOptions(["--config", str(path)])
    service = makeService(options)
    assert isinstance(service, Daemon)
    return service


def test_two_workers_have_a_parent_that_has_bound_nothing_and_started_nobody_yet(tmp_path: Path) -> None:
    parent, *_ = made(tmp_path)

    assert isinstance(parent, Parent)
    assert parent.workers == {}
    assert parent.doors.ports == []


def test_one_worker_has_no_parent(tmp_path: Path) -> None:
    relay, *_ = made(tmp_path, workers=1)

    assert not isinstance(relay, Parent)


def test_a_socket_that_systemd_did_not_pass_ends_the_parent(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such socket was passed"):
        made(tmp_path, endpoint="systemd:domain=INET:name=smtp")
