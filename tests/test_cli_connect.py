"""`smtpbridge check --connect`: what is said of hosts that misbehave, each of them a little server here."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest
from click.testing import CliRunner
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from smtpbridge.cli import main
from smtpbridge.commands.certificates import make_certificates
from smtpbridge.commands.checking import connect_to_all
from smtpbridge.commands.diagnosis import finding_of
from smtpbridge.commands.finding import Finding, What
from smtpbridge.commands.probing import Patience, Resolver, system_addresses
from smtpbridge.commands.standin import number_of
from smtpbridge.commands.trial import Knock, Name, Speaks, Trial, Way, speaks
from smtpbridge.config import load
from smtpbridge.relay.tls import server_context
from smtpbridge.settings.values import Host
from tests.overheard import EVERYTHING

PASSWORD = "upstream-secret-71"
HELLO = "250-smtp.example\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN"
# Each is short where a test lets it run out, and nowhere else: a busy machine is slow at everything.
LONG, NO_RESOLVER, NO_WAY = Patience(), Patience(name=0.1), Patience(connect=0.2)
MUTE = Patience(greeting=0.1, silence=0.2)
# For ports that say nothing by themselves.
CURIOUS = Patience(greeting=0.1)


class Scripted(Protocol):
    """Greet, and answer each command by its verb; an empty answer hangs up."""

    def __init__(self, world: "Misbehaving", greeting: str, answers: Mapping[str, str], *, tls: bool) -> None:
        self.world, self.greeting, self.answers, self.tls = world, greeting, answers, tls
        self.held = b""

    def connectionMade(self) -> None:
        if self.tls:
            self.start_tls()
        self.say(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        *lines, self.held = (self.held + data).split(b"\r\n")
        for line in lines:
            verb = line.decode("latin-1").upper()
            self.world.heard.append(verb)
            answer = next((text for start, text in self.answers.items() if verb.startswith(start)), "500 What?")
            if not answer:
                assert self.transport is not None
                self.transport.loseConnection()
                return
            self.say(answer)
            if verb == "STARTTLS" and answer.startswith("220"):
                self.start_tls()

    def start_tls(self) -> None:
        assert self.transport is not None
        made = self.world.made
        self.transport.startTLS(server_context(made.certificate, made.key))  # type: ignore[attr-defined]

    def say(self, text: str) -> None:
        if text:
            assert self.transport is not None
            self.transport.write(text.encode() + b"\r\n")


class Misbehaving(TestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.certified(datetime.now(UTC))
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o600)
        self.heard: list[str] = []

    def certified(self, at: datetime) -> None:
        self.made = make_certificates(at, ("localhost", "127.0.0.1"))
        (self.folder / "authority.pem").write_bytes(self.made.authority)

    async def server(self, greeting: str = "220 smtp.example", *, tls: bool = False, **answers: str) -> int:
        """Open a port; it behaves, but for what `answers` say."""
        good = {"EHLO": HELLO, "STARTTLS": "220 Go", "AUTH": "235 Welcome", "MAIL": "250 OK", "RSET": "250 OK"}
        factory = Factory.forProtocol(lambda: Scripted(self, greeting, good | answers, tls=tls))
        port: IListeningPort = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        return number_of(port)

    def path(self, port: int, *, security: str = "starttls", host: str = "127.0.0.1") -> Path:
        path = self.folder / "smtpbridge.toml"
        path.write_text(
            'hostname = "bridge.example"\n[[listener]]\nendpoint = "tcp:2525:interface=127.0.0.1"\n'
            f'[upstream.main]\nhosts = ["{host}:{port}"]\npassword_file = "password"\n'
            f'trust_roots = "authority.pem"\nsecurity = "{security}"\n'
        )
        return path

    async def found(
        self,
        port: int,
        *,
        security: str = "starttls",
        host: str = "127.0.0.1",
        patience: Patience = LONG,
        resolve: Resolver = system_addresses,
        sender: str | None = None,
    ) -> Finding:
        config = load(self.path(port, security=security, host=host), {})
        (finding,) = await connect_to_all(config, reactor, sender=sender, patience=patience, resolve=resolve)
        EVERYTHING.said("\n".join(finding.lines()))
        self.assertNotIn(PASSWORD, "\n".join(finding.lines()))
        return finding

    def told(self, finding: Finding, what: What, *words: str) -> None:
        self.assertIs(finding.what, what, finding.lines())
        for word in words:
            self.assertIn(word, " ".join(finding.lines()))


def unresolved(number: int, text: str) -> Resolver:
    def resolve(_name: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(number, text)

    return resolve


class Names(Misbehaving):
    async def test_a_name_that_does_not_exist_is_told_from_a_resolver_that_does_not_answer(self) -> None:
        unknown = await self.found(1, host="smtp.x.example", resolve=unresolved(socket.EAI_NONAME, "not known"))
        silent = await self.found(1, host="smtp.x.example", resolve=unresolved(socket.EAI_AGAIN, "try again"))

        self.told(unknown, What.NAME_UNKNOWN, '"smtp.x.example" does not exist', "correct hosts or region")
        self.told(silent, What.DNS_SILENT, "No name server answered", "/etc/resolv.conf")

    async def test_a_name_without_an_address_is_told(self) -> None:
        nodata = getattr(socket, "EAI_NODATA", None)
        if nodata is None:
            self.skipTest("this system does not tell it from a name that does not exist")

        finding = await self.found(1, host="smtp.x.example", resolve=unresolved(nodata, "no address"))

        self.told(finding, What.NAME_WITHOUT_ADDRESS, "has no address")

    async def test_a_resolver_that_hangs_is_not_waited_for(self) -> None:
        hung = threading.Event()
        self.addCleanup(hung.set)

        def resolve(_name: str, _port: int) -> Sequence[str]:
            hung.wait(60)
            return []

        finding = await self.found(1, host="smtp.x.example", patience=NO_RESOLVER, resolve=resolve)

        self.told(finding, What.DNS_SILENT, "no answer within 0.1 seconds")

    async def test_the_resolver_of_the_system_is_the_one_that_is_asked(self) -> None:
        port = await self.server()

        finding = await self.found(port, host="localhost")

        self.told(finding, What.READY, "ready for mail")
        self.assertIn(Knock("127.0.0.1", Way.OPEN), finding.addresses)


class Ways(Misbehaving):
    async def test_a_port_that_is_blocked_is_told_from_one_where_nobody_listens(self) -> None:
        # Linux drops the first packet of a connection when the queue of a listener is full, as a firewall would.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            port = full.getsockname()[1]
            waiting = [socket.socket() for _ in range(4)]
            try:
                for one in waiting:
                    one.setblocking(False)
                    one.connect_ex(("127.0.0.1", port))
                blocked = await self.found(port, patience=NO_WAY)
            finally:
                for one in waiting:
                    one.close()
        refused = await self.found(port)

        self.told(blocked, What.BLOCKED, "no answer within 0.2 seconds", f"Let TCP port {port} out to 127.0.0.1")
        self.told(refused, What.REFUSED, "connection refused", f"Nobody listens on port {port}")

    async def test_ipv6_that_is_broken_is_told_though_ipv4_works(self) -> None:
        port = await self.server()

        finding = await self.found(port, host="localhost", resolve=lambda _name, _port: ["::1", "127.0.0.1"])

        self.told(finding, What.READY, "IPv6 to localhost", "does not work from here, IPv4 does", "gai.conf")

    async def test_one_address_of_several_that_fails_is_told(self) -> None:
        port = await self.server()

        finding = await self.found(port, host="localhost", resolve=lambda _name, _port: ["127.0.0.2", "127.0.0.1"])

        self.told(finding, What.READY, f"1 of 2 addresses of localhost:{port} cannot be used (127.0.0.2: ")


class Ports(Misbehaving):
    async def test_starttls_spoken_to_a_tls_port_is_told(self) -> None:
        finding = await self.found(await self.server(tls=True), patience=CURIOUS)

        self.told(finding, What.WRONG_PORT, "TLS from the first octet", 'write security = "tls"')

    async def test_tls_spoken_to_a_starttls_port_is_told(self) -> None:
        finding = await self.found(await self.server(), security="tls")

        self.told(finding, What.WRONG_PORT, "the port speaks SMTP", 'write security = "starttls"')

    async def test_a_web_server_is_told_in_either_way(self) -> None:
        said = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
        plain = await self.server("", EHLO=said)
        encrypted = await self.server("", tls=True, EHLO=said)

        for port, security in ((plain, "starttls"), (encrypted, "tls"), (encrypted, "starttls")):
            finding = await self.found(port, security=security, patience=CURIOUS)

            self.told(finding, What.NOT_SMTP, "a web server or a proxy (HTTP)", "ports 587 and 465")

    async def test_another_service_is_named(self) -> None:
        ssh = await self.found(await self.server("SSH-2.0-OpenSSH_9.9"))
        imap = await self.found(await self.server("* OK IMAP4rev1 ready"))
        tls = await self.found(await self.server("+OK POP3 ready"), security="tls")

        self.told(ssh, What.NOT_SMTP, "an SSH server answers")
        self.told(imap, What.NOT_SMTP, "an IMAP server answers")
        self.told(tls, What.NOT_SMTP, "a POP3 server answers")

    async def test_a_silent_port_is_told_in_either_way(self) -> None:
        port = await self.server("", EHLO="")
        factory = Factory.forProtocol(Protocol)
        mute: IListeningPort = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(mute.stopListening)

        for number in (port, number_of(mute)):
            for security in ("starttls", "tls"):
                finding = await self.found(number, security=security, patience=MUTE)

                self.assertFalse(finding.usable)
                self.assertIn(finding.what, (What.SILENT, What.TLS_FAILED), finding.lines())
        self.told(finding, What.SILENT, "does not answer in time (handshake)", "the host is overloaded")


class Conversations(Misbehaving):
    async def test_a_greeting_that_puts_off_is_told_from_one_that_refuses(self) -> None:
        later = await self.found(await self.server("421 4.3.2 Too many connections"))
        never = await self.found(await self.server("554 5.7.1 Go away"))

        self.told(later, What.GREETING_PUT_OFF, "421 4.3.2 Too many connections", "Try again in some minutes")
        self.told(never, What.GREETING_REFUSED, "554 5.7.1 Go away", "safelist")

    async def test_a_refused_name_is_told(self) -> None:
        finding = await self.found(await self.server(EHLO="550 5.7.1 Who?"))

        self.told(finding, What.HELLO_REFUSED, "550 5.7.1 Who?", "look at hostname")

    async def test_starttls_that_is_not_offered_is_told_and_a_firewall_that_crosses_it_out(self) -> None:
        plain = await self.found(await self.server(EHLO="250-smtp.example\r\n250 PIPELINING"))
        masked = await self.found(await self.server(EHLO="250-smtp.example\r\n250-XXXXXXXA\r\n250 PIPELINING"))

        self.told(plain, What.NO_STARTTLS, "does not offer STARTTLS", "takes the offer out")
        self.told(masked, What.NO_STARTTLS, "SMTP inspection: switch it off")
        self.assertNotIn("AUTH", " ".join(self.heard))

    async def test_a_login_that_is_put_off_is_not_called_a_wrong_password(self) -> None:
        later = await self.found(await self.server(AUTH="454 4.7.0 Temporary authentication failure"))
        never = await self.found(await self.server(AUTH="535 5.7.8 Bad credentials"))

        self.told(later, What.LOGIN_PUT_OFF, "454 4.7.0", "says nothing about the password")
        self.assertNotIn("with this password", later.advice)
        self.told(never, What.LOGIN_REFUSED, "535 5.7.8", 'does not know "App" with this password')

    async def test_a_host_without_a_login_is_told(self) -> None:
        finding = await self.found(await self.server(EHLO="250-smtp.example\r\n250 STARTTLS"))

        self.told(finding, What.LOGIN_NOT_OFFERED, "offers no login that is spoken here")

    async def test_a_host_that_hangs_up_in_the_middle_is_told_with_what_it_did(self) -> None:
        finding = await self.found(await self.server(AUTH=""))

        self.told(finding, What.OTHER, "connection lost")

    async def test_a_certificate_that_is_not_valid_yet_is_told_with_the_clock(self) -> None:
        self.certified(datetime.now(UTC) + timedelta(days=3))

        finding = await self.found(await self.server())

        self.told(finding, What.CERTIFICATE_NOT_YET_VALID, "is not valid before", "look at the clock (timedatectl)")


class Senders(Misbehaving):
    async def test_a_sender_that_is_taken_is_told_and_taken_back_without_a_message(self) -> None:
        finding = await self.found(await self.server(), sender="news@shop.example")

        self.told(finding, What.READY, "MAIL FROM:<news@shop.example> is taken: 250 OK")
        self.assertEqual(self.heard[-3:], ["MAIL FROM:<NEWS@SHOP.EXAMPLE>", "RSET", "QUIT"])

    async def test_a_sender_that_is_refused_is_told_from_one_that_is_put_off(self) -> None:
        never = await self.found(await self.server(MAIL="550 5.7.1 Unknown domain"), sender="news@shop.example")
        later = await self.found(await self.server(MAIL="451 4.3.0 Later"), sender="news@shop.example")

        self.told(never, What.SENDER_REFUSED, "is refused: 550 5.7.1", 'may not send as "shop.example"', "SPF and DKIM")
        self.told(later, What.SENDER_PUT_OFF, "is put off: 451 4.3.0", "try again")

    async def test_the_command_tries_a_sender_and_answers_with_one_json_object(self) -> None:
        path = self.path(await self.server(MAIL="550 5.7.1 Unknown domain"))

        ended = await deferToThread(self.command, path, "--connect", "--from", "news@shop.example", "--json")

        self.assertEqual((ended.returncode, ended.stderr), (1, ""))
        told = json.loads(ended.stdout)
        self.assertEqual((told["usable"], told["faults"]), (False, []))
        (host,) = told["hosts"]
        self.assertEqual((host["upstream"], host["usable"], host["what"]), ("main", False, "sender-refused"))
        self.assertEqual(host["addresses"], [{"address": "127.0.0.1", "result": "open"}])
        self.assertIn("550 5.7.1 Unknown domain", host["text"])

    def command(self, path: Path, *args: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-c", "from smtpbridge.cli import main; main()", "check", "--config", str(path), *args]
        ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        EVERYTHING.said(ended.stdout + ended.stderr)
        return ended


def test_a_wrong_sender_and_one_without_connect_are_wrong_calls() -> None:
    wrong = CliRunner().invoke(main, ["check", "--connect", "--from", "nobody"])
    alone = CliRunner().invoke(main, ["check", "--from", "a@x.example"])

    assert (wrong.exit_code, alone.exit_code) == (2, 2)
    assert "nobody" in wrong.stderr
    assert "--from goes with --connect" in alone.stderr


def test_faults_of_the_file_are_told_in_json_too(tmp_path: Path) -> None:
    path = tmp_path / "smtpbridge.toml"
    path.write_text("hostname = 3\n")

    result = CliRunner().invoke(main, ["check", "--json", "--config", str(path)])

    told = json.loads(result.stdout)
    assert (result.exit_code, told["usable"]) == (1, False)
    assert any("hostname" in fault for fault in told["faults"])


def test_no_route_is_told_with_the_words_of_the_system(tmp_path: Path) -> None:
    trial = Trial(Name.KNOWN, (Knock("192.0.2.1", Way.NO_ROUTE, "network is unreachable"),))
    (tmp_path / "password").write_text(PASSWORD)
    path = tmp_path / "smtpbridge.toml"
    path.write_text(
        '[[listener]]\nendpoint = "tcp:2525:interface=127.0.0.1"\n[upstream.main]\nregion = "europe"\n'
        'password_file = "password"\n'
    )

    finding = finding_of(trial, load(path, {}).upstreams[0], Host("smtp.example", 587))

    assert finding.what is What.NO_ROUTE
    assert "192.0.2.1: network is unreachable" in finding.text
    assert "routes (ip route)" in finding.advice


@pytest.mark.parametrize(
    ("first", "what"),
    [
        (b"220 smtp.example ESMTP\r\n", Speaks.SMTP),
        (b"554-go\r\n", Speaks.SMTP),
        (b"HTTP/1.1 400 Bad Request", Speaks.HTTP),
        (b"<html>", Speaks.HTTP),
        (b"\x15\x03\x01\x00\x02\x02\x46", Speaks.TLS),
        (b"2200000", Speaks.OTHER),
        (b"\0", Speaks.OTHER),
    ],
)
def test_a_port_is_known_by_its_first_octets(first: bytes, what: Speaks) -> None:
    assert speaks(first) is what


def test_every_word_that_a_finding_may_have_is_explained() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "check.md").read_text("utf-8")

    for what in What:
        assert f"| `{what.value}` |" in page, what
