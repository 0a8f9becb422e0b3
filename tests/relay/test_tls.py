"""TLS on both sides: who is believed, what is spoken, and in which words it is told.  Real handshakes throughout."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.trial.unittest import TestCase

from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.tally import Limit
from smtpbridge.relay.tls import (
    ClientTls,
    Identity,
    ServerTls,
    client_options,
    server_context,
    unverified_client,
)
from smtpbridge.relay.tls_words import CertificateRefused, handshake_fault, loss, wrong_certificate
from smtpbridge.relay.upstream import Patience, UpstreamConnection
from smtpbridge.secret import Secret
from smtpbridge.smtp.client import ClientSession
from smtpbridge.smtp.replies import Reply
from tests.relay.fakes import log_lines
from tests.relay.scripted import Script, Upstream
from tests.relay.world import number_of

reactor: Any = _reactor
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def issued(
    by: trustme.CA | None,
    *names: str,
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + DAY,
    no_names: bool = False,
) -> Identity:
    """Return a certificate with its key, by an authority or by itself, with whatever may be wrong with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")])
    authority = x509.load_pem_x509_certificate(by.cert_pem.bytes()).subject if by else subject
    signer: Any = load_pem_private_key(by.private_key_pem.bytes(), None) if by else key
    building = x509.CertificateBuilder(authority, subject, key.public_key(), x509.random_serial_number(), begins, ends)
    if not no_names:
        building = building.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    pem = building.sign(signer, SHA256()).public_bytes(Encoding.PEM)
    return Identity(pem, Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())))


def usual(by: trustme.CA, *names: str) -> Identity:
    """Return a certificate that nothing is wrong with, with its chain."""
    leaf = by.issue_cert(*names)
    return Identity(b"".join(pem.bytes() for pem in leaf.cert_chain_pems), Secret(leaf.private_key_pem.bytes()))


def server(identity: Identity) -> ServerTls:
    return server_context(identity.chain, identity.key)


class Owner:
    """Who opened a connection: tells how it ended or that it is ready."""

    def __init__(self) -> None:
        self.why = ""
        self.over: Deferred[None] = Deferred()
        self.closing: Deferred[None] = Deferred()

    def ready(self, connection: UpstreamConnection) -> None:
        self.over.callback(None)

    def gone(self, connection: UpstreamConnection, why: str, answer: Reply | None) -> None:
        self.why = f"{why}: {answer}" if answer else why
        if not self.over.called:
            self.over.callback(None)

    def reached(self, limit: Limit) -> None:
        """A bound; none is reached here."""

    def closed(self, connection: UpstreamConnection) -> None:
        self.closing.callback(None)


class Meeting(TestCase):
    """A connection to an upstream over loopback."""

    timeout = 20

    def setUp(self) -> None:
        self.ca = trustme.CA()
        self.roots = self.ca.cert_pem.bytes()

    async def listening(self, factory: Any) -> int:
        port: IListeningPort = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        return number_of(port)

    async def met(
        self,
        theirs: ServerTls,
        ours: ClientTls,
        script: Script | None = None,
        factory: Any = None,
        *,
        at_once: bool = False,
    ) -> str:
        """Connect up to READY and hang up; return what went wrong, or nothing."""
        self.upstream = Upstream(theirs, script or {})
        port = await self.listening(factory or self.upstream)
        owner = Owner()
        session = ClientSession("bridge.test", implicit_tls=at_once, username="App", password="upstream-secret-62")
        connection = UpstreamConnection(session, ours, Patience(), Deadlines(reactor), owner, "upstream.test:587")
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), connection)
        await owner.over
        if not owner.why:
            self.assertTrue(connection.tls_version.startswith("TLSv1."))
            connection.retire()
        await owner.closing
        return owner.why

    def assert_nothing_was_told(self) -> None:
        self.assertEqual([line for line in self.upstream.commands if not line.startswith(("EHLO", "STARTTLS"))], [])


class Verification(Meeting):
    """Which server is believed, and what is said of the others."""

    async def refused(self, theirs: Identity, name: str = "localhost", roots: bytes | None = None) -> str:
        why = await self.met(server(theirs), client_options(name, roots or self.roots))
        self.assertTrue(why.startswith("TLS failed: certificate verify failed: "), why)
        self.assert_nothing_was_told()
        return why

    async def test_a_server_with_the_right_name_under_a_trusted_authority_is_believed(self) -> None:
        self.assertEqual(
            await self.met(server(usual(self.ca, "localhost")), client_options("localhost", self.roots)), ""
        )

    async def test_an_address_is_verified_as_an_address(self) -> None:
        theirs = server(usual(self.ca, "127.0.0.1", "::1"))
        self.assertEqual(await self.met(theirs, client_options("127.0.0.1", self.roots)), "")
        self.assertEqual(await self.met(theirs, client_options("::1", self.roots)), "")
        self.assertIn(
            'not for "127.0.0.2" but for "127.0.0.1", "::1"',
            await self.refused(usual(self.ca, "127.0.0.1", "::1"), "127.0.0.2"),
        )

    async def test_the_wrong_name_is_told_with_the_names_that_would_be_right(self) -> None:
        why = await self.refused(usual(self.ca, "a.test", "b.test", "c.test", "d.test", "e.test"))
        self.assertIn(
            'it is not for "localhost" but for "a.test", "b.test", "c.test", "d.test" and 1 more: '
            "look at hosts and server_name",
            why,
        )

    async def test_a_certificate_that_names_no_host_is_for_none(self) -> None:
        for theirs in (
            issued(self.ca, "localhost", no_names=True),
            self.leaf_with_empty_names(),
        ):
            self.assertIn('it is not for "localhost"', await self.refused(theirs))

    def leaf_with_empty_names(self) -> Identity:
        leaf = self.ca.issue_cert(common_name="localhost")
        return Identity(leaf.cert_chain_pems[0].bytes(), Secret(leaf.private_key_pem.bytes()))

    async def test_a_host_name_that_no_certificate_can_hold_is_refused_at_the_connection_and_not_before(self) -> None:
        self.assertIn('it is not for "123"', await self.refused(usual(self.ca, "localhost"), "123"))

    async def test_a_name_that_cannot_be_printed_is_told_in_characters_that_can(self) -> None:
        why = await self.refused(issued(self.ca, "x\x1b[2J\r\n250.test" + "y" * 300))
        self.assertTrue(why.isascii() and why.isprintable(), why)
        self.assertLess(len(why), 300)

    async def test_an_unknown_authority_is_told_by_name_with_the_key_to_look_at(self) -> None:
        stranger = trustme.CA(organization_name="Somebody Else")
        why = await self.refused(usual(stranger, "localhost"))
        self.assertIn("Somebody Else", why)
        self.assertIn("is not trusted here: look at trust_roots", why)

    async def test_pinned_roots_replace_those_of_the_system_which_count_without_them(self) -> None:
        system = trustme.CA()
        self.let_the_system_trust(system)
        theirs = usual(system, "localhost")
        self.assertEqual(await self.met(server(theirs), client_options("localhost", None)), "")
        self.assertIn("not trusted here", await self.refused(theirs, roots=self.roots))

    def let_the_system_trust(self, authority: trustme.CA) -> None:
        """OpenSSL asks the environment where the system's authorities are."""
        before = os.environ.get("SSL_CERT_FILE")
        file = self.enterContext(authority.cert_pem.tempfile())
        os.environ["SSL_CERT_FILE"] = file
        self.addCleanup(os.environ.pop, "SSL_CERT_FILE")
        if before is not None:
            self.addCleanup(os.environ.__setitem__, "SSL_CERT_FILE", before)

    async def test_an_expired_certificate_is_told_with_its_date(self) -> None:
        ends = NOW - 2 * DAY
        why = await self.refused(issued(self.ca, "localhost", begins=NOW - 9 * DAY, ends=ends))
        self.assertIn(f"expired at {ends:%Y-%m-%d}", why)

    async def test_a_certificate_of_tomorrow_is_told_with_a_hint_at_the_clock(self) -> None:
        why = await self.refused(issued(self.ca, "localhost", begins=NOW + DAY, ends=NOW + 9 * DAY))
        self.assertIn("is not valid before", why)
        self.assertIn("clock", why)

    async def test_a_certificate_that_signed_itself_is_believed_only_where_it_is_named(self) -> None:
        theirs = issued(None, "localhost")
        self.assertIn("is signed by itself: if it is the right one, name it in trust_roots", await self.refused(theirs))
        self.assertEqual(await self.met(server(theirs), client_options("localhost", theirs.chain)), "")

    async def test_an_intermediate_authority_can_be_named_and_still_vouches_for_the_name_only(self) -> None:
        between = self.ca.create_child_ca()
        theirs = usual(between, "localhost")
        self.assertEqual(await self.met(server(theirs), client_options("localhost", between.cert_pem.bytes())), "")
        self.assertIn("is not for", await self.refused(theirs, "other.test", between.cert_pem.bytes()))
        self.assertIn(
            "not trusted here", await self.refused(usual(self.ca, "localhost"), roots=between.cert_pem.bytes())
        )

    async def test_a_certificate_that_is_named_itself_still_needs_the_right_name_and_date(self) -> None:
        good, old = issued(self.ca, "localhost"), issued(self.ca, "localhost", begins=NOW - 9 * DAY, ends=NOW - DAY)
        self.assertEqual(await self.met(server(good), client_options("localhost", good.chain)), "")
        self.assertIn("is not for", await self.refused(good, "other.test", good.chain))
        self.assertIn("expired at", await self.refused(old, roots=old.chain))

    async def test_a_missing_intermediate_is_told_as_such(self) -> None:
        theirs = usual(self.ca.create_child_ca(), "localhost")
        leaf = x509.load_pem_x509_certificates(theirs.chain)[0].public_bytes(Encoding.PEM)
        self.assertIn("leaves out an intermediate certificate", await self.refused(Identity(leaf, theirs.key)))

    async def test_the_server_is_told_which_name_is_wanted_but_no_address(self) -> None:
        asked: list[bytes | None] = []
        theirs = server(usual(self.ca, "localhost", "127.0.0.1"))
        theirs.getContext().set_tlsext_servername_callback(lambda one: asked.append(one.get_servername()))
        await self.met(theirs, client_options("localhost", self.roots))
        await self.met(theirs, client_options("127.0.0.1", self.roots))
        self.assertEqual(asked, [b"localhost", None])


class Skipping(Meeting):
    """The one key that leaves the verification out."""

    async def test_whoever_answers_is_taken_and_the_log_says_so_at_each_connection(self) -> None:
        lines = log_lines(self)
        ours = unverified_client("localhost", "loose")
        for theirs in (issued(None, "other.test"), usual(trustme.CA(), "x.test"), usual(self.ca, "localhost")):
            self.assertEqual(await self.met(server(theirs), ours), "")
        self.assertEqual(
            len([line for line in lines if line.startswith("upstream=loose INSECURE: connecting to localhost")]), 3
        )

    async def test_a_verified_connection_says_nothing_of_the_kind(self) -> None:
        lines = log_lines(self)
        await self.met(server(usual(self.ca, "localhost")), client_options("localhost", self.roots))
        self.assertEqual([line for line in lines if "INSECURE" in line], [])

    async def test_it_weakens_nothing_else(self) -> None:
        ours = unverified_client("localhost", "loose")
        old, odd = (server(usual(self.ca, "localhost")) for _ in range(2))
        self.assertIn("neither TLS 1.2 nor TLS 1.3", await self.met(limited(old, SSL.TLS1_1_VERSION), ours))
        self.assertIn("no cipher in common", await self.met(limited(odd, SSL.TLS1_2_VERSION, CBC), ours))
        self.assertEqual(await self.met(server(usual(self.ca, "localhost")), ours), "")


CBC = b"ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"


def limited(theirs: ServerTls, version: int, ciphers: bytes = b"ALL:@SECLEVEL=0") -> ServerTls:
    """Return a server that speaks nothing newer than `version`."""
    context = theirs.getContext()
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_max_proto_version(version)
    context.set_cipher_list(ciphers)
    return theirs


class Words(Meeting):
    """What is said of a handshake that fails for other reasons."""

    async def test_a_server_that_is_too_old(self) -> None:
        theirs = limited(server(usual(self.ca, "localhost")), SSL.TLS1_1_VERSION)
        why = await self.met(theirs, client_options("localhost", self.roots))
        self.assertIn("TLS failed: the server speaks neither TLS 1.2 nor TLS 1.3, and nothing less is spoken here", why)
        self.assert_nothing_was_told()

    async def test_a_server_without_a_cipher_in_common(self) -> None:
        theirs = limited(server(usual(self.ca, "localhost")), SSL.TLS1_2_VERSION, CBC)
        why = await self.met(theirs, client_options("localhost", self.roots))
        self.assertIn("no cipher in common", why)

    async def test_a_starttls_port_that_was_taken_for_one_of_tls(self) -> None:
        theirs = server(usual(self.ca, "localhost"))
        why = await self.met(theirs, client_options("localhost", self.roots), at_once=True)
        self.assertIn("what came is not TLS: look at security and at the port", why)

    async def test_a_server_that_hangs_up_within_the_handshake(self) -> None:
        class Rude(Protocol):
            def dataReceived(self, _: bytes) -> None:
                assert self.transport is not None
                self.transport.loseConnection()

        why = await self.met(
            server(usual(self.ca, "localhost")),
            client_options("localhost", self.roots),
            factory=Factory.forProtocol(Rude),
            at_once=True,
        )
        self.assertEqual(why, "TLS failed: the server hung up within the handshake: look at security and at the port")

    def test_a_fault_of_a_certificate_is_told_in_words_where_there_are_some_and_else_by_number(self) -> None:
        certificate = x509.load_pem_x509_certificate(issued(self.ca, "localhost").chain)
        self.assertEqual(wrong_certificate(certificate, 66), '"CN=leaf": its key is too short')
        self.assertEqual(wrong_certificate(certificate, 999), '"CN=leaf": OpenSSL calls it X509_V_ERR 999')

    def test_an_unknown_reason_is_told_in_the_words_of_openssl(self) -> None:
        error = SSL.Error([("SSL routines", "", "something new"), ("x", "", "and more")])
        self.assertEqual(loss(error, within_handshake=True), "TLS failed: something new; and more")
        self.assertEqual(handshake_fault(SSL.Error()), "no reason given")
        self.assertEqual(str(CertificateRefused("so")), "certificate verify failed: so")

    def test_a_loss_that_has_nothing_to_do_with_tls_is_told_as_before(self) -> None:
        self.assertEqual(loss(connectionDone.value, within_handshake=False), f"connection lost: {connectionDone.value}")
        self.assertEqual(loss(None, within_handshake=False), "connection lost: closed")


class MutualTls(Meeting):
    """A server that asks who connects."""

    def curious(self, version: int) -> ServerTls:
        theirs = server(usual(self.ca, "localhost"))
        context = theirs.getContext()
        context.set_max_proto_version(version)
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(X509.from_cryptography(x509.load_pem_x509_certificate(self.roots)))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda _c, _x, _e, _d, well: bool(well))
        return theirs

    async def test_it_is_shown_the_certificate(self) -> None:
        ours = client_options("localhost", self.roots, usual(self.ca.create_child_ca(), "bridge.test"))
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertEqual(await self.met(self.curious(version), ours), "")

    async def test_also_by_a_client_that_skips_the_verification(self) -> None:
        ours = unverified_client("localhost", "loose", usual(self.ca, "bridge.test"))
        self.assertEqual(await self.met(self.curious(SSL.TLS1_3_VERSION), ours), "")

    async def test_without_one_the_log_names_the_keys(self) -> None:
        ours = client_options("localhost", self.roots)
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertIn("wants a client certificate", await self.met(self.curious(version), ours))

    async def test_one_that_is_refused_is_told_as_such(self) -> None:
        ours = client_options("localhost", self.roots, usual(trustme.CA(), "bridge.test"))
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertIn("refuses the client certificate", await self.met(self.curious(version), ours))


class Injection(Meeting):
    """Octets in the clear around STARTTLS, with TLS behind it."""

    async def attempt(self, script: Script, factory: Any = None) -> str:
        theirs = server(usual(self.ca, "localhost"))
        return await self.met(theirs, client_options("localhost", self.roots), script, factory)

    async def test_octets_in_one_piece_with_the_answer_to_starttls_end_the_connection(self) -> None:
        for behind in (b"2", b"250 x\r\n", b"250-x\r\n250 AUTH PLAIN\r\n", b"235 welcome\r\n", b"\x16\x03\x03"):
            why = await self.attempt({"STARTTLS": b"220 go\r\n" + behind})
            self.assertIn("the server sent more behind its answer to STARTTLS", why)
            self.assert_nothing_was_told()

    async def test_octets_in_the_clear_before_the_handshake_end_the_connection(self) -> None:
        heard: list[bytes] = []

        class Late(Protocol):
            """Answers STARTTLS as it should, and the hello of TLS with replies in the clear."""

            def connectionMade(self) -> None:
                self.left = [b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n", b"250 AUTH PLAIN\r\n235 welcome\r\n"]
                self.say(b"220 hello\r\n")

            def dataReceived(self, octets: bytes) -> None:
                heard.append(octets)
                if self.left:
                    self.say(self.left.pop(0))

            def say(self, octets: bytes) -> None:
                assert self.transport is not None
                self.transport.write(octets)

        why = await self.attempt({}, Factory.forProtocol(Late))
        self.assertIn("what came is not TLS", why)
        self.assertNotIn(b"AUTH", b"".join(heard))

    async def test_what_was_offered_before_tls_is_not_used_behind_it(self) -> None:
        lie = b"250-x\r\n250-STARTTLS\r\n250-AUTH LOGIN\r\n250 SIZE 1\r\n"
        truth = b"250-x\r\n250 AUTH PLAIN\r\n"
        self.assertEqual(await self.attempt({"EHLO": [lie, truth]}), "")
        self.assertEqual(
            [line.split(" ")[0] for line in self.upstream.commands[:4]], ["EHLO", "STARTTLS", "EHLO", "AUTH"]
        )
        self.assertTrue(self.upstream.commands[3].startswith("AUTH PLAIN "))

    async def test_a_server_without_starttls_hears_no_password(self) -> None:
        why = await self.attempt({"EHLO": b"250-x\r\n250 AUTH PLAIN LOGIN\r\n"})
        self.assertIn("does not offer STARTTLS", why)
        self.assert_nothing_was_told()


# Handshakes in memory: what two contexts agree on


def pump(one: SSL.Connection, other: SSL.Connection) -> None:
    """Carry what each says to the other until both are silent."""
    moved = True
    while moved:
        moved = False
        for sender, receiver in ((one, other), (other, one)):
            try:
                octets = sender.bio_read(1 << 16)
            except SSL.WantReadError:
                continue
            receiver.bio_write(octets)
            moved = True


def step(side: SSL.Connection, call: Callable[[], object]) -> str:
    """Let one side go on as far as it can; return the reason it gives up for."""
    try:
        call()
    except SSL.WantReadError:
        return ""
    except SSL.Error as error:
        return str(error)
    return ""


def shake(client: SSL.Connection, theirs: SSL.Connection) -> str:
    """Shake hands; return why that failed, or nothing."""
    client.set_connect_state()
    theirs.set_accept_state()
    for _ in range(6):
        for side in (client, theirs):
            if why := step(side, side.do_handshake):
                return why
            pump(client, theirs)
    return ""


class Agreement(TestCase):
    """What is spoken, and what is not."""

    def setUp(self) -> None:
        self.ca = trustme.CA()
        self.theirs = server(usual(self.ca, "localhost"))
        self.ours = client_options("localhost", self.ca.cert_pem.bytes())

    def accepted(self) -> SSL.Connection:
        return self.theirs.serverConnectionForTLS(None)

    def stranger(self, version: int = SSL.TLS1_2_VERSION, ciphers: bytes = b"ALL:@SECLEVEL=0") -> SSL.Connection:
        """Return a client that speaks `version` only."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        context.set_cipher_list(ciphers)
        return SSL.Connection(context, None)

    def test_a_listener_takes_tls_1_2_and_1_3_and_nothing_older_whatever_the_ciphers(self) -> None:
        self.theirs.getContext().set_cipher_list(b"ALL:@SECLEVEL=0")
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            self.assertEqual(shake(self.stranger(version), self.accepted()), "")
        for version in (SSL.TLS1_VERSION, SSL.TLS1_1_VERSION):
            self.assertNotEqual(shake(self.stranger(version), self.accepted()), "")

    def test_with_tls_1_2_only_ciphers_with_forward_secrecy_and_authentication_are_taken(self) -> None:
        ec_key, rsa_key = self.theirs, server(self.with_rsa())
        taken = []
        for name in self.stranger().get_cipher_list():
            for theirs in (ec_key, rsa_key):
                if name.startswith("TLS_"):
                    continue
                if not shake(
                    self.stranger(ciphers=f"{name}:@SECLEVEL=0".encode()), theirs.serverConnectionForTLS(None)
                ):
                    taken.append(name)
        self.assertEqual(
            sorted(taken),
            sorted(
                f"ECDHE-{key}-{cipher}"
                for key in ("ECDSA", "RSA")
                for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
            ),
        )

    def with_rsa(self) -> Identity:
        leaf = self.ca.issue_cert("localhost", key_type=trustme.KeyType.RSA)
        return Identity(leaf.cert_chain_pems[0].bytes(), Secret(leaf.private_key_pem.bytes()))

    def test_the_listener_chooses_among_the_ciphers(self) -> None:
        client = self.stranger(ciphers=b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256")
        self.assertEqual(shake(client, self.accepted()), "")
        self.assertEqual(client.get_cipher_name(), "ECDHE-ECDSA-AES128-GCM-SHA256")

    def test_a_sender_that_renegotiates_is_refused_and_costs_no_second_handshake(self) -> None:
        self.assertTrue(self.theirs.getContext().set_options(0) & SSL.OP_NO_RENEGOTIATION)
        client, theirs = self.stranger(), self.accepted()
        shake(client, theirs)
        client.renegotiate()
        self.assertEqual(step(client, client.do_handshake), "")
        pump(client, theirs)
        step(theirs, lambda: theirs.recv(100))
        pump(client, theirs)
        self.assertEqual(theirs.total_renegotiations(), 0)
        self.assertTrue(client.renegotiate_pending(), "the listener obeyed")

    def test_a_server_that_wants_to_renegotiate_is_not_obeyed(self) -> None:
        plain = SSL.Context(SSL.TLS_METHOD)
        identity = usual(self.ca, "localhost")
        plain.use_certificate(x509.load_pem_x509_certificate(identity.chain))
        key: Any = load_pem_private_key(identity.key.reveal(), None)
        plain.use_privatekey(key)
        plain.set_max_proto_version(SSL.TLS1_2_VERSION)
        plain.set_cipher_list(b"ECDHE+AESGCM")
        client, theirs = self.ours.clientConnectionForTLS(None), SSL.Connection(plain, None)
        self.assertEqual(shake(client, theirs), "")
        theirs.renegotiate()
        step(theirs, theirs.do_handshake)
        pump(client, theirs)
        step(client, lambda: client.recv(100))
        pump(client, theirs)
        step(theirs, lambda: theirs.recv(100))
        self.assertEqual((client.total_renegotiations(), theirs.total_renegotiations()), (0, 1))
        self.assertTrue(theirs.renegotiate_pending(), "the client obeyed")

    def test_one_context_serves_every_connection(self) -> None:
        contexts = {self.accepted().get_context() for _ in range(3)}
        contexts |= {self.ours.clientConnectionForTLS(None).get_context() for _ in range(3)}
        self.assertEqual(len(contexts), 2)
