"""Servers that nobody here wrote, in the provider's place."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.integration.postfix import free_port, login_server, postfix
from tests.integration.rig import (
    PATIENCE,
    PROVIDER_SECRET,
    PROVIDER_USER,
    BridgeProgram,
    Papers,
    bridge,
    eventually,
    write_config,
)
from tests.integration.talk import Talk

SENDER = "shop@mail.example.com"
MESSAGE = (
    b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: %d\r\n"
    b'X-MSYS-API: {"campaign_id": "spring", "bcc": ["blind@example.org"]}\r\n\r\n..dot\r\n8-bit: \xc3\xbc\r\n'
)


_POSTFIX = """
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_auth_only = yes
smtpd_tls_loglevel = 1
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {logins}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
default_transport = discard
"""


@dataclass(slots=True)
class Sink:
    """What aiosmtpd was given; `connections` counts the sessions that logged in, `lost` those that are over."""

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    connections: int = 0
    lost: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the message (aiosmtpd finds this method by its name)."""
        self.envelopes.append(envelope)
        return "250 2.0.0 kept by aiosmtpd"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        """Know one user."""
        known = login == LoginPassword(PROVIDER_USER.encode(), PROVIDER_SECRET.encode())
        self.connections += known
        # "Handled" would mean that the answer has been given here.
        return AuthResult(success=known, handled=False)


class CountedSMTP(SMTP):
    """Tell the sink when a connection is over."""

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.event_handler.lost += 1


@contextmanager
def aiosmtpd(papers: Papers, *, idle: float = 300) -> Iterator[Sink]:
    """Run aiosmtpd, with STARTTLS and AUTH demanded, in a thread; it closes a connection that is `idle` for so long."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    sink, loop = Sink(), asyncio.new_event_loop()

    def protocol() -> SMTP:
        return CountedSMTP(
            sink,
            hostname="aiosmtpd.example.net",
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=sink.authenticate,
            timeout=idle,
            loop=loop,
        )

    server = loop.run_until_complete(loop.create_server(protocol, "127.0.0.1", 0))
    sink.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def send(relay: BridgeProgram, number: int) -> bytes:
    """Send a message through the bridge and return the verdict."""
    with Talk(relay.port).hello() as talk:
        return talk.send(SENDER, [f"r{number}@example.org"], MESSAGE % number)


def test_aiosmtpd_takes_what_the_bridge_sends(papers: Papers, tmp_path: Path) -> None:
    with aiosmtpd(papers) as sink, bridge(write_config(tmp_path, papers, sink.port)) as relay:
        answers = [send(relay, number) for number in range(5)]

    assert answers == [b"250 2.0.0 kept by aiosmtpd\r\n"] * 5
    assert [one.rcpt_tos for one in sink.envelopes] == [
        recipients for number in range(5) for recipients in ([f"r{number}@example.org"], ["blind@example.org"])
    ]
    for envelope in sink.envelopes:
        assert envelope.mail_from == SENDER
        assert isinstance(envelope.content, bytes)
        assert envelope.content.endswith(b"\r\n\r\n.dot\r\n8-bit: \xc3\xbc\r\n")
        assert b"\r\nX-IB-Bulk-Id: spring\r\n" in envelope.content
    assert sink.connections == 1


def test_aiosmtpd_closing_idle_connections_costs_the_sender_nothing(papers: Papers, tmp_path: Path) -> None:
    with aiosmtpd(papers, idle=1) as sink, bridge(write_config(tmp_path, papers, sink.port)) as relay:
        assert send(relay, 1).startswith(b"250")
        eventually(lambda: sink.lost, "aiosmtpd to hang up")
        assert send(relay, 2).startswith(b"250")

    assert sink.connections == 2
    assert "Z error " not in relay.output()


def test_a_wrong_password_is_the_operators_fault_and_the_sender_keeps_the_message(
    papers: Papers, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    wrong.chmod(0o600)
    with aiosmtpd(papers) as sink:
        config = write_config(tmp_path, papers, sink.port)
        config.write_text(config.read_text().replace(str(papers.provider_secret), str(wrong)))
        with bridge(config) as relay:
            answer = send(relay, 1)

    assert answer.startswith(b"451 ")
    assert sink.envelopes == []
    assert "not it" not in relay.output()


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_postfix_takes_what_the_bridge_sends(papers: Papers, tmp_path: Path, tls: str) -> None:
    port = free_port()
    wrapper = "-o smtpd_tls_wrappermode=yes" if tls == "tls" else "-o smtpd_tls_security_level=encrypt"
    service = f"127.0.0.1:{port} inet n - n - - smtpd {wrapper}\n"
    config = write_config(tmp_path, papers, port, upstream=f'security = "{tls}"')
    with login_server(PROVIDER_USER, PROVIDER_SECRET) as logins:
        settings = _POSTFIX.format(certificate=papers.certificate, key=papers.key, logins=logins)
        with postfix(settings, service) as sink, bridge(config) as relay:
            answers = [send(relay, number) for number in range(5)]
            eventually(lambda: sink.queue() == "", "an empty queue of Postfix")
            log = sink.log

    assert {answer[:3] for answer in answers} == {b"250"}
    for number in range(5):
        assert log.count(f"to=<r{number}@example.org>, relay=none") == 1
    assert log.count("to=<blind@example.org>, relay=none") == 5
    assert log.count("status=sent") == 10
    assert log.count("TLS connection established from") == 1
    assert log.count(f"sasl_method=PLAIN, sasl_username={PROVIDER_USER}") == 10
