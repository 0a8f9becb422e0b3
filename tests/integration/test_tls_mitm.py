"""Somebody on the line around STARTTLS, in a process of its own: between bridge and provider, and before the bridge."""

import base64
import re
import smtplib
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import Pair
from tests.integration.rig import (
    PROVIDER_SECRET,
    PROVIDER_USER,
    BridgeProgram,
    Papers,
    Program,
    bridge,
    make_papers,
    write_config,
)
from tests.integration.talk import Talk

PASSWORD = base64.b64encode(f"\0{PROVIDER_USER}\0{PROVIDER_SECRET}".encode())
BODY = b"the text that nobody reads on the way\r\n"
MESSAGE = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: x\r\n\r\n" + BODY


class InBetween(Program):
    """The program, and what it could read."""

    def __init__(self, deed: str, port: int, folder: Path) -> None:
        """Carry connections to `port`."""
        self._record = folder / "record"
        self._record.touch()
        own = make_papers(folder)
        command = [sys.executable, "-m", "tests.integration.tls_mitm", deed, str(port), str(self._record)]
        super().__init__([*command, str(own.certificate), str(own.key)], folder / "mitm.log")

    @property
    def port(self) -> int:
        """Where it listens; waits until it does."""
        return int(self.says(r"in between at port (\d+)")[1])

    def read(self) -> bytes:
        """Return what it could read so far."""
        return self._record.read_bytes()


@contextmanager
def in_between(deed: str, port: int, folder: Path) -> Iterator[InBetween]:
    """Run it."""
    folder.mkdir()
    running = InBetween(deed, port, folder)
    try:
        assert running.port
        yield running
    finally:
        running.stop()


@contextmanager
def behind(
    deed: str, pair: Pair, papers: Papers, folder: Path, trust: str = ""
) -> Iterator[tuple[InBetween, BridgeProgram]]:
    """Run a bridge whose way to the sandbox leads through somebody; `trust` replaces what it trusts in."""
    with in_between(deed, pair.sandbox.port, folder / "mitm") as somebody:
        config = write_config(folder / "bridge", papers, somebody.port)
        if trust:
            config.write_text(config.read_text().replace(f'trust_roots = "{papers.authority}"', trust))
        with bridge(config) as relay:
            yield somebody, relay


def send(relay: BridgeProgram) -> bytes:
    """Send the message; return the reply to the final dot."""
    with Talk(relay.port) as talk:
        return talk.hello().send("shop@mail.example.com", ["r@example.org"], MESSAGE)


def test_somebody_who_only_listens_reads_neither_the_password_nor_the_mail(
    pair: Pair, papers: Papers, tmp_path: Path
) -> None:
    with behind("carry", pair, papers, tmp_path) as (somebody, relay):
        assert send(relay).startswith(b"250")
        assert b"STARTTLS" in somebody.read()
        assert PASSWORD not in somebody.read()
        assert BODY not in somebody.read()

    assert pair.sandbox.one_message().body == BODY


@pytest.mark.parametrize(
    ("deed", "fault"),
    [
        ("strip", "does not offer STARTTLS, and nothing is sent without TLS"),
        ("refuse", "STARTTLS was refused"),
        ("reply-with", "the server sent more behind its answer to STARTTLS"),
        ("reply-late", "what came is not TLS"),
        ("impostor", "certificate verify failed"),
    ],
)
def test_somebody_who_meddles_with_starttls_upstream_gets_nothing_and_is_told_of(
    deed: str, fault: str, pair: Pair, papers: Papers, tmp_path: Path
) -> None:
    with behind(deed, pair, papers, tmp_path) as (somebody, relay):
        assert send(relay).startswith(b"451 4.4.1 ")
        relay.says(re.escape(fault))
        assert b"AUTH PLAIN " not in somebody.read().replace(b"AUTH PLAIN LOGIN", b"")
        assert PASSWORD not in somebody.read()
        assert BODY not in somebody.read()

    assert pair.sandbox.new_messages() == []


def test_only_the_insecure_key_lets_an_impostor_read_everything_and_the_log_shouts(
    pair: Pair, papers: Papers, tmp_path: Path
) -> None:
    with behind("impostor", pair, papers, tmp_path, "insecure_skip_verification = true") as (somebody, relay):
        assert send(relay).startswith(b"250")
        assert PASSWORD in somebody.read()
        assert BODY in somebody.read()
        relay.says(r"warn upstream=main INSECURE: connecting to 127\.0\.0\.1")
        relay.says(r"warn \[upstream\.main\] insecure_skip_verification: INSECURE:")

    assert pair.sandbox.one_message().body == BODY


def believing(papers: Papers) -> ssl.SSLContext:
    """Return what a careful sender shakes hands with."""
    return ssl.create_default_context(cafile=str(papers.authority))


def test_a_sender_through_somebody_who_only_listens_is_not_read(pair: Pair, papers: Papers, tmp_path: Path) -> None:
    with (
        in_between("carry", pair.bridge.port, tmp_path / "mitm") as somebody,
        smtplib.SMTP("127.0.0.1", somebody.port, timeout=30) as sender,
    ):
        sender.starttls(context=believing(papers))
        sender.sendmail("shop@mail.example.com", ["r@example.org"], MESSAGE)
        assert BODY not in somebody.read()

    assert pair.sandbox.one_message().body == BODY


@pytest.mark.parametrize(("deed", "answer"), [("command-with", 554), ("command-late", 220)])
def test_commands_that_somebody_puts_before_a_senders_handshake_are_never_obeyed(
    deed: str, answer: int, pair: Pair, papers: Papers, tmp_path: Path
) -> None:
    with in_between(deed, pair.bridge.port, tmp_path / "mitm") as somebody:
        sender = smtplib.SMTP("127.0.0.1", somebody.port, timeout=30)
        sender.ehlo()
        assert sender.docmd("STARTTLS")[0] == answer
        assert sender.sock is not None
        with pytest.raises(OSError, match=r"."):
            believing(papers).wrap_socket(sender.sock, server_hostname="127.0.0.1")
        behind_starttls = somebody.read().partition(b"\nSTARTTLS\r\n")[2]
        assert re.search(rb"(?m)^(250|354)[ -]", behind_starttls) is None
        sender.close()

    # The bridge is none the worse for it.
    with socket.create_connection(("127.0.0.1", pair.bridge.port), 30) as plain:
        assert plain.recv(100).startswith(b"220 ")
    assert pair.sandbox.new_messages() == []
