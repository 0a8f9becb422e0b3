"""
Streams of server-sent events (HTML, 9.2): who watches the page is told what has changed.

A stream is bounded in every way.  There are only so many.  Nothing is written to one whose reader has fallen behind,
and what it missed is not kept for it: it gets the newest when it reads again.  A reader that does not read for a
while is dropped.  All end when the service stops.
"""

import json
from collections.abc import Mapping

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from smtpbridge.ops.markup import Html

MOST_STREAMS = 16
# A proxy in between cuts what is silent for a minute.
_HEARTBEAT_SECONDS = 15.0
# How long a reader may be behind.
BEHIND_SECONDS = 30.0
# In milliseconds: when a browser comes again.
_AGAIN = 3000


@implementer(IPushProducer)
class _Stream:
    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self.request = request
        self.seen: Mapping[str, Html] = {}
        self.behind_since: float | None = None
        self.wrote_at = clock.seconds()
        self._clock = clock

    def pauseProducing(self) -> None:
        """The reader is slow."""
        self.behind_since = self._clock.seconds()

    def resumeProducing(self) -> None:
        """It reads again."""
        self.behind_since = None

    def stopProducing(self) -> None:
        """The connection is gone; `notifyFinish` tells."""

    def write(self, octets: bytes) -> None:
        # The write may be the one that is too much.
        self.wrote_at = self._clock.seconds()
        self.request.write(octets)


class Streams:
    """All streams."""

    def __init__(self, clock: IReactorTime, most: int = MOST_STREAMS) -> None:
        """Have none."""
        self._clock = clock
        self._most = most
        self._streams: set[_Stream] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, request: Request) -> bool:
        """Keep answering `request`; `False`, and nothing is done, where there are too many."""
        if len(self._streams) >= self._most:
            return False
        stream = _Stream(request, self._clock)
        self._streams.add(stream)
        request.notifyFinish().addBoth(lambda _: self._streams.discard(stream))
        request.setHeader(b"Content-Type", b"text/event-stream")
        # For nginx, which else would gather events until there are enough of them.
        request.setHeader(b"X-Accel-Buffering", b"no")
        request.registerProducer(stream, True)
        stream.write(b"retry: %d\n\n" % _AGAIN)
        return True

    def tell(self, sections: Mapping[str, Html]) -> None:
        """Send everybody what they have not seen yet."""
        now = self._clock.seconds()
        for stream in list(self._streams):
            if stream.behind_since is not None:
                if now - stream.behind_since >= BEHIND_SECONDS:
                    self._streams.discard(stream)
                    stream.request.channel.forceAbortClient()
                continue
            new = {name: inner for name, inner in sections.items() if stream.seen.get(name) != inner}
            if new:
                stream.seen = sections
                stream.write(b"event: page\ndata: " + json.dumps(new).encode("ascii") + b"\n\n")
            elif now - stream.wrote_at >= _HEARTBEAT_SECONDS:
                stream.write(b": still here\n\n")

    def close(self) -> None:
        """End all."""
        for stream in list(self._streams):
            stream.request.unregisterProducer()
            stream.request.finish()
