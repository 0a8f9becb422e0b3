"""`smtpbridge check`: the faults of a file, and what is found at the hosts that it names."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from smtpbridge.cli import main
from smtpbridge.commands.certificates import make_certificates
from smtpbridge.commands.checking import connect_to_all
from smtpbridge.commands.finding import Finding
from smtpbridge.commands.probing import Patience
from smtpbridge.commands.standin import Premises, listen, number_of, open_sandbox
from smtpbridge.config import load
from smtpbridge.relay.tls import ServerTls
from tests.overheard import EVERYTHING

PASSWORD = "upstream-secret-52"
# Complete, so that there is nothing to note.
LISTENER = (
    '[bounces]\nfrom = "Mail Delivery <mailer-daemon@bridge.example>"\n'
    '[[listener]]\nendpoint = "tcp:2525:interface=127.0.0.1"\n'
)


def written(folder: Path, text: str) -> Path:
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    path = folder / "smtpbridge.toml"
    path.write_text('hostname = "bridge.example"\n' + text)
    return path


def test_every_fault_is_told_at_once_on_stderr(tmp_path: Path) -> None:
    path = written(
        tmp_path, '[[listener]]\nendpiont = "x"\n[upstream.main]\nhosts = ["no port"]\nmax_connections = 0\n'
    )

    result = CliRunner().invoke(main, ["check", "--config", str(path)])
    EVERYTHING.said(result.output)

    assert (result.exit_code, result.stdout) == (1, "")
    for key in ("endpiont", "endpoint", "hosts", "max_connections", "password_file"):
        assert key in result.stderr


def test_a_missing_file_is_a_fault() -> None:
    result = CliRunner().invoke(main, ["check", "--config", "/nowhere/smtpbridge.toml"])
    EVERYTHING.said(result.output)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "/nowhere/smtpbridge.toml: cannot be read" in result.stderr


def test_what_is_in_force_is_printed_without_a_secret(tmp_path: Path) -> None:
    path = written(tmp_path, LISTENER + '[upstream.main]\nhosts = ["127.0.0.1:587"]\npassword_file = "password"\n')

    result = CliRunner().invoke(main, ["check", "--config", str(path)])
    EVERYTHING.said(result.output)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "upstream main (default): 127.0.0.1:587 by starttls" in result.stdout
    assert PASSWORD not in result.stdout


def test_a_bound_that_cannot_be_divided_among_the_workers_is_noted(tmp_path: Path) -> None:
    upstream = '[upstream.main]\nhosts = ["127.0.0.1:587"]\npassword_file = "password"\nmax_connections = 2\n'
    path = written(tmp_path, f"{LISTENER}{upstream}[process]\nworkers = 4\n")

    result = CliRunner().invoke(main, ["check", "--config", str(path)])
    EVERYTHING.said(result.output)

    assert result.exit_code == 0
    assert "note: [upstream.main] max_connections: 2 is less than the 4 workers" in result.stderr


class Connecting(TestCase):
    """`--connect`, against the stand-in and against what is wrong with others."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.made = make_certificates(datetime.now(UTC), ("localhost", "127.0.0.1"))
        (self.folder / "authority.pem").write_bytes(self.made.authority)

    async def stand_in(self, *, implicit_tls: bool = False) -> int:
        premises = Premises(self.made.certificate, self.made.key, {"App": PASSWORD}, self.folder / "mail")
        sandbox = open_sandbox(reactor, premises, lambda _: None)
        return self.opened(await listen(reactor, sandbox, 0, implicit_tls=implicit_tls))

    def opened(self, port: IListeningPort) -> int:
        self.addCleanup(port.stopListening)
        return number_of(port)

    def path(self, *hosts: str, more: str = 'trust_roots = "authority.pem"\n') -> Path:
        names = ", ".join(f'"{host}"' for host in hosts)
        return written(self.folder, f'{LISTENER}[upstream.main]\nhosts = [{names}]\npassword_file = "password"\n{more}')

    async def found(self, path: Path, patience: float = 10.0) -> list[Finding]:
        return await connect_to_all(load(path, {}), reactor, patience=Patience(silence=patience))

    async def fault(self, path: Path, patience: float = 10.0) -> Finding:
        (finding,) = await self.found(path, patience)
        self.assertFalse(finding.usable)
        return finding

    async def test_a_host_that_takes_mail_is_told_with_what_it_offers(self) -> None:
        (finding,) = await self.found(self.path(f"127.0.0.1:{await self.stand_in()}"))

        self.assertTrue(finding.usable, finding.text)
        for word in (
            "ready for mail",
            "TLSv1.",
            "logged in",
            "PIPELINING",
            "8BITMIME",
            "SIZE 20,971,520",
            "AUTH LOGIN PLAIN",
        ):
            self.assertIn(word, finding.text)

    async def test_implicit_tls_works_likewise(self) -> None:
        port = await self.stand_in(implicit_tls=True)

        (finding,) = await self.found(
            self.path(f"localhost:{port}", more='trust_roots = "authority.pem"\nsecurity = "tls"\n')
        )

        self.assertTrue(finding.usable, finding.text)

    async def test_every_host_is_tried_by_itself_and_told_in_order(self) -> None:
        port = await self.stand_in()
        nobody = await self.nobody()

        bad, good = await self.found(self.path(f"127.0.0.1:{nobody}", f"127.0.0.1:{port}"))

        self.assertEqual((bad.usable, good.usable), (False, True))
        self.assertEqual((bad.host, good.host), (f"127.0.0.1:{nobody}", f"127.0.0.1:{port}"))

    async def test_a_wrong_password_is_told(self) -> None:
        path = self.path(f"127.0.0.1:{await self.stand_in()}")
        (self.folder / "password").write_text("upstream-secret-66")

        finding = await self.fault(path)

        self.assertIn("535", finding.text)
        self.assertIn("with this password", finding.advice)
        self.assertNotIn("upstream-secret-66", " ".join(finding.lines()))

    async def test_a_certificate_for_another_name_is_told(self) -> None:
        port = await self.stand_in()

        finding = await self.fault(
            self.path(f"127.0.0.1:{port}", more='trust_roots = "authority.pem"\nserver_name = "smtp.other.example"\n')
        )

        self.assertIn('not for "smtp.other.example"', finding.advice)

    async def test_an_unknown_authority_is_told(self) -> None:
        other = make_certificates(datetime.now(UTC))
        (self.folder / "authority.pem").write_bytes(other.authority)

        finding = await self.fault(self.path(f"127.0.0.1:{await self.stand_in()}"))

        self.assertIn("cannot be traced to the file", finding.advice)

    async def test_a_certificate_that_has_expired_is_told(self) -> None:
        self.made = make_certificates(datetime.now(UTC) - timedelta(days=400), ("localhost", "127.0.0.1"))
        (self.folder / "authority.pem").write_bytes(self.made.authority)

        finding = await self.fault(self.path(f"127.0.0.1:{await self.stand_in()}"))

        self.assertIn("expired at", finding.text)
        self.assertIn("look at the clock here", finding.advice)

    async def test_a_server_that_wants_a_client_certificate_is_told(self) -> None:
        class Curious(Protocol):
            def connectionMade(self) -> None:
                context = SSL.Context(SSL.TLS_METHOD)
                context.use_certificate(load_pem_x509_certificate(made.certificate))
                key: Any = load_pem_private_key(made.key.reveal(), None)
                context.use_privatekey(key)
                flags = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
                context.set_verify(flags, lambda _c, _x, _e, _d, well: bool(well))
                assert self.transport is not None
                self.transport.startTLS(ServerTls(context))  # type: ignore[attr-defined]

        made = self.made
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = self.opened(await endpoint.listen(Factory.forProtocol(Curious)))
        lines = 'trust_roots = "authority.pem"\nsecurity = "tls"\n'

        finding = await self.fault(self.path(f"127.0.0.1:{port}", more=lines))

        self.assertIn("the server wants a client certificate", finding.text)
        self.assertIn("write client_certificate and client_key", finding.advice)

    async def test_a_server_that_is_too_old_is_told(self) -> None:
        class Old(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"\x15\x03\x01\x00\x02\x02\x46")  # TLS 1.0: alert, fatal, protocol_version
                self.transport.loseConnection()

        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = self.opened(await endpoint.listen(Factory.forProtocol(Old)))

        finding = await self.fault(self.path(f"127.0.0.1:{port}", more='security = "tls"\n'))

        self.assertIn("the server speaks neither TLS 1.2 nor TLS 1.3", finding.text)
        self.assertIn("must offer TLS 1.2 or newer", finding.advice)

    async def test_a_host_that_is_not_verified_is_told_as_insecure(self) -> None:
        other = make_certificates(datetime.now(UTC))
        (self.folder / "authority.pem").write_bytes(other.authority)
        path = self.path(f"127.0.0.1:{await self.stand_in()}", more="insecure_skip_verification = true\n")

        (finding,) = await self.found(path)

        self.assertTrue(finding.usable, finding.text)
        self.assertIn("INSECURE, the certificate was not verified: ready for mail", finding.text)
        printed = await deferToThread(self.command, path)
        self.assertIn("note: [upstream.main] insecure_skip_verification: INSECURE:", printed.stderr)

    async def test_a_port_where_nobody_listens_is_told(self) -> None:
        port = await self.nobody()

        finding = await self.fault(self.path(f"127.0.0.1:{port}"))

        self.assertIn(f"Nobody listens on port {port}", finding.advice)

    async def test_tls_spoken_to_a_starttls_port_is_told(self) -> None:
        port = await self.stand_in()

        finding = await self.fault(
            self.path(f"127.0.0.1:{port}", more='trust_roots = "authority.pem"\nsecurity = "tls"\n')
        )

        self.assertIn('security = "starttls"', finding.advice)

    async def test_the_command_prints_findings_and_ends_with_1_when_one_is_bad(self) -> None:
        port, nobody = await self.stand_in(), await self.nobody()

        good = await deferToThread(self.command, self.path(f"127.0.0.1:{port}"))
        bad = await deferToThread(self.command, self.path(f"127.0.0.1:{nobody}", f"127.0.0.1:{port}"))

        self.assertEqual((good.returncode, good.stderr), (0, ""))
        self.assertIn(f"upstream main, 127.0.0.1:{port}: ready for mail", good.stdout)
        self.assertEqual(bad.returncode, 1)
        self.assertIn(f"Nobody listens on port {nobody}", bad.stderr)
        self.assertIn(f"upstream main, 127.0.0.1:{port}: ready for mail", bad.stdout)

    def command(self, path: Path) -> "subprocess.CompletedProcess[str]":
        line = [
            sys.executable,
            "-c",
            "from smtpbridge.cli import main; main()",
            "check",
            "--connect",
            "--config",
            str(path),
        ]
        ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        EVERYTHING.said(ended.stdout + ended.stderr)
        return ended

    async def nobody(self) -> int:
        """Return a port that was free a moment ago."""
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port: IListeningPort = await endpoint.listen(Factory.forProtocol(Protocol))
        number = number_of(port)
        await maybeDeferred(port.stopListening)
        return number
