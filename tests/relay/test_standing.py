"""When an upstream counts as one that cannot be used, and how it is found out that it can again."""

from twisted.internet.error import ConnectionRefusedError as Refusal

from smtpbridge.relay.leases import Counts
from smtpbridge.relay.standing import Standing
from smtpbridge.relay.upstream import UpstreamConnection
from smtpbridge.smtp.replies import Reply, reply
from tests.relay.fakes import cut, ehlo, make_ready
from tests.relay.test_pool import NOTHING, PoolCase

WRONG = reply(535, "5.7.8", "bad credentials")


def failed(standing: Standing, host: str, answer: Reply | None = None, *, alive: bool = False) -> None:
    standing.failed(host, f"{host}: no", answer, alive=alive)


def test_an_upstream_that_was_never_dialled_can_be_used() -> None:
    assert not Standing(2).bad


def test_an_upstream_cannot_be_reached_when_every_host_has_failed() -> None:
    standing = Standing(2)
    failed(standing, "first")
    failed(standing, "first")
    assert not standing.unreachable
    failed(standing, "second")
    assert standing.unreachable
    assert standing.fault == "second: no"


def test_a_connection_that_is_ready_takes_everything_back() -> None:
    standing = Standing(2)
    for host in ("first", "second"):
        failed(standing, host, WRONG)
    standing.ready()
    assert not standing.bad

    failed(standing, "second")
    assert not standing.bad, "the earlier failure of the first counts no more"


def test_a_connection_too_many_is_no_fault_of_the_upstream() -> None:
    standing = Standing(1)
    failed(standing, "first", reply(421, "4.7.0", "too many connections"), alive=True)

    assert not standing.bad


def test_a_login_that_is_refused_counts_although_older_connections_work() -> None:
    standing = Standing(2)
    failed(standing, "first", WRONG, alive=True)

    assert standing.login_refused
    assert not standing.unreachable


def test_a_login_that_is_put_off_is_not_refused() -> None:
    standing = Standing(2)
    failed(standing, "first", reply(454, "4.7.0", "later"))

    assert not standing.bad


class ProbeTest(PoolCase):
    def down(self) -> None:
        """Let every host fail."""
        asker, _ = self.ask()
        for place in (self.first, self.second):
            place.refuse(Refusal())
        self.assertEqual(len(asker.answers), 1)
        self.assertTrue(self.pool.standing.unreachable)

    def dials(self) -> int:
        return len(self.first.dials) + len(self.second.dials)

    def test_a_probe_that_gets_through_makes_the_upstream_usable_and_leaves_an_idle_connection(self) -> None:
        self.down()
        self.wait(2)
        self.clock.advance(5)
        self.pool.probe()
        connection, line = self.first.accept()
        make_ready(connection, line)

        self.assertFalse(self.pool.standing.bad)
        self.assertEqual(self.pool.counts(), Counts(0, 1, 0, 0))

    def test_probes_dial_no_more_often_than_the_pauses_of_the_hosts_let_them(self) -> None:
        self.down()
        dials = 0
        for _ in range(600):
            self.clock.advance(1)
            self.pool.probe()
            while self.dials():
                dials += 1
                (self.first if self.first.dials else self.second).refuse(Refusal())

        # 1, 2, 4, … 60 seconds apart, for two hosts.
        self.assertLess(dials, 2 * 18)
        self.assertGreater(dials, 2 * 10)
        self.assertEqual(self.pool.counts(), NOTHING)

    def test_nobody_is_probed_while_a_message_dials(self) -> None:
        self.down()
        self.clock.advance(5)
        self.ask()
        self.pool.probe()

        self.assertEqual(self.dials(), 1)
        self.assertEqual(self.pool.counts().waiting, 1)

    def test_a_probe_that_is_under_way_is_the_only_one(self) -> None:
        self.down()
        self.clock.advance(5)
        for _ in range(3):
            self.pool.probe()

        self.assertEqual(self.pool.counts(), Counts(1, 0, 0, 1))

    def test_a_message_gets_the_connection_of_the_probe(self) -> None:
        self.down()
        self.clock.advance(5)
        self.pool.probe()
        asker, _ = self.ask()
        connection, line = self.first.accept()
        make_ready(connection, line)

        self.assertEqual(asker.connections, [connection])

    def test_a_login_is_tried_on_a_fresh_connection_whatever_is_idle(self) -> None:
        connection, _ = self.granted()
        asker, number = self.ask()
        cut(self.refused_login())
        self.second.refuse(Refusal())
        self.pool.withdraw(number)
        self.pool.give_back(connection)
        self.assertEqual((asker.answers, self.pool.counts()), ([], Counts(0, 1, 0, 0)))
        self.assertTrue(self.pool.standing.login_refused)
        self.clock.advance(5)
        self.pool.probe()
        fresh, line = self.first.accept()
        make_ready(fresh, line)

        self.assertFalse(self.pool.standing.bad)

    def refused_login(self) -> UpstreamConnection:
        connection, _ = self.first.accept()
        connection.dataReceived(b"220 mx ESMTP\r\n")
        connection.dataReceived(ehlo("STARTTLS"))
        connection.dataReceived(b"220 go\r\n")
        connection.handshakeCompleted()
        connection.dataReceived(ehlo("AUTH PLAIN LOGIN"))
        connection.dataReceived(b"535 5.7.8 bad credentials\r\n")
        return connection

    def test_a_pool_that_closes_is_not_probed_and_waits_for_no_probe(self) -> None:
        self.down()
        self.clock.advance(5)
        self.pool.probe()
        closed = self.pool.close()
        self.assertEqual(self.first.cancelled, 1)
        self.pool.probe()

        self.assertEqual(self.pool.counts().waiting, 0)
        self.successResultOf(closed)
