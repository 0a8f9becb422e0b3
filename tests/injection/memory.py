"""
The whole relay in memory: octets from a sender go in, what goes upstream and what goes into the log come out.

Everything is the real thing but sockets and TLS: the gate, the bridge, the pool,
the connections, the log's lines.  The provider answers at once, and reads strictly: a
command that is not exactly one of those that the relay may write, a lone CR or LF in
the data, or an octet in between is a failure of the test.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import count
from typing import IO

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from smtpbridge.dialect.policy import Policy
from smtpbridge.relay.auth import Account, Accounts
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.leases import Limits
from smtpbridge.relay.listener import Gate
from smtpbridge.relay.pool import Host, Pool
from smtpbridge.relay.sender import Sender
from smtpbridge.relay.site import Habits
from smtpbridge.relay.upstream import UpstreamConnection
from smtpbridge.secret import Secret
from smtpbridge.smtp.events import Terms
from tests.relay.fakes import CLIENT_TLS, Line, Place, cut, ehlo
from tests.textlog import text_log

USER, SECRET = "SMTP_Injection", "sender-secret-4711"
KEYWORDS = ("8BITMIME", "SIZE 20971520", "PIPELINING")
ANSWERS = {
    b"RSET": b"250 2.0.0 OK\r\n",
    b"MAIL": b"250 2.1.0 Sender OK\r\n",
    b"RCPT": b"250 2.1.5 Recipient OK\r\n",
    b"DATA": b"354 go on\r\n",
    b".": b"250 2.6.0 Message queued as 4711\r\n",
}
# RFC 5321, 4.1.2, and nothing looser: no source route, no 8-bit, no control character.
_ATOMS = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+"
_ADDRESS = rb'(?:%b|"(?:[ !#-\[\]-~]|\\[ -~])*")@(?:[A-Za-z0-9_.-]+|\[[!-Z^-~]+\])' % _ATOMS
_COMMANDS = {
    b"RSET": re.compile(rb"RSET"),
    b"MAIL": re.compile(rb"MAIL FROM:<((?:%b)?)>(?: SIZE=\d{1,20})?(?: BODY=8BITMIME)?" % _ADDRESS),
    b"RCPT": re.compile(rb"RCPT TO:<(%b|postmaster)>" % _ADDRESS, re.IGNORECASE),
    b"DATA": re.compile(rb"DATA"),
    b"QUIT": re.compile(rb"QUIT"),
}
_LONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_KEY = re.compile(r" (\w[\w.-]*|\{what\})=")
_FIELD = re.compile(rb"([!-9;-~]+):[ \t]?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sent:
    """One message as the provider took it; `wire` is everything behind DATA, without the final dot."""

    mail: bytes
    recipients: tuple[bytes, ...]
    wire: bytes

    @property
    def sender(self) -> bytes:
        """The reverse-path."""
        return self.mail.partition(b"<")[2].rpartition(b">")[0]

    @property
    def content(self) -> bytes:
        """What stands there with its dots undone."""
        return b"\r\n".join(line.removeprefix(b".") for line in self.wire.split(b"\r\n"))

    @property
    def body(self) -> bytes:
        """What stands behind the first empty line."""
        return self.content.partition(b"\r\n\r\n")[2]

    @property
    def lines(self) -> list[bytes]:
        """The header's lines, folded as they are."""
        return self.content.partition(b"\r\n\r\n")[0].split(b"\r\n")

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Return (name in lower case, value unfolded) of each field; a line that is none is a failure."""
        found: list[tuple[bytes, bytes]] = []
        for line in self.lines:
            if line[:1] in (b" ", b"\t"):
                name, value = found.pop()
                found.append((name, value + line))
            else:
                match = _FIELD.fullmatch(line)
                assert match is not None, f"no field: {line!r}"
                found.append((match[1].lower(), match[2]))
        return found


class Provider:
    """Takes every message, and reads strictly; `answers` to a command, one after another, go before the usual one."""

    def __init__(self, answers: Mapping[bytes, list[bytes]], keywords: tuple[str, ...]) -> None:
        self.place = Place()
        self.taken: list[Sent] = []
        self.octets = b""
        self._answers = {verb: list(said) for verb, said in answers.items()}
        self._keywords = keywords
        self._lines: list[tuple[UpstreamConnection, Line]] = []
        self._held: dict[Line, bytes] = {}
        self._in_data: set[Line] = set()
        self._mail = b""
        self._recipients: list[bytes] = []

    def forget_script(self) -> None:
        """Answer as usual from now on."""
        self._answers.clear()

    def pump(self) -> None:
        """Answer until the relay says nothing more."""
        while self._turn():
            pass

    def _turn(self) -> bool:
        if self.place.dials:
            connection, line = self.place.accept()
            self._lines.append((connection, line))
            self._held[line] = b""
            for said in (b"220 mx.test ESMTP\r\n", ehlo("STARTTLS"), b"220 go\r\n"):
                connection.dataReceived(said)
            connection.handshakeCompleted()
            line.take()
            # Who waited for the connection begins at once.
            connection.dataReceived(ehlo(*self._keywords))
            return True
        for connection, line in list(self._lines):
            if line.disconnecting or line.disconnected:
                self._lines.remove((connection, line))
                cut(connection)
                return True
            octets = line.take()
            if octets:
                self.octets += octets
                self._held[line] += octets
                connection.dataReceived(self._read(line))
                return True
        return False

    def _read(self, line: Line) -> bytes:
        said = b""
        while answer := self._read_data(line) if line in self._in_data else self._read_command(line):
            said += answer
        return said

    def _answer(self, verb: bytes) -> bytes:
        said = self._answers.get(verb)
        return said.pop(0) if said else ANSWERS[verb]

    def _read_command(self, line: Line) -> bytes:
        command, end, rest = self._held[line].partition(b"\r\n")
        if not end:
            return b""
        self._held[line] = rest
        verb = command[:4]
        match = _COMMANDS[verb].fullmatch(command) if verb in _COMMANDS else None
        assert match is not None, f"no command: {command!r}"
        assert len(command) <= 510
        if (verb == b"RCPT" and not self._mail) or (verb == b"DATA" and not self._recipients):
            return b"503 5.5.1 Not now\r\n"
        answer = self._answer(verb)
        if verb == b"MAIL":
            self._mail, self._recipients = command if answer.startswith(b"250") else b"", []
        elif verb == b"RCPT" and answer.startswith(b"250"):
            self._recipients.append(match[1])
        elif verb == b"DATA" and answer.startswith(b"354"):
            self._in_data.add(line)
        return answer

    def _read_data(self, line: Line) -> bytes:
        data, end, rest = (b"\r\n" + self._held[line]).partition(b"\r\n.\r\n")
        if not end:
            return b""
        self._held[line] = rest
        self._in_data.discard(line)
        wire = data[2:] + b"\r\n"
        assert _LONE.search(wire) is None, "a lone CR or LF goes upstream"
        assert b"\0" not in wire
        for start in re.findall(rb"(?:\A|\r\n)(\.+)", wire):
            assert len(start) > 1, "a dot at the beginning of a line is not doubled"
        answer = self._answer(b".")
        if answer.startswith(b"250"):
            self.taken.append(Sent(self._mail, tuple(self._recipients), wire))
        return answer


@implementer(ILogObserver)
class Journal:
    """Every event of the log, each as the lines that an operator sees."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._log = text_log(file.fileno(), debug=True)
        self._at = 0
        self.entries: list[str] = []
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self._log(event)
        octets = os.pread(self._file.fileno(), 10_000_000, self._at)
        self._at += len(octets)
        self.events.append(event)
        self.entries.append(octets.decode("utf-8"))

    def check(self) -> None:
        """Each event is one printable line of bounded length that has the keys of its format, and no failure."""
        for entry, event in zip(self.entries, self.events, strict=True):
            assert "log_failure" not in event, entry
            assert entry.endswith("\n")
            assert entry[:-1].isprintable(), entry
            assert len(entry) <= 8300
            if event["log_namespace"].startswith("twisted") or "{address}" in str(event["log_format"]):
                continue
            known = [*_KEY.findall(f" {event['log_format']}"), "unknown_suffix", event.get("what")]
            assert set(_KEY.findall(entry)) <= set(known), entry


@dataclass
class Peer:
    """A sender of ours."""

    sender: Sender
    line: Line
    provider: Provider
    clock: Clock

    def say(self, octets: bytes) -> bytes:
        """Send octets, let everything happen that follows, and return what is answered."""
        if not self.line.disconnecting:
            self.sender.dataReceived(octets)
        self.provider.pump()
        if not (answer := self.line.take()):
            # A login that failed is answered late.
            self.clock.advance(3.0)
            answer = self.line.take()
        return answer

    def lines(self, octets: bytes) -> list[str]:
        """Return the lines of the answer, each checked: printable ASCII of at most 510 octets before CRLF."""
        return checked_lines(self.say(octets))

    def mail(self, data: bytes, sender: bytes = b"news@sender.test", recipient: bytes = b"a@rcpt.test") -> str:
        """Send a message and return the answer to its end, of which there must be one line, and one only."""
        said = self.lines(b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\nDATA\r\n" % (sender, recipient))
        assert [one[:3] for one in said] == ["250", "250", "354"]
        [answer] = self.lines(data + b".\r\n")
        return answer


def checked_lines(octets: bytes) -> list[str]:
    """Return the lines of a reply to a sender."""
    *lines, last = octets.split(b"\r\n")
    assert last == b""
    for line in lines:
        assert re.fullmatch(rb"[2-5]\d\d[ -][ -~]{0,506}", line), line
    return [line.decode("ascii") for line in lines]


@dataclass
class World:
    """A relay, its provider and its log."""

    gate: Gate
    provider: Provider
    journal: Journal
    clock: Clock
    peers: list[Peer] = field(default_factory=list)

    def peer(self) -> Peer:
        """Connect, from an address that nobody had before, and say hello."""
        address = f"127.0.{len(self.peers) // 250}.{len(self.peers) % 250 + 1}"
        sender = self.gate.buildProtocol(IPv4Address("TCP", address, 50_000))
        line = Line()
        sender.makeConnection(line)
        assert isinstance(sender, Sender)
        peer = Peer(sender, line, self.provider, self.clock)
        assert peer.line.take().startswith(b"220 ")
        assert peer.say(b"EHLO client.test\r\n").startswith(b"250")
        self.peers.append(peer)
        return peer


@contextmanager
def relay(
    *,
    policy: Policy | None = None,
    reject_bare: bool = False,
    answers: Mapping[bytes, list[bytes]] | None = None,
    keywords: tuple[str, ...] = KEYWORDS,
    spool: int = 1 << 30,
    new_id: Callable[[], str] | None = None,
) -> Iterator[World]:
    """Build one; `spool` is from what size on a body lies in a file."""
    clock, provider, numbers = Clock(), Provider(answers or {}, keywords), count(1)
    deadlines = Deadlines(clock)
    limits = Limits(hosts=1, max_connections=2, max_messages=100, max_age=100.0, max_idle=10.0, max_waiters=5)
    pool = Pool("main", [Host("mx:587", provider.place, CLIENT_TLS)], limits, deadlines, hello_name="bridge.test")
    gate = Gate(
        Habits(
            Terms("bridge.test", auth_offered=True, max_bad_commands=1000),
            allow=[ip_network("127.0.0.0/8")],
            reject_bare=reject_bare,
            spool=spool,
        ),
        Accounts([Account(USER, Secret(SECRET.encode()))]),
        Bridge({"main": pool}, policy or Policy(), deadlines),
        deadlines,
        new_id=new_id or (lambda: f"ID{next(numbers)}"),
        epoch=lambda: 1_700_000_000.0,
    )
    with tempfile.TemporaryFile(buffering=0) as file:
        world = World(gate, provider, Journal(file), clock)
        globalLogPublisher.addObserver(world.journal)
        try:
            yield world
        finally:
            for peer in world.peers:
                cut(peer.sender)
            globalLogPublisher.removeObserver(world.journal)
