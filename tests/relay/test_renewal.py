"""
Another configuration under a relay that runs: real sockets, real TLS, and messages under way while it changes.
"""

import base64
from hashlib import sha256
from typing import Any

from cryptography import x509
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from smtpbridge.assembly import relay_service
from smtpbridge.config import loads
from smtpbridge.relay.tallies import Ended
from smtpbridge.renewal import CannotRenew, renewal_for
from tests.relay.scripted import SLOW, USUAL, Upstream
from tests.relay.test_starttls import TlsCaller, TlsCase
from tests.relay.world import CONFIG, Caller, number_of, reactor

OLD_KEY, NEW_KEY = "sender-secret-81", "sender-secret-82"


def credential(*keys: str) -> str:
    """Return the tables of credentials of one user name."""
    return "".join(
        f'[[credential]]\nusername = "shop"\nsecret_hash = "sha256:{sha256(key.encode()).hexdigest()}"\n'
        for key in keys
    )


def login(key: str) -> str:
    return "AUTH PLAIN " + base64.b64encode(f"\0shop\0{key}".encode()).decode()


class RenewalCase(TlsCase):
    def change(self, hosts: str = "", **said: Any) -> None:
        """Put another configuration in force."""
        new = self.configured(hosts, **said)
        self.service.renew(renewal_for(self.service, self.config, new, reactor))
        self.config = new

    async def second(self) -> tuple[Upstream, str]:
        """Start another upstream; return it and the lines that name it, with a pool "fast" that leads there."""
        first, self.first_port = self.port, self.port
        seen = await self.upstream({".": SLOW})
        lines = (
            f'[upstream.second]\nhosts = ["127.0.0.1:{self.port}"]\nserver_name = "localhost"\n'
            f'trust_roots = "{self.folder}/ca.pem"\npassword_file = "{self.folder}/password"\n'
            '[ip_pools]\nfast = "second"\n'
        )
        self.port = first
        return seen, lines

    async def under_way(self, caller: Caller, seen: Upstream) -> None:
        """Send a message whose answer comes slowly; return when it has been taken upstream."""
        for line in ("MAIL FROM:<news@sender.test>", "RCPT TO:<a@rcpt.test>", "DATA"):
            await caller.say(line)
        caller.send(b"From: news@sender.test\r\n\r\nhello\r\n.\r\n")
        await self.eventually(lambda: bool(seen.taken))


class CertificateTest(RenewalCase):
    async def shown_to(self, caller: TlsCaller) -> int:
        """Shake hands; return the serial number of the certificate."""
        self.assertRegex(await caller.say("STARTTLS"), "^220 ")
        await self.secure(caller)
        await caller.say("EHLO client.test")
        return self.serial(caller)

    def serial(self, caller: TlsCaller) -> int:
        assert caller.transport is not None
        shown = caller.transport.getPeerCertificate()  # type: ignore[attr-defined]
        return int(shown.get_serial_number())

    def on_disk(self) -> int:
        return x509.load_pem_x509_certificates((self.folder / "listener.pem").read_bytes())[0].serial_number

    async def test_a_new_certificate_is_shown_to_new_sessions_and_those_that_are_open_go_on(self) -> None:
        seen = await self.upstream()
        await self.relay(listener=self.lines())
        before, late = await self.tls_caller(), await self.tls_caller()
        first = await self.shown_to(before)
        self.assertEqual(first, self.on_disk())

        self.change(listener=self.lines())

        self.assertNotEqual(self.on_disk(), first)
        self.assertRegex(await before.mail("a@rcpt.test"), "^250 ")
        self.assertEqual(await self.shown_to(await self.tls_caller()), self.on_disk())
        # A session that was open shakes hands with what is there now.
        self.assertEqual(await self.shown_to(late), self.on_disk())
        self.assertRegex(await late.mail("b@rcpt.test"), "^250 ")
        self.assertEqual(seen.recipients(), ["a@rcpt.test", "b@rcpt.test"])

    async def test_a_session_that_was_offered_tls_may_take_it_when_the_listener_has_none_any_more(self) -> None:
        await self.upstream()
        await self.relay(listener=self.lines())
        before = await self.tls_caller()

        self.change()

        await self.shown_to(before)
        self.assertNotIn("STARTTLS", await (await self.caller(hello=False)).say("EHLO client.test"))

    async def test_a_listener_may_begin_to_offer_tls(self) -> None:
        await self.upstream()
        await self.relay()

        self.change(listener=self.lines())

        self.assertEqual(await self.shown_to(await self.tls_caller()), self.on_disk())

    async def test_the_files_of_an_endpoint_of_its_own_tls_are_read_again_and_bad_ones_change_nothing(self) -> None:
        await self.upstream()
        self.lines()
        pem = self.folder / "listener.pem"
        text = CONFIG.replace("{listener}", "").replace(
            "tcp:0:interface=127.0.0.1", f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}"
        )
        text = text.format(
            hosts='"127.0.0.1:9"',
            roots=f'"{self.folder}/ca.pem"',
            password=f'"{self.folder}/password"',
            connections=1,
            upstream="",
            store=f'"{self.folder}/store"',
            more="",
        )
        old = loads(text, base=self.folder, environ={})
        service = self.service = relay_service(old, reactor)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        self.assertEqual(await self.shown_at_once(), self.on_disk())

        self.lines()
        service.renew(renewal_for(service, old, old, reactor))
        self.assertEqual(await self.shown_at_once(), self.on_disk())

        shown = self.on_disk()
        pem.write_text("half a file")
        with self.assertRaises(CannotRenew):
            renewal_for(service, old, old, reactor)
        self.assertEqual(await self.shown_at_once(), shown)

    async def shown_at_once(self) -> int:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", number_of(self.service.ports[0]))
        caller: TlsCaller = await connectProtocol(endpoint, TlsCaller())
        self.addCleanup(self._hang_up, caller)
        await self.secure(caller)
        await caller.reply()
        return self.serial(caller)


class UpstreamTest(RenewalCase):
    async def test_an_upstream_that_did_not_change_keeps_its_connections(self) -> None:
        seen = await self.upstream()
        await self.relay()
        caller = await self.caller()
        await caller.mail("a@rcpt.test")

        self.change(listener="idle_seconds = 200\n")
        await caller.mail("b@rcpt.test")

        self.assertEqual([one.connection for one in seen.taken], [0, 0])

    async def test_a_message_under_way_ends_where_it_began_and_the_next_one_takes_the_new_way(self) -> None:
        seen = await self.upstream({".": [SLOW, USUAL]})
        await self.relay()
        caller, other = await self.caller(), await self.caller()
        await self.under_way(caller, seen)

        self.change(connections=3)

        self.assertRegex(await other.mail("b@rcpt.test"), "^250 ")
        self.assertRegex(await caller.reply(), "^250 ")
        self.assertEqual([one.connection for one in seen.taken], [0, 1])
        # Figures go on where they were, with what the old pool still does.
        self.assertEqual(self.service.pools[0].traffic.transactions[Ended.TAKEN], 2)
        # The old connection is given up, and its pool with it.
        await self.eventually(lambda: seen.open == 1)
        await self.eventually(lambda: not self.superseded())

    def superseded(self) -> tuple[object, ...]:
        assert self.service._superseded is not None
        return self.service._superseded.pools

    async def test_who_waits_for_a_connection_gets_one_all_the_same(self) -> None:
        seen = await self.upstream({".": [SLOW, USUAL]})
        await self.relay(connections=1)
        caller, waiting = await self.caller(), await self.caller()
        await self.under_way(caller, seen)
        for line in ("MAIL FROM:<news@sender.test>", "RCPT TO:<b@rcpt.test>", "DATA"):
            await waiting.say(line)
        waiting.send(b"From: news@sender.test\r\n\r\nhello\r\n.\r\n")
        await self.eventually(lambda: self.service.pools[0].counts().waiting == 1)

        self.change(connections=2)

        self.assertRegex(await caller.reply(), "^250 ")
        self.assertRegex(await waiting.reply(), "^250 ")
        self.assertEqual(seen.recipients(), ["a@rcpt.test", "b@rcpt.test"])

    async def test_an_upstream_that_is_removed_ends_what_it_has_and_is_forgotten(self) -> None:
        main = await self.upstream()
        second, lines = await self.second()
        await self.relay(more=lines, listener="[listener.translation]\nip_pool = 'fast'\n")
        caller = await self.caller()
        await self.under_way(caller, second)

        self.change()

        self.assertRegex(await caller.reply(), "^250 ")
        self.assertEqual((len(second.taken), len(main.taken)), (1, 0))
        await self.eventually(lambda: second.open == 0 and list(self.service.bridge.pools) == ["main"])
        self.assertRegex(await (await self.caller()).mail("b@rcpt.test"), "^250 ")
        self.assertEqual(main.recipients(), ["b@rcpt.test"])

    async def test_another_default_takes_the_mail_of_sessions_that_are_open(self) -> None:
        first = await self.upstream()
        await self.relay()
        caller = await self.caller()
        await caller.mail("a@rcpt.test")
        other = await self.upstream()

        self.change()

        self.assertRegex(await caller.mail("b@rcpt.test"), "^250 ")
        self.assertEqual((first.recipients(), other.recipients()), (["a@rcpt.test"], ["b@rcpt.test"]))

    async def test_a_password_that_is_mended_is_used_at_once(self) -> None:
        seen = await self.upstream({"AUTH": [b"535 5.7.8 no\r\n", USUAL]})
        await self.relay()
        caller = await self.caller()
        self.assertRegex(await caller.mail("a@rcpt.test"), "^451 ")
        (self.folder / "password").write_text("upstream-secret-92")

        self.change()

        self.assertRegex(await caller.mail("a@rcpt.test"), "^250 ")
        self.assertEqual(seen.recipients(), ["a@rcpt.test"])

    async def test_what_stops_amid_a_change_closes_the_old_pools_too(self) -> None:
        seen = await self.upstream()
        await self.relay()
        await (await self.caller()).mail("a@rcpt.test")
        self.change(connections=3)
        self.change(connections=2)

        await self.service.stopService()

        await self.eventually(lambda: seen.open == 0)


class SessionTest(RenewalCase):
    async def test_new_logins_use_the_new_secrets_and_who_is_in_stays(self) -> None:
        await self.upstream()
        await self.relay(more=credential(OLD_KEY))
        before, later = await self.caller(), await self.caller()
        self.assertRegex(await before.say(login(OLD_KEY)), "^235 ")

        self.change(more=credential(NEW_KEY))

        self.assertRegex(await before.mail("a@rcpt.test"), "^250 ")
        self.assertRegex(await later.say(login(OLD_KEY)), "^535 ")
        self.assertRegex(await later.say(login(NEW_KEY)), "^235 ")

    async def test_a_session_keeps_what_it_was_greeted_with_and_its_next_message_obeys_the_rest(self) -> None:
        seen = await self.upstream()
        await self.relay()
        caller = await self.caller()

        self.change(listener='max_recipients = 1\nmode = "queue"\n', more="[translation]\nopen_tracking = true\n")

        self.assertRegex(await caller.mail("a@rcpt.test", "b@rcpt.test"), "^250 2.6.0 Message queued as ")
        await self.eventually(lambda: bool(seen.taken))
        self.assertIn(b"X-IB-Track-Opens: true", seen.taken[0].data)
        self.assertRegex(await (await self.caller()).mail("a@rcpt.test", "b@rcpt.test"), "^452 ")

    async def test_a_bound_of_sessions_counts_for_those_that_come(self) -> None:
        await self.upstream()
        await self.relay()
        before = await self.caller()

        self.change(listener="max_sessions = 1\n")

        refused = await connectProtocol(
            TCP4ClientEndpoint(reactor, "127.0.0.1", number_of(self.service.ports[0])), Caller()
        )
        self.assertRegex(await refused.reply(), "^421 ")
        self.assertRegex(await before.mail("a@rcpt.test"), "^250 ")
        await refused.until(lambda: refused.closed)
