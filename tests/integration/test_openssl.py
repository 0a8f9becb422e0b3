"""A session by hand through `openssl s_client`, which knows nothing of SMTP beyond STARTTLS."""

import base64
from pathlib import Path

import pytest

from tests.integration.conftest import Pair
from tests.integration.rig import (
    SENDER_SECRET,
    SENDER_USER,
    Papers,
    SandboxProgram,
    bridge,
    program,
    write_config,
)
from tests.integration.talk import PipeTalk

PLAIN = base64.b64encode(f"\0{SENDER_USER}\0{SENDER_SECRET}".encode())
MESSAGE = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: by hand\r\nX-MSYS-API: {}\r\n\r\n..dot\r\n"


def s_client(port: int, papers: Papers, *options: str) -> list[str]:
    """Return the command; -quiet keeps lines that begin with Q or R from being commands to s_client itself."""
    openssl = program("openssl", "openssl")
    trust = ["-CAfile", str(papers.authority), "-verify_return_error", "-verify_hostname", "localhost"]
    return [openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", *trust, *options]


def send_by_hand(talk: PipeTalk) -> None:
    """Log in, send a message, say QUIT."""
    offered = talk.say(b"EHLO client.example.com\r\n", b"250 ") + talk.hear(b"\r\n")
    assert b"250-AUTH LOGIN PLAIN" in offered
    assert b"STARTTLS" not in offered
    assert talk.say(b"AUTH PLAIN " + PLAIN + b"\r\n", b"\r\n").startswith(b"235")
    assert talk.say(b"MAIL FROM:<shop@mail.example.com>\r\n", b"\r\n").startswith(b"250")
    assert talk.say(b"RCPT TO:<r@example.org>\r\n", b"\r\n").startswith(b"250")
    assert talk.say(b"DATA\r\n", b"\r\n").startswith(b"354")
    assert talk.say(MESSAGE + b".\r\n", b"\r\n").startswith(b"250")
    assert talk.say(b"QUIT\r\n", b"\r\n").startswith(b"221")


def assert_arrived(upstream: SandboxProgram) -> None:
    """The message is there, and its trace says that it came over TLS with a login (RFC 3848)."""
    stored = upstream.one_message()
    assert stored.body == b".dot\r\n"
    assert "with ESMTPSA" in (stored.field("Received") or "")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_message_by_hand_after_starttls(pair: Pair, papers: Papers, version: str) -> None:
    with PipeTalk(s_client(pair.bridge.port, papers, "-starttls", "smtp", version)) as talk:
        # s_client shows the last line of what was offered before TLS.
        talk.hear(b"250 ")
        talk.hear(b"\r\n")
        send_by_hand(talk)

    assert_arrived(pair.sandbox)


def test_a_message_by_hand_over_implicit_tls(pair: Pair, papers: Papers, tmp_path: Path) -> None:
    endpoint = f"ssl:0:privateKey={papers.key}:certKey={papers.certificate}:interface=127.0.0.1"
    config = write_config(tmp_path, papers, pair.sandbox.port, endpoint=endpoint)

    with bridge(config) as implicit, PipeTalk(s_client(implicit.port, papers)) as talk:
        talk.hear(b"220 ")
        talk.hear(b"\r\n")
        send_by_hand(talk)

    assert_arrived(pair.sandbox)


def test_tls_1_1_is_refused(pair: Pair, papers: Papers) -> None:
    # Without the lower security level the client itself would not offer it.
    options = ["-starttls", "smtp", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]
    with PipeTalk(s_client(pair.bridge.port, papers, *options)) as talk:
        assert b"protocol version" in talk.hear(b"alert protocol version")
        assert talk.ended() == 1
