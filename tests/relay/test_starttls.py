"""STARTTLS through the whole relay, with real TLS; and what an operator writes about TLS towards upstreams."""

import base64
import gc
import json
import os
import weakref

import trustme
from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IHandshakeListener
from twisted.logger import capturedLogs, formatEvent
from zope.interface import implementer

from smtpbridge.relay.tls import client_options
from tests.relay.scripted import Upstream, server_tls
from tests.relay.world import PASSWORD, Caller, RelayCase, message, number_of, reactor

CREDENTIAL = """
[[credential]]
username = "SMTP_Injection"
secret_hash = "sha256:b79cfc2bd65f4d6e0c89141114096aababa039bbb14acaf85bbe76c1b6eb9a23"
"""
LOGIN = "AUTH PLAIN " + base64.b64encode(b"\0SMTP_Injection\0sender-secret-55").decode()


@implementer(IHandshakeListener)
class TlsCaller(Caller):
    """A sender that can begin TLS."""

    def __init__(self) -> None:
        super().__init__()
        self.secured: Deferred[None] = Deferred()

    def handshakeCompleted(self) -> None:
        self.secured.callback(None)


class TlsCase(RelayCase):
    """A relay whose listener offers STARTTLS."""

    def lines(self) -> str:
        """Return the lines of the listener that name its certificate."""
        leaf = self.ca.issue_cert("localhost")
        leaf.private_key_and_cert_chain_pem.write_to_path(str(self.folder / "listener.pem"))
        (self.folder / "listener.pem").chmod(0o600)
        return 'certificate = "listener.pem"\nkey = "listener.pem"\n'

    async def asked(self) -> TlsCaller:
        """Return a sender that has said STARTTLS and heard yes."""
        caller = await self.tls_caller()
        self.assertRegex(await caller.say("STARTTLS"), "^220 ")
        return caller

    async def tls_caller(self) -> TlsCaller:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", number_of(self.service.ports[0]))
        caller: TlsCaller = await connectProtocol(endpoint, TlsCaller())
        self.addCleanup(self._hang_up, caller)
        await caller.reply()
        self.assertIn("STARTTLS", await caller.say("EHLO client.test"))
        return caller

    async def gone(self, caller: TlsCaller) -> None:
        """Wait until the relay has hung up."""
        await caller.until(lambda: caller.closed)

    async def secure(self, caller: TlsCaller) -> None:
        """Shake hands."""
        transport = caller.transport
        assert transport is not None
        transport.startTLS(client_options("localhost", self.ca.cert_pem.bytes()))  # type: ignore[attr-defined]
        await caller.secured


class ListenerTest(TlsCase):
    async def test_a_message_comes_through_behind_starttls_and_is_traced_as_such(self) -> None:
        upstream = await self.upstream()
        await self.relay(listener=self.lines(), more=CREDENTIAL)
        caller = await self.asked()
        await self.secure(caller)
        self.assertNotIn("STARTTLS", await caller.say("EHLO client.test"))
        self.assertRegex(await caller.say(LOGIN), "^235 ")

        self.assertRegex(await caller.mail("a@rcpt.test"), "^250 ")

        self.assertIn(b"with ESMTPSA id", upstream.taken[0].data)

    async def test_a_session_under_tls_leaves_nothing_to_the_garbage_collector(self) -> None:
        await self.upstream()
        await self.relay(listener=self.lines())
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        caller = await self.asked()
        await self.secure(caller)
        await caller.say("EHLO client.test")
        seen = [weakref.ref(one) for one in self.service.doors[0].gate.sessions]
        lines = [weakref.ref(one._wire) for one in self.service.doors[0].gate.sessions]  # type: ignore[attr-defined]

        await caller.say("QUIT")
        await self.gone(caller)
        await self.eventually(lambda: not self.service.doors[0].gate.sessions)

        self.assertEqual([one() for one in (*seen, *lines)], [None, None])

    async def test_commands_are_read_in_small_pieces_and_data_in_large_ones(self) -> None:
        await self.upstream()
        await self.relay()
        caller = await self.caller()
        (sender,) = self.service.doors[0].gate.sessions
        sizes = [sender._tcp.bufferSize]  # type: ignore[attr-defined]
        for line in ("MAIL FROM:<s@sender.test>", "RCPT TO:<a@rcpt.test>", "DATA"):
            await caller.say(line)
        sizes.append(sender._tcp.bufferSize)  # type: ignore[attr-defined]
        self.assertRegex(await caller.say("Subject: x\r\n\r\nbody\r\n."), "^250 ")
        sizes.append(sender._tcp.bufferSize)  # type: ignore[attr-defined]

        self.assertEqual(sizes, [4096, 65_536, 4096])

    async def test_a_handshake_that_fails_is_one_line_of_the_log_that_says_why(self) -> None:
        await self.upstream()
        await self.relay(listener=self.lines())
        caller = await self.asked()
        with capturedLogs() as events:
            caller.send(b"\x80\x2e\x01\x03\x01" + b"\0" * 64)
            await self.gone(caller)
            await self.eventually(lambda: not self.service.doors[0].gate.sessions)

        (line,) = [formatEvent(event) for event in events if "handshake failed" in str(event.get("log_format"))]
        self.assertRegex(line, "^TLS handshake failed client=127.0.0.1: [a-z ]+$")

    async def test_a_sender_that_stalls_in_its_handshake_or_does_not_close_does_not_hold_up_the_end(self) -> None:
        await self.upstream()
        await self.relay(listener=self.lines())
        stalled = await self.asked()
        idle = await self.asked()
        await self.secure(idle)
        await idle.say("EHLO client.test")
        idle.transport.pauseProducing()  # type: ignore[union-attr]

        await self.service.stopService()

        self.assertTrue(stalled.closed)

    # Less than the drain may take.
    test_a_sender_that_stalls_in_its_handshake_or_does_not_close_does_not_hold_up_the_end.timeout = 45  # type: ignore[attr-defined]

    async def test_octets_in_one_piece_with_starttls_end_the_session_and_are_not_obeyed(self) -> None:
        upstream = await self.upstream()
        await self.relay(listener=self.lines())
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        for behind in (b"E", b"NOOP\r\n", b"MAIL FROM:<evil@sender.test>\r\nRCPT TO:<a@rcpt.test>\r\nDATA\r\n", hello):
            caller = await self.tls_caller()
            caller.send(b"STARTTLS\r\n" + behind)
            self.assertRegex(await caller.reply(), "^554 5.5.1 ")
            await self.gone(caller)
            self.assertEqual(caller.octets, b"")
        self.assertEqual(upstream.connections, [])

    async def test_octets_in_the_clear_before_the_handshake_end_the_session_and_are_not_obeyed(self) -> None:
        upstream = await self.upstream()
        await self.relay(listener=self.lines())
        for injected in (b"E", b"EHLO evil.test\r\nMAIL FROM:<evil@sender.test>\r\nRCPT TO:<a@rcpt.test>\r\nDATA\r\n"):
            caller = await self.asked()
            caller.send(injected)
            if injected == b"E":
                # One octet is not enough to see that it is no record of TLS; the handshake behind it is.
                transport = caller.transport
                assert transport is not None
                transport.startTLS(client_options("localhost", None))  # type: ignore[attr-defined]
            await self.gone(caller)
            self.assertNotRegex(caller.octets, rb"(?m)^[2345]\d\d[ -]")
        self.assertEqual(upstream.connections, [])

    async def test_nothing_that_was_said_before_tls_counts_behind_it(self) -> None:
        await self.upstream()
        await self.relay(listener=self.lines() + 'auth = "required"\n', more=CREDENTIAL)
        caller = await self.tls_caller()
        self.assertRegex(await caller.say(LOGIN), "^235 ")
        self.assertRegex(await caller.say("STARTTLS"), "^220 ")
        await self.secure(caller)

        self.assertRegex(await caller.say("MAIL FROM:<news@sender.test>"), "^503 5.5.1 ")
        self.assertNotIn("STARTTLS", await caller.say("EHLO client.test"))
        self.assertRegex(await caller.say("MAIL FROM:<news@sender.test>"), "^530 5.7.0 ")
        self.assertRegex(await caller.say("STARTTLS"), "^502 5.5.1 ")
        self.assertRegex(await caller.say(LOGIN), "^235 ")

    async def test_one_sender_that_fails_the_handshake_harms_no_other(self) -> None:
        await self.upstream()
        await self.relay(listener=self.lines())
        good, bad = await self.asked(), await self.asked()
        bad.send(b"not TLS at all\r\n")
        await bad.until(lambda: bad.closed)
        await self.secure(good)
        await good.say("EHLO client.test")
        self.assertRegex(await good.mail("a@rcpt.test"), "^250 ")


class UpstreamTest(TlsCase):
    LOOSE = """
[upstream.loose]
hosts = ["127.0.0.1:{port}"]
insecure_skip_verification = true
username = "App"
password_file = {password}
[ip_pools]
loose = "loose"
"""

    def loose(self) -> str:
        return self.LOOSE.format(port=self.port, password=json.dumps(str((self.folder / "password").absolute())))

    async def test_a_connection_of_one_upstream_is_never_used_for_another_with_other_tls(self) -> None:
        # The certificate is for another name, so only whoever skips the verification gets on.
        upstream = await self.upstream(name="other.test")
        await self.relay(more=self.loose())
        caller = await self.caller()

        loose = [await caller.mail("a@rcpt.test", data=message({"options": {"ip_pool": "loose"}})) for _ in range(2)]
        strict = await caller.mail("b@rcpt.test")

        self.assertEqual([answer[:3] for answer in loose], ["250", "250"])
        self.assertRegex(strict, "^451 4.4.1 .*its certificate is for another name")
        self.assertEqual(upstream.recipients(), ["a@rcpt.test"] * 2)

    async def test_an_insecure_upstream_is_told_at_the_start_and_at_each_connection(self) -> None:
        await self.upstream(name="other.test")
        await self.relay(more=self.loose())
        caller = await self.caller()
        for _ in range(2):
            await caller.mail("a@rcpt.test", data=message({"options": {"ip_pool": "loose"}}))

        warnings = [
            line for event, line in zip(self.events, self.log(), strict=True) if event["log_level"].name == "warn"
        ]
        at_start = [line for line in warnings if "[upstream.loose] insecure_skip_verification: INSECURE" in line]
        at_connection = [line for line in warnings if "upstream=loose INSECURE: connecting to 127.0.0.1" in line]
        self.assertEqual((len(at_start), len(at_connection)), (1, 1))
        self.assertNotIn(PASSWORD, " ".join(self.log()))

    async def test_the_certificate_that_is_configured_is_shown_to_the_upstream(self) -> None:
        tls = server_tls(self.ca, "localhost")
        context = tls.getContext()
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(X509.from_cryptography(x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda _c, _x, _e, _d, well: bool(well))
        upstream = Upstream(tls)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(upstream)
        self.addCleanup(self._close, upstream, port)
        self.port = number_of(port)
        leaf = self.ca.issue_cert("bridge.test")
        leaf.private_key_and_cert_chain_pem.write_to_path(str(self.folder / "client.pem"))
        os.chmod(self.folder / "client.pem", 0o600)
        await self.relay(upstream='client_certificate = "client.pem"\nclient_key = "client.pem"\n')

        self.assertRegex(await (await self.caller()).mail("a@rcpt.test"), "^250 ")

    async def test_the_log_says_why_a_certificate_was_refused_and_the_sender_hears_no_more_than_that(self) -> None:
        mine, self.ca = self.ca, trustme.CA(organization_name="Who Is This")
        await self.upstream()
        self.ca = mine
        await self.relay()

        answer = await (await self.caller()).mail("a@rcpt.test")

        self.assertRegex(answer, "^451 4.4.1 ")
        self.assertNotIn("Who Is This", answer)
        (line,) = [line for line in self.log() if "cannot be used" in line]
        self.assertIn("TLS failed: certificate verify failed: ", line)
        self.assertIn("Who Is This", line)
        self.assertIn("look at trust_roots", line)
