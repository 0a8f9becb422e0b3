"""The parent: what it does about its workers, and to whom connections go."""

import os
import socket
from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import TestCase

from smtpbridge.ops.metrics import Figure, Kind
from smtpbridge.ops.passage import sight_written
from smtpbridge.ops.sight import Sight
from smtpbridge.relay.service import CannotListen
from smtpbridge.workers import words
from smtpbridge.workers.doors import Doors, Opening
from smtpbridge.workers.ledger import Ledger
from smtpbridge.workers.parent import Parent
from smtpbridge.workers.process import Worker
from smtpbridge.workers.sums import told
from smtpbridge.workers.wellness import Wellness
from tests.workers.fakes import FakeWorker, HandReactor, LoopbackEndpoint, LoopbackPort

STUCK = 30.0


class ParentTest(TestCase):
    def setUp(self) -> None:
        self.reactor = HandReactor()
        self.crew: dict[int, FakeWorker] = {}
        self.all: list[FakeWorker] = []
        self.gave_up: list[str] = []
        self.no_process = False
        self.port = LoopbackPort()
        self.clients: list[socket.socket] = []
        ledger = Ledger(2, STUCK)
        self.parent = Parent(
            [Opening("here", LoopbackEndpoint(self.port))],
            ledger,
            self.reactor,
            task=lambda number: b"be %d" % number,
            lines=lambda _: None,
            give_up=self.gave_up.append,
            wellness=Wellness(ledger, 2),
            start=self.start,
        )
        self.parent.privilegedStartService()
        self.parent.startService()
        self.reactor.run()
        self.addCleanup(self.close)

    def start(self, number: int, reactor: object, **given: object) -> Worker:
        if self.no_process:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        worker = self.crew[number] = FakeWorker(number, reactor, **given)
        self.all.append(worker)
        return worker  # type: ignore[return-value]  # it looks like one as far as the parent looks

    def close(self) -> None:
        self.parent.doors.close()
        for worker in self.all:
            worker.close()
        for client in self.clients:
            client.close()

    def ready(self, *numbers: int) -> None:
        for number in numbers or (1, 2):
            self.crew[number].say(words.Kind.READY)

    def connect(self, count: int = 1) -> list[socket.socket]:
        self.clients += (new := [self.port.connect() for _ in range(count)])
        # One call accepts what came the last time, and twice as many the next.
        for _ in range(count):
            self.reactor.read()
        return new

    def counts(self) -> list[int]:
        return [len(self.crew[number].has) for number in (1, 2)]

    def pass_time(self, seconds: float) -> None:
        """Let everybody who is not killed or full give signs of life meanwhile."""
        for _ in range(round(seconds)):
            self.reactor.advance(1)

    def test_twisted_does_not_accept_and_workers_are_told_what_they_are(self) -> None:
        self.assertFalse(self.port.reading)
        self.assertEqual([self.crew[number].given["task"] for number in (1, 2)], [b"be 1", b"be 2"])

    def test_no_connection_is_accepted_before_the_workers_are_ready(self) -> None:
        self.connect()
        self.ready(2)
        self.reactor.read()
        self.assertEqual(self.counts(), [0, 0])

        self.ready(1)
        self.reactor.read()
        self.assertEqual(self.counts(), [1, 0])

    def test_connections_are_shared_evenly_and_untouched(self) -> None:
        self.ready()
        clients = self.connect(20)

        self.assertEqual(self.counts(), [10, 10])
        clients[0].sendall(b"EHLO")
        served = next(
            one for one in self.crew[1].has + self.crew[2].has if one.getpeername() == clients[0].getsockname()
        )
        self.assertEqual(served.recv(10), b"EHLO")
        self.assertEqual(self.crew[1].said[-1], (words.Kind.CONNECTIONS, b"\0"))

    def test_the_parent_keeps_no_connection_open(self) -> None:
        self.ready()
        [client] = self.connect()
        for one in self.all:
            one.close()

        client.settimeout(10)
        self.assertEqual(client.recv(10), b"")

    def test_a_worker_whose_line_is_full_is_passed_over(self) -> None:
        self.ready()
        self.crew[1].full = True
        self.connect(4)

        self.assertEqual(self.counts(), [0, 4])

    def test_a_connection_for_which_nobody_has_room_is_closed_and_told(self) -> None:
        self.ready()
        self.crew[1].full = self.crew[2].full = True
        with capturedLogs() as events:
            [client] = self.connect()

        client.settimeout(10)
        self.assertEqual(client.recv(10), b"")
        self.assertEqual([one["log_level"] for one in events], [LogLevel.error])

    def test_a_worker_that_leaves_gets_nothing_more(self) -> None:
        self.ready()
        self.crew[1].say(words.Kind.LEAVING)
        self.connect(4)

        self.assertEqual(self.counts(), [0, 4])

    def test_sessions_that_ended_make_room(self) -> None:
        self.ready()
        self.connect(8)
        self.crew[2].say(words.Kind.COUNTS, [4, [0], []])
        self.connect(4)

        self.assertEqual(self.counts(), [4, 8])

    def test_a_worker_that_died_is_started_again_and_the_log_says_why(self) -> None:
        self.ready()
        first = self.crew[1]
        with capturedLogs() as events:
            first.end("killed by signal 9")
            self.connect(2)
            self.pass_time(1)

        self.assertIsNot(self.crew[1], first)
        self.assertEqual(len(self.crew[2].has), 2)
        [line] = [one for one in events if one["log_level"] is LogLevel.error]
        self.assertEqual((line["number"], line["why"], line["pause"]), (1, "killed by signal 9", 1))

    def test_a_worker_that_says_nothing_is_killed_and_the_log_is_loud(self) -> None:
        self.ready()
        with capturedLogs() as events:
            for _ in range(32):
                self.crew[2].say(words.Kind.COUNTS, [0, [0], []])
                self.reactor.advance(1)

        self.assertTrue(self.crew[1].killed)
        self.assertFalse(self.crew[2].killed)
        self.assertEqual([one["pid"] for one in events if one["log_level"] is LogLevel.critical], [4001])

    def test_a_worker_that_talks_nonsense_is_killed(self) -> None:
        for number, say in enumerate(
            [(words.Kind.COUNTS, "x"), (words.Kind.FIGURES, 1), (words.Kind.SHOWN, [1]), (words.Kind.STOP, None)]
        ):
            with self.subTest(number):
                self.crew[1].killed = False
                self.crew[1].say(*say)
                self.assertTrue(self.crew[1].killed)

    def test_a_process_that_the_system_does_not_give_is_tried_again(self) -> None:
        self.ready()
        self.no_process = True
        self.crew[1].end()
        with capturedLogs() as events:
            self.pass_time(1)
        self.no_process = False
        self.crew.pop(1)
        self.pass_time(2)

        self.assertIn(1, self.crew)
        self.assertEqual([one["number"] for one in events if one["log_level"] is LogLevel.error], [1])

    def test_when_no_worker_can_start_it_gives_up(self) -> None:
        self.crew[1].end("ended with status 1")
        self.assertEqual(self.gave_up, [])
        self.crew[2].end("ended with status 1")

        self.assertEqual(self.gave_up, ["no worker can start"])

    def test_to_stop_every_worker_is_told_and_waited_for(self) -> None:
        self.ready()
        stopped = self.parent.stopService()

        self.assertEqual([self.crew[number].said[-1] for number in (1, 2)], [(words.Kind.STOP, None)] * 2)
        with self.assertRaises(OSError):
            self.port.connect()
        self.crew[1].end("ended")
        self.assertNoResult(stopped)
        self.crew[2].end("ended")
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_worker_that_did_not_hear_that_it_is_to_stop_is_told_again(self) -> None:
        self.ready()
        self.crew[1].full = True
        self.parent.stopService()
        self.crew[1].full = False
        self.reactor.advance(1)

        self.assertEqual(self.crew[1].said, [(words.Kind.STOP, None)])

    def test_what_does_not_stop_in_time_is_killed(self) -> None:
        self.ready()
        self.parent.stopService()
        for _ in range(70):
            self.crew[1].say(words.Kind.COUNTS, [0, [0], []])
            self.assertFalse(self.crew[1].killed)
            self.reactor.advance(1)

        self.assertTrue(self.crew[1].killed)

    def test_a_scrape_asks_every_worker_and_shows_the_parents_own_figures(self) -> None:
        self.ready()
        answer = self._scrape()
        figure = Figure("things", Kind.COUNTER, "Things.", (), lambda: [((), 4)])
        for number in (1, 2):
            kind, question = self.crew[number].said[-1]
            self.assertIs(kind, words.Kind.ASK)
            self.crew[number].say(words.Kind.FIGURES, [question, told([figure])])

        text = self.successResultOf(answer)
        self.assertIn("things_total 8.0", text)
        self.assertIn('smtpbridge_workers{state="ready"} 2.0', text)
        self.assertIn("smtpbridge_worker_ends_total 0.0", text)

    def test_the_status_page_asks_every_worker_and_one_that_is_gone_is_not_waited_for(self) -> None:
        self.ready()
        looking = Deferred.fromCoroutine(self.parent.survey.look())
        kind, question = self.crew[1].said[-1]
        self.assertIs(kind, words.Kind.LOOK)
        assert isinstance(question, list)
        self.crew[1].say(words.Kind.SHOWN, [*question, sight_written(Sight(under_way=3))])
        self.assertNoResult(looking)
        self.crew[2].end()

        whole = self.successResultOf(looking)
        self.assertEqual(whole.sight.under_way, 3)
        self.assertEqual(
            [(one.number, one.state, one.sight is None) for one in whole.crew],
            [(1, "ready", False), (2, "waiting", True)],
        )

    def _scrape(self) -> "Deferred[str]":
        return Deferred.fromCoroutine(self.parent.figures.text("")).addCallback(lambda found: found[0].decode())


def doors(*endpoints: IStreamServerEndpoint) -> Doors:
    def hand_on(door: int, came: Sequence[socket.socket]) -> None:
        for one in came:
            one.close()

    return Doors([Opening(f"door {at}", one) for at, one in enumerate(endpoints)], HandReactor().fds, hand_on)


class DoorsTest(TestCase):
    def setUp(self) -> None:
        self.port = LoopbackPort()
        self.addCleanup(self.port.socket.close)

    def test_a_port_that_cannot_be_bound_is_a_fault(self) -> None:
        class Taken(LoopbackEndpoint):
            def listen(self, factory: object) -> "Deferred[IListeningPort]":
                return fail(OSError(98, "in use"))

        some = doors(LoopbackEndpoint(), Taken(self.port))
        self.addCleanup(some.close)
        self.assertRaises(CannotListen, some.bind)

    def test_an_endpoint_that_is_no_socket_of_its_own_cannot_be_shared(self) -> None:
        memory = serverFromString(MemoryReactorClock(), "tcp:0")
        with self.assertRaises(CannotListen) as caught:
            doors(memory).bind()

        self.assertIn("write workers = 1", str(caught.exception))

    def test_a_socket_stays_open_for_whoever_passed_it(self) -> None:
        kept = socket.socket(fileno=os.dup(self.port.fileno()))
        self.addCleanup(kept.close)
        bound = doors(LoopbackEndpoint(self.port))
        bound.bind()
        bound.close()

        socket.create_connection(kept.getsockname(), 10).close()
