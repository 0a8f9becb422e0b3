"""`smtpbridge trace` at the real daemon: both sides of a message, inside TLS, of one process and of several."""

import base64
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rig import (
    PROVIDER_SECRET,
    SENDER_SECRET,
    SENDER_USER,
    Papers,
    Program,
    bridge,
    eventually,
    sandbox,
    write_config,
)
from tests.integration.talk import Talk

SENDER, RECIPIENT = "shop@mail.example.com", "r@example.org"
MESSAGE = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: one\r\n\r\nthe body of it\r\n"
COMMAND = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from smtpbridge.cli import main; main()"
)


@contextmanager
def trace(config: Path, name: str, *options: str) -> Iterator[Program]:
    """Run the command until the block ends; the daemon follows from the beginning of the block."""
    command = [sys.executable, "-u", "-c", COMMAND, "trace", "--config", str(config), *options]
    running = Program(command, config.with_name(f"{name}.log"))
    try:
        running.says("following")
        yield running
        running.signal(signal.SIGINT)
        assert running.ended() == 0
    finally:
        running.stop()


def lines_of(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program.output().splitlines() if line.startswith("{")]


def texts(lines: list[dict[str, Any]], side: str, place: str) -> list[str]:
    return [line["text"] for line in lines if line.get("side") == side and place in line]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_message_is_followed_on_both_sides_and_no_secret_is_shown(
    workers: int, papers: Papers, tmp_path: Path
) -> None:
    with sandbox(tmp_path, papers) as upstream:
        config = write_config(tmp_path, papers, upstream.port)
        with config.open("a") as more:
            more.write(f"[process]\nworkers = {workers}\n")
        with bridge(config) as relay:
            if workers > 1:
                eventually(lambda: relay.output().count("is ready") == workers, "workers")
            with Talk(relay.port) as open_before, trace(config, "trace", "--json") as followed:
                login = base64.b64encode(f"\0{SENDER_USER}\0{SENDER_SECRET}".encode())
                assert open_before.say(b"EHLO early.example.com").startswith(b"250")
                assert open_before.say(b"AUTH PLAIN " + login).startswith(b"235")
                assert open_before.send(SENDER, [RECIPIENT], MESSAGE).startswith(b"250")
                open_before.say(b"QUIT")
                eventually(lambda: "QUIT" in texts(lines_of(followed), ">", "listener"), "the whole session")
                lines = lines_of(followed)
            shown = followed.output()

    client, provider = texts(lines, ">", "listener"), texts(lines, ">", "upstream")
    assert client == [
        "EHLO early.example.com",
        "AUTH PLAIN ****",
        f"MAIL FROM:<{SENDER}>",
        f"RCPT TO:<{RECIPIENT}>",
        "DATA",
        f"({len(MESSAGE)} octets of data)",
        ".",
        "QUIT",
    ]
    # What the provider's side is about: in the clear up to STARTTLS, then inside TLS, with a login of our own.
    assert [text.split(" ")[0] for text in provider][:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]
    assert f"RCPT TO:<{RECIPIENT}>" in provider
    assert any(text.startswith("TLS TLSv1") for text in texts(lines, "*", "upstream"))
    for secret in (SENDER_SECRET, PROVIDER_SECRET):
        for form in (secret, base64.b64encode(secret.encode()).decode()):
            assert form not in shown
    assert login.decode() not in shown
    assert "the body of it" not in shown
    assert {line["session"].count("-") for line in lines} == {workers - 1}


def test_a_filter_shows_one_message_and_its_header_block(papers: Papers, tmp_path: Path) -> None:
    with sandbox(tmp_path, papers) as upstream, bridge(write_config(tmp_path, papers, upstream.port)) as relay:
        config = tmp_path / "smtpbridge.toml"
        with (
            trace(config, "wanted", "--recipient", "<wanted@example.org>", "--headers") as wanted,
            trace(config, "network", "--client", "10.0.0.0/8") as elsewhere,
            Talk(relay.port).hello() as talk,
        ):
            assert talk.send(SENDER, ["other@example.org"], MESSAGE).startswith(b"250")
            assert talk.send(SENDER, ["wanted@example.org"], MESSAGE).startswith(b"250")
            wanted.says(r"\] 127\.0\.0\.1 > \.\n(?s:.*) < 250")
            shown = wanted.output()

    assert "> Subject: one" in shown
    assert "other@example.org" not in shown
    assert elsewhere.output() == "following; Ctrl-C ends\n"


def test_a_daemon_that_stops_ends_the_trace_with_a_failure(papers: Papers, tmp_path: Path) -> None:
    with bridge(write_config(tmp_path, papers, 9)) as relay:
        command = [sys.executable, "-c", COMMAND, "trace", "--config", str(tmp_path / "smtpbridge.toml")]
        followed = Program(command, tmp_path / "trace.log")
        try:
            followed.says("following")
            relay.signal(signal.SIGTERM)
            assert followed.ended() == 1
        finally:
            followed.stop()

    assert "Error: the daemon stops" in followed.output()


@pytest.mark.parametrize(
    ("more", "options", "said"),
    [
        ("", [], "no daemon answers at"),
        ('[process]\ncontrol = "off"\n', [], '[process] control is "off"'),
        ("[process]\ncontrol = 3\n", [], "[process] control: 3: write text in quotes"),
    ],
)
def test_what_keeps_a_trace_from_beginning_is_said(
    more: str, options: list[str], said: str, papers: Papers, tmp_path: Path
) -> None:
    config = write_config(tmp_path, papers, 9)
    with config.open("a") as file:
        file.write(more)
    followed = Program([sys.executable, "-c", COMMAND, "trace", "--config", str(config), *options], tmp_path / "log")
    try:
        assert followed.ended() == 1
    finally:
        followed.stop()

    assert said in followed.output()
