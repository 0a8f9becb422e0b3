"""
The provider of the race: takes every message, looks whether it was translated, and counts.

    python -m bench.race.sink FD FACTS

FD is a socket to whoever started it.  The sink writes its port there, then a line of
JSON with its counters for each line that comes in: `tell`, or `reset`, which
also sets them to zero.  It ends when that socket is closed, so it never stays behind.
FACTS is JSON: certificate, key, user, password, kind, delay.

It demands STARTTLS and AUTH before mail, and answers a batch of commands in one
write.  Of each message it compares the callback data, the other X-IB fields and every octet of
the body with what they must be; a difference is counted as a violation, by its name.
"""

import base64
import functools
import gc
import json
import math
import socket
import ssl
import sys
from collections import Counter
from dataclasses import dataclass, field

from bench.race.conversations import PAUSE, READ, Line, Loop, Steps
from bench.race.messages import Kind, Message, message

# RFC 5322, 2.1.1, with the CR that is left when lines are cut at LF.
_LONGEST = 999
_END = b"\r\n.\r\n"
_CAPABILITIES = b"250-localhost\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-ENHANCEDSTATUSCODES\r\n"
_EHLO_PLAIN = _CAPABILITIES + b"250-STARTTLS\r\n250 8BITMIME\r\n"
_EHLO_TLS = _CAPABILITIES + b"250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"
_SIMPLE = {b"RSET": b"250 2.0.0 fine\r\n", b"NOOP": b"250 2.0.0 fine\r\n", b"HELO": b"250 localhost\r\n"}
_REFUSED = b"530 5.7.0 STARTTLS and AUTH come first\r\n"


@dataclass(slots=True)
class Book:
    """What was seen since the last reset; `open_now` alone outlives it."""

    open_now: int = 0
    open_most: int = 0
    connections: int = 0
    handshakes: int = 0
    messages: int = 0
    recipients: int = 0
    violations: Counter[str] = field(default_factory=Counter)

    def told(self) -> bytes:
        """Return it as a line."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(facts).encode() + b"\n"

    def reset(self) -> None:
        """Begin anew."""
        self.connections = self.handshakes = self.messages = self.recipients = 0
        self.open_most = self.open_now
        self.violations.clear()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a session needs to know."""

    loop: Loop
    context: ssl.SSLContext
    credentials: tuple[bytes, bytes]
    expected: Message
    delay: bool
    book: Book


@functools.lru_cache(maxsize=64)
def _parsed(value: bytes) -> object:
    """Return JSON as a value, or `None`; a message that comes again and again is read once."""
    try:
        return json.loads(value)
    except ValueError:
        return None


def faults(header: bytes, expected: Message) -> list[str]:
    """Return the names of what is wrong with a header block that begins and ends with CRLF."""
    lowered = header.lower()
    found = []
    if b"\nx-msys-api" in lowered:
        found.append("X-MSYS-API is left")
    at = lowered.find(b"\nx-ib-callback-data:")
    if at < 0:
        found.append("no callback data")
    elif _parsed(_unfolded(header, at + 20)) != expected.callback:
        found.append("wrong callback data")
    if any(wanted not in lowered for wanted in expected.fields):
        found.append("a field is missing or wrong")
    if max(map(len, header.split(b"\n"))) > _LONGEST:
        found.append("a line over 998")
    return found


def _unfolded(header: bytes, start: int) -> bytes:
    """Return the value that begins there, with its folds."""
    end = header.find(b"\r\n", start)
    while header[end + 2 : end + 3] in (b" ", b"\t"):
        end = header.find(b"\r\n", end + 2)
    return header[start:end]


class Session:
    """One connection to the sink."""

    def __init__(self, facts: Facts, line: Line) -> None:
        """Begin before the greeting."""
        self._facts, self._line, self._book = facts, line, facts.book
        self._secure = self._known = False
        self._recipients = 0

    def steps(self) -> Steps[None]:
        """Talk until the other side goes."""
        book = self._book
        book.connections += 1
        book.open_now += 1
        book.open_most = max(book.open_most, book.open_now)
        try:
            yield from self._line.send(b"220 localhost ESMTP\r\n")
            yield from self._commands()
        finally:
            book.open_now -= 1

    def _commands(self) -> Steps[None]:
        held = b""
        while octets := (yield from self._line.receive()):
            held += octets
            *lines, held = held.split(b"\r\n")
            replies = []
            for line in lines:
                verb = line[:4].upper()
                if verb == b"STAR":
                    yield from self._starttls()
                elif verb == b"AUTH":
                    yield from self._auth(line)
                elif verb == b"QUIT":
                    replies.append(b"221 2.0.0 bye\r\n")
                else:
                    replies.append(self._answer(verb))
            yield from self._line.send(b"".join(replies))
            if replies and replies[-1].startswith(b"221"):
                return
            if replies and replies[-1].startswith(b"354"):
                held = yield from self._message(held)

    def _answer(self, verb: bytes) -> bytes:
        match verb:
            case b"RCPT":
                self._recipients += 1
                return b"250 2.1.5 fine\r\n"
            case b"MAIL":
                self._recipients = 0
                if self._known:
                    return b"250 2.1.0 fine\r\n"
                self._book.violations["mail before TLS and AUTH"] += 1
                return _REFUSED
            case b"DATA" if self._known and self._recipients:
                return b"354 go on\r\n"
            case b"EHLO":
                return _EHLO_TLS if self._secure else _EHLO_PLAIN
        return _SIMPLE.get(verb, b"500 5.5.2 unknown\r\n")

    def _starttls(self) -> Steps[None]:
        yield from self._line.send(b"220 2.0.0 go on\r\n")
        yield from self._line.secure(self._facts.context, as_server=True)
        self._secure = True
        self._book.handshakes += 1

    def _auth(self, command: bytes) -> Steps[None]:
        words = command.split(b" ")
        given = [base64.b64decode(word) for word in words[2:]]
        if words[1].upper() == b"PLAIN":
            user, password = (given or [(yield from self._asked(b"334 \r\n"))])[0].split(b"\0")[1:]
        else:
            user = given[0] if given else (yield from self._asked(b"334 VXNlcm5hbWU6\r\n"))
            password = yield from self._asked(b"334 UGFzc3dvcmQ6\r\n")
        self._known = self._secure and (user, password) == self._facts.credentials
        if not self._known:
            self._book.violations["a wrong login, or one without TLS"] += 1
        yield from self._line.send(b"235 2.7.0 fine\r\n" if self._known else b"535 5.7.8 wrong\r\n")

    def _asked(self, question: bytes) -> Steps[bytes]:
        yield from self._line.send(question)
        return base64.b64decode((yield from self._line.receive()))

    def _more(self) -> Steps[bytes]:
        """Return what comes next of a message."""
        if not (octets := (yield from self._line.receive())):
            raise ConnectionResetError
        return octets

    def _message(self, held: bytes) -> Steps[bytes]:
        """Take a message; return what came after it."""
        while (end := held.find(b"\r\n\r\n")) < 0:
            held += yield from self._more()
        expected = self._facts.expected
        self._book.violations.update(faults(b"\r\n" + held[: end + 2], expected))
        rest = yield from self._body(held[end + 4 :], expected.body)
        if self._facts.delay:
            yield PAUSE
        self._book.messages += 1
        self._book.recipients += self._recipients
        yield from self._line.send(b"250 2.6.0 taken\r\n")
        return rest

    def _body(self, octets: bytes, expected: bytes) -> Steps[bytes]:
        at = 0
        # No search and no copy as long as the body is the right one.
        while expected.startswith(octets, at):
            at += len(octets)
            if at == len(expected):
                return b""
            octets = yield from self._more()
        self._book.violations["a body was changed"] += 1
        held = b"\r\n" + expected[:at][-4:] + octets
        while (end := held.find(_END)) < 0:
            held = held[-4:] + (yield from self._more())
        return held[end + 5 :]


def _accept(facts: Facts, listening: socket.socket) -> Steps[None]:
    while True:
        yield READ
        sock, _ = listening.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        guest = Line(facts.loop)
        guest.attach(sock)
        facts.loop.begin(guest, Session(facts, guest).steps())


def _obey(facts: Facts, port: int, line: Line) -> Steps[None]:
    yield from line.send(b"%d\n" % port)
    while wish := (yield from line.receive()):
        yield from line.send(facts.book.told())
        if wish.startswith(b"reset"):
            facts.book.reset()
    facts.loop.stop()


def main() -> None:
    """Run until the starter goes."""
    given = json.loads(sys.argv[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(given["certificate"], given["key"])
    loop = Loop(given["delay"])
    credentials = given["user"].encode(), given["password"].encode()
    facts = Facts(loop, context, credentials, message(Kind[given["kind"]]), given["delay"] > 0, Book())
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    boss, door = Line(loop), Line(loop)
    boss.attach(socket.socket(fileno=int(sys.argv[1])))
    door.attach(listening)
    gc.freeze()
    loop.begin(door, _accept(facts, listening))
    loop.begin(boss, _obey(facts, listening.getsockname()[1], boss))
    loop.run(math.inf)


if __name__ == "__main__":
    main()
