"""
An SMTP server that does as it is told, faults included.  It shares no code with the relay.

A script leads from a command (`MAIL`, `RCPT`, `DATA`, `.` for the final dot, `BODY` for the first line of the data,
`EHLO`, `STARTTLS`, `AUTH`, `RSET`, `GREETING`) to what is done instead of the usual.  A value is one of

- octets: the reply,
- `CUT`: the connection is cut,
- `SILENCE`: nothing,
- a list of these: one for each time, the last one for ever after.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

import trustme
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from smtpbridge.relay.tls import server_context
from smtpbridge.secret import Secret


class Deed(Enum):
    """What a server can do other than reply."""

    CUT = auto()
    SILENCE = auto()
    USUAL = auto()


CUT, SILENCE, USUAL = Deed.CUT, Deed.SILENCE, Deed.USUAL

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

    tls: CertificateOptions
    script: Script = field(default_factory=dict)
    noisy: bool = False
    commands: list[str] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    connections: list["Line"] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)

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

    def connectionMade(self) -> None:
        self.do("GREETING")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connected = 0

    def lineReceived(self, line: bytes) -> None:
        if self.data is not None:
            self.data_line(line)
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
            self.transport.startTLS(self.upstream.tls)  # type: ignore[union-attr]
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
            self.act(self.upstream.next_step("BODY"))
        if line != b".":
            self.data.append(line.removeprefix(b".") if line.startswith(b".") else line)
            return
        data, self.data = b"".join(line + b"\r\n" for line in self.data), None
        # An empty message for nobody is how a client gets out of DATA (RFC 2920, 3.1).
        if self.do(".") and self.recipients:
            self.upstream.taken.append(Taken(self.sender, self.recipients, data, self.number))

    def do(self, word: str, argument: str = "") -> bool:
        """Answer; tell whether the command was carried out."""
        step = self.upstream.next_step(word, argument)
        usual = USUAL_REPLIES.get(word, b"500 5.5.2 what?\r\n")
        return self.act(usual if step is USUAL else step)

    def act(self, step: Step) -> bool:
        if step is CUT:
            self.transport.abortConnection()  # type: ignore[union-attr]
            return False
        if step is SILENCE:
            return False
        assert isinstance(step, bytes)
        self.transport.write(step)  # type: ignore[union-attr]
        if step.startswith(b"421"):
            self.transport.loseConnection()  # type: ignore[union-attr]
        return step[:1] in b"23"


def server_tls(ca: trustme.CA, *names: str) -> CertificateOptions:
    """Return the context of a server with a certificate for `names`."""
    issued = ca.issue_cert(*names)
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return server_context(chain, Secret(issued.private_key_pem.bytes()))
