"""Streams of events: bounded in number and in what is kept for a slow reader."""

import json
from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from smtpbridge.ops.markup import Html
from smtpbridge.ops.streams import BEHIND_SECONDS, MOST_STREAMS, Streams
from tests.relay.world import Caller, number_of, reactor


class Watcher:
    """A request that is answered for a long time."""

    def __init__(self) -> None:
        self.octets = b""
        self.producer: IPushProducer | None = None
        self.finished = self.aborted = False
        self.channel = self
        self._gone: list[Deferred[None]] = []

    def notifyFinish(self) -> "Deferred[None]":
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        return gone

    def setHeader(self, name: bytes, value: bytes) -> None:
        pass

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, octets: bytes) -> None:
        self.octets += octets

    def finish(self) -> None:
        self.finished = True
        for gone in self._gone:
            gone.callback(None)

    def forceAbortClient(self) -> None:
        self.aborted = True

    # What a test makes it do

    def hang_up(self) -> None:
        for gone in self._gone:
            gone.errback(Failure(ConnectionResetError()))

    def events(self) -> list[dict[str, str]]:
        found = [json.loads(one[6:]) for one in self.octets.decode().splitlines() if one.startswith("data: ")]
        self.octets = b""
        return found


def some(**sections: str) -> Mapping[str, Html]:
    return {name: Html(inner) for name, inner in sections.items()}


class StreamsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        reactor: Any = self.clock
        self.streams = Streams(reactor)

    def watch(self) -> Watcher:
        watcher = Watcher()
        self.assertTrue(self.streams.open(cast(Request, watcher)))
        return watcher

    def test_a_new_reader_gets_everything_and_then_what_has_changed(self) -> None:
        watcher = self.watch()
        self.streams.tell(some(a="1", b="1"))
        self.streams.tell(some(a="1", b="2"))
        late = self.watch()
        self.streams.tell(some(a="1", b="2"))

        self.assertEqual(watcher.events(), [{"a": "1", "b": "1"}, {"b": "2"}])
        self.assertEqual(late.events(), [{"a": "1", "b": "2"}])

    def test_a_line_end_in_a_section_does_not_end_the_event(self) -> None:
        watcher = self.watch()
        self.streams.tell(some(a="one\n\nevent: x\ndata: y"))

        self.assertEqual(watcher.events(), [{"a": "one\n\nevent: x\ndata: y"}])

    def test_when_nothing_changes_there_is_a_heartbeat(self) -> None:
        watcher = self.watch()
        self.streams.tell(some(a="1"))
        watcher.octets = b""
        for _ in range(8):
            self.clock.advance(2)
            self.streams.tell(some(a="1"))

        self.assertEqual(watcher.octets, b": still here\n\n")

    def test_nothing_is_written_to_a_reader_that_is_behind_and_it_gets_the_newest_when_it_reads_again(self) -> None:
        watcher = self.watch()
        self.streams.tell(some(a="1"))
        watcher.events()
        assert watcher.producer is not None
        watcher.producer.pauseProducing()
        for number in range(10):
            self.clock.advance(2)
            self.streams.tell(some(a=str(number)))
        self.assertEqual(watcher.octets, b"")

        watcher.producer.resumeProducing()
        self.streams.tell(some(a="9"))
        self.assertEqual(watcher.events(), [{"a": "9"}])

    def test_a_reader_that_stays_behind_is_dropped(self) -> None:
        watcher = self.watch()
        assert watcher.producer is not None
        watcher.producer.pauseProducing()
        self.streams.tell(some(a="1"))
        self.clock.advance(BEHIND_SECONDS - 1)
        self.streams.tell(some(a="2"))
        self.assertFalse(watcher.aborted)

        self.clock.advance(1)
        self.streams.tell(some(a="3"))
        self.assertTrue(watcher.aborted)
        self.assertEqual(len(self.streams), 0)

    def test_there_are_only_so_many_and_one_that_hangs_up_makes_room(self) -> None:
        watchers = [self.watch() for _ in range(MOST_STREAMS)]
        self.assertFalse(self.streams.open(cast(Request, Watcher())))

        watchers[3].hang_up()
        self.watch()
        self.assertEqual(len(self.streams), MOST_STREAMS)

    def test_all_end_when_the_service_stops(self) -> None:
        watchers = [self.watch() for _ in range(3)]
        self.streams.close()

        self.assertTrue(all(one.finished and one.producer is None for one in watchers))
        self.assertEqual(len(self.streams), 0)


class _Stream(Resource):
    """A page that is nothing but a stream."""

    isLeaf = True

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams

    def render_GET(self, request: Request) -> int:
        assert self._streams.open(request)
        return NOT_DONE_YET


class SlowReaderTest(TestCase):
    """The same over real sockets."""

    def test_a_browser_that_reads_nothing_is_not_written_to_without_end_and_is_dropped(self) -> "Deferred[None]":
        clock: Any = Clock()
        streams = Streams(clock)

        async def look() -> None:
            site = Site(_Stream(streams))
            port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
            self.addCleanup(port.stopListening)
            caller: Caller = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", number_of(port)), Caller())
            caller.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await caller.until(lambda: b"retry" in caller.octets)
            transport: Any = caller.transport
            transport.pauseProducing()

            written = 0
            (stream,) = streams._streams
            while stream.behind_since is None:
                written += 1
                self.assertLess(written, 1000, "the kernel has some megabytes of room, not a hundred")
                streams.tell({"a": Html(f"{written}" + "x" * 100_000)})
                # A moment in which the kernel takes what it has room for: only then is the reader behind.
                for _ in range(5):
                    await deferLater(reactor, 0)
            self.assertGreater(written, 1)
            for _ in range(20):
                streams.tell({"a": Html("y" * 100_000)})
            clock.advance(BEHIND_SECONDS)
            streams.tell({"a": Html("z")})
            self.assertEqual(len(streams), 0)

            transport.resumeProducing()
            await caller.until(lambda: False)  # until it is closed
            self.assertNotIn(b"yyy", caller.octets)

        return Deferred.fromCoroutine(look())
