"""With [events] a message is written down before it goes, and what the relay knows itself becomes events."""

import json
import re
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, cast

from twisted.internet.defer import Deferred

from smtpbridge.dialect.sent import Copy, Sent, read
from smtpbridge.dialect.token import Tokens, inbox_path
from smtpbridge.relay.correlation import Correlation
from smtpbridge.store.errors import StoreError
from smtpbridge.store.ledger import Entry, Kept, Ledger, Outgoing
from tests.relay.scripted import USUAL, Taken
from tests.relay.world import RelayCase, message

INBOX_SECRET = "secret of the inbox 4711"
NOT_STORED = "451 4.3.0 The message could not be stored; try again later"
QUEUE = 'mode = "queue"'
QUICK = "[queue]\nfirst_retry_seconds = 0.1\nlongest_retry_seconds = 0.2\n"
TARGETS = '[events.target.crm]\nurl = "https://crm.example.com/"\n'
SICK, WELL = "the ledger of events is out of order", "the ledger of events is in order again"
API = {"campaign_id": "spring", "metadata": {"order": 7}, "tags": ["a"], "bcc": ["Bcc@rcpt.test"]}


class HeldLedger:
    """A real ledger whose entries wait until they are let go, or fail with `fault`."""

    def __init__(self, ledger: Ledger) -> None:
        self.fault: StoreError | None = None
        self.held: list[tuple[Sequence[Entry], Sequence[Outgoing], Future[None]]] | None = None
        self.added: list[Sequence[Outgoing]] = []
        self.in_company: list[Outgoing] = []
        self.writer = self
        self._ledger = ledger

    def enter_all(self, entries: Sequence[Entry], events: Sequence[Outgoing] = ()) -> Future[None]:
        if self.held is None:
            self.in_company += events
            return self._or_fail(lambda writer: writer.enter_all(entries, events))
        future: Future[None] = Future()
        self.held.append((entries, events, future))
        return future

    def add(self, events: Sequence[Outgoing]) -> Future[None]:
        self.added.append(events)
        return self._or_fail(lambda writer: writer.add(events))

    def let_go(self) -> None:
        held, self.held = self.held or [], None
        for entries, events, future in held:
            self._ledger.writer.enter_all(entries, events).result()
            future.set_result(None)

    def find(self, token: bytes, recipient: str) -> Any:
        if self.fault is not None:
            raise self.fault
        return self._ledger.find(token, recipient)

    def _or_fail(self, call: Any) -> Future[None]:
        if self.fault is None:
            return cast("Future[None]", call(self._ledger.writer))
        future: Future[None] = Future()
        future.set_exception(self.fault)
        return future

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


class CorrelationCase(RelayCase):
    timeout = 60

    async def with_events(self, *, more: str = QUICK, events: str = "", targets: str = TARGETS, **said: Any) -> None:
        (self.folder / "inbox.key").write_text(INBOX_SECRET)
        (self.folder / "inbox.key").chmod(0o600)
        inbox = (
            '[events]\npublic_url = "https://events.example.com"\nendpoint = "tcp:0:interface=127.0.0.1"\n'
            f'secret_file = "inbox.key"\n{events}\n{targets}'
        )
        await self.relay(more=more + inbox, **said)
        await self.eventually(lambda: self.correlation.keeper.ledger is not None)

    @property
    def correlation(self) -> Correlation:
        found = self.service.bridge.correlation
        assert found is not None
        return found

    @property
    def ledger(self) -> Ledger:
        found = self.correlation.keeper.ledger
        assert found is not None
        return found

    def held(self) -> HeldLedger:
        """Put a ledger that can be held up before the real one."""
        held = HeldLedger(self.ledger)
        self.correlation.keeper.ledger = cast(Ledger, held)
        return held

    def started(self, coroutine: Any) -> "Deferred[str]":
        return Deferred.fromCoroutine(coroutine)

    def token_of(self, taken: Taken) -> bytes:
        match = re.search(rb"X-IB-Callback-Data: (\S+)\r\n", taken.data)
        assert match is not None
        token = Tokens(INBOX_SECRET.encode()).read(match[1].decode())
        assert token is not None
        return token

    def sent(self, taken: Taken, recipient: str) -> Sent:
        found = self.ledger.find(self.token_of(taken), recipient)
        assert found is not None
        return read(found.at, found.common, found.own, recipient)

    def kept(self) -> list[Kept]:
        return list(self.ledger.list())

    def fields(self) -> list[dict[str, Any]]:
        """Return the fields of the events that are kept."""
        bodies = [json.loads(one.octets)["msys"] for one in self.kept()]
        return [fields for body in bodies for fields in body.values()]

    def said(self, words: str) -> int:
        return sum(words in line for line in self.log())


class EntryTest(CorrelationCase):
    async def test_each_copy_leads_to_what_is_known_of_it_and_all_share_one_token(self) -> None:
        seen = await self.upstream()
        await self.with_events()

        answer = await (await self.caller()).mail(
            "A@rcpt.test", data=message(API, subject="=?utf-8?q?Gr=C3=BC=C3=9Fe?=")
        )

        self.assertEqual("250", answer[:3])
        await self.eventually(lambda: len(seen.taken) == 2)
        first, copy = self.sent(seen.taken[0], "a@rcpt.test"), self.sent(seen.taken[1], "bcc@rcpt.test")
        self.assertEqual(self.token_of(seen.taken[0]), self.token_of(seen.taken[1]))
        self.assertEqual(("A@rcpt.test", Copy.ENVELOPE), (first.recipient, first.copy))
        self.assertEqual(("Bcc@rcpt.test", Copy.BCC), (copy.recipient, copy.copy))
        self.assertEqual(("spring", {"order": "7"}, ("a",)), (first.campaign, first.metadata, first.tags))
        self.assertEqual(("Grüße", "news@sender.test"), (first.subject, first.friendly_from))
        self.assertEqual(first.transmission_id, copy.transmission_id)
        self.assertNotEqual(first.message_id, copy.message_id)
        self.assertGreater(first.size, 100)

    async def test_the_message_tells_infobip_to_report_to_the_inbox_and_nothing_of_itself(self) -> None:
        seen = await self.upstream()
        await self.with_events()

        await (await self.caller()).mail("a@rcpt.test", data=message(API))

        path = inbox_path(INBOX_SECRET.encode())
        self.assertIn(f"X-IB-Notify-Url: https://events.example.com/{path}\r\n".encode(), seen.taken[0].data)
        self.assertNotIn(b"order", seen.taken[0].data)

    async def test_nothing_goes_upstream_before_the_entry_is_durable(self) -> None:
        seen = await self.upstream()
        await self.with_events()
        held = self.held()
        held.held = []
        caller = await self.caller()

        mail = self.started(caller.mail("a@rcpt.test"))
        await self.eventually(lambda: bool(held.held))
        self.assertEqual([], [one for one in seen.commands if one.startswith(("MAIL", "RCPT", "DATA"))])
        held.let_go()

        self.assertEqual("250", (await mail)[:3])
        self.assertEqual(1, len(seen.taken))

    async def test_in_queue_mode_nothing_is_stored_before_the_entry_is_durable_and_a_retry_keeps_its_token(
        self,
    ) -> None:
        seen = await self.upstream({"RCPT a@rcpt.test": [b"450 4.2.1 later\r\n", USUAL]})
        await self.with_events(listener=QUEUE)
        held = self.held()
        held.held = []

        mail = self.started((await self.caller()).mail("a@rcpt.test"))
        await self.eventually(lambda: bool(held.held))
        store = self.service.keeper
        assert store is not None
        assert store.store is not None
        self.assertEqual([], list(store.store.list()))
        held.let_go()

        self.assertRegex(await mail, "^250 2.6.0 Message queued as")
        await self.eventually(lambda: len(seen.taken) == 1)
        self.assertEqual("a@rcpt.test", self.sent(seen.taken[0], "a@rcpt.test").recipient)
        self.assertEqual(1, self.ledger.counts().entries)

    async def test_a_ledger_that_fails_is_a_451_and_nothing_is_sent_until_it_is_well(self) -> None:
        for mode in ("", QUEUE):
            with self.subTest(mode=mode):
                self.events.clear()
                seen = await self.upstream()
                await self.with_events(listener=mode, store=f"store-{len(mode)}")
                held = self.held()
                caller = await self.caller()
                held.fault = StoreError("the ledger cannot be written")
                for _ in range(2):
                    self.assertEqual(NOT_STORED, await caller.mail("a@rcpt.test"))
                self.assertEqual([], seen.commands)
                self.assertEqual((1, 0), (self.said(SICK), self.said(WELL)))
                self.assertEqual("the ledger cannot be written", self.correlation.keeper.fault)

                held.fault = None

                self.assertEqual("250", (await caller.mail("a@rcpt.test"))[:3])
                await self.eventually(lambda seen=seen: len(seen.taken) == 1)  # type: ignore[misc]
                self.assertEqual((1, 1), (self.said(SICK), self.said(WELL)))
                await self.service.stopService()

    async def test_a_ledger_that_cannot_be_opened_is_opened_when_the_cause_is_gone(self) -> None:
        await self.upstream()
        await self.with_events()
        keeper = self.correlation.keeper
        keeper.close()
        keeper._closed = False
        files = [path for path in (self.folder / "store").iterdir() if "ledger" in path.name]
        self.assertTrue(files)
        for path in files:
            path.unlink()
            path.mkdir()
        keeper.open()
        self.assertIsNone(keeper.ledger)
        self.assertEqual(NOT_STORED, await (await self.caller()).mail("a@rcpt.test"))

        for path in files:
            path.rmdir()

        await self.eventually(lambda: keeper.ledger is not None)
        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test"))[:3])

    async def test_a_sick_ledger_is_found_to_be_well_without_a_message(self) -> None:
        await self.upstream()
        await self.with_events()
        held = self.held()
        held.fault = StoreError("the ledger cannot be written")
        self.assertEqual(NOT_STORED, await (await self.caller()).mail("a@rcpt.test"))

        held.fault = None

        await self.eventually(lambda: self.said(WELL) == 1)

    async def test_callback_data_of_the_sender_stay_and_the_log_says_that_events_are_lost(self) -> None:
        seen = await self.upstream()
        await self.with_events()

        data = b"X-IB-Callback-Data: mine\r\n" + message()
        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test", data=data))[:3])

        self.assertEqual(1, seen.taken[0].data.count(b"X-IB-Callback-Data"))
        self.assertEqual(1, self.said("warning=own-callback-data"))
        self.assertEqual(0, self.ledger.counts().entries)

    async def test_a_sender_whose_time_is_up_before_the_entry_is_durable_hears_451_and_nothing_is_sent(self) -> None:
        seen = await self.upstream()
        await self.with_events(listener="verdict_seconds = 1")
        held = self.held()
        held.held = []

        self.assertEqual("451", (await (await self.caller()).mail("a@rcpt.test"))[:3])
        held.let_go()

        await self.eventually(lambda: self.service.bridge.under_way == 0)
        self.assertEqual([], seen.taken)

    async def test_without_events_there_is_neither_token_nor_ledger(self) -> None:
        seen = await self.upstream()
        await self.relay()

        await (await self.caller()).mail("a@rcpt.test", data=message())

        self.assertNotIn(b"X-IB-Callback-Data", seen.taken[0].data)
        self.assertIsNone(self.service.bridge.correlation)
        self.assertFalse([path for path in (self.folder / "store").iterdir() if "ledger" in path.name])


class OwnEventsTest(CorrelationCase):
    async def test_an_acceptance_is_an_injection_for_each_recipient(self) -> None:
        await self.upstream()
        await self.with_events()

        await (await self.caller()).mail("a@rcpt.test", data=message(API))

        await self.eventually(lambda: len(self.kept()) == 2)
        self.assertEqual({"injection"}, {one["type"] for one in self.fields()})
        self.assertEqual({"a@rcpt.test", "bcc@rcpt.test"}, {one["rcpt_to"] for one in self.fields()})
        self.assertEqual([{"order": 7}, {"order": 7}], [one["rcpt_meta"] for one in self.fields()])
        self.assertEqual(["crm"], [one.target for one in self.kept()[0].deliveries])

    async def test_injections_that_nobody_wants_are_not_made(self) -> None:
        for events, targets in (("injection = false", TARGETS), ("", TARGETS + 'events = ["delivery"]\n'), ("", "")):
            with self.subTest(events=events, targets=targets):
                await self.upstream({"RCPT no@rcpt.test": b"550 5.7.1 not here\r\n"})
                await self.with_events(events=events, targets=targets, store=f"store-{len(events)}-{len(targets)}")
                caller = await self.caller()

                self.assertEqual("250", (await caller.mail("a@rcpt.test"))[:3])
                self.assertEqual("550", (await caller.mail("no@rcpt.test"))[:3])

                # What came first would be there by the time the second is.
                await self.eventually(lambda: bool(self.kept()))
                self.assertEqual(["policy_rejection"], [one.type for one in self.kept()])
                await self.service.stopService()

    async def test_a_refusal_for_good_is_a_policy_rejection_for_each_who_was_refused(self) -> None:
        await self.upstream({"RCPT a@rcpt.test": b"550 5.7.1 not here\r\n", "RCPT b@rcpt.test": b"450 4.2.1 later\r\n"})
        await self.with_events()
        caller = await self.caller()

        self.assertEqual("450", (await caller.mail("b@rcpt.test"))[:3])
        self.assertEqual("550", (await caller.mail("a@rcpt.test"))[:3])

        await self.eventually(lambda: bool(self.kept()))
        (event,) = self.fields()
        self.assertEqual(
            ("policy_rejection", "a@rcpt.test", "550 5.7.1 not here"),
            (event["type"], event["rcpt_to"], event["reason"]),
        )

    async def test_who_is_refused_while_others_are_taken_is_told_of_when_the_queue_gives_up(self) -> None:
        await self.upstream({"RCPT B@rcpt.test": b"550 5.1.1 unknown\r\n"})
        await self.with_events(events="injection = false")

        self.assertEqual("250", (await (await self.caller()).mail("a@rcpt.test", "B@rcpt.test"))[:3])

        await self.eventually(lambda: bool(self.kept()))
        (event,) = self.fields()
        self.assertEqual(("policy_rejection", "B@rcpt.test"), (event["type"], event["raw_rcpt_to"]))
        self.assertEqual(1, self.said("given_up=<B@rcpt.test>"))

    async def test_who_could_not_be_served_in_time_bounces(self) -> None:
        await self.upstream({"RCPT b@rcpt.test": b"450 4.2.1 later\r\n"})
        await self.with_events(events="injection = false", listener=QUEUE)
        await (await self.caller()).mail("b@rcpt.test")

        self.ahead = 300_000

        await self.eventually(lambda: bool(self.kept()))
        (event,) = self.fields()
        self.assertEqual(("bounce", "24", "b@rcpt.test"), (event["type"], event["bounce_class"], event["rcpt_to"]))

    async def test_the_queue_forgets_whom_it_gives_up_only_when_the_event_is_durable(self) -> None:
        await self.upstream({"RCPT b@rcpt.test": [b"550 5.1.1 unknown\r\n"]})
        await self.with_events(events="injection = false", listener=QUEUE)
        held = self.held()
        keeper = self.service.keeper
        assert keeper is not None
        assert keeper.store is not None
        await (await self.caller()).mail("b@rcpt.test")
        held.fault = StoreError("the ledger cannot be written")
        await self.eventually(lambda: self.said("given_up=<b@rcpt.test>") == 1)
        await self.eventually(lambda: self.said(SICK) == 1)
        self.assertEqual(1, len(list(keeper.store.list())))

        held.fault = None

        await self.eventually(lambda: keeper.store is not None and not list(keeper.store.list()))
        self.assertEqual(["policy_rejection"], [one.type for one in self.kept()])
        self.assertEqual(1, self.said("given_up=<b@rcpt.test>"))

    async def test_injections_go_with_the_next_entries_and_what_is_left_is_written_at_the_end(self) -> None:
        await self.upstream()
        await self.with_events()
        held = self.held()
        caller = await self.caller()
        for _ in range(3):
            await caller.mail("a@rcpt.test", data=message({"cc": [f"c{number}@rcpt.test" for number in range(31)]}))
        self.assertEqual(64, len(held.in_company))
        self.assertEqual([], held.added)

        await self.service.stopService()

        self.assertEqual([32], [len(events) for events in held.added])

    async def test_injections_without_company_go_alone_before_long(self) -> None:
        await self.upstream()
        await self.with_events()

        await (await self.caller()).mail("a@rcpt.test")

        await self.eventually(lambda: len(self.kept()) == 1)

    async def test_many_injections_do_not_wait_for_company(self) -> None:
        await self.upstream()
        await self.with_events()
        held = self.held()

        await (await self.caller()).mail(
            "a@rcpt.test", data=message({"cc": [f"c{number}@rcpt.test" for number in range(299)]})
        )

        self.assertEqual([300], [len(events) for events in held.added])

    async def test_injections_that_cannot_be_kept_with_their_company_are_named_in_the_log(self) -> None:
        await self.upstream()
        await self.with_events()
        held = self.held()
        caller = await self.caller()
        self.assertEqual("250", (await caller.mail("a@rcpt.test"))[:3])
        held.fault = StoreError("the ledger cannot be written")

        self.assertEqual(NOT_STORED, await caller.mail("a@rcpt.test"))

        await self.eventually(lambda: self.said("lost injections=1: the ledger could not keep them") == 1)

    async def test_what_the_sender_was_told_and_the_ledger_could_not_keep_is_in_the_log(self) -> None:
        await self.upstream({"RCPT a@rcpt.test": b"550 5.7.1 not here\r\n"})
        await self.with_events()
        held = self.held()
        held.held = []
        mail = self.started((await self.caller()).mail("a@rcpt.test"))
        await self.eventually(lambda: bool(held.held))
        held.fault = StoreError("the ledger cannot be written")
        held.let_go()

        self.assertEqual("550", (await mail)[:3])

        await self.eventually(lambda: self.said("lost policy_rejections=1: the ledger could not keep them") == 1)

    async def test_injections_that_cannot_be_kept_are_named_in_the_log_and_cost_the_message_nothing(self) -> None:
        await self.upstream()
        await self.with_events()
        held = self.held()
        held.held = []
        mail = self.started((await self.caller()).mail("a@rcpt.test"))
        await self.eventually(lambda: bool(held.held))
        held.fault = StoreError("the ledger cannot be written")
        held.let_go()

        self.assertEqual("250", (await mail)[:3])

        await self.eventually(lambda: self.said("lost injections=1: the ledger could not keep them") == 1)

    async def test_a_message_from_before_there_were_events_is_given_up_as_ever(self) -> None:
        await self.upstream({"RCPT b@rcpt.test": b"450 4.2.1 later\r\n"})
        await self.relay(listener=QUEUE, more="[queue]\nfirst_retry_seconds = 60\n")
        await (await self.caller()).mail("b@rcpt.test")
        await self.service.stopService()
        self.ahead = 300_000

        await self.with_events(listener=QUEUE)

        await self.eventually(lambda: self.said("given_up=<b@rcpt.test>") == 1)
        keeper = self.service.keeper
        assert keeper is not None
        await self.eventually(lambda: keeper.store is not None and not list(keeper.store.list()))
        self.assertEqual([], self.kept())


class ReplyTest(CorrelationCase):
    async def test_the_250_has_the_id_that_sparkpost_would_have_given_and_the_log_knows_both(self) -> None:
        for mode in ("", QUEUE):
            with self.subTest(mode=mode):
                seen = await self.upstream()
                await self.with_events(events="message_id_in_reply = true", listener=mode, store=f"store-{len(mode)}")

                answer = await (await self.caller()).mail("a@rcpt.test")

                self.assertRegex(answer, "^250 2.0.0 OK [0-9A-F]{2}/[0-9A-F]{2}-[0-9]{1,5}-[0-9A-F]{8}$")
                self.assertEqual(1, self.said(f"is known to its sender as {answer[13:]}"))
                await self.eventually(lambda seen=seen: len(seen.taken) == 1)  # type: ignore[misc]
                id_ = self.sent(seen.taken[0], "a@rcpt.test").message_id.upper()
                self.assertEqual(f"{id_[17]}{id_[16]}/{id_[19]}{id_[18]}", answer[13:18])
                await self.service.stopService()

    async def test_a_refusal_is_said_in_the_words_of_the_provider(self) -> None:
        await self.upstream({"RCPT a@rcpt.test": b"550 5.7.1 not here\r\n"})
        await self.with_events(events="message_id_in_reply = true")

        self.assertEqual("550 5.7.1 not here", await (await self.caller()).mail("a@rcpt.test"))
