"""What a sender meets: limits, timeouts, order of replies, back-pressure, and what is logged of it."""

import base64
from dataclasses import dataclass, replace
from ipaddress import ip_network
from itertools import count
from typing import cast

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.relay.auth import Account, Accounts
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.listener import Gate
from smtpbridge.relay.sender import Sender
from smtpbridge.relay.site import Habits
from smtpbridge.relay.submission import Submission
from smtpbridge.relay.tally import Limit
from smtpbridge.secret import Secret
from smtpbridge.smtp.events import Terms
from smtpbridge.smtp.replies import Reply, reply
from tests.relay.fakes import SERVER_TLS, Line, Tell, cut, log_lines

QUEUED = reply(250, "2.6.0", "queued")
REFUSED = reply(550, "5.6.0", "no")
SECRET = "sender-secret-23"
TERMS = Terms("mx.test", starttls=True, auth_offered=True, max_message=100_000)
HABITS = Habits(
    TERMS,
    allow=[ip_network("127.0.0.0/8")],
    idle=30.0,
    handshake=10.0,
    data=20.0,
    min_rate=100.0,
    verdict=90.0,
    max_header=2_000,
    spool=5_000,
)
ENVELOPE = b"MAIL FROM:<s@example.com>\r\nRCPT TO:<r@example.com>\r\nDATA\r\n"
MESSAGE = ENVELOPE + b"Subject: one\r\n\r\nbody\r\n.\r\n"


@dataclass
class Taken:
    """What the listener holds of a message under way."""

    ended: bool
    orphaned: bool = False

    def orphan(self) -> None:
        self.orphaned = True


class Taker:
    """A bridge that keeps what it is given until the test answers, or answers at once."""

    def __init__(self) -> None:
        self.messages: list[Submission] = []
        self.tell: list[Tell] = []
        self.at_once: Reply | None = None
        self.breaks = False

    def submit(self, message: Submission, answer: Tell) -> "Taken":
        if self.breaks:
            raise ZeroDivisionError("a defect with details in it")
        self.messages.append(message)
        if self.at_once is not None:
            answer(self.at_once)
        else:
            self.tell.append(answer)
        return Taken(ended=self.at_once is not None)

    def close(self) -> None:
        for message in self.messages:
            message.content.close()


class ListenerCase(TestCase):
    """A gate, a clock, and a bridge that does nothing."""

    habits = HABITS

    def setUp(self) -> None:
        self.clock = Clock()
        self.taker = Taker()
        self.addCleanup(self.taker.close)
        self.lines = log_lines(self)
        self.gate = self.build(self.habits)

    def build(self, habits: Habits, *, local: bool = False) -> Gate:
        numbers = count(1)
        return Gate(
            habits,
            Accounts([Account("SMTP_Injection", Secret(SECRET.encode()))]),
            cast(Bridge, self.taker),
            Deadlines(self.clock),
            new_id=lambda: f"ID{next(numbers)}",
            epoch=lambda: 1_700_000_000.0,
            tls=SERVER_TLS,
            local=local,
        )

    def connect(self, address: str = "127.0.0.1") -> tuple[Sender, Line]:
        line = Line()
        line.protocol = sender = self.gate.buildProtocol(IPv4Address("TCP", address, 50_000))
        sender.makeConnection(line)
        return cast(Sender, sender), line

    def hello(self, address: str = "127.0.0.1") -> tuple[Sender, Line]:
        sender, line = self.connect(address)
        sender.dataReceived(b"EHLO client.test\r\n")
        line.take()
        return sender, line

    def codes(self, line: Line) -> list[int]:
        return [int(one[:3]) for one in line.take().split(b"\r\n") if one and one[3:4] == b" "]

    def wait(self, seconds: float) -> None:
        self.clock.pump([1.0] * int(seconds))

    def logged(self, *words: str) -> list[str]:
        return [one for one in self.lines if all(word in one for word in words)]


class LimitsTest(ListenerCase):
    habits = replace(HABITS, max_sessions=3, max_sessions_per_address=2)

    def test_a_session_over_the_limit_hears_421_4_4_5(self) -> None:
        for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2"):
            self.connect(address)
        _, line = self.connect("127.0.0.3")

        self.assertTrue(line.value().startswith(b"421 4.4.5 "))
        self.assertTrue(line.disconnecting)
        self.assertEqual(len(self.gate.sessions), 3)

    def test_one_more_session_from_an_address_hears_421_4_7_0(self) -> None:
        for _ in range(2):
            self.connect("127.0.0.1")
        sender, line = self.connect("127.0.0.1")
        _, other = self.connect("127.0.0.2")

        self.assertTrue(line.value().startswith(b"421 4.7.0 "))
        self.assertTrue(other.value().startswith(b"220 "))
        cut(sender)
        self.assertEqual(len(self.gate.sessions), 3, "one that was turned away was never counted")

    def test_the_counts_go_back_to_nothing(self) -> None:
        for _ in range(3):
            senders = [self.connect()[0] for _ in range(4)]
            for sender in senders:
                cut(sender)
            self.assertEqual(len(self.gate.sessions), 0)
            self.assertEqual(len(self.gate._per_address), 0)
        _, line = self.connect()
        self.assertTrue(line.value().startswith(b"220 "))

    def test_a_local_socket_has_no_address_and_no_limit_per_address(self) -> None:
        self.gate = self.build(self.habits, local=True)
        for _ in range(3):
            sender = self.gate.buildProtocol(UNIXAddress(None))
            line = Line()
            sender.makeConnection(line)
            self.assertTrue(line.value().startswith(b"220 "))
            sender.dataReceived(b"EHLO x\r\nMAIL FROM:<>\r\n")
            self.assertIn(b"250 2.1.0", line.value())


class TimeoutTest(ListenerCase):
    def assert_times_out(self, line: Line, sender: Sender, seconds: float) -> None:
        line.take()
        self.wait(seconds - 2)
        self.assertEqual(line.value(), b"")
        self.wait(4)
        self.assertTrue(line.value().startswith(b"421 4.4.2 "), line.value())
        self.assertTrue(line.disconnecting)

    def test_a_silent_sender_is_sent_away_before_and_within_a_transaction(self) -> None:
        for said in (b"", b"EHLO x\r\n", b"EHLO x\r\n" + ENVELOPE[:-6]):
            sender, line = self.connect()
            sender.dataReceived(said)
            self.assert_times_out(line, sender, HABITS.idle)
            cut(sender)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.logged("timeout client=127.0.0.1")), 3)

    def test_a_sender_that_stops_within_the_data_has_the_time_of_the_data(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(ENVELOPE + b"Subject: half")
        self.assert_times_out(line, sender, HABITS.data)
        self.assertEqual(self.taker.messages, [])

    def test_a_sender_that_does_not_begin_tls_is_cut(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(b"STARTTLS\r\n")
        self.assertEqual(line.tls, [SERVER_TLS])
        self.wait(HABITS.handshake - 1)
        self.assertFalse(line.disconnected)
        self.wait(3)
        self.assertTrue(line.disconnected)
        self.assertEqual(self.gate.tally.limits, {Limit.HANDSHAKE_SECONDS: 1})

    def test_an_octet_now_and_then_does_not_keep_a_session_alive(self) -> None:
        sender, line = self.hello()
        for _ in range(int(HABITS.idle) - 2):
            self.clock.advance(1.0)
            sender.dataReceived(b"x")
        self.assertEqual(line.value(), b"")
        for _ in range(4):
            self.clock.advance(1.0)
            sender.dataReceived(b"x")
        self.assertTrue(line.value().startswith(b"421 4.4.2 "), line.value())
        self.assertEqual(self.gate.tally.limits, {Limit.IDLE_SECONDS: 1})

    def test_each_command_has_its_time_from_the_one_before(self) -> None:
        sender, line = self.hello()
        for _ in range(5):
            self.wait(HABITS.idle - 2)
            sender.dataReceived(b"NOOP\r\n")
        self.assertEqual(self.codes(line), [250] * 5)

    def test_data_that_trickle_are_cut_off_below_the_minimum_rate(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(ENVELOPE)
        line.take()
        for _ in range(int(HABITS.data) + 2):
            self.clock.advance(1.0)
            sender.dataReceived(b"x")
        self.assertTrue(line.value().startswith(b"421 4.4.2 "), line.value())
        self.assertEqual(self.gate.tally.limits, {Limit.MIN_RATE_BYTES: 1})
        self.assertEqual(self.taker.messages, [])

    def test_data_at_the_minimum_rate_may_take_as_long_as_they_need(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(ENVELOPE)
        line.take()
        for _ in range(10 * int(HABITS.data)):
            self.clock.advance(1.0)
            sender.dataReceived(b"x" * 98 + b"\r\n")
        sender.dataReceived(b".\r\n")
        self.assertEqual(line.value(), b"")
        self.assertEqual(len(self.taker.messages), 1)

    def test_the_time_of_the_data_begins_with_each_message(self) -> None:
        sender, _line = self.hello()
        for _ in range(3):
            sender.dataReceived(ENVELOPE + b"Subject: x\r\n")
            self.wait(HABITS.data - 2)
            sender.dataReceived(b"\r\n.\r\n")
            self.taker.tell.pop()(QUEUED)
        self.assertEqual(len(self.taker.messages), 3)

    def test_a_sender_that_waits_for_its_verdict_is_left_alone(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(MESSAGE)
        line.take()
        self.wait(1000)
        self.assertEqual(line.value(), b"")
        self.taker.tell[0](QUEUED)
        self.assertEqual(self.codes(line), [250])
        self.assert_times_out(line, sender, HABITS.idle)

    def test_a_sender_that_does_not_close_its_side_is_cut_though_it_talks_on(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(b"QUIT\r\n")
        for _ in range(int(HABITS.idle) + 2):
            self.clock.advance(1.0)
            sender.dataReceived(b"NOOP\r\n")
        self.assertTrue(line.disconnected)
        self.assertEqual(self.codes(line), [221])


class OrderTest(ListenerCase):
    def test_replies_come_in_the_order_of_the_commands_whatever_waits(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(MESSAGE + b"NOOP\r\n" + MESSAGE + b"VRFY x\r\nQUIT\r\n")
        self.assertEqual(self.codes(line), [250, 250, 354])
        self.taker.tell[0](QUEUED)
        self.assertEqual(self.codes(line), [250, 250, 250, 250, 354])
        self.taker.tell[1](REFUSED)
        self.assertEqual(self.codes(line), [550, 252, 221])
        self.assertTrue(line.disconnecting)

    def test_a_peer_that_does_not_read_its_replies_is_not_read_until_it_does(self) -> None:
        sender, line = self.hello()
        line.room = 100
        while line.producerState == "producing":
            sender.dataReceived(b"NOOP\r\n" * 5)
        self.assertLess(len(line.value()), 1000)
        line.take()
        assert line.producer is not None
        line.producer.resumeProducing()
        self.assertEqual(line.producerState, "producing")
        sender.dataReceived(b"QUIT\r\n")
        self.assertEqual(self.codes(line), [221])
        self.assertTrue(line.disconnecting)

    def test_octets_that_come_while_a_verdict_is_open_are_left_to_the_kernel(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(MESSAGE)
        self.assertEqual(line.producerState, "producing", "a peer that hangs up must be noticed")
        sender.dataReceived(b"NOOP\r\n")
        self.assertEqual(line.producerState, "producing", "and so must one that said something more")
        sender.dataReceived((b"NOOP " + b"x" * 100 + b"\r\n") * 50)
        self.assertEqual(line.producerState, "paused")
        self.taker.tell[0](QUEUED)
        self.assertEqual(line.producerState, "producing")
        line.take()
        sender.dataReceived(b"NOOP\r\n")
        self.assertEqual(self.codes(line), [250])

    def test_a_session_that_ends_behind_a_verdict_reads_again_so_that_tls_can_close(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(MESSAGE + b"NOOP\r\n" * 1000 + b"QUIT\r\n")
        self.assertEqual(line.producerState, "paused")
        self.taker.tell[0](QUEUED)
        self.assertEqual(line.producerState, "producing")
        self.assertTrue(line.disconnecting)

    def test_thousands_of_messages_in_one_piece_are_no_recursion(self) -> None:
        self.taker.at_once = REFUSED
        sender, line = self.hello()
        sender.dataReceived(MESSAGE * 3000)
        self.assertEqual(self.codes(line), [250, 250, 354, 550] * 3000)
        self.assertEqual(len(line.writes), 0)

    def test_thousands_of_messages_that_are_unfit_are_no_recursion(self) -> None:
        sender, line = self.hello()
        sender.dataReceived((ENVELOPE + b"A: b\r\n\r\n\0\r\n.\r\n") * 3000)
        self.assertEqual(self.codes(line), [250, 250, 354, 550] * 3000)
        self.assertEqual(self.taker.messages, [])

    def test_a_peer_that_hangs_up_behind_its_dot_changes_nothing_for_its_message(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(MESSAGE)
        line.take()
        cut(sender)
        self.taker.tell[0](QUEUED)
        self.assertEqual(line.value(), b"")
        self.assertEqual(self.taker.messages[0].content.read(0), b"body\r\n")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_peer_that_hangs_up_within_the_data_leaves_nothing_behind(self) -> None:
        sender, _ = self.hello()
        sender.dataReceived(ENVELOPE + b"Subject: half\r\n\r\nbody\r\n.")
        cut(sender)
        self.assertEqual(self.taker.messages, [])
        self.assertEqual(len(self.logged("connection lost within a message", "<s@example.com>")), 1)

    def test_where_the_octets_are_cut_makes_no_difference(self) -> None:
        self.taker.at_once = QUEUED
        wire = MESSAGE + b"RSET\r\n" + MESSAGE + b"QUIT\r\n"
        whole, line = self.hello()
        whole.dataReceived(wire)
        pieces, other = self.hello()
        for at in range(len(wire)):
            pieces.dataReceived(wire[at : at + 1])
        self.assertEqual(line.value(), other.value())
        self.assertEqual(len({message.content.read(0) for message in self.taker.messages}), 1)


class UnfitTest(ListenerCase):
    def send(self, data: bytes) -> int:
        sender, line = self.hello()
        sender.dataReceived(ENVELOPE + data)
        *_, last = self.codes(line)
        sender.dataReceived(b"NOOP\r\n")
        if not self.taker.tell:
            self.assertEqual(self.codes(line), [250], "the session is not in step")
        return last

    def test_a_bare_line_end_is_refused_or_normalised(self) -> None:
        data = b"A: b\r\n\r\none\ntwo\r\n.\n.\r\nthree\r\n.\r\n"
        self.assertEqual(self.send(data), 354)
        self.assertNotIn(b"one\n", self.taker.messages[0].content.read(0))
        self.assertTrue(self.taker.messages[0].content.read(0).startswith(b"one\r\ntwo\r\n"))

        self.taker.tell.clear()
        self.gate = self.build(replace(HABITS, reject_bare=True))
        self.assertEqual(self.send(data), 550)
        self.assertEqual(len(self.taker.messages), 1)
        self.assertEqual(len(self.logged("message refused", "bare CR or LF")), 1)

    def test_a_nul_is_refused(self) -> None:
        self.assertEqual(self.send(b"A: b\r\n\r\n\0\r\n.\r\n"), 550)

    def test_a_header_that_is_too_long_is_refused_in_memory_and_in_a_file(self) -> None:
        self.assertEqual(self.send(b"A: b\r\n" * 400 + b"\r\nx\r\n.\r\n"), 552)
        self.assertEqual(self.send(b"A: b\r\n" * 4000 + b"\r\nx\r\n.\r\n"), 552)
        self.assertEqual(self.taker.messages, [])

    def test_a_message_that_is_too_large_is_refused_at_its_end(self) -> None:
        self.assertEqual(self.send(b"A: b\r\n\r\n" + b"x" * 100_000 + b"\r\n.\r\n"), 552)
        self.assertEqual(self.taker.messages, [])


class DefectTest(ListenerCase):
    def test_an_exception_is_logged_and_heard_as_421_without_its_text(self) -> None:
        self.taker.breaks = True
        sender, line = self.hello()
        line.take()
        sender.dataReceived(MESSAGE + b"NOOP\r\n")

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        last = line.value().split(b"\r\n")[-2]
        self.assertTrue(last.startswith(b"421 4.3.0 "), last)
        self.assertNotIn(b"defect", line.value())
        self.assertTrue(line.disconnecting)
        self.wait(HABITS.idle + 2)
        self.assertTrue(line.disconnected, "a peer that does not close must not keep the session")
        cut(sender)
        self.assertEqual(len(self.gate.sessions), 0)

    def test_a_defect_behind_the_verdict_does_not_keep_the_session_either(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(MESSAGE + b"NOOP\r\n" * 1000)
        self.assertEqual(line.producerState, "paused")
        line.take()

        self.taker.tell[0](cast(Reply, None))

        self.assertEqual(len(self.flushLoggedErrors(AttributeError, TypeError)), 1)
        self.assertTrue(line.value().startswith(b"421 4.3.0 "))
        self.assertEqual(line.producerState, "producing")
        self.wait(HABITS.idle + 2)
        self.assertTrue(line.disconnected)


class LogInTest(ListenerCase):
    def log_in(self, user: str, secret: str) -> tuple[Sender, Line]:
        sender, line = self.hello()
        sender.dataReceived(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{secret}".encode()) + b"\r\n")
        return sender, line

    def test_a_login_and_its_subaccount_reach_the_bridge_and_the_log(self) -> None:
        sender, line = self.log_in("smtp_injection:X-MSYS-SUBACCOUNT=42", SECRET)
        self.assertEqual(self.codes(line), [235])
        sender.dataReceived(MESSAGE)
        (message,) = self.taker.messages
        self.assertEqual(message.subaccount, "42")
        self.assertEqual(message.trace.protocol, "ESMTPA")
        self.assertEqual(len(self.logged("login accepted client=127.0.0.1 ", 'user="smtp_injection"')), 1)

    def test_a_refused_login_is_logged_without_the_secret(self) -> None:
        _, line = self.log_in("SMTP_Injection", "sender-secret-wrong")
        self.assertEqual(self.codes(line), [])
        self.wait(2)
        self.assertEqual(self.codes(line), [535])
        self.assertEqual(len(self.logged("login refused", "mechanism=PLAIN")), 1)
        self.log_in("SMTP_Injection", SECRET)
        self.assertEqual(self.logged("sender-secret"), [])

    def test_a_strange_suffix_is_logged_and_does_no_harm(self) -> None:
        _, line = self.log_in("SMTP_Injection:region=eu", SECRET)
        self.assertEqual(self.codes(line), [235])
        self.assertEqual(len(self.logged('unknown_suffix="region=eu"')), 1)

    def test_who_is_outside_the_networks_may_not_relay_before_it_logs_in(self) -> None:
        sender, line = self.hello("192.0.2.1")
        sender.dataReceived(ENVELOPE)
        self.assertEqual(self.codes(line)[0], 530)


class MessageTest(ListenerCase):
    def test_a_message_comes_with_all_that_is_known_of_it_and_one_log_line(self) -> None:
        sender, _ = self.hello()
        self.clock.advance(5.0)
        sender.dataReceived(MESSAGE.replace(b"com>\r\nRCPT", b"com> BODY=8BITMIME\r\nRCPT"))
        (message,) = self.taker.messages
        self.assertEqual(message.id, "ID1")
        self.assertEqual((message.envelope.sender, message.envelope.recipients), ("s@example.com", ("r@example.com",)))
        self.assertEqual((message.content.header, message.content.read(0)), (b"Subject: one\r\n", b"body\r\n"))
        self.assertTrue(message.eight_bit)
        self.assertEqual(message.until, 5.0 + HABITS.verdict)
        trace = message.trace
        self.assertEqual((trace.from_name, trace.from_address, trace.id), ("client.test", "127.0.0.1", "ID1"))
        self.assertEqual((trace.by_host, trace.protocol), ("mx.test", "ESMTP"))
        self.assertEqual(len(self.logged("id=ID1 received", "nrcpt=1", "from=<s@example.com>", "size=22")), 1)

    def test_a_session_under_tls_begins_anew(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(b"STARTTLS\r\n")
        line.take()
        sender.handshakeCompleted()
        sender.dataReceived(b"MAIL FROM:<>\r\nEHLO again.test\r\n" + MESSAGE)
        self.assertEqual(self.codes(line), [503, 250, 250, 250, 354])
        self.assertEqual(self.taker.messages[0].trace.protocol, "ESMTPS")
        self.assertEqual(self.taker.messages[0].trace.from_name, "again.test")

    def test_helo_and_ehlo_are_told_apart_in_the_trace(self) -> None:
        sender, _ = self.connect()
        sender.dataReceived(b"HELO old.test\r\n" + MESSAGE)
        self.assertEqual(self.taker.messages[0].trace.protocol, "SMTP")


class StopTest(ListenerCase):
    def test_who_is_in_no_transaction_hears_421_and_the_others_after_their_verdict(self) -> None:
        _, idle_line = self.hello()
        busy, busy_line = self.hello()
        writing, writing_line = self.hello()
        busy.dataReceived(MESSAGE)
        writing.dataReceived(ENVELOPE + b"half")
        for line in (idle_line, busy_line, writing_line):
            line.take()

        self.gate.stop()

        self.assertTrue(idle_line.take().startswith(b"421 4.3.2 "))
        self.assertEqual((busy_line.value(), writing_line.value()), (b"", b""))
        _, late_line = self.connect()
        self.assertTrue(late_line.value().startswith(b"421 4.3.2 "))
        self.taker.tell[0](QUEUED)
        self.assertEqual(self.codes(busy_line), [250, 421])
        writing.dataReceived(b"\r\n.\r\n")
        self.taker.tell[1](REFUSED)
        self.assertEqual(self.codes(writing_line), [550, 421])
        self.assertTrue(writing_line.disconnecting)

    def test_stopping_is_over_when_the_last_session_is_gone(self) -> None:
        self.successResultOf(self.build(HABITS).stop())
        busy, line = self.hello()
        busy.dataReceived(MESSAGE)
        idle, _ = self.hello()

        stopped = self.gate.stop()

        cut(idle)
        self.assertNoResult(stopped)
        self.taker.tell[0](QUEUED)
        self.assertTrue(line.disconnecting)
        self.assertNoResult(stopped)
        cut(busy)
        self.successResultOf(stopped)

    def test_whoever_is_waited_for_no_longer_hears_421_in_the_midst_of_everything(self) -> None:
        busy, line = self.hello()
        busy.dataReceived(MESSAGE)
        writing, other = self.hello()
        writing.dataReceived(ENVELOPE + b"half")
        self.gate.stop()
        line.take()
        other.take()

        self.gate.cut()

        for one in (line, other):
            self.assertTrue(one.value().startswith(b"421 4.3.2 "))
            self.assertTrue(one.disconnecting)
        self.taker.tell[0](QUEUED)
        self.assertNotIn(b"250", line.value(), "the sender was told to come again")
