"""The pool does what its ledger decides: dials, hands out, closes, and tells why there is nothing."""

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refusal
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.dialect.plan import Frame, Transaction
from smtpbridge.mail.message import Envelope
from smtpbridge.relay.attempt import Attempt
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.leases import Counts, Limits
from smtpbridge.relay.pool import Host, Login, Pool
from smtpbridge.relay.submission import Outgoing
from smtpbridge.relay.upstream import Letter, Patience, UpstreamConnection
from smtpbridge.relay.verdict import Outcome
from smtpbridge.secret import Secret
from smtpbridge.smtp.replies import Reply
from tests.relay.fakes import CLIENT_TLS, Asker, Line, Place, content, cut, log_lines, make_ready

PASSWORD = b"upstream-secret-17"
NOTHING = Counts(0, 0, 0, 0)


class PoolCase(TestCase):
    """A pool over two hosts that are dialled by hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.first, self.second = Place(), Place()
        self.lines = log_lines(self)
        self.pool = self.build()

    def build(self, max_connections: int = 3, max_waiters: int = 5, max_messages: int = 100) -> Pool:
        hosts = [
            Host("first:587", self.first, CLIENT_TLS),
            Host("second:587", self.second, CLIENT_TLS),
        ]
        limits = Limits(
            hosts=2,
            max_connections=max_connections,
            max_waiters=max_waiters,
            max_messages=max_messages,
            max_idle=10.0,
            max_age=100.0,
        )
        return Pool(
            "main",
            hosts,
            limits,
            Deadlines(self.clock),
            hello_name="bridge.test",
            login=Login("App", Secret(PASSWORD)),
            patience=Patience(greeting=5.0, tls=5.0),
            max_wait=20.0,
        )

    def wait(self, seconds: float) -> None:
        self.clock.pump([1.0] * int(seconds))

    def ask(self, *, until: float = 1000.0, fresh: bool = False, bounded: bool = True) -> tuple[Asker, int]:
        asker = Asker()
        return asker, self.pool.ask(asker, until, fresh=fresh, bounded=bounded)

    def granted(self) -> tuple[UpstreamConnection, Line]:
        """Ask, let the dial through and make the connection ready."""
        asker, _ = self.ask()
        connection, line = self.first.accept()
        make_ready(connection, line)
        self.assertEqual(asker.connections, [connection])
        return connection, line

    def refused(self, asker: Asker) -> Reply:
        self.assertEqual(asker.connections, [])
        self.assertEqual(len(asker.answers), 1)
        return asker.answers[0]


class LeasingTest(PoolCase):
    def test_a_waiter_gets_a_connection_that_is_ready_and_not_before(self) -> None:
        asker, _ = self.ask()
        connection, line = self.first.accept()
        self.assertEqual(asker.connections, [])

        make_ready(connection, line)

        self.assertEqual(asker.connections, [connection])
        self.assertTrue(connection.takes_mail)
        self.assertEqual(self.pool.counts(), Counts(0, 0, 1, 0))

    def test_a_connection_that_was_given_back_is_used_again(self) -> None:
        connection, _ = self.granted()
        self.pool.give_back(connection)

        asker, _ = self.ask()

        self.assertEqual(asker.connections, [connection])
        self.assertEqual(self.first.dials, [])

    def test_an_idle_connection_is_leased_at_once(self) -> None:
        connection, _ = self.granted()
        self.assertIsNone(self.pool.lease())
        self.pool.give_back(connection)

        self.assertIs(self.pool.lease(), connection)
        self.assertIsNone(self.pool.lease())
        self.assertEqual(self.pool.counts(), Counts(0, 0, 1, 0))

    def test_a_connection_given_back_twice_counts_once(self) -> None:
        connection, line = self.granted()
        cut(connection)
        self.pool.give_back(connection)
        self.pool.give_back(connection)

        self.assertEqual(self.pool.counts(), NOTHING)
        self.assertTrue(line.disconnecting)

    def test_a_waiter_that_withdrew_hears_nothing(self) -> None:
        asker, number = self.ask()
        self.pool.withdraw(number)
        self.pool.withdraw(number)
        connection, line = self.first.accept()

        make_ready(connection, line)

        self.assertEqual((asker.connections, asker.answers), ([], []))
        self.assertEqual(self.pool.counts(), Counts(0, 1, 0, 0))

    def test_a_worn_out_connection_says_quit(self) -> None:
        self.pool = self.build(max_messages=1)
        connection, line = self.granted()
        self.pool.give_back(connection)

        self.assertEqual(line.value(), b"QUIT\r\n")
        self.assertTrue(line.disconnecting)
        self.assertEqual(self.pool.counts(), NOTHING)

    def test_an_idle_connection_is_retired_in_time_and_then_no_timer_is_left(self) -> None:
        connection, line = self.granted()
        self.pool.give_back(connection)
        self.wait(8)
        self.assertFalse(line.disconnecting)

        self.wait(4)
        self.assertEqual(line.value(), b"QUIT\r\n")
        cut(connection)

        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_idle_connection_that_speaks_or_closes_is_dropped_without_an_error_in_the_log(self) -> None:
        for words in (b"421 4.4.2 idle\r\n", b""):
            connection, _ = self.granted()
            self.pool.give_back(connection)
            del self.lines[:]
            if words:
                connection.dataReceived(words)
            cut(connection)
            self.assertEqual(self.pool.counts(), NOTHING)
            self.assertEqual(self.pool.fault, "")
            self.assertTrue(all("lost an idle connection" in line for line in self.lines), self.lines)
        self.granted()

    def test_a_leased_connection_that_breaks_is_forgotten_when_it_comes_back(self) -> None:
        connection, _ = self.granted()
        ends: list[object] = []
        message = content(b"hello\r\n")
        connection.send(Letter("", ("r@example.com",), False, message.header, message), ends.append)

        cut(connection)
        self.assertEqual(len(ends), 1)
        self.pool.give_back(connection)

        self.assertEqual(self.pool.counts(), NOTHING)

    def test_whoever_wants_a_fresh_one_does_not_get_one_that_lay_idle(self) -> None:
        connection, _ = self.granted()
        self.pool.give_back(connection)
        asker, _ = self.ask(fresh=True)
        self.assertEqual(asker.connections, [])

        other, line = self.first.accept()
        make_ready(other, line)

        self.assertEqual(asker.connections, [other])

    def test_a_waiter_that_another_withdraws_while_both_are_answered_hears_nothing(self) -> None:
        """Both refusals come out of one call, and the first to be called withdraws the second."""
        pool = self.pool
        leased = [self.granted()[0] for _ in range(3)]
        second = Asker()
        numbers: list[int] = []

        class First(Asker):
            def refused(self, answer: Reply) -> None:
                super().refused(answer)
                pool.withdraw(numbers[0])

        first = First()
        pool.ask(first, self.clock.seconds() + 5.0)
        numbers.append(pool.ask(second, self.clock.seconds() + 5.0))
        self.wait(7)
        for connection in leased:
            pool.give_back(connection)

        self.assertEqual(len(first.answers), 1)
        self.assertEqual((second.answers, second.connections), ([], []))
        self.assertEqual(self.pool.counts(), Counts(0, 3, 0, 0))


class FailingTest(PoolCase):
    def test_the_next_host_is_tried_when_the_first_cannot_be_dialled(self) -> None:
        asker, _ = self.ask()
        self.first.refuse(Refusal())
        connection, line = self.second.accept()

        make_ready(connection, line)

        self.assertEqual(asker.connections, [connection])
        self.assertEqual(connection.label, "second:587")

    def test_the_next_host_is_tried_when_the_first_does_not_become_ready(self) -> None:
        asker, _ = self.ask()
        connection, _ = self.first.accept()
        connection.dataReceived(b"554 no service for you\r\n")
        self.assertIn("554 no service for you", self.pool.fault)
        cut(connection)
        self.assertEqual(len(self.second.dials), 1)
        self.assertEqual(asker.answers, [])

    def test_a_host_that_does_not_greet_is_left_for_the_next(self) -> None:
        self.ask()
        connection, line = self.first.accept()
        self.wait(7)
        self.assertTrue(line.disconnected)
        cut(connection)
        self.assertEqual(len(self.second.dials), 1)

    def test_when_no_host_can_be_reached_everybody_hears_451_with_the_cause(self) -> None:
        (one, _), (other, _) = self.ask(), self.ask()
        for place in (self.first, self.first, self.second, self.second):
            place.refuse(Refusal())

        for asker in (one, other):
            answer = self.refused(asker)
            self.assertEqual((answer.code, answer.enhanced), (451, "4.4.1"))
            self.assertIn("second:587", answer.text)
        self.assertEqual(self.pool.counts(), NOTHING)
        late, _ = self.ask()
        self.assertEqual(self.refused(late).code, 451)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_host_is_dialled_again_when_its_pause_is_over_and_the_fault_is_forgotten(self) -> None:
        self.ask()
        self.first.refuse(Refusal())
        self.second.refuse(Refusal())
        self.clock.advance(1.0)

        self.granted()

        self.assertEqual(self.pool.fault, "")

    def test_a_refused_login_is_said_loudly_and_without_the_secret(self) -> None:
        self.ask()
        connection, _ = self.first.accept()
        for octets in (b"220 hello\r\n", b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n"):
            connection.dataReceived(octets)
        connection.handshakeCompleted()
        connection.dataReceived(b"250-x\r\n250 AUTH PLAIN\r\n")
        connection.dataReceived(b"535 5.7.8 bad credentials\r\n")
        cut(connection)

        loud = [line for line in self.lines if "cannot be used" in line]
        self.assertEqual(len(loud), 1)
        self.assertIn("535 5.7.8 bad credentials", loud[0])
        self.assertFalse([line for line in self.lines if PASSWORD.decode() in line])

    def test_too_many_waiters_are_refused_at_once_but_those_who_are_not_bounded(self) -> None:
        askers = [self.ask()[0] for _ in range(5)]
        late, _ = self.ask()
        copy, _ = self.ask(bounded=False)

        answer = self.refused(late)
        self.assertEqual((answer.code, answer.enhanced), (451, "4.3.2"))
        self.assertEqual([asker.answers for asker in [*askers, copy]], [[]] * 6)

    def test_a_waiter_is_refused_when_its_time_or_that_of_the_pool_is_up(self) -> None:
        early, _ = self.ask(until=3.0)
        late, _ = self.ask()
        copy, _ = self.ask(until=30.0, bounded=False)
        self.wait(5)
        self.assertEqual((self.refused(early).code, self.refused(early).enhanced), (451, "4.3.2"))
        self.assertEqual(late.answers, [])
        self.wait(17)
        self.assertEqual((self.refused(late).code, self.refused(late).enhanced), (451, "4.3.2"))
        self.assertEqual(copy.answers, [])
        self.wait(10)
        self.assertEqual(self.refused(copy).code, 451)

    def test_a_waiter_whose_time_is_up_hears_what_is_wrong_upstream(self) -> None:
        asker, _ = self.ask()
        self.first.refuse(Refusal())
        self.wait(22)

        answer = self.refused(asker)
        self.assertEqual((answer.code, answer.enhanced), (451, "4.4.1"))
        self.assertIn("first:587", answer.text)


class ClosingTest(PoolCase):
    def done(self, closed: "Deferred[None]") -> bool:
        return bool(closed.called)

    def test_an_empty_pool_is_closed_at_once(self) -> None:
        self.assertTrue(self.done(self.pool.close()))

    def test_it_closes_when_the_last_connection_has(self) -> None:
        idle, idle_line = self.granted()
        leased, leased_line = self.granted()
        waiting = [self.granted()[0]]
        self.pool.give_back(idle)
        asker, _ = self.ask(fresh=True)
        closed = self.pool.close()

        self.assertEqual(self.refused(asker).enhanced, "4.3.2")
        self.assertEqual(idle_line.value(), b"QUIT\r\n")
        self.assertFalse(leased_line.disconnecting, "a message may be under way")
        cut(idle)
        self.assertFalse(self.done(closed))
        for connection in (leased, *waiting):
            self.pool.give_back(connection)
        self.assertTrue(leased_line.disconnecting)
        for connection in (leased, *waiting):
            self.assertFalse(self.done(closed))
            cut(connection)
        self.assertTrue(self.done(closed))
        late, _ = self.ask()
        self.assertEqual(self.refused(late).enhanced, "4.3.2")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_dials_under_way_are_called_off(self) -> None:
        asker, _ = self.ask()
        self.ask()
        connection, line = self.first.accept()
        closed = self.pool.close()

        self.assertEqual(self.first.cancelled, 1)
        self.assertTrue(line.disconnected)
        cut(connection)
        self.assertTrue(self.done(closed))
        self.assertEqual(self.refused(asker).code, 451)
        self.assertFalse([line for line in self.lines if "cannot be used" in line])

    def test_two_may_wait_for_the_end(self) -> None:
        connection, _ = self.granted()
        first, second = self.pool.close(), self.pool.close()
        self.pool.give_back(connection)
        cut(connection)

        self.assertTrue(self.done(first))
        self.assertTrue(self.done(second))


def test_a_crowd_that_cannot_be_sent_is_refused_one_after_the_other() -> None:
    clock, place = Clock(), Place()
    ends: list[Outcome] = []
    pool = Pool(
        "main",
        [Host("h", place, CLIENT_TLS)],
        Limits(hosts=1, max_connections=1),
        Deadlines(clock),
        hello_name="bridge.test",
    )
    transaction = Transaction("main", Envelope("a@x.test", ("b@x.test",)), Frame(b"Subject: x\r\n", b""))
    for number in range(900):
        letter = Outgoing(str(number), content(b"\xe4\r\n"), True, 1000.0)
        Attempt(pool, transaction, letter, lambda outcome, _: ends.append(outcome)).start(bounded=True)

    make_ready(*place.accept(), "PIPELINING")

    assert [outcome.answer.code for outcome in ends] == [554] * 900
