"""A message that is sent again is recognised by its octets, and by nothing less."""

from dataclasses import replace
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.resends import REMEMBER_SECONDS, Resends, digest_of, looks_of
from smtpbridge.relay.submission import Submission
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.store.errors import StoreError
from smtpbridge.store.interface import Store
from tests.relay.fakes import content
from tests.relay.shelf import AtOnce, Shelf

EPOCH = 1_800_000_000.0
TAKEN = reply(250, "2.6.0", "Message queued as 4711")
TRACE = Trace("bridge.test", "client.test", "192.0.2.1", "ESMTP", "1", "Fri, 20 Nov 2026 10:00:00 +0000")


def sent(body: bytes = b"text\r\n", *, sender: str = "s@a.test", to: tuple[str, ...] = ("a@b.test",)) -> Submission:
    return Submission("1", Envelope(sender, to), content(body), False, TRACE, "", 0.0)


class ResendsTest(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.shelf = Shelf()
        self.resends = self.started()

    def started(self) -> Resends:
        """Return the memory of a process that starts with what the store remembers."""
        keeper = Keeper(
            lambda: cast(Store, self.shelf), AtOnce(), Deadlines(self.clock), lambda: EPOCH + self.clock.seconds()
        )
        self.keeper = keeper
        resends = Resends(keeper)
        keeper.open()
        return resends

    def asked(self, message: Submission) -> list[str]:
        """Ask, and return what is heard: answers, or that it is new."""
        heard: list[str] = []
        self.resends.ask(message, lambda answer: heard.append(str(answer)), lambda: heard.append("new"))
        return heard

    def settle(self, message: Submission, answer: Reply = TAKEN) -> None:
        self.resends.settled(self.resends.watch(message), message, answer)

    def test_a_message_that_nobody_watched_is_new_and_costs_no_digest(self) -> None:
        self.assertEqual(["new"], self.asked(sent()))
        self.assertEqual([], self.shelf.asked)

    def test_the_twin_of_a_message_under_way_hears_the_same_verdict(self) -> None:
        key = self.resends.watch(sent())
        first, second = self.asked(sent()), self.asked(sent())
        self.assertEqual(([], []), (first, second))

        self.resends.settled(key, sent(), TAKEN)

        self.assertEqual(([str(TAKEN)], [str(TAKEN)]), (first, second))

    def test_what_was_taken_is_answered_for_hours_and_then_new(self) -> None:
        self.settle(sent())
        self.clock.advance(REMEMBER_SECONDS - 1)
        self.assertEqual([str(TAKEN)], self.asked(sent()))

        self.clock.advance(2)

        self.assertEqual(["new"], self.asked(sent()))
        self.assertEqual(["new"], self.asked(sent()))

    def test_what_was_refused_may_be_sent_again(self) -> None:
        self.settle(sent(), reply(451, "4.3.0", "later"))

        self.assertEqual(["new"], self.asked(sent()))
        self.assertEqual({}, self.shelf.answers)

    def test_another_sender_recipient_or_octet_is_another_message(self) -> None:
        self.settle(sent())

        for other in (
            sent(b"tExt\r\n"),
            sent(sender="x@a.test"),
            sent(to=("a@b.test", "c@d.test")),
            sent(b"longer\r\n"),
        ):
            self.assertEqual(["new"], self.asked(other))

    def test_the_order_of_recipients_makes_no_difference(self) -> None:
        self.settle(sent(to=("a@b.test", "c@d.test")))

        self.assertEqual([str(TAKEN)], self.asked(sent(to=("c@d.test", "a@b.test"))))

    def test_after_a_restart_the_store_remembers(self) -> None:
        self.settle(sent())
        self.resends = self.started()

        self.assertEqual([str(TAKEN)], self.asked(sent()))
        self.assertEqual(["new"], self.asked(sent(b"tExt\r\n")))

    def test_a_store_that_fails_makes_every_message_new_after_a_restart_and_none_before(self) -> None:
        self.shelf.fault = StoreError("disk full")
        self.settle(sent())
        self.assertEqual([str(TAKEN)], self.asked(sent()))

        self.shelf.fault = None
        self.resends = self.started()

        self.assertEqual(["new"], self.asked(sent()))
        self.keeper.close()

    def test_the_boundary_between_recipients_is_part_of_the_digest(self) -> None:
        one, other = sent(to=("ab@c.test", "d@e.test")), sent(to=("ab@c.testd@e.test",))

        self.assertNotEqual(digest_of(one), digest_of(other))
        self.assertNotEqual(looks_of(one), looks_of(other))

    def test_what_is_too_old_is_forgotten_whatever_comes(self) -> None:
        for number in range(100):
            message = sent(sender=f"s{number}@a.test")
            self.resends.settled(self.resends.watch(message), message, TAKEN)
        self.clock.advance(REMEMBER_SECONDS + 1)

        self.resends.ask(sent(sender="other@a.test"), lambda _: None, lambda: None)

        self.assertEqual(({}, {}), (self.resends._answers, self.resends._seen))


def test_the_same_content_for_another_subaccount_is_another_message() -> None:
    one, other = sent(), replace(sent(), subaccount="7")

    assert digest_of(one) != digest_of(other)
    assert looks_of(one) != looks_of(other)
