"""The names in a server's certificate are text for the log; and a defect met by one session is no other's business."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from smtpbridge.dialect.policy import Policy
from smtpbridge.relay.tls import server_context
from smtpbridge.secret import Secret
from tests.injection.memory import Journal, Peer, relay
from tests.injection.payloads import FORGED
from tests.relay.scripted import Upstream
from tests.relay.world import RelayCase, message, number_of, reactor

MESSAGE = b"From: news@sender.test\r\nTo: a@rcpt.test\r\nSubject: hello\r\n\r\nbody\r\n"
ENVELOPE = b"MAIL FROM:<news@sender.test>\r\nRCPT TO:<a@rcpt.test>\r\nDATA\r\n"
# In a name of a certificate at most 64 characters; in an alternative name as much ASCII as one likes.
NAMES = ["\x1b[2J\nid=X verdict=250", "\u202eevil\u2028\x85\x00 {0} %s", '" is fine: "localhost', FORGED[:60]]
HOSTS = ["evil\r\nid=X", "\x1b]0;owned\x07", "{0.__class__} %s", "x" * 10_000, '"localhost"', FORGED]


@dataclass(frozen=True, slots=True)
class Papers:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


def certificate_for(name: str, hosts: list[str]) -> Papers:
    """Return one that is signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)]
    )
    now = datetime.now(UTC)
    issued = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Papers(issued.public_bytes(serialization.Encoding.PEM), private)


class CertificateTest(RelayCase):
    def setUp(self) -> None:
        super().setUp()
        file = (self.folder / "log").open("w+b", buffering=0)
        self.addCleanup(file.close)
        self.journal = Journal(file)
        globalLogPublisher.addObserver(self.journal)
        self.addCleanup(globalLogPublisher.removeObserver, self.journal)

    async def _names_in(self, papers: Papers, *, trusted: bool) -> None:
        upstream = Upstream(server_context(papers.certificate, Secret(papers.key)))
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(upstream)
        self.addCleanup(self._close, upstream, port)
        self.port = number_of(port)
        if trusted:
            (self.folder / "ca.pem").write_bytes(papers.certificate)
        await self.relay(upstream="wait_seconds = 12")
        caller = await self.caller()
        answer = await caller.mail("a@rcpt.test", data=message())
        self.assertRegex(answer, r"\A451 4\.\d\.\d [ -~]{1,500}\Z")
        self.assertNotIn("id=X", answer)
        self.assertEqual(upstream.taken, [])
        self.journal.check()
        self.assertTrue(any("cannot be used" in entry for entry in self.journal.entries))

    def test_names_of_a_certificate_that_nobody_signed_stay_text(self) -> "Deferred[None]":
        async def run() -> None:
            for name in NAMES:
                await self._names_in(certificate_for(name, HOSTS), trusted=False)

        return Deferred.fromCoroutine(run())

    def test_names_of_a_certificate_for_somebody_else_stay_text(self) -> "Deferred[None]":
        async def run() -> None:
            for name in NAMES:
                await self._names_in(certificate_for(name, HOSTS), trusted=True)

        return Deferred.fromCoroutine(run())


class Trap(dict[str, str]):
    """Pools of which one is a defect of the program."""

    def __contains__(self, pool: object) -> bool:
        raise ZeroDivisionError("a defect with a secret in it")

    def get(self, pool: str, default: object = None) -> str:
        raise ZeroDivisionError("a defect with a secret in it")

    def __getitem__(self, pool: str) -> str:
        raise ZeroDivisionError("a defect with a secret in it")


def ids_with_a_defect(place: int) -> Iterator[str]:
    """Names for messages, but for one."""
    for number in count(1):
        if number == place:
            raise ZeroDivisionError("a defect with a secret in it")
        yield f"ID{number}"


class DefectTest(TestCase):
    """trial fails a test that leaves a logged failure behind, so each one is picked up here."""

    def _check(self, said: list[str], wanted: str, others: list[Peer]) -> None:
        self.assertEqual(len(said), 1)
        self.assertTrue(said[0].startswith(wanted), said)
        self.assertNotIn("defect", said[0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        # Those in the middle of a message finish it, those between two begin another.
        in_data, between = others
        self.assertEqual(in_data.lines(b"y\r\n.\r\n"), ["250 2.6.0 Message queued as 4711"])
        self.assertEqual(between.mail(MESSAGE), "250 2.6.0 Message queued as 4711")

    def _others(self, in_data: Peer, between: Peer) -> list[Peer]:
        in_data.lines(ENVELOPE)
        in_data.say(MESSAGE + b"half a line")
        return [in_data, between]

    def test_a_defect_in_the_translation_of_a_message_is_heard_by_its_sender_alone_and_as_451(self) -> None:
        with relay(policy=Policy(ip_pools=MappingProxyType(Trap()))) as world:
            others = self._others(world.peer(), world.peer())
            peer = world.peer()
            peer.lines(ENVELOPE)
            said = peer.lines(b'X-MSYS-API: {"options": {"ip_pool": "p"}}\r\n' + MESSAGE + b".\r\n")
            self._check(said, "451 4.3.0 ", others)
            self.assertEqual(peer.mail(MESSAGE), "250 2.6.0 Message queued as 4711")
            self.assertEqual(len(world.provider.taken), 3)

    def test_a_defect_in_a_session_ends_that_session_alone_and_is_heard_as_421(self) -> None:
        ids = ids_with_a_defect(1)
        with relay(new_id=lambda: next(ids, "ID")) as world:
            others = self._others(world.peer(), world.peer())
            peer = world.peer()
            peer.lines(ENVELOPE)
            self._check(peer.lines(MESSAGE + b".\r\nNOOP\r\n")[-1:], "421 4.3.0 ", others)
            self.assertTrue(peer.line.disconnecting)
            self.assertEqual(len(world.provider.taken), 2)
