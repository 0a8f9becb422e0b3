"""Who is told of what the bridge gave up on: the log always, the sender where there is a way."""

from twisted.trial.unittest import TestCase

from smtpbridge.relay.reports import Reporter, Route
from smtpbridge.relay.verdict import Refused
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.store.values import OTHER, Parcel
from tests.relay.fakes import log_lines
from tests.store.samples import parcel

NOW = 1_800_000_000.0
ROUTE = Route("reports", "bounces@bridge.test", "Mail Delivery <mailer-daemon@bridge.test>")
LOST = (Refused("a@b.test", reply(550, "5.1.1", "unknown")), Refused("c@d.test", Reply(552, "", ("full",))))


class ReporterTest(TestCase):
    def setUp(self) -> None:
        self.lines = log_lines(self)
        self.reporter = Reporter("bridge.test", ROUTE, 3600.0, lambda: NOW)
        self.about = parcel(message_id="77", original_sender="o@a.test", header=b"Subject: hello\r\n")

    def given_up(self, about: Parcel, *, unknown: bool = False) -> tuple[Parcel, bytes] | None:
        found = self.reporter.give_up(about, NOW - 60, LOST, "mx.example.net:587", unknown=unknown)
        if found is None:
            return None
        body = found[1].read(0)
        self.assertEqual(len(body), found[1].body_size)
        return found[0], body

    def test_each_recipient_is_named_in_an_error_line_of_its_own(self) -> None:
        self.given_up(self.about)

        self.assertEqual(
            [
                "id=77 given_up=<a@b.test> from=<o@a.test> outcome=failed answer=550 5.1.1 unknown",
                "id=77 given_up=<c@d.test> from=<o@a.test> outcome=failed answer=552 full",
            ],
            self.lines,
        )

    def test_the_report_goes_to_the_original_sender_by_the_route_and_can_make_no_other(self) -> None:
        found = self.given_up(self.about)

        assert found is not None
        report = found[0]
        self.assertEqual(("reports", "bounces@bridge.test"), (report.upstream, report.sender))
        self.assertEqual((("o@a.test",), ""), (report.recipients, report.original_sender))
        self.assertEqual((OTHER, NOW, NOW + 3600), (report.priority, report.not_before, report.expires_at))
        self.assertIsNone(self.given_up(report))

    def test_a_reply_without_an_enhanced_code_gives_the_status_of_its_class(self) -> None:
        found = self.given_up(self.about)

        assert found is not None
        self.assertIn(b"Status: 5.1.1\r\nRemote-MTA: dns; mx.example.net\r\n", found[1])
        self.assertIn(b"Status: 5.0.0\r\n", found[1])

    def test_an_unknown_outcome_is_told_as_such(self) -> None:
        found = self.given_up(self.about, unknown=True)

        assert found is not None
        self.assertIn(b"Action: delayed\r\n", found[1])
        self.assertNotIn(b"Action: failed\r\n", found[1])
        self.assertTrue(all("outcome=unknown" in line for line in self.lines))

    def test_nobody_is_told_of_a_message_from_the_null_path_but_the_log(self) -> None:
        self.assertIsNone(self.given_up(parcel(original_sender="")))
        self.assertEqual(2, len(self.lines))

    def test_without_a_route_there_is_only_the_log(self) -> None:
        self.reporter = Reporter("bridge.test", None, 3600.0, lambda: NOW)

        self.assertIsNone(self.given_up(self.about))
        self.assertEqual(2, len(self.lines))

    def test_a_report_says_that_it_is_of_eight_bits_when_the_header_is(self) -> None:
        for header, eight_bit in ((b"Subject: hello\r\n", False), (b"Subject: h\xc3\xa9llo\r\n", True)):
            found = self.given_up(parcel(header=header))
            assert found is not None
            self.assertEqual(eight_bit, found[0].eight_bit)

    def test_a_header_line_that_begins_with_a_dot_ends_no_message(self) -> None:
        found = self.given_up(parcel(header=b"Subject: one\r\n.\r\n"))

        assert found is not None
        self.assertIn(b"Subject: one\r\n..\r\n", found[1])
