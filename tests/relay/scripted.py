"""
An SMTP server that does as it is told, faults included.  It shares no code with the relay.

A script leads from a command (`MAIL`, `RCPT`, `DATA`, `.` for the final dot, `BODY` for the first line of the data,
`EHLO`, `STARTTLS`, `AUTH`, `RSET`, `GREETING`, `TAKEN` for the answer to a message that is taken all the same) to what
is done instead of the usual.  A value is one of

- octets: the reply,
- `CUT`: the connection is cut,
- `SILENCE`: nothing; if that was due to a command, no later command is answered either,
- `SLOW`: the usual reply, one octet at a time,
- `FLOOD`: a reply of lines without end,
- `EARLY`: the usual reply, and in one piece with it that to the command which is due next,
- a list of these: one for each time (two for a `BODY` that is not usual), the last one for ever after.

`Upstream.unsure` has the recipients whose final dot came in and was not answered clearly: what becomes of their message
is beyond what a client can know, and only they may get it twice.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import trustme
from twisted.internet import reactor as _reactor
from twisted.internet.interfaces import IAddress, IPullProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpbridge.relay.tls import ServerTls, server_context
from smtpbridge.secret import Secret

reactor: Any = _reactor
# Between two octets of a slow reply.
_PAUSE = 0.03
_CLEAR = re.compile(rb"[245][0-9][0-9] [ -~]{,500}\r\n")


class Deed(Enum):
    """What a server can do other than reply."""

    CUT = auto()
    SILENCE = auto()
    USUAL = auto()
    SLOW = auto()
    FLOOD = auto()
    EARLY = auto()


CUT, SILENCE, USUAL = Deed.CUT, Deed.SILENCE, Deed.USUAL
SLOW, FLOOD, EARLY = Deed.SLOW, Deed.FLOOD, Deed.EARLY

USUAL_REPLIES = {
    "GREETING": b"220 upstream.test ESMTP\r\n",
    "EHLO": b"250-upstream.test\r\n250-8BITMIME\r\n250-SIZE 20971520\r\n250-STARTTLS\r\n250-AUTH LOGIN PLAIN\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250 PIPELINING\r\n",
    "STARTTLS": b"220 2.0.0 go\r\n",
    "AUTH": b"235 2.7.0 Authentication successful\r\n",
    "MAIL": b"250 2.1.0 Sender OK\r\n",
    "RCPT": b"250 2.1.5 Recipient OK\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 2.6.0 Message queued as 4711\r\n",
    "RSET": b"250 2.0.0 OK\r\n",
    "QUIT": b"221 2.0.0 Bye\r\n",
    "NOOP": b"250 2.0.0 OK\r\n",
}
# What a client asks for next when it has been answered.
NEXT = {
    "GREETING": "EHLO",
    "EHLO": "STARTTLS",
    "STARTTLS": "EHLO",
    "AUTH": "MAIL",
    "MAIL": "RCPT",
    "RCPT": "DATA",
    "DATA": ".",
    "BODY": ".",
    ".": "RSET",
    "TAKEN": "RSET",
    "RSET": "MAIL",
}
Step = bytes | Deed
Script = dict[str, Step | list[Step]]


@dataclass
class Taken:
    """A message that was answered 250."""

    sender: str | None
    recipients: list[str]
    data: bytes
    connection: int


@dataclass
class Upstream(Factory):
    """The server, and what it saw."""

    tls: ServerTls
    script: Script = field(default_factory=dict)
    noisy: bool = False
    commands: list[str] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    connections: list["Line"] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)
    unsure: list[str] = field(default_factory=list)

    def buildProtocol(self, addr: IAddress | None) -> "Line":
        """Return the next connection."""
        self.connections.append(Line(self, len(self.connections)))
        return self.connections[-1]

    def next_step(self, word: str, argument: str = "") -> Step:
        """Return what the script says to the command now; `RCPT <address>` may have an entry of its own."""
        key = f"{word} {argument}" if f"{word} {argument}" in self.script else word
        step = self.script.get(key, USUAL)
        if isinstance(step, list):
            at = self.times.get(key, 0)
            self.times[key] = at + 1
            step = step[min(at, len(step) - 1)]
        return step

    @property
    def open(self) -> int:
        """How many connections are open."""
        return sum(1 for line in self.connections if line.connected)

    def recipients(self) -> list[str]:
        """Everybody who got a message, in order, as often as they got it."""
        return [address for one in self.taken for address in one.recipients]


class Line(LineOnlyReceiver):
    """One connection."""

    MAX_LENGTH = 1_000_000

    def __init__(self, upstream: Upstream, number: int) -> None:
        self.upstream = upstream
        self.number = number
        self.data: list[bytes] | None = None
        self.sender: str | None = None
        self.recipients: list[str] = []
        # The data of this message were refused before their end, or will never be answered.
        self.deaf = False
        # No command is answered any more: an answer to a later one would pass for that to the one that was left out.
        self.mute = False
        # Something was said on this connection that is no answer to a command.
        self.babbled = False
        self._floods = False
        self._slowly = b""
        self._when_said: list[Callable[[], None]] = []

    def connectionMade(self) -> None:
        self.do("GREETING")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0
        self._slowly = b""

    def lineReceived(self, line: bytes) -> None:
        if self.data is not None:
            self.data_line(line)
            return
        if self.mute:
            return
        text = line.decode("latin-1")
        word = text.split(" ")[0].upper()
        self.upstream.commands.append(text)
        argument = text.partition("<")[2].partition(">")[0]
        if word == "RCPT" and self.sender is None:
            self.act(b"503 5.5.1 MAIL first\r\n")
            return
        if not self.do(word, argument):
            return
        if word == "STARTTLS":
            self._once_said(lambda: self.transport.startTLS(self.upstream.tls))  # type: ignore[union-attr]
        elif word == "MAIL":
            self.sender, self.recipients = argument, []
        elif word == "RCPT":
            self.recipients.append(argument)
        elif word == "DATA":
            self.data = []
        elif word == "RSET":
            self.sender, self.recipients = None, []

    def data_line(self, line: bytes) -> None:
        assert self.data is not None
        if not self.data and self.upstream.next_step("BODY") is not USUAL:
            step = self.upstream.next_step("BODY")
            self.deaf = not self.act(step, "BODY") and not self.babbled
        if line != b".":
            self.data.append(line.removeprefix(b".") if line.startswith(b".") else line)
            return
        data, self.data = b"".join(line + b"\r\n" for line in self.data), None
        self.end_of_data(data)

    def end_of_data(self, data: bytes) -> None:
        """Answer the final dot, and note what a client can know of it."""
        if self.deaf:
            self.deaf = False
            return
        taken, step = self.upstream.next_step("TAKEN"), self.upstream.next_step(".")
        is_clear = step in (USUAL, EARLY) or (isinstance(step, bytes) and _CLEAR.fullmatch(step) is not None)
        if self.babbled or taken is not USUAL or not is_clear:
            self.upstream.unsure += self.recipients
        well = self.act(step, ".") if taken is USUAL else True
        if taken is not USUAL:
            self.act(taken, "TAKEN")
        # An empty message for nobody is how a client gets out of DATA (RFC 2920, 3.1).
        if well and self.recipients:
            self.upstream.taken.append(Taken(self.sender, self.recipients, data, self.number))

    def do(self, word: str, argument: str = "") -> bool:
        """Answer; tell whether the command was carried out."""
        return self.act(self.upstream.next_step(word, argument), word)

    def act(self, step: Step, word: str = "") -> bool:
        """Take one step of the script; tell whether it says yes."""
        usual = USUAL_REPLIES.get("." if word in ("TAKEN", "BODY") else word, b"500 5.5.2 what?\r\n")
        match step:
            case Deed.CUT:
                self.transport.abortConnection()  # type: ignore[union-attr]
                return False
            case Deed.SILENCE:
                self.mute = self.data is None and word in NEXT and word not in (".", "TAKEN")
                return False
            case Deed.FLOOD:
                self.babbled = self.mute = True
                if not self._floods:
                    self._floods = True
                    self.transport.registerProducer(Flood(self), False)  # type: ignore[union-attr]
                return False
            case Deed.EARLY:
                self.babbled = True
                self.say(usual if word == "BODY" else usual + USUAL_REPLIES[NEXT[word]])
                return True
            case Deed.SLOW:
                self._say_slowly(usual)
                return True
            case Deed.USUAL:
                self.say(usual)
                return usual[:1] in b"23"
        self.babbled = self.babbled or re.match(rb"[2345][0-9][0-9][ -]", step) is None or len(step) > 4096
        self.say(step)
        if step.startswith(b"421"):
            self._once_said(self.transport.loseConnection)  # type: ignore[union-attr]
        return step[:1] in b"23"

    def say(self, octets: bytes) -> None:
        """Write, behind what is being said slowly."""
        if self._slowly:
            self._slowly += octets
        else:
            self.transport.write(octets)  # type: ignore[union-attr]

    def _say_slowly(self, octets: bytes) -> None:
        idle, self._slowly = not self._slowly, self._slowly + octets
        if idle:
            self._next_octet()

    def _next_octet(self) -> None:
        if not self._slowly:
            return  # the connection was lost
        self.transport.write(self._slowly[:1])  # type: ignore[union-attr]
        self._slowly = self._slowly[1:]
        if self._slowly:
            reactor.callLater(_PAUSE, self._next_octet)
        else:
            waiting, self._when_said = self._when_said, []
            for call in waiting:
                call()

    def _once_said(self, call: Callable[[], None]) -> None:
        if self._slowly:
            self._when_said.append(call)
        else:
            call()


@implementer(IPullProducer)
class Flood:
    """Lines of one reply for as long as somebody takes them."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def resumeProducing(self) -> None:
        """Write some more of them."""
        self._line.transport.write(b"250-and so on\r\n" * 50)  # type: ignore[union-attr]

    def stopProducing(self) -> None:
        """The connection is gone."""


def server_tls(ca: trustme.CA, *names: str) -> ServerTls:
    """Return the context of a server with a certificate for `names`."""
    issued = ca.issue_cert(*names)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return server_context(chain, Secret(issued.private_key_pem.bytes()))
