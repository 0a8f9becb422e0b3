"""
One client at the control socket: its request, and what it hears.

A client sends one line, a verb, a blank and a JSON object, and hears lines of JSON objects.  The
last one has the member "done": true, or false with "why", a list of sentences for a person; then
the connection ends.  A verb that goes on, such as one that follows something, ends when its client
hangs up.

What must not be known here: any verb, and who may connect.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from typing import Protocol as Contract

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

# A request is a few words.
_LONGEST_REQUEST = 65_536
_REQUEST_SECONDS = 10.0


class Host(Contract):
    """Whom a client talks to."""

    def welcome(self, one: "Conversation") -> str:
        """Let a client in, or return why not."""

    def obey(self, name: str, arguments: Mapping[str, object], one: "Conversation") -> None:
        """Do what a client wants."""

    def leave(self, one: "Conversation") -> None:
        """A client is gone."""


@implementer(IPushProducer)
class Conversation(LineOnlyReceiver):
    """One client: its request, and what it hears."""

    delimiter = b"\n"
    MAX_LENGTH = _LONGEST_REQUEST
    # Twisted's interfaces do not promise what every stream has.
    transport: Any

    def __init__(self, host: Host, reactor: Any) -> None:
        """Speak for `host`."""
        self._host = host
        self._reactor = reactor
        self._asked = self._over = False
        self._when_gone: list[Callable[[], None]] = []
        self._impatience: IDelayedCall | None = None
        # Whether the client reads what it is told; who says more than it reads must look.
        self.has_room = True

    # What verbs call

    def say(self, answer: Mapping[str, object]) -> None:
        """Tell the client something; it is dropped where nobody hears it any more."""
        self.say_lines(json.dumps(answer, separators=(",", ":")).encode() + b"\n")

    def say_lines(self, lines: bytes) -> None:
        """As `say`, with whole lines that are JSON already."""
        if not self._over and self.transport is not None:
            self.transport.write(lines)

    def done(self, **facts: object) -> None:
        """Tell the client that what it wanted was done."""
        self._end({**facts, "done": True})

    def refuse(self, *why: str) -> None:
        """Tell the client why it was not."""
        self._end({"done": False, "why": why})

    def when_gone(self, call: Callable[[], None]) -> None:
        """Call when the client hangs up, or has heard all."""
        self._when_gone.append(call)

    # What Twisted calls

    def connectionMade(self) -> None:
        """A client has come."""
        self.transport.registerProducer(self, True)
        self._impatience = self._reactor.callLater(_REQUEST_SECONDS, self.refuse, "no request came")
        if why := self._host.welcome(self):
            self.refuse(why)

    def lineReceived(self, line: bytes) -> None:
        """The request; there is only one."""
        if self._asked or self._over:
            return
        self._asked = True
        self._be_patient()
        verb, _, content = line.partition(b" ")
        try:
            arguments = json.loads(content or b"{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            self.refuse("a request is a verb and a JSON object")
            return
        self._host.obey(verb.decode("ascii", "replace"), arguments, self)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A request without an end."""
        self.refuse("the request is too long")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone, or has heard all."""
        self._be_patient()
        self._over = True
        self._host.leave(self)
        calls, self._when_gone = self._when_gone, []
        for call in calls:
            call()

    def pauseProducing(self) -> None:
        """The client does not read."""
        self.has_room = False

    def resumeProducing(self) -> None:
        """It reads again."""
        self.has_room = True

    def stopProducing(self) -> None:
        """It is gone; `connectionLost` follows."""

    def _be_patient(self) -> None:
        if self._impatience is not None and self._impatience.active():
            self._impatience.cancel()

    def _end(self, answer: Mapping[str, object]) -> None:
        if self._over:
            return
        self.say(answer)
        self._over = True
        if self.transport is not None:
            self.transport.unregisterProducer()
            self.transport.loseConnection()
