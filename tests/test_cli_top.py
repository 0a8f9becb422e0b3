"""`smtpbridge top`: what it shows of two sights, and how it treats a terminal."""

import fcntl
import os
import pty
import select
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from smtpbridge.cli import main
from smtpbridge.commands.board import board, quantile_of
from smtpbridge.commands.sight import NotSeen, Sight
from smtpbridge.commands.way import NoWay, Way, way_at
from tests.overheard import EVERYTHING

FIRST = """\
# TYPE smtpbridge_ready gauge
smtpbridge_ready 1.0
# TYPE smtpbridge_build_info gauge
smtpbridge_build_info{version="0.1.0",python="3.11"} 1.0
# TYPE smtpbridge_messages_total counter
smtpbridge_messages_total{listener="tcp:2525",class="2xx",upstream="main"} 100.0
smtpbridge_messages_total{listener="tcp:2525",class="5xx",upstream="main"} 3.0
# TYPE smtpbridge_message_bytes_total counter
smtpbridge_message_bytes_total{listener="tcp:2525",class="2xx",upstream="main"} 1000.0
# TYPE smtpbridge_verdict_seconds histogram
smtpbridge_verdict_seconds_bucket{listener="tcp:2525",class="2xx",le="0.1"} 50.0
smtpbridge_verdict_seconds_bucket{listener="tcp:2525",class="2xx",le="1.0"} 100.0
smtpbridge_verdict_seconds_bucket{listener="tcp:2525",class="2xx",le="+Inf"} 100.0
smtpbridge_verdict_seconds_count{listener="tcp:2525",class="2xx"} 100.0
smtpbridge_verdict_seconds_sum{listener="tcp:2525",class="2xx"} 20.0
# TYPE smtpbridge_sessions gauge
smtpbridge_sessions{listener="tcp:2525"} 12.0
smtpbridge_sessions{listener="tcp:2526"} 1.0
# TYPE smtpbridge_messages_under_way gauge
smtpbridge_messages_under_way 4.0
# TYPE smtpbridge_queue_depth gauge
smtpbridge_queue_depth 7.0
# TYPE smtpbridge_queue_oldest_seconds gauge
smtpbridge_queue_oldest_seconds 300.0
# TYPE smtpbridge_body_memory_bytes gauge
smtpbridge_body_memory_bytes 3145728.0
# TYPE smtpbridge_temporary_bytes gauge
smtpbridge_temporary_bytes 0.0
# TYPE smtpbridge_upstream_connections gauge
smtpbridge_upstream_connections{upstream="main",state="leased"} 2.0
smtpbridge_upstream_connections{upstream="main",state="idle"} 5.0
smtpbridge_upstream_connections{upstream="main",state="dialling"} 0.0
# TYPE smtpbridge_upstream_waiting gauge
smtpbridge_upstream_waiting{upstream="main"} 0.0
# TYPE smtpbridge_limit_reached_total counter
smtpbridge_limit_reached_total{limit="max_sessions"} 0.0
smtpbridge_limit_reached_total{limit="deadlines"} 2.0
"""
SECOND = (
    FIRST.replace('class="2xx",upstream="main"} 100.0', 'class="2xx",upstream="main"} 150.0')
    .replace('class="5xx",upstream="main"} 3.0', 'class="5xx",upstream="main"} 4.0')
    .replace('upstream="main"} 1000.0', 'upstream="main"} 21480.0')
    .replace('le="1.0"} 100.0', 'le="1.0"} 110.0')
    .replace('le="+Inf"} 100.0', 'le="+Inf"} 110.0')
    .replace('{limit="max_sessions"} 0.0', '{limit="max_sessions"} 6.0')
)
# What an older daemon shows.
BARE = 'smtpbridge_ready 1.0\nsmtpbridge_sessions{listener="a"} 0.0\n'


def shown(before: Sight | None, now: Sight, width: int = 100) -> str:
    return "\n".join(line.text for line in board("127.0.0.1:9225", before, now, width))


def test_rates_and_quantiles_are_those_between_two_sights() -> None:
    said = shown(Sight.read(10.0, FIRST), Sight.read(12.0, SECOND)).split("\n")

    assert ["accepted", "25.0", "150"] in [line.split() for line in said]
    assert ["refused", "0.5", "4"] in [line.split() for line in said]
    assert ["octets", "10.0", "kB"] in [line.split() for line in said]
    # Ten new ones, all of them between 0.1 and 1 second.
    assert any(line.startswith("verdict time  p50 550 ms") for line in said)
    assert any(line.split() == ["limit", "max_sessions", "6"] for line in said)
    assert not any("deadlines" in line for line in said)


def test_one_sight_has_totals_and_no_rates() -> None:
    said = shown(None, Sight.read(10.0, FIRST))

    assert ["accepted", "-", "100"] in [line.split() for line in said.split("\n")]
    assert "smtpbridge 0.1.0  at 127.0.0.1:9225\nready\n" in said
    assert "sessions 13   messages under way 4" in said
    assert "queue    7   held 0   oldest 5 min" in said
    assert "room     memory 3.0 MB   temporary files 0 B" in said
    assert "deadlines" in said
    assert "since the start" in said


def test_a_restart_between_two_sights_makes_no_rate() -> None:
    said = shown(Sight.read(10.0, SECOND), Sight.read(12.0, FIRST))

    assert ["accepted", "-", "100"] in [line.split() for line in said.split("\n")]


def test_a_bridge_with_fewer_figures_is_shown_with_those_that_it_has() -> None:
    said = shown(None, Sight.read(1.0, BARE))

    assert "sessions 0" in said
    assert "accepted" not in said
    assert "queue" not in said
    assert "\n\n\n" not in said


def test_what_is_wrong_stands_on_top() -> None:
    reasons = (
        '[{"what": "login", "why": "upstream main refuses our \\u001b[31mlogin", "since": "2026-03-01T09:12:44Z"}]'
    )

    said = shown(None, Sight.read(1.0, BARE.replace("ready 1.0", "ready 0.0"), reasons))

    assert said.split("\n")[1] == "NOT READY since 2026-03-01T09:12:44Z: upstream main refuses our \\x1b[31mlogin"


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int) -> None:
    lines = board("127.0.0.1:9225", Sight.read(10.0, FIRST), Sight.read(12.0, SECOND), width)

    assert max(len(line.text) for line in lines) <= width


def test_quantiles_are_even_within_a_bucket_and_end_at_the_last_bound() -> None:
    counts = {1.0: 10.0, 2.0: 30.0, float("inf"): 40.0}

    assert quantile_of(counts, 0.5) == 1.5
    assert quantile_of(counts, 0.25) == 1.0
    assert quantile_of(counts, 0.99) == 2.0


@pytest.mark.parametrize("text", ["<html></html>", "", "other_metric 1.0\n"])
def test_a_page_that_is_not_ours_is_told(text: str) -> None:
    with pytest.raises(NotSeen):
        Sight.read(1.0, text)


def test_where_to_look_is_a_url_or_a_unix_socket() -> None:
    assert way_at("http://[::1]:9225") == Way("::1", 9225)
    assert (str(way_at("https://x.example")), way_at("https://x.example").context is None) == ("x.example:443", False)
    assert way_at("unix:/run/a.sock") == Way(path="/run/a.sock")
    for wrong in ("127.0.0.1:9225", "ftp://x", "http://", "http://x:port"):
        with pytest.raises(NoWay, match="write it as in"):
            way_at(wrong)


class _Admin(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = {"/metrics": FIRST, "/readyz": "[]"}[self.path].encode()
        refused = self.server.token and self.headers["Authorization"] != f"Bearer {self.server.token}"  # type: ignore[attr-defined]
        self.send_response(401 if refused else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(server: socketserver.BaseServer, token: str = "") -> Iterator[None]:
    server.token = token  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def called(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["top", *args])
    EVERYTHING.said(result.output)
    return result.exit_code, result.output


def test_without_a_terminal_it_prints_what_there_is_and_ends() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Admin)
    with served(server):
        status, said = called("--url", f"http://127.0.0.1:{server.server_port}")

    assert status == 0
    assert "sessions 13" in said
    assert "\x1b" not in said


def test_the_configuration_says_where_to_look_and_a_token_is_shown_where_one_is_asked_for(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Admin)
    (tmp_path / "token").write_text("admin-token-of-the-test\n")
    config = tmp_path / "smtpbridge.toml"
    text = (
        '[[listener]]\nendpoint = "tcp:2525:interface=127.0.0.1"\n[upstream.main]\nregion = "europe"\n'
        'password_file = "password"\n'
    )
    config.write_text(f'{text}[admin]\nendpoint = "tcp:{server.server_port}:interface=127.0.0.1"\n')
    with served(server, token="admin-token-of-the-test"):
        without, said = called("--config", str(config))
        allowed, _ = called("--config", str(config), "--token-file", str(tmp_path / "token"))
        config.write_text(f'{config.read_text()}token_file = "token"\n')
        # The password of the upstream is a file that is not there: nothing but [admin] is read.
        known, _ = called("--config", str(config))

    assert (without, allowed, known) == (1, 0, 0)
    assert "asks for its token" in said
    config.write_text(text)
    assert "has no [admin]" in called("--config", str(config))[1]


def test_a_unix_socket_is_asked_likewise(tmp_path: Path) -> None:
    class Local(socketserver.UnixStreamServer):
        def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
            return super().get_request()[0], ("", 0)

    with served(Local(str(tmp_path / "admin"), _Admin)):
        status, said = called("--url", f"unix:{tmp_path / 'admin'}")

    assert status == 0, said


def test_nobody_there_is_told_and_exit_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    status, said = called("--url", f"http://127.0.0.1:{port}", "--once")

    assert status == 1
    assert f"127.0.0.1:{port} cannot be reached: Connection refused" in said


def _alone_at_a_terminal() -> None:
    """Let the terminal be the command's own, so that Ctrl-C goes to it; tests in the background ignore that signal."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, *args: str, term: str = "xterm") -> None:
        self.master, self.slave = pty.openpty()
        self.resize(80, 24)
        self.before = termios.tcgetattr(self.slave)
        self.said = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from smtpbridge.cli import main; main()", "top", *args],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={**{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}, "TERM": term},
            preexec_fn=_alone_at_a_terminal,
        )

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def until(self, wanted: bytes) -> bytes:
        """Read until that was said; return all that was said up to there since the last time."""
        # It draws for ever, so it is not silence that ends the patience.
        end = time.monotonic() + 30
        while wanted not in self.said:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, self.said
            self.said += os.read(self.master, 65536)
        said, _, self.said = self.said.partition(wanted)
        EVERYTHING.said(said.decode("utf-8", "replace"))
        return said

    def end(self) -> int:
        status = self.process.wait(30)
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return status


@contextmanager
def at_a_terminal(*args: str) -> Iterator[Terminal]:
    server = HTTPServer(("127.0.0.1", 0), _Admin)
    with served(server):
        terminal = Terminal("--url", f"http://127.0.0.1:{server.server_port}", *args)
        try:
            yield terminal
        finally:
            terminal.process.kill()
            terminal.process.wait()


def test_at_a_terminal_it_draws_fits_a_new_size_and_gives_the_terminal_back_at_q() -> None:
    # A long pause between two looks: what is drawn meanwhile is drawn because of the new size.
    with at_a_terminal("--interval", "60") as terminal:
        terminal.until(b"\x1b[?1049h")
        wide = terminal.until(b"\x1b[J")
        terminal.resize(30, 10)
        narrow = terminal.until(b"\x1b[J")
        os.write(terminal.master, b"q")
        terminal.until(b"\x1b[?25h\x1b[?1049l")

        assert terminal.end() == 0
    assert b"messages under way 4" in wide
    assert wide.count(b"\r\n") > narrow.count(b"\r\n")
    assert narrow.count(b"\r\n") == 9


@pytest.mark.parametrize(("how", "status"), [("ctrl-c", 0), ("sigterm", 128 + signal.SIGTERM), ("Q", 0)])
def test_however_it_ends_the_terminal_is_as_it_was(how: str, status: int) -> None:
    with at_a_terminal() as terminal:
        terminal.until(b"\x1b[J")
        match how:
            case "ctrl-c":
                os.write(terminal.master, b"\x03")
            case "sigterm":
                terminal.process.send_signal(signal.SIGTERM)
            case _:
                os.write(terminal.master, b"Q")
        terminal.until(b"\x1b[?25h\x1b[?1049l")

        assert terminal.end() == status


def test_no_color_leaves_the_colours_out_and_keeps_the_picture() -> None:
    with at_a_terminal("--no-color") as terminal:
        picture = terminal.until(b"\x1b[J")
        os.write(terminal.master, b"q")
        terminal.until(b"\x1b[?1049l")
        assert terminal.end() == 0

    assert b"\x1b[1m" not in picture
    assert b"\x1b[32m" not in picture
    assert b"ready" in picture
