"""A message's way through the bridge: who is sent what, when it moves, and what its sender hears, exactly once."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.dialect.policy import Policy
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.pool import Pool, Waiter
from smtpbridge.relay.submission import Submission
from smtpbridge.relay.tallies import UpstreamTally
from smtpbridge.relay.upstream import Letter, UpstreamConnection
from smtpbridge.smtp.client import Concluded, Phase
from smtpbridge.smtp.replies import Reply, reply
from tests.relay.fakes import content, log_lines

OK = reply(250, "2.1.0", "OK")
GO = reply(354, "", "go on")
QUEUED = reply(250, "2.6.0", "queued as 4711")
NO = reply(550, "5.1.1", "no such user")
BYE = reply(421, "4.3.2", "closing")
NONE_FREE = reply(451, "4.3.2", "No connection to the provider is free")
VERDICT_SECONDS = 60.0


class Courier:
    """A connection that keeps its letter until the test says how it ended."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.takes_eight_bit = True
        self.letter: Letter | None = None
        self.behind_final_dot = False
        self.abandoned = ""
        self.breaks = False
        self._done: Callable[[Concluded], None] | None = None

    def send(self, letter: Letter, done: Callable[[Concluded], None]) -> None:
        if self.breaks:
            raise ZeroDivisionError("a defect")
        self.letter, self._done = letter, done

    def abandon(self, why: str) -> None:
        assert not self.behind_final_dot
        self.abandoned = why
        if self._done is not None:
            self.conclude(Phase.ENVELOPE, None)

    def conclude(self, phase: Phase, final: Reply | None, *recipients: Reply, data: Reply | None = GO) -> None:
        assert self.letter is not None
        done, self._done = self._done, None
        assert done is not None, "concluded twice"
        said = recipients or (OK,) * len(self.letter.recipients)
        done(Concluded(phase, OK, said, data, final))

    def accept(self) -> None:
        self.conclude(Phase.ANSWERED, QUEUED)


@dataclass
class Wish:
    """Somebody asked."""

    waiter: Waiter
    until: float
    fresh: bool
    bounded: bool


class Shop:
    """A pool that grants when the test says so, refuses at once, or grants at once."""

    def __init__(self, max_connections: int = 20) -> None:
        self.max_connections = max_connections
        self.traffic = UpstreamTally(lambda: 0.0)
        self.wishes: dict[int, Wish] = {}
        self.asked: list[Wish] = []
        self.out: list[Courier] = []
        self.back: list[Courier] = []
        self.refuse_copies = False

    def lease(self) -> None:
        """Nothing is idle."""

    def ask(self, waiter: Waiter, until: float, *, fresh: bool = False, bounded: bool = True) -> int:
        wish = Wish(waiter, until, fresh, bounded)
        self.asked.append(wish)
        if self.refuse_copies and not bounded:
            waiter.refused(NONE_FREE)
        else:
            self.wishes[len(self.asked)] = wish
        return len(self.asked)

    def withdraw(self, number: int) -> None:
        del self.wishes[number]

    def give_back(self, connection: UpstreamConnection) -> None:
        courier = cast(Courier, connection)
        self.out.remove(courier)
        self.back.append(courier)

    def grant(self, label: str = "mx:587", courier: Courier | None = None) -> Courier:
        """Grant the oldest wish."""
        courier = courier or Courier(label)
        wish = self.wishes.pop(min(self.wishes))
        self.out.append(courier)
        wish.waiter.granted(cast(UpstreamConnection, courier))
        return courier


class BridgeCase(TestCase):
    """A bridge over one shop."""

    max_connections = 20

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines = log_lines(self)
        self.shop = Shop(self.max_connections)
        pools = {"main": cast(Pool, self.shop)}
        self.bridge = Bridge(pools, Policy(envelope_from="keep"), Deadlines(self.clock))
        self.answers: list[Reply] = []

    def submit(self, *recipients: str, bcc: int = 0, body: bytes = b"body\r\n", eight_bit: bool = False) -> Submission:
        header = b"From: a@example.com\r\nSubject: one\r\n"
        if bcc:
            copies = [f"copy{number}@example.com" for number in range(bcc)]
            header += b"X-MSYS-API: " + json.dumps({"bcc": copies}).encode() + b"\r\n"
        return self.submit_raw(header, *recipients, body=body, eight_bit=eight_bit)

    def submit_raw(
        self, header: bytes, *recipients: str, body: bytes = b"body\r\n", eight_bit: bool = False
    ) -> Submission:
        message = Submission(
            id="ID1",
            envelope=Envelope("a@example.com", recipients or ("r@example.com",)),
            content=content(body, header, threshold=0),
            eight_bit=eight_bit,
            trace=Trace("mx.test", "client.test", "127.0.0.1", "ESMTP", "ID1", "Tue, 14 Nov 2023 22:13:20 +0000"),
            subaccount="",
            until=self.clock.seconds() + VERDICT_SECONDS,
        )
        self.bridge.submit(message, self.answers.append)
        return message

    def wait(self, seconds: float) -> None:
        self.clock.pump([1.0] * int(seconds))

    def logged(self, *words: str) -> list[str]:
        return [line for line in self.lines if all(word in line for word in words)]

    def over(self, message: Submission) -> Reply:
        """Nothing is left of the message but its one answer."""
        self.assertEqual(len(self.answers), 1)
        self.assertEqual(self.bridge.under_way, 0)
        self.assertEqual(self.shop.out, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        with self.assertRaises(OSError):
            message.content.read(0)
        return self.answers[0]


class OneTransactionTest(BridgeCase):
    def test_a_message_that_was_taken_is_answered_in_the_words_of_the_provider(self) -> None:
        message = self.submit("r@example.com", "q@example.com")
        courier = self.shop.grant()
        assert courier.letter is not None
        self.assertEqual(courier.letter.recipients, ("r@example.com", "q@example.com"))
        self.assertIn(b"Subject: one\r\n", courier.letter.header)
        self.assertIs(courier.letter.body, message.content)
        self.assertEqual(self.answers, [])

        courier.accept()

        self.assertEqual(self.over(message), QUEUED)
        self.assertEqual(self.shop.back, [courier])
        self.assertEqual(len(self.logged("id=ID1 verdict=250 2.6.0 queued as 4711", "via=mx:587")), 1)

    def test_the_pool_is_asked_until_the_senders_time_is_up(self) -> None:
        self.submit()
        (wish,) = self.shop.asked
        self.assertEqual((wish.until, wish.fresh, wish.bounded), (VERDICT_SECONDS, False, True))
        self.shop.grant().accept()

    def test_a_refusal_of_the_translation_reaches_nobody_else(self) -> None:
        message = self.submit_raw(b"X-MSYS-API: {]\r\n")
        self.assertEqual(self.over(message).code, 550)
        self.assertEqual(self.shop.asked, [])

    def test_a_message_to_sinks_is_accepted_and_goes_nowhere(self) -> None:
        message = self.submit("r@sink.sparkpostmail.com")
        self.assertEqual(self.over(message).code, 250)
        self.assertEqual(self.shop.asked, [])

    def test_no_connection_is_the_pools_own_answer(self) -> None:
        message = self.submit()
        self.shop.wishes.pop(1).waiter.refused(NONE_FREE)
        self.assertEqual(self.over(message), NONE_FREE)

    def test_a_refused_recipient_is_named_in_the_log_and_a_partial_outcome_names_both_groups(self) -> None:
        message = self.submit("r@example.com", "q@example.com")
        self.shop.grant().conclude(Phase.ANSWERED, QUEUED, OK, NO)
        self.assertEqual(self.over(message).code, 451)
        self.assertEqual(len(self.logged("refused=<q@example.com>", "550 5.1.1")), 1)
        self.assertEqual(len(self.logged("outcome=partial taken=<r@example.com> not_taken=<q@example.com>")), 1)

    def test_eight_bit_content_is_not_sent_to_a_server_of_seven(self) -> None:
        courier = Courier("mx:587")
        courier.takes_eight_bit = False
        message = self.submit(body=b"caf\xc3\xa9\r\n", eight_bit=True)
        self.shop.grant(courier=courier)
        self.assertEqual((self.over(message).code, courier.letter), (554, None))

    def test_ascii_content_is_sent_to_any_server_whatever_was_declared(self) -> None:
        courier = Courier("mx:587")
        courier.takes_eight_bit = False
        message = self.submit(eight_bit=True)
        self.shop.grant(courier=courier).accept()
        self.assertEqual(self.over(message), QUEUED)


class MovingTest(BridgeCase):
    def test_before_the_final_dot_a_message_moves_once_to_a_fresh_connection(self) -> None:
        ends: list[tuple[Phase, Reply | None, Reply | None]] = [
            (Phase.ENVELOPE, None, None),
            (Phase.BODY, None, GO),
            (Phase.BODY, BYE, GO),
            (Phase.ANSWERED, None, BYE),
        ]
        for phase, final, data in ends:
            self.answers.clear()
            message = self.submit()
            stale = self.shop.grant("stale:587")
            stale.conclude(phase, final, data=data)
            self.assertEqual(self.answers, [], (phase, final))
            self.assertEqual(self.shop.out, [], "the first connection is given back before the second is asked for")
            self.assertTrue(self.shop.asked[-1].fresh)

            self.shop.grant("fresh:587").accept()
            self.assertEqual(self.over(message), QUEUED)

    def test_it_moves_once_only(self) -> None:
        message = self.submit()
        for _ in range(2):
            self.shop.grant().conclude(Phase.ENVELOPE, None, data=None)
        answer = self.over(message)
        self.assertEqual((answer.code, answer.enhanced), (451, "4.4.2"))
        self.assertEqual(len(self.shop.asked), 2)

    def test_a_refusal_within_the_body_stands(self) -> None:
        message = self.submit()
        self.shop.grant().conclude(Phase.BODY, reply(552, "5.3.4", "too big"))
        self.assertEqual(self.over(message).code, 552)
        self.assertEqual(len(self.shop.asked), 1)

    def test_behind_the_final_dot_nothing_is_sent_again(self) -> None:
        for phase, final in ((Phase.FINAL, None), (Phase.ANSWERED, BYE)):
            self.answers.clear()
            message = self.submit()
            self.shop.grant().conclude(phase, final)
            self.assertEqual(self.over(message).code, 451)
            self.assertEqual(self.shop.wishes, {})
        self.assertEqual(len(self.logged("outcome=unknown", "<r@example.com>")), 1)


class CopiesTest(BridgeCase):
    max_connections = 4

    def test_copies_follow_the_first_transaction_and_leave_half_of_the_pool(self) -> None:
        message = self.submit(bcc=3)
        self.assertEqual(len(self.shop.wishes), 1)
        self.shop.grant().accept()
        self.assertEqual([wish.bounded for wish in self.shop.wishes.values()], [False, False])
        self.assertEqual(self.answers, [])
        sent: list[str] = []
        while self.shop.wishes:
            courier = self.shop.grant()
            assert courier.letter is not None
            sent += courier.letter.recipients
            courier.accept()
        self.assertEqual(sent, [f"copy{number}@example.com" for number in range(3)])
        self.assertEqual(self.over(message), QUEUED)

    def test_a_first_transaction_that_was_not_taken_sends_no_copy(self) -> None:
        for phase, final in ((Phase.ANSWERED, NO), (Phase.FINAL, None)):
            self.answers.clear()
            message = self.submit(bcc=3)
            self.shop.grant().conclude(phase, final)
            self.assertFalse(self.over(message).is_positive)
            self.assertEqual(self.shop.wishes, {})

    def test_a_copy_that_was_refused_is_told_and_named(self) -> None:
        message = self.submit(bcc=2)
        self.shop.grant().accept()
        self.shop.grant().accept()
        self.shop.grant().conclude(Phase.ANSWERED, NO)
        self.assertEqual(self.over(message).code, 451)
        self.assertEqual(len(self.logged("outcome=partial", "not_taken=<copy1@example.com>")), 1)

    def test_a_thousand_copies_that_are_refused_at_once_are_no_recursion(self) -> None:
        self.shop.refuse_copies = True
        message = self.submit(bcc=999)
        self.shop.grant().accept()
        self.assertEqual(self.over(message).code, 451)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.logged("refused=<copy")), 999)
        self.assertEqual(len(self.logged("verdict=")), 1)


class TimeTest(BridgeCase):
    max_connections = 4

    def test_whoever_waits_for_a_connection_is_answered_when_the_time_is_up(self) -> None:
        message = self.submit()
        self.wait(VERDICT_SECONDS - 1)
        self.assertEqual(self.answers, [])
        self.wait(2)
        answer = self.over(message)
        self.assertEqual((answer.code, answer.enhanced), (451, "4.4.2"))
        self.assertEqual(self.shop.wishes, {})

    def test_what_has_not_reached_its_final_dot_is_dropped(self) -> None:
        message = self.submit()
        courier = self.shop.grant()
        self.wait(VERDICT_SECONDS + 1)
        self.assertEqual(courier.abandoned, "the sender's time is up")
        self.assertEqual(self.over(message).code, 451)

    def test_what_is_behind_its_final_dot_is_answered_in_time_and_its_end_is_logged(self) -> None:
        message = self.submit(bcc=2)
        courier = self.shop.grant()
        courier.behind_final_dot = True
        self.wait(VERDICT_SECONDS + 1)
        self.assertEqual([answer.code for answer in self.answers], [451])
        self.assertEqual(self.bridge.under_way, 1)
        self.assertEqual(message.content.read(0), b"body\r\n")

        courier.accept()

        self.assertEqual(self.shop.wishes, {}, "no copies of what the sender will send again")
        self.assertEqual(self.over(message).code, 451)
        self.assertEqual(len(self.logged("outcome=partial taken=<r@example.com>")), 1)
        self.assertEqual(len(self.logged("verdict=none, the sender had its answer before")), 1)

    def test_copies_that_wait_are_dropped_and_those_behind_the_dot_are_not(self) -> None:
        message = self.submit(bcc=3)
        self.shop.grant().accept()
        first = self.shop.grant()
        first.behind_final_dot = True
        self.assertEqual(len(self.shop.wishes), 1)
        self.wait(VERDICT_SECONDS + 1)
        self.assertEqual([answer.code for answer in self.answers], [451])
        self.assertEqual(self.shop.wishes, {})
        first.accept()
        self.over(message)


class DefectTest(BridgeCase):
    max_connections = 4

    def test_a_defect_while_a_letter_is_handed_over_is_451_and_the_connection_is_not_used_again(self) -> None:
        courier = Courier("mx:587")
        courier.breaks = True
        message = self.submit()
        self.shop.grant(courier=courier)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        answer = self.over(message)
        self.assertEqual((answer.code, answer.enhanced), (451, "4.3.0"))
        self.assertEqual(courier.abandoned, "internal error")

    def test_an_upstream_that_does_not_exist_is_451_and_no_exception(self) -> None:
        self.bridge = Bridge({}, Policy(envelope_from="keep"), Deadlines(self.clock))
        message = self.submit()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.over(message).code, 451)

    def test_idle_is_called_when_the_last_delivery_has_ended(self) -> None:
        called: list[str] = []
        self.bridge.when_idle(lambda: called.append("at once"))
        self.assertEqual(called, ["at once"])
        self.submit()
        self.submit()
        self.bridge.when_idle(lambda: called.append("later"))
        self.shop.grant().accept()
        self.assertEqual(called, ["at once"])
        self.shop.grant().accept()
        self.assertEqual(called, ["at once", "later"])
