"""Promises of `smtpbridge.sandbox.postman`."""

from collections.abc import Callable
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from smtpbridge.sandbox.notifications import Notification
from smtpbridge.sandbox.postman import RETRIES, Postman, retry_seconds


class Target(Resource):
    """Answers with the statuses that it is given, then with 200."""

    isLeaf = True

    def __init__(self, *statuses: int) -> None:
        super().__init__()
        self.statuses = list(statuses)
        self.bodies: list[bytes] = []

    def render_POST(self, request: Request) -> bytes:
        assert request.getHeader("content-type") == "application/json"
        assert request.content is not None
        self.bodies.append(request.content.read())
        status = self.statuses.pop(0) if self.statuses else 200
        request.setResponseCode(status)
        if status == 302:
            request.setHeader(b"Location", b"http://elsewhere.example/")
        return b"noted"


class Hanging(Resource):
    """Takes a request and never answers."""

    isLeaf = True

    def render_POST(self, request: Request) -> int:
        request.notifyFinish().addErrback(lambda _: None)
        return NOT_DONE_YET


@implementer(IAgent)
class Failing:
    """An agent whose requests end as a function says."""

    def __init__(self, ask: Callable[[], Deferred[Any]]) -> None:
        self._ask = ask

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        return self._ask()


def notification(after: float = 0.0, body: bytes = b"{}") -> Notification:
    return Notification(after, "http://127.0.0.1/inbox", body, "DELIVERED <a@b.example>")


class Rig:
    """A postman whose posts end in a resource, and a clock of its own."""

    def __init__(self, resource: Resource, **options: Any) -> None:
        self.agent = RequestTraversalAgent(resource)
        self.clock = Clock()
        self.said: list[str] = []
        self.postman = Postman(self.agent, self.clock, on_post=self.said.append, **options)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and octets with it."""
        self.clock.advance(seconds)
        # The body goes in steps of the clock.
        for _ in range(3):
            self.clock.advance(0)
            self.agent.flush()


class PostmanTests(TestCase):
    def test_a_notification_waits_for_its_time_and_is_posted_once(self) -> None:
        target = Target()
        rig = Rig(target)
        rig.postman.take([notification(2.0, b"later"), notification(1.0, b"sooner")])

        rig.pass_time(0.9)
        self.assertEqual(target.bodies, [])
        rig.pass_time(0.1)
        self.assertEqual(target.bodies, [b"sooner"])
        rig.pass_time(1.0)
        rig.pass_time(10_000)

        self.assertEqual(target.bodies, [b"sooner", b"later"])
        self.assertEqual(rig.said, ["DELIVERED <a@b.example>: HTTP 200"] * 2)
        self.assertEqual((rig.postman.stats().taken, rig.postman.stats().waiting), (2, 0))

    def test_it_comes_again_after_a_minute_and_then_ever_later_until_it_is_taken(self) -> None:
        target = Target(500, 404, 302)
        rig = Rig(target)
        rig.postman.take([notification()])
        rig.pass_time(0)
        for number, seconds in enumerate((60.0, 120.0, 300.0)):
            rig.pass_time(seconds - 1)
            self.assertEqual(len(target.bodies), number + 1)
            rig.pass_time(1)
            self.assertEqual(len(target.bodies), number + 2)

        rig.pass_time(10_000)

        self.assertEqual(len(target.bodies), 4)
        self.assertEqual((rig.postman.stats().taken, rig.postman.stats().refused), (1, 3))

    def test_a_redirection_is_a_refusal(self) -> None:
        rig = Rig(Target(302))
        rig.postman.take([notification()])

        rig.pass_time(0)

        self.assertEqual(rig.said, ["DELIVERED <a@b.example>: HTTP 302"])
        rig.postman.close()

    def test_after_the_last_retry_it_is_given_up(self) -> None:
        target = Target(*[500] * 50)
        rig = Rig(target, speed=60)
        rig.postman.take([notification()])
        rig.pass_time(0)

        for number in range(RETRIES):
            rig.pass_time(retry_seconds(number) / 60)

        self.assertEqual(len(target.bodies), RETRIES + 1)
        self.assertEqual((rig.postman.stats().given_up, rig.postman.stats().waiting), (1, 0))

    def test_the_retries_together_take_41_hours(self) -> None:
        self.assertEqual(sum(map(retry_seconds, range(RETRIES))) / 3600, 41.5)

    def test_no_answer_within_half_a_minute_is_a_refusal(self) -> None:
        rig = Rig(Hanging())
        rig.postman.take([notification()])
        rig.pass_time(0)
        rig.pass_time(29)
        self.assertEqual(rig.said, [])

        rig.pass_time(1)

        self.assertEqual(rig.said, ["DELIVERED <a@b.example>: no answer within 30 seconds"])
        rig.postman.close()

    def test_a_connection_that_fails_is_a_refusal(self) -> None:
        clock, said = Clock(), list[str]()
        postman = Postman(Failing(lambda: fail(ConnectionLost())), clock, on_post=said.append)
        postman.take([notification()])

        clock.advance(0)

        self.assertEqual(len(said), 1)
        self.assertIn("Connection to the other side was lost", said[0])
        self.assertEqual(postman.stats().waiting, 1)
        postman.close()

    def test_what_waits_is_bounded(self) -> None:
        rig = Rig(Target(), most_waiting=2)

        rig.postman.take([notification(1.0, str(number).encode()) for number in range(3)])

        self.assertEqual((rig.postman.stats().waiting, rig.postman.stats().dropped), (2, 1))
        rig.postman.close()

    def test_only_so_many_are_posted_at_once_and_all_get_their_turn(self) -> None:
        asked: list[Deferred[Any]] = []

        def ask() -> Deferred[Any]:
            asked.append(Deferred())
            return asked[-1]

        clock = Clock()
        postman = Postman(Failing(ask), clock)
        postman.take([notification() for _ in range(25)])
        clock.advance(0)
        self.assertEqual(len(asked), 20)

        for one in asked[:10]:
            one.errback(ConnectionLost())

        self.assertEqual(len(asked), 25)
        postman.close()

    def test_after_it_is_closed_nothing_is_posted_and_nothing_is_left(self) -> None:
        called_off: list[object] = []
        clock = Clock()
        postman = Postman(Failing(lambda: Deferred(called_off.append)), clock)
        postman.take([notification(), notification(5.0)])
        clock.advance(0)

        postman.close()

        self.assertEqual(len(called_off), 1)
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(postman.stats().waiting, 0)
