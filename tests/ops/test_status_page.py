"""The status page over HTTP: what it shows of a relay that runs, who gets it, and that all of it agrees."""

import re
from collections import Counter

import treq
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.http_headers import Headers

from smtpbridge.ops.admin import MOST_CONNECTIONS
from smtpbridge.ops.recent import Recent
from smtpbridge.ops.streams import MOST_STREAMS
from smtpbridge.sights import BUSY, Process
from smtpbridge.vitals import Depth
from tests.ops.looking import TOKEN_SECRET, Events, LookingCase
from tests.ops.test_markup import Reader
from tests.relay.world import Caller, message, reactor


class StatusPageTest(LookingCase):
    def test_a_message_is_on_the_page_with_the_words_of_the_provider(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            caller = await self.caller()
            await caller.mail("ada@rcpt.test")
            read = Reader(await self.shown("<ada@rcpt.test>")).text

            self.assertIn("<news@sender.test>", read)
            self.assertRegex(read, "250 .*up-1")
            self.assertIn("127.0.0.1:", read)

        return Deferred.fromCoroutine(look())

    def test_a_header_that_was_refused_is_there_with_what_was_wrong_and_who_sent_it(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            caller = await self.caller()
            await caller.mail("ada@rcpt.test", data=message({"campaign_id": 7}))
            await caller.mail("bob@rcpt.test", data=message(["<script>"]))
            text = await self.shown("<bob@rcpt.test>")

            (section,) = re.findall(r'<section id="refused">(.*?)</section>', text)
            read = Reader(section).text
            self.assertIn("X-MSYS-API 'campaign_id' must be of type 'json string'", read)
            self.assertIn("X-MSYS-API must be of type 'json object'", read)
            self.assertIn("127.0.0.1", read)

        return Deferred.fromCoroutine(look())

    def test_what_is_kept_and_what_was_answered_is_found_by_sender_recipient_and_id(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            caller = await self.queueing()
            queued = await caller.mail("later@rcpt.test", "ada@rcpt.test")
            (name,) = re.findall(r"queued as (\w+)", queued)
            await self.eventually(lambda: any(" delivery taken=1" in line for line in self.log()))
            # The report to the store follows the log line.
            keeper = self.service.keeper
            assert keeper is not None
            store = keeper.store
            assert store is not None
            await self.eventually(lambda: any(kept.attempts for kept in store.list()))
            (kept_id,) = [kept.id for kept in store.list()]
            for words in (name, kept_id, name.lower(), "LATER@rcpt.test", "news@sender.test", "%3Cnews@sender.test%3E"):
                _, text = await self.get(f"/search?q={words}")
                kept, _, recent = text.partition("Recent verdicts")
                if words != name.lower():
                    self.assertRegex(Reader(kept).text, f"{name}.*<news@sender.test><later@rcpt.test>")
                if words != kept_id:
                    self.assertIn(name, Reader(recent).text, words)
            _, text = await self.get("/search?q=nobody@rcpt.test")
            self.assertIn("Nothing like that is kept.", text)
            self.assertIn("None yet.", text)

        return Deferred.fromCoroutine(look())

    def test_one_search_at_a_time_looks_into_the_store_and_one_without_a_store_says_so(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            process = Process(self.service, Recent(), Depth(None, reactor), reactor)
            first = Deferred.fromCoroutine(process.find("ada@rcpt.test"))
            self.assertEqual((await process.find("ada@rcpt.test")).faults, (BUSY,))
            self.assertEqual((await first).faults, ())
            self.assertEqual((await process.find("ada@rcpt.test")).faults, ())

            # Who does not wait for the answer does not make room for a second thread.
            gone = Deferred.fromCoroutine(process.find("ada@rcpt.test"))
            gone.addErrback(lambda reason: reason.trap(CancelledError))
            gone.cancel()
            self.assertEqual((await process.find("ada@rcpt.test")).faults, (BUSY,))
            await self.service.stopService()
            self.assertIn("The store is not open", (await process.find("ada@rcpt.test")).faults[0])

        return Deferred.fromCoroutine(look())

    def test_page_metrics_and_log_agree_with_what_the_stand_in_counted(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            replies: Counter[str] = Counter()
            caller = await self.caller()
            for number in range(7):
                replies[(await caller.mail(f"{number}@rcpt.test", "b@rcpt.test"))[:1]] += 1
            for _ in range(2):
                replies[(await caller.mail("a@rcpt.test", data=message({"tags": "x"})))[:1]] += 1
            replies[(await caller.mail("refuse@rcpt.test"))[:1]] += 1
            replies[(await caller.mail("later@rcpt.test"))[:1]] += 1
            replies[(await caller.mail("defer.data@rcpt.test"))[:1]] += 1
            # One of two is refused: taken for the other, and told by a bounce.
            replies[(await caller.mail("a@rcpt.test", "refuse@rcpt.test"))[:1]] += 1
            queue = await self.queueing()
            for number in range(3):
                replies[(await queue.mail(f"q{number}@rcpt.test"))[:1]] += 1
            await self.eventually(lambda: sum(" delivery taken=1" in line for line in self.log()) == 3)
            await self.shown("Delivered from the queue3")

            self.assertEqual(replies, {"2": 11, "4": 2, "5": 3})
            shown = await self.figures()
            self.assertEqual(shown["Accepted (2yz)"], "11")
            self.assertEqual(shown["Told to retry (4yz)"], "2")
            self.assertEqual(shown["Refused (5yz)"], "3")
            self.assertEqual(shown["Delivered from the queue"], "3")
            # Three were accepted into the queue first, and delivered from there.
            self.assertEqual(self.sandbox.stats().messages, 11 - 3 + 3)
            # Both callers are still there.
            self.assertEqual(shown["Sessions"], "2")
            self.assertEqual((await self.samples("smtpbridge_sessions")).total(), 2)
            classes = await self.samples("smtpbridge_messages_total", "class")
            self.assertEqual(classes, {f"{digit}xx": count for digit, count in replies.items()})
            self.assertEqual((await self.samples("smtpbridge_verdict_seconds_count")).total(), replies.total())
            queued = await self.samples("smtpbridge_queue_recipients_total", "outcome")
            self.assertEqual(queued["delivered"], 3)
            told = Counter(re.findall(r"verdict=(\d)", "\n".join(self.log())))
            self.assertEqual(told, replies)

        return Deferred.fromCoroutine(look())

    def test_who_watches_is_told_of_a_message_without_asking(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            events = Events()
            await events.begin(self.url)
            await self.eventually(lambda: b"event: page" in events.octets)
            self.assertNotIn(b"up-1", events.octets)

            await (await self.caller()).mail("ada@rcpt.test")
            await self.eventually(lambda: b"up-1" in events.octets)
            await self.admin.stopService()
            await events.over

        return Deferred.fromCoroutine(look())

    def test_only_so_many_watch(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            watching = [Events() for _ in range(MOST_STREAMS)]
            for one in watching:
                await one.begin(self.url)
            self.assertEqual((await self.get("/events"))[0], 503)
            self.assertEqual((await self.get("/events", "HEAD"))[0], 200)
            await self.admin.stopService()
            for one in watching:
                await one.over

        return Deferred.fromCoroutine(look())

    def test_only_so_many_connections_are_kept_and_one_that_ends_makes_room(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            where = TCP4ClientEndpoint(reactor, "127.0.0.1", int(self.url.rpartition(":")[2]))
            idle = [await connectProtocol(where, Caller()) for _ in range(MOST_CONNECTIONS)]
            late = await connectProtocol(where, Caller())
            await late.until(lambda: False)  # until it is closed
            self.assertFalse(any(one.closed for one in idle))
            for one in idle:
                await self._hang_up(one)
            self.assertEqual((await self.get("/livez"))[0], 200)

        return Deferred.fromCoroutine(look())

    def test_over_tls_with_a_token_as_from_elsewhere(self) -> "Deferred[None]":
        async def look() -> None:
            issued = self.ca.issue_cert("localhost")
            issued.private_key_pem.write_to_path(str(self.folder / "admin.key"))
            issued.cert_chain_pems[0].write_to_path(str(self.folder / "admin.pem"))
            (self.folder / "token").write_text(TOKEN_SECRET)
            (self.folder / "token").chmod(0o600)
            files = f"privateKey={self.folder}/admin.key:certKey={self.folder}/admin.pem"
            await self.begin('token_file = "token"', endpoint=f"ssl:0:interface=127.0.0.1:{files}")
            roots = trustRootFromCertificates([Certificate.loadPEM(self.ca.cert_pem.bytes())])
            agent = Agent(reactor, BrowserLikePolicyForHTTPS(roots))
            url = self.url.replace("http://127.0.0.1", "https://localhost")
            for token, code in ((TOKEN_SECRET, 200), (TOKEN_SECRET + "x", 401)):
                fields = Headers({"Authorization": [f"Bearer {token}"]})
                answer = await treq.get(url + "/", headers=fields, agent=agent, persistent=False)
                await treq.content(answer)
                self.assertEqual(answer.code, code)

        return Deferred.fromCoroutine(look())

    def test_the_pages_are_there_and_nothing_else(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            for path in ("/", "/search", "/help", "/metrics", "/livez", "/icon.svg"):
                self.assertEqual((await self.get(path))[0], 200, path)
                self.assertEqual(await self.get(path, "HEAD"), (200, ""), path)
                self.assertEqual((await self.get(path, "POST"))[0], 405, path)
            for path in ("/etc/passwd", "/../", "/metrics/x", "/favicon.ico"):
                self.assertEqual((await self.get(path))[0], 404, path)

        return Deferred.fromCoroutine(look())

    def test_a_foreign_host_name_gets_nothing_but_what_probes_ask(self) -> "Deferred[None]":
        async def look() -> None:
            await self.begin()
            for path in ("/", "/search?q=ada", "/events", "/metrics", "/help"):
                code, text = await self.get(path, Host="evil.example")
                self.assertEqual(code, 421, path)
                self.assertIn("host_names", text)
            self.assertEqual((await self.get("/livez", Host="evil.example"))[0], 200)
            self.assertEqual((await self.get("/readyz", Host="evil.example"))[0], 503, "it is starting")

        return Deferred.fromCoroutine(look())

    def test_with_a_token_every_page_asks_for_it_and_probes_are_not_asked(self) -> "Deferred[None]":
        async def look() -> None:
            (self.folder / "token").write_text(TOKEN_SECRET + "\n")
            (self.folder / "token").chmod(0o600)
            await self.begin('token_file = "token"')
            for path in ("/", "/search?q=ada", "/events", "/metrics", "/help"):
                self.assertEqual((await self.get(path))[0], 401, path)
            self.assertEqual((await self.get("/livez"))[0], 200)
            for path in ("/", "/search?q=ada", "/metrics", "/help"):
                code, text = await self.get(path, Authorization=f"Bearer {TOKEN_SECRET}")
                self.assertEqual(code, 200, path)
                self.assertNotIn(TOKEN_SECRET, text)

        return Deferred.fromCoroutine(look())
