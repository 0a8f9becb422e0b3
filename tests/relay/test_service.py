"""Start and stop of the relay: what cannot be bound, and the order in which things end."""

import gc
from typing import Any, cast

from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.listener import Gate
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.service import DRAIN_SECONDS, CannotListen, Door, RelayService
from tests.relay.fakes import log_lines

reactor: Any = _reactor


class Surroundings:
    """A gate, a bridge, a pool and a port in one, which write down what is done to them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.under_way = 2
        self.idle: list[Any] = []
        self.port_closed: Deferred[None] = Deferred()
        self.gate_empty: Deferred[None] = Deferred()
        self.pool_closed: Deferred[None] = Deferred()

    def stopListening(self) -> "Deferred[None]":
        self.done.append("port")
        return self.port_closed

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 2525)

    def stop(self) -> "Deferred[None]":
        self.done.append("gate")
        return self.gate_empty

    def cut(self) -> None:
        self.done.append("cut")

    def when_idle(self, call: Any) -> None:
        self.done.append("drain")
        self.idle.append(call)

    def close(self) -> "Deferred[None]":
        self.done.append("pool")
        return self.pool_closed


@implementer(IStreamServerEndpoint)
class Binding:
    """An endpoint that can be bound, or cannot."""

    def __init__(self, port: Surroundings | None) -> None:
        self.port = port

    def listen(self, protocolFactory: object) -> "Deferred[IListeningPort]":
        if self.port is None:
            return fail(CannotListenError("127.0.0.1", 2525, OSError("Address already in use")))
        return succeed(cast(IListeningPort, self.port))


class ServiceCase(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lines = log_lines(self)
        self.around = Surroundings()

    def service(self, *bindings: Binding, notes: tuple[str, ...] = ()) -> RelayService:
        gate = cast(Gate, self.around)
        doors = [Door(f"tcp:{number}", binding, gate) for number, binding in enumerate(bindings)]
        return RelayService(doors, [cast(Pool, self.around)], cast(Bridge, self.around), self.clock, notes)

    def running(self) -> RelayService:
        service = self.service(Binding(self.around))
        service.privilegedStartService()
        service.startService()
        return service

    def logged(self, *words: str) -> list[str]:
        return [line for line in self.lines if all(word in line for word in words)]


class StartTest(ServiceCase):
    def test_a_listener_that_cannot_be_bound_ends_the_start(self) -> None:
        service = self.service(Binding(self.around), Binding(None))

        with self.assertRaises(CannotListen) as caught:
            service.privilegedStartService()

        self.assertIn("cannot listen at tcp:1:", str(caught.exception))
        self.assertIn("Address already in use", str(caught.exception))
        self.assertEqual(len(self.logged("cannot listen at tcp:1:")), 1)

    def test_every_listener_that_cannot_be_bound_is_named_in_the_log(self) -> None:
        service = self.service(Binding(None), Binding(None))

        self.assertRaises(CannotListen, service.privilegedStartService)

        self.assertEqual(len(self.logged("cannot listen at tcp:")), 2)

    def test_a_port_in_use_is_found_out_by_a_real_socket(self) -> None:
        taken: Any = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        self.addCleanup(taken.stopListening)
        endpoint = TCP4ServerEndpoint(reactor, taken.getHost().port, interface="127.0.0.1")
        door = Door("tcp:in-use", endpoint, cast(Gate, Factory()))

        service = RelayService([door], [], cast(Bridge, self.around), self.clock)

        self.assertRaises(CannotListen, service.privilegedStartService)

    def test_the_ports_are_bound_before_privileges_go_and_the_notes_are_said_after(self) -> None:
        service = self.service(Binding(self.around), notes=("nothing is {verified}",))
        service.privilegedStartService()
        self.assertEqual(len(service.ports), 1)
        self.assertEqual(len(self.logged("listening at tcp:0", "host=127.0.0.1 port=2525")), 1)
        self.assertEqual(self.logged("nothing is"), [])

        service.startService()

        self.assertEqual(self.logged("nothing is"), ["nothing is {verified}"])


class StopTest(ServiceCase):
    def test_it_stops_listening_then_drains_then_closes_the_pools(self) -> None:
        stopped = self.running().stopService()
        self.assertEqual(self.around.done, ["port"])
        self.around.port_closed.callback(None)
        self.assertEqual(self.around.done, ["port", "drain", "gate"])
        self.clock.advance(DRAIN_SECONDS / 2)
        self.around.idle[0]()
        self.assertEqual(self.around.done[3:], [], "a session is under way")
        self.around.gate_empty.callback(None)
        self.assertEqual(self.around.done[3:], ["pool"])
        self.assertFalse(stopped.called)

        self.around.pool_closed.callback(None)

        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.logged("stopping: 2 messages under way")), 1)

    def test_draining_has_an_end_and_the_log_says_how_many_were_left(self) -> None:
        stopped = self.running().stopService()
        self.around.port_closed.callback(None)
        self.clock.advance(DRAIN_SECONDS)
        self.assertEqual(self.around.done[3:], ["cut", "pool"])
        self.around.pool_closed.callback(None)

        self.successResultOf(stopped)
        self.assertEqual(len(self.logged("stopping with 2 messages unanswered")), 1)
        self.around.idle[0]()  # the last delivery ends after all, and disturbs nobody
        self.around.idle.clear()
        self.around.gate_empty = Deferred()
        gc.collect()  # a failure that nobody took is logged when its Deferred goes
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_pool_that_does_not_close_is_waited_for_no_longer_than_some_seconds(self) -> None:
        stopped = self.running().stopService()
        self.around.port_closed.callback(None)
        self.around.idle[0]()
        self.around.gate_empty.callback(None)
        self.assertFalse(stopped.called)
        self.clock.advance(10.0)

        self.successResultOf(stopped)
        self.around.pool_closed = Deferred()
        gc.collect()  # a failure that nobody took is logged when its Deferred goes
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_port_that_does_not_close_cleanly_does_not_keep_the_rest(self) -> None:
        stopped = self.running().stopService()
        self.around.port_closed.errback(OSError("bad port"))
        self.around.idle[0]()
        self.around.gate_empty.callback(None)
        self.around.pool_closed.callback(None)

        self.successResultOf(stopped)
        self.assertEqual(self.around.done, ["port", "drain", "gate", "pool"])
        self.assertEqual(self.flushLoggedErrors(), [])
