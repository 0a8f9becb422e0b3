"""Behind a real HAProxy: whose address counts, what health checks leave in the log, and TLS that ends there."""

import base64
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.integration.conftest import Pair
from tests.integration.rig import (
    PATIENCE,
    SENDER_SECRET,
    SENDER_USER,
    BridgeProgram,
    Papers,
    bridge,
    eventually,
    program,
    starttls_lines,
    write_config,
)
from tests.integration.talk import Talk

SENDER, RECIPIENTS = "shop@mail.example.com", ["r@example.org"]
MESSAGE = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: one\r\n\r\nhello\r\n"
PLAIN = base64.b64encode(f"\0{SENDER_USER}\0{SENDER_SECRET}".encode())
# Addresses of the loopback network stand for different machines.
BALANCER, CLIENT, STRANGER = "127.0.0.9", "127.0.0.2", "127.0.0.3"
BEHIND = f'proxy_from = ["{BALANCER}"]\nallow = ["{CLIENT}"]'
_SETTINGS = """
global
    stats socket {folder}/stats
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend smtp
    bind fd@{number} {bind}
    default_backend bridges
backend bridges
    source {balancer}
    {lines}
    server one 127.0.0.1:{port} {server}
"""


class HAProxy:
    """A running instance."""

    def __init__(self, folder: Path, port: int) -> None:
        """Know where it listens."""
        self.port = port
        self._folder = folder

    def check_status(self) -> str:
        """Return the outcome of the last health check, such as L7OK; INI before the first."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(str(self._folder / "stats"))
            line.sendall(b"show stat\n")
            names, *rows = line.makefile().read().splitlines()
        columns = names.removeprefix("# ").split(",")
        found = [dict(zip(columns, row.split(","), strict=True)) for row in rows if row]
        (row,) = [one for one in found if one["svname"] == "one"]
        return row["check_status"].removeprefix("* ")


@contextmanager
def haproxy(relay: BridgeProgram, server: str, *, lines: str = "", bind: str = "") -> Iterator[HAProxy]:
    """Run one in front of the bridge; `server`, `lines` and `bind` are further words of its configuration."""
    command = program("haproxy", "haproxy")
    # pytest's own folders are too deep for the path of a socket.
    folder = Path(tempfile.mkdtemp(prefix="sbha-", dir="/tmp"))
    try:
        with socket.create_server(("127.0.0.1", 0)) as door, (folder / "log").open("wb") as log:
            text = _SETTINGS.format(
                folder=folder,
                number=door.fileno(),
                bind=bind,
                balancer=BALANCER,
                lines=lines,
                port=relay.port,
                server=server,
            )
            (folder / "cfg").write_text(text)
            running = subprocess.Popen(
                [command, "-db", "-f", str(folder / "cfg")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[door.fileno()],
            )
            try:
                # It makes this before it is ready; whoever connects earlier waits in the queue of the door.
                eventually((folder / "stats").exists, "the start of HAProxy")
                yield HAProxy(folder, door.getsockname()[1])
            finally:
                assert running.poll() is None, (folder / "log").read_text()
                running.kill()
                running.wait(PATIENCE)
    finally:
        shutil.rmtree(folder)


class TalkFrom(Talk):
    """A connection from an address of our choice, under TLS where a context is given."""

    def __init__(self, port: int, source: str, tls: ssl.SSLContext | None = None) -> None:
        """Connect and read the greeting."""
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(source, 0))
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname="localhost")
        self._file = self._socket.makefile("rb")
        self.greeting = self.reply()

    def __enter__(self) -> Self:
        """Be closed at the end."""
        return self

    def start_tls(self, tls: ssl.SSLContext) -> None:
        """Say STARTTLS and shake hands."""
        assert self.say(b"STARTTLS").startswith(b"220")
        self._file.close()
        self._socket = tls.wrap_socket(self._socket, server_hostname="localhost")
        self._file = self._socket.makefile("rb")


def behind(folder: Path, papers: Papers, pair: Pair, listener: str) -> Path:
    """Write the configuration of a bridge behind a balancer, towards the shared sandbox."""
    return write_config(folder, papers, pair.sandbox.port, listener=listener)


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options ssl,crc32c,authority"])
def test_the_clients_own_address_decides_and_is_written_down(
    pair: Pair, papers: Papers, tmp_path: Path, send: str
) -> None:
    with bridge(behind(tmp_path, papers, pair, BEHIND)) as relay, haproxy(relay, send) as balancer:
        with TalkFrom(balancer.port, CLIENT) as talk:
            assert talk.hello().send(SENDER, RECIPIENTS, MESSAGE).startswith(b"250")
        with TalkFrom(balancer.port, STRANGER) as talk:
            assert talk.hello().say(f"MAIL FROM:<{SENDER}>".encode()).startswith(b"5")
        relay.says(rf"received client={CLIENT} ")
        relay.says(rf"refused client={STRANGER} ")

    received = pair.sandbox.one_message().field("Received") or ""
    assert f"([{CLIENT}])" in received
    assert "with ESMTP " in received
    assert BALANCER not in relay.output()


def test_who_gets_past_the_balancer_is_served_as_itself_whatever_it_claims(
    pair: Pair, papers: Papers, tmp_path: Path
) -> None:
    with bridge(behind(tmp_path, papers, pair, BEHIND)) as relay:
        with TalkFrom(relay.port, STRANGER) as talk:
            assert talk.say(f"PROXY TCP4 {CLIENT} 127.0.0.1 40000 25".encode()).startswith(b"500")
            assert talk.hello().say(f"MAIL FROM:<{SENDER}>".encode()).startswith(b"5")
            assert talk.say(f"XCLIENT ADDR={CLIENT}".encode()).startswith(b"500")
        relay.says(rf"PROXY header from client={STRANGER}, .* proxy_from")


def test_a_balancer_that_forgot_its_header_is_closed_without_a_word_and_named(
    pair: Pair, papers: Papers, tmp_path: Path
) -> None:
    listener = BEHIND + "\nproxy_seconds = 0.5"
    with bridge(behind(tmp_path, papers, pair, listener)) as relay, haproxy(relay, "") as balancer:
        with TalkFrom(balancer.port, CLIENT) as talk:
            assert talk.greeting == b""
        relay.says(rf"PROXY header refused balancer={BALANCER}: no whole header within 0\.5 s")


@pytest.mark.parametrize(
    ("server", "lines", "status"),
    [
        ("send-proxy-v2 check inter 20ms", "", "L4OK"),
        ("send-proxy check check-send-proxy inter 20ms", "option tcp-check\n    tcp-check expect rstring ^220", "L7OK"),
        (
            "send-proxy-v2 check inter 20ms",
            "option tcp-check\n    tcp-check expect rstring ^220",
            "L7OK",
        ),
        ("send-proxy check check-send-proxy inter 20ms", "option smtpchk EHLO probe.example.com", "L7OK"),
        ("send-proxy-v2 check check-send-proxy inter 20ms", "option smtpchk EHLO probe.example.com", "L7OK"),
    ],
)
def test_health_checks_succeed_leave_nothing_in_the_log_and_count_against_nobody(
    pair: Pair, papers: Papers, tmp_path: Path, server: str, lines: str, status: str
) -> None:
    listener = BEHIND + "\nmax_sessions_per_address = 1"
    with bridge(behind(tmp_path, papers, pair, listener)) as relay:
        # The last line of the start, which may be written after the port is open.
        relay.says("no route for bounces")
        before = relay.output()
        with haproxy(relay, server, lines=lines) as balancer:
            for _ in range(5):
                eventually(lambda: balancer.check_status() == status, f"{status} of a health check")
                with TalkFrom(balancer.port, CLIENT) as talk:
                    assert talk.hello().say(b"QUIT").startswith(b"221")
        assert relay.stop() == 0

        later = relay.output().removeprefix(before)
        assert [line for line in later.splitlines() if "client=" in line or "balancer" in line or "warn" in line] == []


@pytest.mark.parametrize(
    ("send", "more"),
    [
        ("send-proxy-v2-ssl", ""),
        ("send-proxy-v2 proxy-v2-options ssl,cert-cn,crc32c,authority,unique-id", ""),
        ("send-proxy", 'proxy_tls = "always"'),
    ],
)
def test_tls_that_ended_at_the_balancer_lets_a_client_log_in(
    pair: Pair, papers: Papers, tmp_path: Path, send: str, more: str
) -> None:
    listener = f'proxy_from = ["{BALANCER}"]\nallow = []\n{more}'
    with (
        bridge(behind(tmp_path, papers, pair, listener)) as relay,
        haproxy(relay, send, bind=f"ssl crt {_with_key(papers, tmp_path)}") as balancer,
        TalkFrom(balancer.port, STRANGER, ssl.create_default_context(cafile=papers.authority)) as talk,
    ):
        offered = talk.say(b"EHLO client.example.com")
        assert b"250-AUTH LOGIN PLAIN" in offered
        assert b"STARTTLS" not in offered
        assert talk.say(b"AUTH PLAIN " + PLAIN).startswith(b"235")
        assert talk.send(SENDER, RECIPIENTS, MESSAGE).startswith(b"250")

    received = pair.sandbox.one_message().field("Received") or ""
    assert f"([{STRANGER}])" in received
    assert "with ESMTPSA" in received


def test_a_balancer_that_says_nothing_of_tls_gives_nobody_a_login(pair: Pair, papers: Papers, tmp_path: Path) -> None:
    listener = f'proxy_from = ["{BALANCER}"]\nallow = []'
    with (
        bridge(behind(tmp_path, papers, pair, listener)) as relay,
        # It has this word for connections without TLS, too.
        haproxy(relay, "send-proxy-v2-ssl") as balancer,
        TalkFrom(balancer.port, STRANGER) as talk,
    ):
        assert b"AUTH" not in talk.say(b"EHLO client.example.com")
        assert talk.say(b"AUTH PLAIN " + PLAIN).startswith(b"5")


def test_starttls_with_the_bridge_goes_through_a_balancer(pair: Pair, papers: Papers, tmp_path: Path) -> None:
    listener = f'proxy_from = ["{BALANCER}"]\nallow = []\n{starttls_lines(papers)}'
    with (
        bridge(behind(tmp_path, papers, pair, listener)) as relay,
        haproxy(relay, "send-proxy-v2-ssl") as balancer,
        TalkFrom(balancer.port, STRANGER) as talk,
    ):
        assert b"250-STARTTLS" in talk.say(b"EHLO client.example.com")
        talk.start_tls(ssl.create_default_context(cafile=papers.authority))
        assert b"250-AUTH LOGIN PLAIN" in talk.say(b"EHLO client.example.com")
        assert talk.say(b"AUTH PLAIN " + PLAIN).startswith(b"235")
        assert talk.send(SENDER, RECIPIENTS, MESSAGE).startswith(b"250")

    assert f"([{STRANGER}])" in (pair.sandbox.one_message().field("Received") or "")


def _with_key(papers: Papers, folder: Path) -> Path:
    """HAProxy wants the key behind the chain, in one file."""
    both = folder / "both.pem"
    both.write_bytes(papers.certificate.read_bytes() + papers.key.read_bytes())
    return both
