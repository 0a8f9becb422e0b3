"""One connection to the provider: deadlines, streaming, and being told of its end exactly once."""

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.relay.content import CHUNK, Content
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.tally import Limit
from smtpbridge.relay.upstream import Letter, Patience, UpstreamConnection
from smtpbridge.smtp.client import ClientSession, Concluded, Phase, State
from smtpbridge.smtp.data import stuff
from tests.relay.fakes import CAPABILITIES, CLIENT_TLS, Line, Owner, content, cut, ehlo, make_ready

PATIENCE = Patience(
    connect=30.0, tls=10.0, greeting=20.0, command=40.0, data=50.0, block=60.0, final=70.0, min_rate=4000.0
)
SMALL = b"hello\r\n"
ENVELOPE_OK = b"250 sender\r\n250 recipient\r\n"


class UpstreamCase(TestCase):
    """A connection over a line in memory, and a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.owner = Owner()
        self.ends: list[Concluded] = []
        self.line = Line()
        self.connection = self.connect()

    def connect(self, username: str = "App", implicit_tls: bool = False) -> UpstreamConnection:
        session = ClientSession("bridge.test", implicit_tls=implicit_tls, username=username, password="secret-35")
        connection = UpstreamConnection(session, CLIENT_TLS, PATIENCE, self.deadlines, self.owner, "mx:587")
        connection.makeConnection(self.line)
        return connection

    def ready(self, *keywords: str) -> None:
        make_ready(self.connection, self.line, *keywords)
        self.assertEqual(self.owner.told, ["ready"])

    def send(self, body: Content | bytes = SMALL) -> None:
        message = content(body) if isinstance(body, bytes) else body
        letter = Letter("s@example.com", ("r@example.com",), False, message.header, message)
        self.connection.send(letter, self.ends.append)

    def hear(self, octets: bytes) -> None:
        self.connection.dataReceived(octets)

    def given_up_after(self, seconds: float, *, still: float = 2.0) -> None:
        """The deadline lies between `seconds - still` and `seconds + still` from now."""
        self.clock.pump([1.0] * int(seconds - still))
        self.assertFalse(self.line.disconnecting, "given up too early")
        self.clock.pump([1.0] * int(2 * still))
        self.assertTrue(self.line.disconnected, "not given up in time")

    @property
    def end(self) -> Concluded:
        self.assertEqual(len(self.ends), 1)
        return self.ends[0]


class SettingUpTest(UpstreamCase):
    def test_it_is_ready_once_it_is_greeted_secured_and_logged_in(self) -> None:
        self.assertEqual(self.line.take(), b"")
        self.hear(b"220 hello\r\n")
        self.assertEqual(self.line.take(), b"EHLO bridge.test\r\n")
        self.hear(ehlo("STARTTLS"))
        self.assertEqual(self.line.take(), b"STARTTLS\r\n")
        self.hear(b"220 go\r\n")
        self.assertEqual(self.line.tls, [CLIENT_TLS])
        self.connection.handshakeCompleted()
        self.assertEqual(self.line.take(), b"EHLO bridge.test\r\n")
        self.hear(ehlo(*CAPABILITIES))
        self.assertTrue(self.line.take().startswith(b"AUTH PLAIN "))
        self.assertEqual(self.owner.told, [])
        self.hear(b"235 welcome\r\n")
        self.assertEqual(self.owner.told, ["ready"])
        self.assertTrue(self.connection.takes_mail)

    def test_with_implicit_tls_the_handshake_comes_first(self) -> None:
        self.line = Line()
        self.connection = self.connect(implicit_tls=True, username="")
        self.assertEqual(self.line.tls, [CLIENT_TLS])
        self.connection.handshakeCompleted()
        self.hear(b"220 hello\r\n")
        self.hear(ehlo("PIPELINING"))
        self.assertEqual(self.owner.told, ["ready"])

    def test_the_greeting_has_its_deadline(self) -> None:
        self.given_up_after(PATIENCE.greeting)
        self.assertEqual(self.owner.told, ["gone"])
        self.assertEqual(self.owner.limits, [Limit.DEADLINES])
        self.assertIn("greeting", self.owner.why)

    def test_each_command_on_the_way_has_a_deadline_of_its_own(self) -> None:
        heard: list[bytes] = [b"220 hello\r\n", ehlo("STARTTLS")]
        for steps in (1, 2):
            self.owner, self.line = Owner(), Line()
            self.connection = self.connect()
            for octets in heard[:steps]:
                self.clock.pump([1.0] * 15)
                self.hear(octets)
            self.given_up_after(PATIENCE.command)
            self.assertEqual(self.owner.told, ["gone"])

    def test_the_handshake_has_its_deadline(self) -> None:
        for octets in (b"220 hello\r\n", ehlo("STARTTLS"), b"220 go\r\n"):
            self.hear(octets)
        self.given_up_after(PATIENCE.tls)
        self.assertIn("handshake", self.owner.why)

    def test_commands_behind_the_handshake_have_theirs(self) -> None:
        for octets in (b"220 hello\r\n", ehlo("STARTTLS"), b"220 go\r\n"):
            self.hear(octets)
        self.connection.handshakeCompleted()
        self.clock.pump([1.0] * 30)
        self.hear(ehlo(*CAPABILITIES))
        self.given_up_after(PATIENCE.command)
        self.assertIn("auth", self.owner.why)

    def test_a_refused_login_is_told_with_the_answer(self) -> None:
        for octets in (b"220 hello\r\n", ehlo("STARTTLS"), b"220 go\r\n"):
            self.hear(octets)
        self.connection.handshakeCompleted()
        self.hear(ehlo(*CAPABILITIES))
        self.hear(b"535 5.7.8 no\r\n")
        self.assertEqual(self.owner.told, ["gone"])
        assert self.owner.answer is not None
        self.assertEqual(self.owner.answer.code, 535)
        self.assertTrue(self.line.disconnected)

    def test_a_greeting_without_end_is_cut_off_and_counted(self) -> None:
        self.hear(b"220 " + b"x" * 5000)
        self.assertEqual(self.owner.told, [])
        self.hear(b"\r\n")
        self.assertEqual(self.owner.told, ["gone"])
        self.assertEqual(self.owner.limits, [Limit.MAX_REPLY_LINE_BYTES])

    def test_a_reply_of_too_many_lines_is_cut_off_and_counted(self) -> None:
        self.hear(b"220-hello\r\n" * 200)
        self.assertEqual(self.owner.told, ["gone"])
        self.assertEqual(self.owner.limits, [Limit.MAX_REPLY_LINES])

    def test_a_connection_lost_on_the_way_is_told_once(self) -> None:
        self.hear(b"220 hello\r\n")
        cut(self.connection)
        self.assertEqual(self.owner.told, ["gone", "closed"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_welcome_and_a_farewell_in_one_piece_is_a_farewell(self) -> None:
        for octets in (b"220 hello\r\n", ehlo("STARTTLS"), b"220 go\r\n"):
            self.hear(octets)
        self.connection.handshakeCompleted()
        self.hear(ehlo(*CAPABILITIES))
        self.hear(b"235 welcome\r\n421 closing\r\n")
        self.assertEqual(self.owner.told, ["gone"])


class IdleTest(UpstreamCase):
    def test_an_idle_connection_has_no_deadline(self) -> None:
        self.ready()
        self.clock.pump([1.0] * 2000)
        self.assertEqual(self.owner.told, ["ready"])
        self.assertFalse(self.line.disconnecting)

    def test_an_idle_connection_that_says_a_word_is_dropped(self) -> None:
        for word in (b"421 4.4.2 idle for too long\r\n", b"250 what\r\n", b"4"):
            self.owner, self.line = Owner(), Line()
            self.connection = self.connect()
            self.ready()
            self.hear(word)
            self.assertEqual(self.owner.told, ["ready", "gone"])
            self.assertTrue(self.line.disconnected)
            self.assertFalse(self.connection.takes_mail)
            cut(self.connection)
            self.assertEqual(self.owner.told, ["ready", "gone", "closed"])

    def test_an_idle_connection_that_closes_is_told_once(self) -> None:
        self.ready()
        cut(self.connection)
        self.assertEqual(self.owner.told, ["ready", "gone", "closed"])

    def test_a_retired_connection_says_quit_and_is_cut_when_the_peer_does_not_close(self) -> None:
        self.ready()
        self.connection.retire()
        self.assertEqual(self.line.take(), b"QUIT\r\n")
        self.assertTrue(self.line.disconnecting)
        self.assertFalse(self.line.disconnected)
        self.hear(b"221 bye\r\n")
        self.clock.pump([1.0] * (int(PATIENCE.tls) + 2))
        self.assertTrue(self.line.disconnected)
        cut(self.connection)
        self.assertEqual(self.owner.told, ["ready", "closed"])


class SendingTest(UpstreamCase):
    def setUp(self) -> None:
        super().setUp()
        self.ready()

    def go_ahead(self, body: Content | bytes = SMALL) -> None:
        self.send(body)
        self.hear(ENVELOPE_OK + b"354 go\r\n")

    def test_a_small_message_is_one_write_behind_one_write_of_the_envelope(self) -> None:
        self.send()
        envelope = b"MAIL FROM:<s@example.com> SIZE=23\r\nRCPT TO:<r@example.com>\r\nDATA\r\n"
        self.assertEqual(self.line.writes, [envelope])
        self.line.take()
        self.hear(ENVELOPE_OK + b"354 go\r\n")
        self.assertEqual(self.line.writes, [b"Subject: one\r\n\r\nhello\r\n.\r\n"])
        self.assertTrue(self.connection.behind_final_dot)
        self.hear(b"250 2.6.0 queued\r\n")
        self.assertEqual((self.end.phase, self.end.final and self.end.final.code), (Phase.ANSWERED, 250))
        self.assertTrue(self.connection.takes_mail)
        self.assertEqual(self.owner.told, ["ready"])

    def test_dots_of_the_new_header_are_doubled_and_those_of_the_body_left(self) -> None:
        message = content(b"..dot\r\n", header=b"Subject: one\r\n..two: x\r\n")
        self.assertEqual(message.header, b"Subject: one\r\n.two: x\r\n")
        self.go_ahead(message)
        self.assertTrue(self.line.value().endswith(b"Subject: one\r\n..two: x\r\n\r\n..dot\r\n.\r\n"))

    def test_no_message_is_waited_for_between_two(self) -> None:
        self.go_ahead()
        self.hear(b"250 queued\r\n")
        self.clock.pump([1.0] * 1000)
        self.assertFalse(self.line.disconnecting)
        self.line.take()
        self.ends.clear()
        self.send()
        self.assertTrue(self.line.value().startswith(b"RSET\r\nMAIL"))

    def test_the_commands_of_the_envelope_have_their_deadline(self) -> None:
        self.send()
        self.given_up_after(PATIENCE.command)
        self.assertEqual(self.end.phase, Phase.ENVELOPE)
        self.assertEqual(self.owner.told, ["ready", "gone"])

    def test_the_answer_to_data_has_its_deadline(self) -> None:
        self.send()
        self.hear(ENVELOPE_OK)
        self.given_up_after(PATIENCE.data)
        self.assertEqual(self.end.phase, Phase.ENVELOPE)

    def test_the_answer_to_the_final_dot_has_its_deadline(self) -> None:
        self.go_ahead()
        self.given_up_after(PATIENCE.final)
        self.assertEqual((self.end.phase, self.end.final), (Phase.FINAL, None))
        self.assertEqual(self.owner.told, ["ready", "gone"])

    def test_a_body_that_does_not_move_has_its_deadline_and_no_final_dot(self) -> None:
        self.line.room = 10
        self.go_ahead(b"x" * 62 + b"\r\n" + b"y" * 5_000_000 + b"\r\n")
        self.given_up_after(PATIENCE.block)
        self.assertEqual(self.end.phase, Phase.BODY)
        self.assertNotIn(b"\r\n.\r\n", self.line.value())
        self.assertIsNone(self.line.producer)

    def test_a_body_that_moves_too_slowly_is_given_up_in_the_end(self) -> None:
        body = b"x" * 1_000_000 + b"\r\n"
        self.line.room = 10
        self.go_ahead(body)
        seconds = 0
        while not self.line.disconnecting:
            seconds += 1
            self.clock.advance(1.0)
            if seconds % 50 == 0 and self.line.producer is not None and not self.line.disconnecting:
                self.line.producer.resumeProducing()
            self.assertLess(seconds, 1000)
        allowed = PATIENCE.block + len(body) / PATIENCE.min_rate
        self.assertLessEqual(seconds, allowed + 2)
        self.assertEqual(self.end.phase, Phase.BODY)
        self.assertNotIn(b"\r\n.\r\n", self.line.value())

    def test_a_large_body_is_streamed_no_faster_than_the_transport_takes_it(self) -> None:
        body = b"".join(b"%061d.\r\n" % number for number in range(10 * CHUNK // 64))
        for threshold in (0, 1 << 30):
            self.owner, self.line, self.ends = Owner(), Line(room=CHUNK // 2), []
            self.connection = self.connect()
            self.ready()
            message = content(body, threshold=threshold)
            self.assertEqual(message.in_memory is None, threshold == 0)
            self.send(message)
            self.line.take()
            self.hear(ENVELOPE_OK + b"354 go\r\n")
            sent, rounds = b"", 0
            while self.line.producer is not None:
                self.assertLessEqual(len(self.line.value()), 2 * CHUNK)
                sent += self.line.take()
                rounds += 1
                self.line.producer.resumeProducing()
            sent += self.line.take()
            self.assertGreaterEqual(rounds, 9)
            self.assertEqual(sent, stuff(message.header) + b"\r\n" + body + b".\r\n")
            self.hear(b"250 queued\r\n")
            self.assertEqual(self.end.phase, Phase.ANSWERED)
            message.close()

    def test_a_refusal_within_the_body_ends_the_message_in_its_own_words(self) -> None:
        self.line.room = 10
        self.go_ahead(b"x" * 500_000 + b"\r\n")
        self.hear(b"552 5.3.4 too big\r\n")
        self.assertEqual(self.end.phase, Phase.BODY)
        assert self.end.final is not None
        self.assertEqual(self.end.final.code, 552)
        self.assertIsNone(self.line.producer)
        self.assertTrue(self.line.disconnecting)
        self.assertNotIn(b"\r\n.\r\n", self.line.value())

    def test_a_refusal_in_one_piece_with_the_go_ahead_ends_the_message_too(self) -> None:
        for words, code in ((b"421 closing\r\n", 421), (b"552 too big\r\n", 552)):
            self.owner, self.line, self.ends = Owner(), Line(), []
            self.connection = self.connect()
            self.ready()
            self.send()
            self.line.take()
            self.hear(ENVELOPE_OK + b"354 go\r\n" + words)
            self.assertEqual(self.end.phase, Phase.BODY)
            assert self.end.final is not None
            self.assertEqual(self.end.final.code, code)
            self.assertEqual(self.line.take(), b"")
            self.assertEqual(self.owner.told, ["ready", "gone"])

    def test_a_yes_and_a_farewell_in_one_piece_is_a_yes(self) -> None:
        self.go_ahead()
        self.hear(b"250 queued\r\n421 closing\r\n")
        assert self.end.final is not None
        self.assertEqual((self.end.phase, self.end.final.code), (Phase.ANSWERED, 250))
        self.assertFalse(self.connection.takes_mail)

    def test_a_connection_lost_says_how_far_the_message_came(self) -> None:
        steps: list[tuple[bytes, Phase, bool]] = [
            (b"", Phase.ENVELOPE, False),
            (b"250 sender\r\n", Phase.ENVELOPE, False),
            (ENVELOPE_OK, Phase.ENVELOPE, False),
            (ENVELOPE_OK + b"354 go\r\n", Phase.BODY, True),
            (ENVELOPE_OK + b"354 go\r\n", Phase.FINAL, False),
        ]
        cut(self.connection)
        for heard, phase, large in steps:
            self.owner, self.ends = Owner(), []
            self.line = Line(room=10)
            self.connection = self.connect()
            self.ready()
            self.send(b"x" * 500_000 + b"\r\n" if large else SMALL)
            self.hear(heard)
            cut(self.connection)
            self.assertEqual((self.end.phase, self.end.final), (phase, None))
            self.assertEqual(self.owner.told, ["ready", "gone", "closed"])
            self.assertEqual(self.connection.session.state, State.CLOSED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_abandoned_message_ends_without_a_final_dot_and_cuts_the_connection(self) -> None:
        given: list[Callable[[], None]] = [self.send, lambda: self.go_ahead(b"x" * 500_000 + b"\r\n")]
        for begin in given:
            self.owner, self.line, self.ends = Owner(), Line(room=10), []
            self.connection = self.connect()
            self.ready()
            begin()
            self.connection.abandon("time is up")
            self.assertTrue(self.line.disconnected)
            self.assertNotIn(b"\r\n.\r\n", self.line.value())
            self.assertEqual(len(self.ends), 1)
            cut(self.connection)
            self.assertEqual(self.owner.told, ["ready", "gone", "closed"])
            self.assertEqual(len(self.ends), 1)
