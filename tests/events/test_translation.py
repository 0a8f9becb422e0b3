"""From notices in a ledger to events in it."""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from smtpbridge.dialect.audience import Listening
from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.sent import Damaged, Sent
from smtpbridge.dialect.sparkpost_event import EventType
from smtpbridge.events.tallies import UNREADABLE, Unmatched
from smtpbridge.events.translation import Reader, Reading, Translator
from smtpbridge.store.errors import StoreError
from tests.events.world import TOKEN, World, done, sent_of, token_of

EVERY = frozenset(EventType)


def report(recipient: str = "a@rcpt.test", token: str = TOKEN.decode(), group: str = "DELIVERED") -> dict[str, Any]:
    return {
        "messageId": "m-1",
        "to": recipient,
        "callbackData": token,
        "doneAt": "2025-06-15T15:06:40.000+0000",
        "status": {"groupName": group},
    }


class TranslationTest(TestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.world.remember("a@rcpt.test", "b@rcpt.test")
        self.woken = 0

    def start(
        self, *targets: Listening, token_of: Any = token_of, sent_of: Any = sent_of, busy: Any = lambda: False
    ) -> Translator:
        listening = targets or (Listening("crm", EVERY),)
        reader = Reader(Reading(token_of, sent_of, EventOptions(), listening), self.world.clock.epoch)
        made = Translator(reader, self.world.access, self.world.clock, done=self.wake, busy=busy)
        made.start()
        self.addCleanup(lambda: done(Deferred.fromCoroutine(made.stop()).addCallback(lambda _: True)))
        return made

    def wake(self) -> None:
        self.woken += 1

    def post(self, *reports: dict[str, Any]) -> None:
        self.world.ledger.take_in(json.dumps({"results": reports}).encode(), self.world.clock.epoch())

    def events(self) -> list[dict[str, Any]]:
        return [next(iter(json.loads(kept.octets)["msys"].values())) for kept in self.world.ledger.list()]

    def test_a_report_becomes_the_event_of_the_message_and_the_recipient_that_its_token_names(self) -> None:
        self.post(report(), report("B@rcpt.test", group="UNDELIVERABLE"))
        self.start()
        delivery, bounce = self.events()

        self.assertEqual((delivery["type"], bounce["type"]), ("delivery", "bounce"))
        self.assertEqual((delivery["message_id"][-1], bounce["message_id"][-1]), ("0", "1"))
        self.assertEqual((delivery["campaign_id"], delivery["subaccount_id"]), ("spring", "5"))
        self.assertEqual(self.world.ledger.notices(10), ())
        self.assertGreater(self.woken, 0)

    def test_the_same_report_told_again_makes_no_second_event(self) -> None:
        self.post(report())
        translator = self.start()
        self.post(report())
        translator.wake()

        self.assertEqual(len(self.events()), 1)
        self.assertEqual(self.world.ledger.notices(10), ())

    def test_a_foreign_token_makes_no_event_and_is_counted(self) -> None:
        self.post(report(token="somebody else's"))
        translator = self.start()

        self.assertEqual(self.events(), [])
        self.assertEqual(translator.reader.tally.unmatched, {Unmatched.FOREIGN: 1})
        self.assertEqual(self.world.ledger.notices(10), ())

    def test_a_token_of_ours_that_was_forgotten_makes_an_event_of_what_the_report_says(self) -> None:
        self.post(report(token="x" * 16))
        translator = self.start()

        self.assertEqual([event["rcpt_to"] for event in self.events()], ["a@rcpt.test"])
        self.assertNotIn("message_id", self.events()[0])
        self.assertEqual(translator.reader.tally.unmatched, {Unmatched.EXPIRED: 1})

    def test_a_recipient_whom_the_message_did_not_have_gets_what_its_copies_share(self) -> None:
        self.post(report("stranger@rcpt.test"))
        translator = self.start()

        self.assertEqual([event["campaign_id"] for event in self.events()], ["spring"])
        self.assertEqual(translator.reader.tally.unmatched, {Unmatched.NO_SUCH_RECIPIENT: 1})

    def test_an_entry_that_is_damaged_costs_the_event_only_what_is_in_the_entry(self) -> None:
        def damaged(*_: object) -> Sent:
            raise Damaged("it cannot be read")

        self.post(report())
        translator = self.start(sent_of=damaged)

        self.assertEqual([event["rcpt_to"] for event in self.events()], ["a@rcpt.test"])
        self.assertEqual(translator.reader.tally.unmatched, {Unmatched.DAMAGED: 1})

    def test_what_cannot_be_read_is_counted_and_keeps_nobody_from_being_read(self) -> None:
        for octets in (b"", b"<results/>", b"{", b'{"results":[1]}', b"[" * 100):
            self.world.ledger.take_in(octets, self.world.clock.epoch())
        self.post(report())
        translator = self.start()

        self.assertEqual(translator.reader.tally.silent[UNREADABLE], 5)
        self.assertEqual(len(self.events()), 1)
        self.assertEqual(self.world.ledger.notices(10), ())

    def test_each_target_gets_the_types_and_subaccounts_that_it_wants(self) -> None:
        self.post(report(), report("b@rcpt.test", group="UNDELIVERABLE"))
        self.start(
            Listening("all", EVERY),
            Listening("bounces", frozenset({EventType.BOUNCE})),
            Listening("theirs", EVERY, frozenset({"0", "6"})),
            Listening("ours", EVERY, frozenset({"5"})),
        )
        targets = {kept.type: {delivery.target for delivery in kept.deliveries} for kept in self.world.ledger.list()}

        self.assertEqual(targets, {"delivery": {"all", "ours"}, "bounce": {"all", "bounces", "ours"}})

    def test_a_notice_that_we_fail_at_is_kept_until_the_next_start_and_holds_up_nothing(self) -> None:
        def fails(text: str) -> bytes | None:
            if text == "trouble":
                raise RuntimeError("a fault of ours")
            return token_of(text)

        self.post(report(token="trouble"))
        self.post(report())
        translator = self.start(token_of=fails)
        translator.wake()

        self.assertEqual(len(self.events()), 1)
        self.assertEqual(len(self.world.ledger.notices(10)), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.start()
        self.assertEqual(self.world.ledger.notices(10), ())

    def test_a_ledger_that_fails_keeps_the_notices_and_they_are_translated_when_it_is_well(self) -> None:
        self.post(report())
        self.world.ledger.broken = StoreError("the disk is full")
        self.start()
        self.world.clock.advance(4)
        self.world.ledger.broken = None
        self.assertEqual(self.events(), [])
        self.world.clock.advance(5)

        self.assertEqual(len(self.events()), 1)

    def test_what_a_crash_has_left_is_found_without_a_word(self) -> None:
        self.start()
        self.post(report())
        self.world.clock.advance(5)

        self.assertEqual(len(self.events()), 1)

    def test_a_busy_inbox_goes_first_but_not_for_ever(self) -> None:
        busy = [True]
        self.post(report())
        self.start(busy=lambda: busy[0])
        self.world.clock.advance(0.5)
        self.assertEqual(self.events(), [])
        busy[0] = False
        self.world.clock.advance(0.1)
        self.assertEqual(len(self.events()), 1)
        busy[0] = True
        self.post(report("b@rcpt.test"))
        for _ in range(70):
            self.world.clock.advance(0.1)

        self.assertEqual(len(self.events()), 2)

    def test_many_notices_are_translated_in_few_turns(self) -> None:
        writer = self.world.ledger.inner.writer
        for number in range(200):
            last = writer.take_in(json.dumps(report(f"{number}@rcpt.test")).encode(), self.world.clock.epoch())
        last.result()
        self.start()

        self.assertEqual(len(self.events()), 200)
        self.assertLess(self.woken, 10)
