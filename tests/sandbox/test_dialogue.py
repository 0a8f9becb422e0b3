"""The sandbox over loopback with real TLS, against Python's smtplib."""

import json
import smtplib
import socket
import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import trustme
from OpenSSL.SSL import TLS_SERVER_METHOD, Context
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smtpbridge.sandbox.folder import StoredMessage
from smtpbridge.sandbox.server import Sandbox

EXTENSIONS = (
    b"smtp.email-messaging.com\n8BITMIME\nSIZE 20971520\nSTARTTLS\nAUTH LOGIN PLAIN\n"
    b"ENHANCEDSTATUSCODES\nPIPELINING\nOK"
)
CONTENT = b"From: a@mail.example.com\r\nX-IB-Track: maybe\r\nX-MSYS-API: {}\r\n\r\n.dot\r\nbody\r\n"
AUTHORITY = trustme.CA()


@implementer(IOpenSSLContextFactory)
class TlsForLocalhost:
    """TLS with a certificate for localhost."""

    def __init__(self) -> None:
        self._context = Context(TLS_SERVER_METHOD)
        AUTHORITY.issue_cert("localhost").configure_cert(self._context)

    def getContext(self) -> Context:
        return self._context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


class WatchedSandbox(Sandbox):
    """A sandbox that tells when its last connection is gone."""

    waiting: Deferred[None] | None = None

    def closed(self, number: int) -> None:
        super().closed(number)
        if self.waiting is not None and self.stats().open == 0:
            self.waiting.callback(None)

    def deserted(self) -> Deferred[None]:
        self.waiting = Deferred()
        if self.stats().open == 0:
            self.waiting.callback(None)
        return self.waiting


class DialogueTests(TestCase):
    """smtplib in a thread, the sandbox in the reactor."""

    timeout = 60

    def setUp(self) -> None:
        # trial's own mktemp would leave its folders in the working directory under pytest.
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.kept: list[StoredMessage] = []
        self.sandbox = WatchedSandbox(
            folder=self.folder,
            users={"App": "right key", "user": "pass word"},
            context_factory=TlsForLocalhost(),
            clock=reactor,
            ids=lambda: str(uuid4()),
            on_message=self.kept.append,
        )

    async def listen(self, *, implicit_tls: bool = False) -> None:
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(self.sandbox.factory(implicit_tls=implicit_tls))
        self.addCleanup(port.stopListening)
        self.addCleanup(self.sandbox.deserted)
        self.port: int = port.getHost().port

    def connect(self) -> smtplib.SMTP:
        return smtplib.SMTP("localhost", self.port, local_hostname="c.example", timeout=20)

    def secured(self) -> smtplib.SMTP:
        client = self.connect()
        client.starttls(context=trusting())
        client.ehlo()
        return client

    def logged_in(self) -> smtplib.SMTP:
        client = self.secured()
        client.login("App", "right key")
        return client

    async def test_the_dialogue_is_infobips_word_for_word(self) -> None:
        await self.listen()

        def talk() -> list[tuple[int, bytes]]:
            with self.secured() as client:
                said = [client.ehlo(), client.login("App", "right key"), client.noop(), client.rset()]
                said += [client.mail("b@bounce.example.com", ["SIZE=20971520"]), client.rcpt("r@example.org")]
                said.append(client.docmd("DATA"))
                client.send(b"From: a@example.com\r\n\r\nhello\r\n.\r\n")
                said += [client.getreply(), client.docmd("QUIT")]
                client.close()
                return said

        said = await deferToThread(talk)

        assert said == [
            (250, EXTENSIONS),
            (235, b"2.7.0 Authentication successful"),
            (250, b"2.0.0 OK"),
            (250, b"2.0.0 OK"),
            (250, b"2.1.0 Sender <b@bounce.example.com> OK"),
            (250, b"2.1.5 Recipient <r@example.org> OK"),
            (354, b"End data with <cr><lf>.<cr><lf>"),
            (250, b"2.6.0 Message queued as " + self.kept[0].id.encode()),
            (221, b"2.0.0 Bye"),
        ]
        assert str(UUID(self.kept[0].id)) == self.kept[0].id

    async def test_the_list_of_extensions_is_the_same_before_tls(self) -> None:
        await self.listen()

        def talk() -> list[tuple[int, bytes]]:
            with self.connect() as client:
                return [client.ehlo(), client.docmd("STARTTLS")]

        assert await deferToThread(talk) == [(250, EXTENSIONS), (220, b"2.0.0 Ready to start TLS")]

    async def test_without_tls_there_is_neither_auth_nor_mail_and_without_auth_no_mail(self) -> None:
        await self.listen()

        def talk() -> list[int]:
            with self.connect() as client:
                client.ehlo()
                said = [client.docmd("AUTH PLAIN AEFwcAByaWdodCBrZXk="), client.mail("a@example.com")]
                client.starttls(context=trusting())
                client.ehlo()
                said += [client.docmd("STARTTLS"), client.mail("a@example.com")]
                return [code for code, _ in said]

        assert await deferToThread(talk) == [538, 530, 502, 530]

    async def test_a_user_logs_in_with_either_mechanism_and_the_right_password_only(self) -> None:
        await self.listen()

        def login(mechanism: str, user: str, password: str) -> int:
            with self.secured() as client:
                client.user, client.password = user, password
                method = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login}[mechanism]
                try:
                    return client.auth(mechanism, method)[0]
                except smtplib.SMTPAuthenticationError as error:
                    return error.smtp_code

        def talk() -> list[int]:
            return [
                login(mechanism, user, password)
                for mechanism in ("PLAIN", "LOGIN")
                for user, password in (
                    ("user", "pass word"),
                    ("user", "right key"),
                    ("nobody", ""),
                    ("app", "right key"),
                )
            ]

        assert await deferToThread(talk) == [235, 535, 535, 535] * 2

    async def test_an_accepted_message_is_kept_as_it_was_with_its_envelope_and_warnings_beside_it(self) -> None:
        await self.listen()

        def talk() -> object:
            with self.logged_in() as client:
                return client.sendmail("b@example.com", ["r@example.org", "bad@example.org"], CONTENT)

        refused = await deferToThread(talk)
        (eml,) = self.folder.glob("*.eml")
        envelope = json.loads(eml.with_suffix(".json").read_text(encoding="utf-8"))

        assert refused == {"bad@example.org": (501, b"5.1.7 Bad recipient address <bad@example.org>")}
        assert eml.name == f"000001-{self.kept[0].id}.eml"
        assert eml.read_bytes() == CONTENT
        facts = {name: envelope[name] for name in ("mail_from", "rcpt_to", "user", "tls", "connection", "size")}
        assert facts == {
            "mail_from": "b@example.com",
            "rcpt_to": ["r@example.org"],
            "user": "App",
            "tls": True,
            "connection": 1,
            "size": len(CONTENT),
        }
        assert envelope["warnings"] == [
            "X-IB-Track: maybe is not one of true, false",
            "X-MSYS-API would reach the recipient",
        ]
        assert self.kept[0].path == eml

    async def test_an_unaligned_sender_is_refused_at_the_dot_and_nothing_is_kept(self) -> None:
        await self.listen()

        def talk() -> tuple[int, bytes]:
            with self.logged_in() as client:
                client.mail("b@example.net")
                client.rcpt("r@example.org")
                return client.data(CONTENT)

        code, text = await deferToThread(talk)

        assert code == 550
        assert b"5.7.1 Root domains of Envelope From <b@example.net>" in text
        assert (list(self.folder.iterdir()), self.kept) == ([], [])

    async def test_a_declared_size_over_the_limit_is_refused_at_mail(self) -> None:
        await self.listen()

        def talk() -> int:
            with self.logged_in() as client:
                return client.mail("b@example.com", ["SIZE=20971521"])[0]

        assert await deferToThread(talk) == 552

    async def test_a_large_message_arrives_whole_over_implicit_tls(self) -> None:
        await self.listen(implicit_tls=True)
        content = CONTENT + b"..dots\r\n.\r\n" * 700_000

        def talk() -> list[bytes]:
            with smtplib.SMTP_SSL("localhost", self.port, context=trusting(), timeout=20) as client:
                client.login("App", "right key")
                client.sendmail("b@example.com", ["r@example.org"], content)
                return [client.ehlo()[1]]

        assert await deferToThread(talk) == [EXTENSIONS]
        (eml,) = self.folder.glob("*.eml")
        # Without the comparison's own account of 8 MB.
        same = eml.read_bytes() == content
        assert same
        assert (self.kept[0].size, self.kept[0].tls) == (len(content), True)

    async def test_one_connection_carries_many_messages(self) -> None:
        await self.listen()

        def talk() -> None:
            with self.logged_in() as client:
                for number in range(20):
                    client.sendmail("b@example.com", [f"r{number}@example.org"], CONTENT)

        await deferToThread(talk)
        stats = self.sandbox.stats()

        assert (stats.connections, stats.messages, stats.messages_per_connection) == (1, 20, (20,))

    async def test_a_connection_that_asks_to_be_cut_is_closed_under_real_tls(self) -> None:
        await self.listen()

        def talk(address: str) -> object:
            client = self.logged_in()
            try:
                client.mail("b@example.com")
                return client.rcpt(address)[0], client.noop()
            except smtplib.SMTPServerDisconnected:
                return "closed"
            finally:
                client.close()

        assert await deferToThread(lambda: talk("cut@example.org")) == "closed"
        assert await deferToThread(lambda: talk("hangup@example.org")) == "closed"

    async def test_commands_smuggled_in_front_of_the_handshake_are_not_obeyed(self) -> None:
        await self.listen()

        def talk() -> bytes:
            with socket.create_connection(("localhost", self.port), timeout=20) as connection:
                stream = connection.makefile("rwb")
                stream.write(b"EHLO c.example\r\nSTARTTLS\r\nRSET\r\n")
                stream.flush()
                return stream.read().splitlines()[-1]

        assert (await deferToThread(talk))[:4] == b"554 "

    async def test_a_handshake_without_ehlo_before_it_is_not_followed_by_a_second_greeting(self) -> None:
        await self.listen()

        def talk() -> bytes:
            with socket.create_connection(("localhost", self.port), timeout=20) as connection:
                connection.recv(1024)
                connection.sendall(b"STARTTLS\r\n")
                connection.recv(1024)
                with trusting().wrap_socket(connection, server_hostname="localhost") as secured:
                    secured.sendall(b"NOOP\r\nQUIT\r\n")
                    return secured.makefile("rb").read()

        assert await deferToThread(talk) == b"250 2.0.0 OK\r\n221 2.0.0 Bye\r\n"

    async def test_what_is_no_handshake_ends_that_connection_alone(self) -> None:
        await self.listen()

        def talk() -> tuple[bytes, int]:
            with self.connect() as other, socket.create_connection(("localhost", self.port), timeout=20) as connection:
                connection.recv(1024)
                connection.sendall(b"STARTTLS\r\n")
                connection.recv(1024)
                connection.sendall(b"EHLO in the clear\r\n" * 100)
                try:
                    rest = connection.makefile("rb").read()
                except ConnectionResetError:
                    rest = b""
                return rest, other.noop()[0]

        rest, code = await deferToThread(talk)
        assert b"250" not in rest
        assert code == 250

    async def test_a_peer_that_reads_late_gets_every_reply(self) -> None:
        await self.listen(implicit_tls=True)
        commands = 300_000

        def talk() -> int:
            connection = socket.create_connection(("localhost", self.port), timeout=20)
            with trusting().wrap_socket(connection, server_hostname="localhost") as secured:
                sent, said = 0, b""
                octets = b"NOOP\r\n" * commands + b"QUIT\r\n"
                secured.settimeout(0.0)
                while sent < len(octets):
                    try:
                        sent += secured.send(octets[sent : sent + 65_536])
                    except ssl.SSLWantWriteError:
                        # Both directions are full: the sandbox has stopped reading.  Now read.
                        secured.settimeout(20)
                        said += secured.recv(1_048_576)
                        secured.settimeout(0.0)
                secured.settimeout(20)
                while octets := secured.recv(1_048_576):
                    said += octets
                return said.count(b"250 2.0.0 OK\r\n")

        assert await deferToThread(talk) == commands
