"""The inbox, over loopback and TLS, as a provider meets it."""

import itertools
from typing import Any, cast

import trustme
from treq.client import HTTPClient
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from smtpbridge.events.admission import Admission, Login, Terms
from smtpbridge.events.inbox import Doorkeeper, Inbox
from smtpbridge.events.tallies import Taken
from smtpbridge.secret import Secret
from smtpbridge.store.errors import StoreError
from tests.events.tls import shown, trusting

reactor: Any = _reactor
PATH = "q7Jk-secret-path"


class Raw(Protocol):
    """A client that says what a test says."""

    def __init__(self) -> None:
        self.heard = b""
        self.closed: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)


class InboxTest(TestCase):
    def setUp(self) -> None:
        self.kept: list[bytes] = []
        self.waiting: list[Deferred[None]] = []
        self.holds = False
        self.clock: Any = reactor

    def keep(self, body: bytes) -> "Deferred[None]":
        self.kept.append(body)
        if not self.holds:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self.waiting.append(waiting)
        return waiting

    def serve(self, keep: Any = None, **terms: Any) -> Inbox:
        ca = trustme.CA()
        self.inbox = Inbox(
            Admission(Terms(Secret(PATH.encode()), **terms), self.clock.seconds), keep or self.keep, self.clock
        )
        self.doorkeeper = Doorkeeper(self.inbox)
        self.port = reactor.listenSSL(0, self.doorkeeper, shown(ca), interface="127.0.0.1")
        self.plain = reactor.listenTCP(0, self.doorkeeper, interface="127.0.0.1")
        self.addCleanup(self.plain.stopListening)
        self.addCleanup(self.port.stopListening)
        self.addCleanup(self.ended)
        connections = trusting(ca)
        self.addCleanup(connections.close)
        self.client = HTTPClient(connections.agent)
        return self.inbox

    async def _ended(self) -> None:
        self.doorkeeper.end()
        await self.until(lambda: not self.doorkeeper.protocols)

    def ended(self) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._ended())

    async def post(self, body: bytes = b"{}", path: str = f"/infobip/{PATH}", **more: Any) -> Any:
        url = f"https://localhost:{self.port.getHost().port}{path}"
        response = await self.client.request(more.pop("method", "POST"), url, data=body, reactor=reactor, **more)
        self.assertEqual(await response.content(), b"")
        return response

    async def raw(self, *said: bytes) -> Raw:
        where = TCP4ClientEndpoint(reactor, "127.0.0.1", self.plain.getHost().port)
        caller: Raw = await connectProtocol(where, Raw())
        assert caller.transport is not None
        for one in said:
            caller.transport.write(one)
        self.addCleanup(cast(Any, caller.transport).abortConnection)
        return caller

    async def until(self, what: Any) -> None:
        while not what():
            await deferLater(reactor, 0.001)

    async def test_a_notification_is_answered_200_when_it_is_durable_and_not_before(self) -> None:
        self.holds = True
        inbox = self.serve()
        answered: list[Any] = []
        posting = Deferred.fromCoroutine(self.post(b'{"results":[]}'))
        posting.addCallback(answered.append)
        await self.until(lambda: self.waiting)
        self.assertEqual((self.kept, answered), ([b'{"results":[]}'], []))
        self.waiting[0].callback(None)
        await posting

        self.assertEqual(answered[0].code, 200)
        self.assertEqual(inbox.tally.requests, {Taken.TAKEN: 1})
        self.assertEqual(inbox.tally.octets, 14)

    async def test_what_is_said_makes_no_difference_to_the_answer(self) -> None:
        self.serve()
        bodies = [b"", b"<xml/>", b"\x00\xff", b"{" * 1000, b"a=1&b=2"]
        kinds = ["application/json", "text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
        for body, kind in itertools.product(bodies, kinds):
            self.assertEqual((await self.post(body, headers={"Content-Type": kind})).code, 200)

        self.assertEqual(self.kept, [body for body in bodies for _ in kinds])

    async def test_what_the_ledger_does_not_keep_is_answered_503_with_when_to_come_back(self) -> None:
        self.serve(lambda _: fail(StoreError("the disk is full")))
        response = await self.post()

        self.assertEqual((response.code, response.headers.getRawHeaders("Retry-After")), (503, ["30"]))

    async def test_other_paths_and_methods_and_logins_are_refused_and_nothing_is_kept(self) -> None:
        inbox = self.serve(login=Login("infobip", Secret(b"infobip-pass-77")))
        codes = [
            (await self.post(path="/")).code,
            (await self.post(path="/infobip/guess", method="GET")).code,
            (await self.post(method="PUT")).code,
            (await self.post()).code,
            (await self.post(auth=("infobip", "no"))).code,
        ]
        self.assertEqual(codes, [404, 404, 405, 401, 401])
        self.assertEqual(self.kept, [])
        self.assertEqual((await self.post(auth=("infobip", "infobip-pass-77"))).code, 200)
        self.assertEqual(inbox.tally.requests[Taken.UNKNOWN_PATH], 2)

    async def test_an_answer_says_nothing_about_the_program(self) -> None:
        self.serve()
        caller = await self.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        await self.until(lambda: caller.heard)

        self.assertEqual(caller.heard, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async def test_a_body_over_the_limit_is_refused_said_or_not_and_one_at_the_limit_is_not(self) -> None:
        self.serve(max_body=1000)
        self.assertEqual((await self.post(b"x" * 1000)).code, 200)
        self.assertEqual((await self.post(b"x" * 1001)).code, 413)
        chunk = b"%x\r\n%s\r\n" % (600, b"x" * 600)
        head = b"POST /%s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % PATH.encode()
        caller = await self.raw(head, chunk, chunk, b"0\r\n\r\n")
        await self.until(lambda: caller.heard)

        self.assertTrue(caller.heard.startswith(b"HTTP/1.1 413 "))
        self.assertEqual([len(one) for one in self.kept], [1000])

    async def test_a_large_body_that_is_announced_and_refused_takes_no_memory(self) -> None:
        inbox = self.serve(max_body=1000)
        caller = await self.raw(
            b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" % PATH.encode(), b"x" * 1_000_000
        )
        await self.until(lambda: self.doorkeeper.protocols)

        self.assertEqual(inbox.admission.held, 0)
        self.assertEqual(caller.heard, b"")

    async def test_more_at_a_time_than_there_may_be_are_told_to_come_back(self) -> None:
        self.holds = True
        inbox = self.serve(max_at_once=2)
        first = [Deferred.fromCoroutine(self.post()) for _ in range(2)]
        await self.until(lambda: len(self.waiting) == 2)
        response = await self.post()
        self.assertEqual((response.code, response.headers.getRawHeaders("Retry-After")), (503, ["5"]))
        for waiting in self.waiting:
            waiting.callback(None)
        self.assertEqual([(await one).code for one in first], [200, 200])
        self.holds = False

        self.assertEqual((await self.post()).code, 200)
        self.assertEqual((inbox.admission.at_once, inbox.admission.held), (0, 0))

    async def test_who_does_not_know_the_path_cannot_take_all_the_room(self) -> None:
        self.serve(max_at_once=1)
        await self.raw(b"POST /guess HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        await self.until(lambda: self.doorkeeper.protocols)

        self.assertEqual((await self.post()).code, 200)

    async def test_connections_are_bounded(self) -> None:
        self.serve(max_at_once=1)
        callers = [await self.raw() for _ in range(4)]
        await self.until(lambda: len(self.doorkeeper.protocols) == 4)
        last = await self.raw()
        await last.closed

        self.assertFalse(any(one.closed.called for one in callers))

    async def test_a_rate_is_kept_with_429(self) -> None:
        self.clock = Clock()
        self.serve(max_rate=1)
        codes = [(await self.post()).code for _ in range(2)]
        self.clock.advance(1)

        self.assertEqual([*codes, (await self.post()).code], [200, 429, 200])

    async def test_a_body_that_does_not_come_ends_with_the_connection(self) -> None:
        self.clock = Clock()
        inbox = self.serve()
        caller = await self.raw(b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf" % PATH.encode())
        await self.until(lambda: inbox.admission.at_once)
        for _ in range(3):
            self.clock.advance(20)
        await caller.closed

        self.assertEqual((inbox.admission.at_once, self.kept), (0, []))
        self.assertEqual(inbox.tally.requests, {Taken.TOO_SLOW: 1})

    async def test_one_that_hangs_up_is_kept_all_the_same_and_leaves_no_trace(self) -> None:
        self.holds = True
        inbox = self.serve()
        caller = await self.raw(b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}" % PATH.encode())
        await self.until(lambda: self.waiting)
        cast(Any, caller.transport).abortConnection()
        await self.until(lambda: not self.doorkeeper.protocols)
        self.waiting[0].callback(None)

        self.assertEqual((self.kept, inbox.admission.at_once), ([b"{}"], 0))

    async def test_many_notifications_on_one_connection_are_answered_in_order(self) -> None:
        self.serve()
        one = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d"
        caller = await self.raw(b"".join(one % (PATH.encode(), number) for number in range(20)))
        await self.until(lambda: caller.heard.count(b"HTTP/1.1 200") == 20)

        self.assertEqual(self.kept, [b"%02d" % number for number in range(20)])

    async def test_the_end_waits_for_the_answer_that_is_under_way(self) -> None:
        self.holds = True
        inbox = self.serve()
        posting = Deferred.fromCoroutine(self.post())
        await self.until(lambda: self.waiting)
        idle = inbox.idle()
        self.assertFalse(idle.called)
        self.waiting[0].callback(None)
        await idle

        self.assertEqual((await posting).code, 200)
