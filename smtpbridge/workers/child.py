"""
A worker: a relay like that of a single process, whose connections come from its parent.

It says when it is ready, every second that its event loop turns, and, soon after connections
came, how many sessions it has.  When its parent is gone it drains and ends: nobody would bring
connections any more, and the next parent starts workers of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from smtpbridge.ops.health import Trouble
from smtpbridge.ops.metrics import Figure
from smtpbridge.relay.service import RelayService
from smtpbridge.workers import wellness, words
from smtpbridge.workers.arrivals import Entrance
from smtpbridge.workers.channel import Channel
from smtpbridge.workers.sums import told
from smtpbridge.workers.words import Nonsense

_ALIVE_SECONDS = 1.0
# Connections that come in a crowd are told of together.
_SOON_SECONDS = 0.02


class Child:
    """What a worker and its parent say to each other, as the worker sees it."""

    log = Logger()

    def __init__(
        self,
        relay: RelayService,
        entrances: Sequence[Entrance],
        figures: Sequence[Figure],
        reactor: Any,
        *,
        look: Callable[[], Sequence[Trouble]],
        end: Callable[[], None],
    ) -> None:
        """
        Serve what comes in at `entrances`, one for each of the relay's doors.

        `look` says once a second what is in the way of mail; `end` ends the process in order.
        """
        self._relay = relay
        self._entrances = entrances
        self._figures = figures
        self._reactor = reactor
        self._look = look
        self._end = end
        self._troubles: Sequence[Trouble] = ()
        self._seen = 0
        self._channel: Channel | None = None
        self._alive: IDelayedCall | None = None
        self._soon: IDelayedCall | None = None

    def begin(self, channel: Channel) -> None:
        """Be ready."""
        self._channel = channel
        self._say(words.Kind.READY)
        self._be_alive()

    def leave(self) -> None:
        """This worker is ending, whoever wanted it."""
        self._say(words.Kind.LEAVING)

    def finish(self) -> None:
        """Everything has ended."""
        for call in (self._alive, self._soon):
            if call is not None and call.active():
                call.cancel()
        if self._channel is not None:
            self._channel.close()

    def heard(self, packet: bytes, descriptors: Sequence[int]) -> None:
        """Obey the parent."""
        kind, content = words.read(packet)
        match kind, content:
            case words.Kind.CONNECTIONS, bytes(doors):
                self._take(doors, descriptors)
            case words.Kind.ASK, int(question):
                self._say(words.Kind.FIGURES, [question, told(self._figures)])
            case words.Kind.STOP, None:
                self._end()
            case _:
                raise Nonsense("what a parent never says")

    def lost(self) -> None:
        """The parent is gone."""
        self.log.critical("the process that started this worker is gone; ending what is under way")
        self._end()

    def _take(self, doors: bytes, descriptors: Sequence[int]) -> None:
        for door, descriptor in zip(doors, descriptors, strict=True):
            try:
                self._entrances[door].take(descriptor)
            except OSError as error:
                # Most often the peer is gone already.
                self.log.info("a connection was lost before it began: {error}", error=str(error))
        self._seen += len(doors)
        if self._soon is None:
            self._soon = self._reactor.callLater(_SOON_SECONDS, self._tell_soon)

    def _tell_soon(self) -> None:
        self._soon = None
        self._tell_counts()

    def _be_alive(self) -> None:
        self._alive = self._reactor.callLater(_ALIVE_SECONDS, self._be_alive)
        self._troubles = self._look()
        self._tell_counts()

    def _tell_counts(self) -> None:
        sessions = [len(door.gate.sessions) for door in self._relay.doors]
        self._say(words.Kind.COUNTS, [self._seen, sessions, wellness.told(self._troubles)])

    def _say(self, kind: words.Kind, content: object = None) -> None:
        if self._channel is not None:
            self._channel.send(words.packet(kind, content))
