"""The daemon as a process: how it starts, how it ends, what its exit status says."""

import re
import signal
import socket
from pathlib import Path

from tests.integration.rig import Papers, Program, bridge, daemon_command, eventually, sandbox, write_config
from tests.integration.scripted import scripted
from tests.integration.talk import Talk

SENDER, RECIPIENTS = "shop@mail.example.com", ["r@example.org"]
MESSAGE = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: one\r\n\r\nhello\r\n"
# Long enough for a busy machine; the daemon's own limit for draining is a minute.
SOON = 10.0
# twistd ends by the signal that it was sent, once all is stopped, so that a shell or systemd sees the truth of it.
CLEAN = (0,)


def test_a_port_that_cannot_be_bound_ends_the_daemon_with_a_failure(papers: Papers, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]
        config = write_config(tmp_path, papers, 9, endpoint=f"tcp:{port}:interface=127.0.0.1")
        daemon = Program(daemon_command(config), tmp_path / "log")
        try:
            assert daemon.ended() != 0
        finally:
            daemon.stop()

    assert re.search(rf"cannot listen at tcp:{port}:interface=127\.0\.0\.1.*in use", daemon.output())
    assert "Traceback" not in daemon.output()


def test_a_second_listener_that_cannot_be_bound_ends_the_daemon_too(papers: Papers, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        second = f'[[listener]]\nendpoint = "tcp:{occupant.getsockname()[1]}:interface=127.0.0.1"'
        daemon = Program(daemon_command(write_config(tmp_path, papers, 9, listener=second)), tmp_path / "log")
        try:
            assert daemon.ended() != 0
        finally:
            daemon.stop()


def test_every_fault_of_a_configuration_is_named_and_nothing_starts(papers: Papers, tmp_path: Path) -> None:
    config = write_config(tmp_path, papers, 9, listener="idle_secondz = 3", upstream='security = "none"')
    daemon = Program(daemon_command(config), tmp_path / "log")
    try:
        assert daemon.ended() != 0
    finally:
        daemon.stop()

    assert "idle_secondz" in daemon.output()
    assert "security" in daemon.output()
    assert "listening" not in daemon.output()


def test_sigterm_ends_an_idle_daemon_soon_and_with_success(papers: Papers, tmp_path: Path) -> None:
    with sandbox(tmp_path, papers) as upstream, bridge(write_config(tmp_path, papers, upstream.port)) as relay:
        with Talk(relay.port).hello() as talk:
            assert talk.send(SENDER, RECIPIENTS, MESSAGE).startswith(b"250")
            relay.signal(signal.SIGTERM)
            # RFC 5321, 3.8: a server that closes says so.
            assert talk.reply().startswith(b"421")
            assert talk.reply() == b""
        assert relay.ended(SOON) in CLEAN

    assert "Traceback" not in relay.output()


def test_sigterm_waits_for_the_verdict_on_a_message_under_way(papers: Papers, tmp_path: Path) -> None:
    with (
        scripted(papers, answers=False) as upstream,
        bridge(write_config(tmp_path, papers, upstream.port, upstream='security = "tls"')) as relay,
        Talk(relay.port).hello() as talk,
    ):
        talk.write(b"MAIL FROM:<shop@mail.example.com>\r\nRCPT TO:<r@example.org>\r\nDATA\r\n")
        assert talk.replies(3) == [250, 250, 354]
        talk.write(MESSAGE + b".\r\n")
        eventually(lambda: upstream.waiting, "the final dot upstream")
        relay.signal(signal.SIGTERM)
        relay.says("stopping: 1 messages under way")
        upstream.may_answer.set()
        assert talk.reply() == b"250 2.6.0 taken by the scripted upstream\r\n"
        assert talk.reply().startswith(b"421")
        assert relay.ended(SOON) in CLEAN

    assert len(upstream.taken) == 1


def test_sigterm_lets_a_sender_finish_the_transaction_that_it_has_begun(papers: Papers, tmp_path: Path) -> None:
    with (
        sandbox(tmp_path, papers) as upstream,
        bridge(write_config(tmp_path, papers, upstream.port)) as relay,
        Talk(relay.port).hello() as talk,
    ):
        talk.write(b"MAIL FROM:<shop@mail.example.com>\r\nRCPT TO:<r@example.org>\r\nDATA\r\n")
        assert talk.replies(3) == [250, 250, 354]
        relay.signal(signal.SIGTERM)
        relay.says("stopping:")
        talk.write(MESSAGE + b".\r\n")
        assert talk.reply().startswith(b"250")
        assert relay.ended(SOON) in CLEAN

        assert upstream.one_message().body == b"hello\r\n"


def test_the_log_is_whole_when_the_daemon_has_ended(papers: Papers, tmp_path: Path) -> None:
    with sandbox(tmp_path, papers) as upstream, bridge(write_config(tmp_path, papers, upstream.port)) as relay:
        with Talk(relay.port).hello() as talk:
            assert talk.send(SENDER, RECIPIENTS, MESSAGE).startswith(b"250")
            relay.signal(signal.SIGTERM)
        relay.ended(SOON)

    assert re.search(r"id=\S+ verdict=250 ", relay.output())
    assert " stopped\n" in relay.output()
