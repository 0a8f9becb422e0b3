"""
A worker: a relay like that of a single process, whose connections come from its parent.

It says when it is ready, every second that its event loop turns, and, soon after connections
came, how many sessions it has.  When its parent is gone it drains and ends: nobody would bring
connections any more, and the next parent starts workers of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.ops.health import Trouble
from smtpbridge.ops.metrics import Figure
from smtpbridge.ops.passage import found_written, sight_written
from smtpbridge.relay.service import RelayService
from smtpbridge.relay.tracing import Tracing
from smtpbridge.sights import Process
from smtpbridge.workers import wellness, words
from smtpbridge.workers.agreement import record_from
from smtpbridge.workers.arrivals import Entrance
from smtpbridge.workers.channel import Channel
from smtpbridge.workers.following import FollowingChild
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
        tracing: Tracing,
        prepare: Callable[[bytes], Callable[[], None]],
        process: Process | None = None,
    ) -> None:
        """
        Serve what comes in at `entrances`, one for each of the relay's doors.

        `look` says once a second what is in the way of mail; `end` ends the process in order.
        `prepare` takes another configuration, and returns what puts it in force.  `tracing` follows sessions.
        `process` is what the status page asks, where there is one.
        """
        self._relay = relay
        self._entrances = entrances
        self._figures = figures
        self._reactor = reactor
        self._look = look
        self._end = end
        self._following = FollowingChild(tracing, self._send)
        self._prepare = prepare
        self._prepared: tuple[int, Callable[[], None]] | None = None
        self._process = process
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
            case words.Kind.LOOK, [int(question), None | str() as wanted] if self._process is not None:
                self._show(self._process, question, wanted)
            case words.Kind.FOLLOW, [int(number), dict(said)]:
                self._following.follow(number, said)
            case words.Kind.UNFOLLOW, int(number):
                self._following.stop(number)
            case words.Kind.PREPARE, int(turn):
                self._look_at(turn, record_from(*descriptors))
            case words.Kind.ENFORCE, int(turn):
                self._enforce(turn)
            case words.Kind.STOP, None:
                self._end()
            case _:
                raise Nonsense("what a parent never says")

    def lost(self) -> None:
        """The parent is gone."""
        self.log.critical("the process that started this worker is gone; ending what is under way")
        self._end()

    def _show(self, process: Process, question: int, wanted: str | None) -> None:
        if wanted is None:
            self._say(words.Kind.SHOWN, [question, None, sight_written(process.sight())])
            return
        finding = Deferred.fromCoroutine(process.find(wanted))
        finding.addCallback(lambda found: self._say(words.Kind.SHOWN, [question, wanted, found_written(found)]))
        finding.addErrback(lambda reason: self.log.failure("a search failed", failure=reason))

    def _look_at(self, turn: int, record: bytes) -> None:
        self._prepared, faults = None, []
        try:
            self._prepared = turn, self._prepare(record)
        except SmtpbridgeError as error:
            faults = str(error).splitlines()
        except Exception:
            self.log.failure("another configuration could not be prepared")
            faults = ["internal error; the log has more"]
        self._say(words.Kind.PREPARED, [turn, faults])

    def _enforce(self, turn: int) -> None:
        # A worker that was started meanwhile has prepared nothing, and obeys the new one already.
        if self._prepared is not None and self._prepared[0] == turn:
            (_, put_in_force), self._prepared = self._prepared, None
            put_in_force()
        self._say(words.Kind.ENFORCED, turn)

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
        self._send(words.packet(kind, content))

    def _send(self, packet: bytes) -> bool:
        return self._channel is not None and self._channel.send(packet)
