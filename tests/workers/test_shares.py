"""What of the bounds each worker obeys, and that it reads the very configuration of its parent."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.config import Config, load_record, load_recorded, loads
from smtpbridge.workers.shares import notes_on, share_of
from smtpbridge.workers.task import Task, read_task

CONFIG = """
hostname = "bridge.test"
[[listener]]
endpoint = "tcp:2525:interface=127.0.0.1"
max_sessions = {sessions}
[upstream.main]
hosts = ["mx.test:587"]
max_connections = {connections}
max_waiters = {waiters}
[bounces]
from = "Mail Delivery <mailer-daemon@example.com>"
[process]
max_body_memory_bytes = {memory}
max_temporary_bytes = {temporary}
"""
PASSWORD = {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "upstream-secret-29"}


def configured(connections: int = 20, waiters: int = 1000, sessions: int = 4096, more: int = 0) -> Config:
    text = CONFIG.format(
        connections=connections, waiters=waiters, sessions=sessions, memory=1 << 20 | more, temporary=1 << 26 | more
    )
    return loads(text, base=Path("/nowhere"), environ=PASSWORD)


def bounds(config: Config) -> list[int]:
    [listener], [upstream], process = config.listeners, config.upstreams, config.process
    return [
        listener.max_sessions,
        upstream.max_connections,
        upstream.max_waiters,
        process.max_body_memory_bytes,
        process.max_temporary_bytes,
    ]


@given(st.integers(1, 9), st.integers(9, 50), st.integers(9, 5000), st.integers(9, 5000), st.integers(0, 9))
def test_the_shares_together_are_the_whole(
    workers: int, connections: int, waiters: int, sessions: int, more: int
) -> None:
    config = configured(connections, waiters, sessions, more)
    shares = [bounds(share_of(config, number, workers)) for number in range(1, workers + 1)]

    assert [sum(parts) for parts in zip(*shares, strict=True)] == bounds(config)
    assert all(max(parts) - min(parts) <= 1 for parts in zip(*shares, strict=True))
    assert notes_on(config, workers) == ()


def test_nobody_gets_nothing_and_the_operator_is_told() -> None:
    config = configured(connections=2)

    assert [share_of(config, number, 4).upstreams[0].max_connections for number in range(1, 5)] == [1] * 4
    assert notes_on(config, 4) == (
        "[upstream.main] max_connections: 2 is less than the 4 workers; each has 1, which makes 4",
    )


def test_what_is_for_the_operator_to_read_is_told_by_the_parent_alone() -> None:
    text = CONFIG.format(connections=1, waiters=1, sessions=1, memory=1 << 20, temporary=1 << 26)
    config = loads(text.partition("[bounces]")[0], base=Path("/nowhere"), environ=PASSWORD)

    assert config.notes != ()
    assert share_of(config, 1, 2).notes == ()


def test_a_worker_reads_what_its_parent_read_whatever_the_files_hold_by_now(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("upstream-secret-29\n")
    password.chmod(0o600)
    path = tmp_path / "smtpbridge.toml"
    path.write_text(
        f"""
        [[listener]]
        endpoint = "tcp:2525:interface=127.0.0.1"
        [upstream.main]
        region = "europe"
        password_file = "password"
        [process]
        temporary_folder = "{tmp_path}"
        """
    )
    config, record = load_recorded(path, {"STATE_DIRECTORY": "/var/lib/other"})
    path.write_text("")
    password.unlink()

    task = read_task(Task(2, 3, record, ()).written())

    assert (task.number, task.workers) == (2, 3)
    assert load_record(task.record) == config


def test_a_record_does_not_show_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "smtpbridge.toml"
    path.write_text(CONFIG.format(connections=1, waiters=1, sessions=1, memory=1 << 20, temporary=1 << 26))
    _, record = load_recorded(path, PASSWORD)

    assert b"upstream-secret-29" in Task(1, 2, record, ()).written()
    assert "upstream-secret-29" not in repr(Task(1, 2, record, ()))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_rest_goes_to_the_first_workers(number: int) -> None:
    assert share_of(configured(connections=20), number, 3).upstreams[0].max_connections == (7 if number < 3 else 6)
