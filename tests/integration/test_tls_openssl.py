"""What a running daemon does about renegotiation, new keys, old sessions and weak ciphers, as openssl sees it."""

import smtplib
import ssl
from pathlib import Path

import pytest

from tests.integration.conftest import Pair
from tests.integration.rig import Papers, bridge, starttls_lines, write_config
from tests.integration.talk import PipeTalk, Talk
from tests.integration.test_openssl import s_client

VERSIONS = {"-tls1_2": ssl.TLSVersion.TLSv1_2, "-tls1_3": ssl.TLSVersion.TLSv1_3}


def client(port: int, papers: Papers, *options: str) -> list[str]:
    """Return an s_client that obeys its own commands (K, k, R, Q at the start of a line)."""
    return [word for word in s_client(port, papers, "-crlf", *options) if word != "-quiet"]


def test_a_sender_that_renegotiates_is_cut_off_and_nobody_else_notices(pair: Pair, papers: Papers) -> None:
    with (
        Talk(pair.bridge.port) as other,
        PipeTalk(client(pair.bridge.port, papers, "-starttls", "smtp", "-tls1_2")) as talk,
    ):
        talk.hear(b"250 HELP")
        assert b"no renegotiation" in talk.say(b"R\n", b"no renegotiation")
        assert talk.ended() == 1
        other.hello()


@pytest.mark.parametrize("command", [b"k\n", b"K\n"])
def test_a_sender_may_change_its_keys_and_the_session_goes_on(command: bytes, pair: Pair, papers: Papers) -> None:
    with PipeTalk(client(pair.bridge.port, papers, "-starttls", "smtp", "-tls1_3")) as talk:
        talk.hear(b"250 HELP")
        for _ in range(40):
            talk.say(command, b"KEYUPDATE")
            talk.say(b"NOOP\n", b"250 2.0.0 OK")


@pytest.mark.parametrize("version", list(VERSIONS.values()))
def test_a_session_of_one_process_offered_to_another_is_a_full_handshake_and_no_fault(
    version: ssl.TLSVersion, pair: Pair, papers: Papers, tmp_path: Path
) -> None:
    context = ssl.create_default_context(cafile=str(papers.authority))
    context.minimum_version = context.maximum_version = version

    def shake(port: int, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        """Begin TLS with a session from before; return the new one."""
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as sender:
            assert sender.docmd("EHLO", "client.example.com")[0] == 250
            assert sender.docmd("STARTTLS")[0] == 220
            assert sender.sock is not None
            secured = context.wrap_socket(sender.sock, server_hostname="127.0.0.1", session=session)
            sender.sock, sender.file = secured, None
            assert sender.docmd("EHLO", "client.example.com")[0] == 250
            assert not secured.session_reused
            return secured.session

    config = write_config(tmp_path, papers, pair.sandbox.port, listener=starttls_lines(papers))
    with bridge(config) as other:
        session = shake(pair.bridge.port, None)
        for port in (pair.bridge.port, other.port, pair.bridge.port):
            shake(port, session)


@pytest.mark.parametrize(
    ("cipher", "taken"), [("ECDHE-ECDSA-AES128-GCM-SHA256", True), ("ECDHE-ECDSA-AES128-SHA256", False)]
)
def test_an_endpoint_with_tls_of_its_own_takes_the_same_ciphers(
    cipher: str, taken: bool, pair: Pair, papers: Papers, tmp_path: Path
) -> None:
    endpoint = f"ssl:0:privateKey={papers.key}:certKey={papers.certificate}:interface=127.0.0.1"
    config = write_config(tmp_path, papers, pair.sandbox.port, endpoint=endpoint)
    with (
        bridge(config) as implicit,
        PipeTalk(client(implicit.port, papers, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")) as talk,
    ):
        assert talk.hear(b"220 " if taken else b"handshake failure")
