"""The log of the real daemon: a file that somebody else rotates."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.rig import Papers, Program, daemon_command, eventually, write_config


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_can_be_rotated_while_the_daemon_runs(workers: int, papers: Papers, tmp_path: Path) -> None:
    """As logrotate does it: move the file, send SIGUSR1; a worker that gets it too lives on."""
    config = write_config(tmp_path, papers, 9)
    with config.open("a") as more:
        more.write(f'[log]\nto = "./log"\n[process]\nworkers = {workers}\n')
    log, old = tmp_path / "log", tmp_path / "log.1"
    # The line that is the last of a start.
    ready = "is ready" if workers > 1 else "listening at"
    daemon = Program(daemon_command(config), tmp_path / "stdout")
    try:
        eventually(lambda: log.exists() and log.read_text().count(ready) == workers, "a daemon that is up")
        log.rename(old)
        for child in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGUSR1)
        daemon.signal(signal.SIGUSR1)
        eventually(log.exists, "a new file")
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0
    finally:
        daemon.stop()

    assert "listening at" in old.read_text()
    assert " info stopped\n" in log.read_text()
    assert "is gone: killed" not in log.read_text()
    assert daemon.output() == ""
