"""The figures of a whole relay, against what a scripted provider saw and counted by itself."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import trustme
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor as _reactor

from smtpbridge.assembly import relay_service
from smtpbridge.config import loads
from smtpbridge.figures import figures_of
from smtpbridge.ops.metrics import Metrics
from smtpbridge.vitals import Depth, depth_figures
from tests.relay.scripted import CUT, SILENCE, USUAL
from tests.relay.world import RelayCase, message

reactor: Any = _reactor
LISTENER = "tcp:0:interface=127.0.0.1"


class Found:
    """The samples of one scrape."""

    def __init__(self, text: bytes) -> None:
        self._samples = [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
        ]

    def of(self, name: str, **labels: str) -> float:
        """Return the sum over all samples of that name with these labels."""
        found = [
            value for one, has, value in self._samples if one == f"smtpbridge_{name}" and labels.items() <= has.items()
        ]
        assert found, f"there is no {name} with {labels}"
        return sum(found)

    def by(self, name: str, label: str) -> Mapping[str, float]:
        """Return what is not zero, by a label."""
        values: dict[str, float] = {}
        for one, has, value in self._samples:
            if one == f"smtpbridge_{name}" and value:
                values[has[label]] = values.get(has[label], 0) + value
        return values


class FiguresTest(RelayCase):
    def scrape(self) -> Found:
        return Found(Metrics(figures_of(self.service)).text("")[0])

    async def test_of_a_mixed_load_they_say_what_the_provider_counted(self) -> None:
        seen = await self.upstream(
            {
                "RCPT no@rcpt.test": b"550 5.1.1 nobody\r\n",
                "RCPT later@rcpt.test": b"450 4.2.1 later\r\n",
                # One dot more than messages: the transaction of the one that is tried again has no recipient left.
                ".": [*[USUAL] * 6, b"554 5.6.0 spam\r\n"],
            }
        )
        service = await self.relay(connections=1)
        caller = await self.caller()
        taken = [
            await caller.mail("a@rcpt.test", "b@rcpt.test"),
            await caller.mail("c@rcpt.test", data=message({"bcc": ["d@rcpt.test"], "tags": ["x"], "campaign_id": "y"})),
            await caller.mail("e@rcpt.test", "no@rcpt.test"),  # 250: the store keeps the other
        ]
        # The one that was kept is tried once more; it asks for the connection that the next message wants.
        await self.eventually(lambda: service.tally.queue.given_up == 1)
        taken.append(await caller.mail("f@rcpt.test", data=message({"options": {"skip_suppression": True}})))
        refused = [
            await caller.mail("no@rcpt.test"),
            await caller.mail("g@rcpt.test", data=message({"tags": "none"})),
            await caller.mail("h@rcpt.test"),  # spam
        ]
        deferred = [await caller.mail("later@rcpt.test")]
        self.assertEqual([answer[:1] for answer in taken + refused + deferred], [*"2222", *"555", "4"])
        found = self.scrape()

        # By the listener.
        self.assertEqual(found.by("messages_total", "class"), {"2xx": 4, "5xx": 3, "4xx": 1})
        self.assertEqual(found.by("messages_total", "upstream"), {"main": 7, "-": 1})
        self.assertEqual(found.by("recipients_total", "class"), {"2xx": 6, "5xx": 3, "4xx": 1})
        self.assertEqual(found.of("verdict_seconds_count"), 8)
        self.assertEqual(found.of("connections_total", outcome="let_in"), 1)
        # By the upstream: what it took is what it has.
        self.assertEqual(found.of("upstream_recipients_total", outcome="taken"), len(seen.recipients()))
        transactions = found.by("upstream_transactions_total", "outcome")
        self.assertEqual(transactions["taken"] + transactions["partly"], len(seen.taken))
        self.assertEqual(transactions, {"taken": 4, "partly": 1, "refused": 3, "deferred": 1})
        self.assertEqual(found.of("upstream_transaction_seconds_count"), 9)
        self.assertEqual(
            found.of("upstream_bytes_total"), sum(len(one.data) for one in seen.taken), "octets as they went"
        )
        self.assertEqual(found.of("upstream_dials_total"), len(seen.connections))
        self.assertEqual(found.of("upstream_connect_seconds_count"), len(seen.connections))
        self.assertEqual(found.of("upstream_tls_connections_total", version="TLSv1.3"), len(seen.connections))
        # The translation, the store.
        self.assertEqual(
            found.by("features_total", "feature"), {"bcc": 1, "tags": 1, "campaign": 1, "skip_suppression": 1}
        )
        self.assertEqual(found.by("translation_warnings_total", "kind"), {"skip-suppression": 1})
        self.assertEqual(found.by("translation_refusals_total", "kind"), {"type": 1})
        self.assertEqual(found.of("queue_kept_total"), 1)
        self.assertEqual(found.by("queue_recipients_total", "outcome"), {"given_up": 1})
        self.assertEqual(found.of("queue_age_seconds_count", outcome="given_up"), 1)
        self.assertGreater(found.of("store_commits_total"), 0)

    async def test_what_happens_to_connections_is_seen(self) -> None:
        await self.upstream({"MAIL": [USUAL, CUT, USUAL]})
        await self.relay()
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test"))[:3], "250")
        self.assertEqual((await caller.mail("b@rcpt.test"))[:3], "250")
        found = self.scrape()

        self.assertEqual(found.of("upstream_moved_total"), 1)
        self.assertEqual(found.by("upstream_lost_total", "state"), {"leased": 1})
        self.assertEqual(found.by("upstream_retired_total", "reason"), {"unusable": 1})
        self.assertEqual(found.of("upstream_dials_total"), 2)
        self.assertEqual(found.by("upstream_connections", "state"), {"idle": 1})

    async def test_a_connection_that_the_provider_closes_while_it_is_idle_is_counted_as_lost(self) -> None:
        seen = await self.upstream()
        await self.relay()
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test"))[:3], "250")
        cast(Any, seen.connections[0].transport).loseConnection()
        await self.eventually(lambda: self.service.pools[0].traffic.lost_idle > 0)
        found = self.scrape()

        self.assertEqual(found.by("upstream_lost_total", "state"), {"idle": 1})
        self.assertEqual(found.by("upstream_connections", "state"), {})

    async def test_a_sender_that_is_not_read_and_one_that_is_turned_away_are_seen(self) -> None:
        seen = await self.upstream({".": SILENCE})
        await self.relay(listener="max_sessions = 1")
        caller = await self.caller()
        for line in ("MAIL FROM:<news@sender.test>", "RCPT TO:<a@rcpt.test>", "DATA"):
            await caller.say(line)
        caller.send(message() + b".\r\n" + b"NOOP\r\n" * 10_000)
        await self.eventually(lambda: self.scrape().of("paused_sessions") > 0)
        await self.caller(hello=False)
        found = self.scrape()

        self.assertEqual(found.by("paused_sessions", "listener"), {LISTENER: 1})
        self.assertEqual(found.by("connections_total", "outcome"), {"let_in": 1, "turned_away": 1})
        self.assertEqual(found.of("messages_under_way"), 1)
        # Else the service would wait for its end.
        await self.eventually(lambda: seen.unsure == ["a@rcpt.test"])
        cast(Any, seen.connections[0].transport).abortConnection()
        await self.eventually(lambda: self.scrape().of("messages_under_way") == 0)
        self.assertEqual(self.scrape().by("upstream_transactions_total", "outcome"), {"unknown": 1})

    async def test_a_provider_that_cannot_be_used_is_seen_with_the_reason(self) -> None:
        await self.upstream({"AUTH": b"535 5.7.8 bad credentials\r\n"})
        await self.relay()
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test"))[:1], "4")
        found = self.scrape()

        self.assertEqual(found.by("upstream_dial_failures_total", "kind"), {"login": 1})
        self.assertEqual(found.by("upstream_unusable", "reason"), {"unreachable": 1, "login_refused": 1})
        self.assertEqual(found.by("upstream_transactions_total", "outcome"), {"not_sent": 1})

    async def test_what_is_refused_before_the_final_dot_is_counted_and_is_no_message(self) -> None:
        await self.upstream()
        await self.relay(listener="max_header_bytes = 1024")
        caller = await self.caller()
        await caller.say("RCPT TO:<a@rcpt.test>")
        self.assertEqual((await caller.mail("b@rcpt.test", data=message(subject="x" * 2000)))[:3], "552")
        found = self.scrape()

        self.assertEqual(found.by("refused_commands_total", "class"), {"5xx": 1})
        self.assertEqual(found.by("messages_total", "upstream"), {"-": 1})
        self.assertGreater(found.of("message_bytes_total", **{"class": "5xx"}), 2000)

    async def test_a_sender_under_tls_is_seen_and_when_the_certificate_ends(self) -> None:
        ends = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        ca = trustme.CA()
        leaf = ca.issue_cert("bridge.test", not_after=ends)
        (self.folder / "cert.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
        (self.folder / "key.pem").write_bytes(leaf.private_key_pem.bytes())
        (self.folder / "key.pem").chmod(0o600)
        await self.upstream()
        both = f'certificate = "{self.folder}/cert.pem"\nkey = "{self.folder}/key.pem"'
        await self.relay(listener=both)

        found = self.scrape()

        self.assertEqual(found.of("certificate_expiry_timestamp_seconds", listener=LISTENER), ends.timestamp())
        self.assertEqual(found.of("tls_handshakes_total"), 0)
        caller = await self.caller()
        self.assertEqual((await caller.say("STARTTLS"))[:3], "220")
        caller.send(b"MAIL FROM:<no@handshake.test>\r\n")
        await caller.until(lambda: caller.closed)
        await self.eventually(lambda: self.scrape().of("tls_failures_total") == 1)

    async def test_the_certificate_of_a_listener_with_tls_from_the_start_is_seen_too(self) -> None:
        ends = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        leaf = trustme.CA().issue_cert("bridge.test", not_after=ends)
        (self.folder / "both.pem").write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
        (self.folder / "both.pem").chmod(0o600)
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={self.folder}/both.pem:certKey={self.folder}/both.pem"
        text = f"""
            hostname = "bridge.test"
            [[listener]]
            endpoint = "{endpoint}"
            [upstream.main]
            hosts = ["mx.test:587"]
            password_file = "{self.folder}/password"
        """
        service = relay_service(loads(text, base=self.folder, environ={}), reactor)
        found = Found(Metrics(figures_of(service)).text("")[0])

        self.assertEqual(found.of("certificate_expiry_timestamp_seconds", listener=endpoint), ends.timestamp())

    async def test_what_the_store_keeps_is_seen_with_its_age(self) -> None:
        await self.upstream({"MAIL": b"451 4.3.0 later\r\n"})
        service = await self.relay(listener='mode = "queue"')
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test", "b@rcpt.test"))[:3], "250")
        depth = Depth(service.keeper, reactor)
        figures = depth_figures(depth, lambda: cast(Any, service.keeper).epoch() + 100.0)
        self.assertEqual([list(one.read()) for one in figures], [[], [], [], []])
        depth.look()
        await self.eventually(lambda: depth.counts is not None)
        found = Found(Metrics(figures).text("")[0])

        self.assertEqual(found.of("queue_depth"), 1)
        self.assertEqual(found.of("queue_held"), 0)
        self.assertGreater(found.of("queue_bytes"), 0)
        self.assertGreaterEqual(found.of("queue_oldest_seconds"), 100)
        self.assertEqual(self.scrape().of("queue_kept_total"), 1)
