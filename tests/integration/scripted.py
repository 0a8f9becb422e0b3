"""
An upstream whose manners a test decides: TLS from the first octet, AUTH, and then trouble as scripted.

A thread for each connection, Python's own `ssl` and `socket`, one line at a time:
slow, plain, and sharing nothing with the bridge.  The n-th connection follows the n-th
`Manners`; when they run out, the connections that follow are well behaved.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import BinaryIO

from tests.integration.rig import PATIENCE, Papers

_RESET = struct.pack("ii", 1, 0)


class Trouble(Enum):
    """What happens once a message has been taken."""

    NONE = auto()
    CLOSES_AT_ONCE = auto()
    RESETS_AT_ONCE = auto()
    SAYS_421_AT_ONCE = auto()
    CLOSES_AT_THE_NEXT_COMMAND = auto()
    RESETS_AT_THE_NEXT_COMMAND = auto()
    SAYS_421_AT_THE_NEXT_COMMAND = auto()
    SAYS_421_AT_THE_NEXT_DATA = auto()


@dataclass(frozen=True, slots=True)
class Taken:
    """A message and the connection, counted from 0, that it came on."""

    connection: int
    sender: str
    recipients: tuple[str, ...]
    data: bytes


@dataclass(slots=True)
class Scripted:
    """What the upstream has seen; `may_answer` holds the replies to the final dot back while it is not set."""

    port: int
    taken: list[Taken] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    waiting: int = 0
    may_answer: threading.Event = field(default_factory=threading.Event)


class _Gone(Exception):
    """The dialogue is over."""


class _Dialogue:
    """One connection."""

    def __init__(self, channel: ssl.SSLSocket, number: int, trouble: Trouble, seen: Scripted) -> None:
        self._channel = channel
        self._file: BinaryIO = channel.makefile("rb")
        self._number, self._trouble, self._seen = number, trouble, seen
        self._sender, self._recipients = "", list[str]()
        self._in_trouble = False

    def run(self) -> None:
        try:
            self._say("220 upstream.example.net")
            while True:
                self._command(self._line())
        except (_Gone, OSError):
            pass
        finally:
            self._file.close()

    def _line(self) -> str:
        if not (line := self._file.readline()):
            raise _Gone
        return line.decode().rstrip("\r\n")

    def _say(self, reply: str) -> None:
        self._channel.sendall(reply.encode() + b"\r\n")

    def _command(self, line: str) -> None:
        verb = line.split(" ")[0].split(":")[0].upper()
        if self._in_trouble and verb in ("MAIL", "RSET", "DATA"):
            self._next_command(verb)
        match verb:
            case "EHLO":
                self._say("250-upstream.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN")
            case "AUTH":
                self._say("235 2.7.0 go on")
            case "MAIL":
                self._sender, self._recipients = line[11:].partition(">")[0], []
                self._say("250 2.1.0 sender")
            case "RCPT":
                self._recipients.append(line[9:].partition(">")[0])
                self._say("250 2.1.5 recipient")
            case "DATA":
                self._say("354 go on")
                self._message()
            case "QUIT":
                self._say("221 2.0.0 bye")
                raise _Gone
            case _:
                self._say("250 2.0.0 fine")

    def _message(self) -> None:
        lines = []
        while (line := self._file.readline()) not in (b".\r\n", b""):
            lines.append(line)
        if not line:
            raise _Gone
        self._seen.waiting += 1
        self._seen.may_answer.wait(PATIENCE)
        self._seen.taken.append(Taken(self._number, self._sender, tuple(self._recipients), b"".join(lines)))
        self._say("250 2.6.0 taken by the scripted upstream")
        self._after_message()

    def _after_message(self) -> None:
        match self._trouble:
            case Trouble.NONE:
                return
            case Trouble.CLOSES_AT_ONCE:
                raise _Gone
            case Trouble.RESETS_AT_ONCE:
                self._reset()
            case Trouble.SAYS_421_AT_ONCE:
                self._say("421 4.4.2 idle for too long")
                raise _Gone
            case _:
                self._in_trouble = True

    def _next_command(self, verb: str) -> None:
        match self._trouble:
            case Trouble.CLOSES_AT_THE_NEXT_COMMAND:
                raise _Gone
            case Trouble.RESETS_AT_THE_NEXT_COMMAND:
                self._reset()
            case Trouble.SAYS_421_AT_THE_NEXT_DATA if verb != "DATA":
                return
            case _:
                self._say("421 4.3.2 closing for maintenance")
                raise _Gone

    def _reset(self) -> None:
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise _Gone


@contextmanager
def scripted(papers: Papers, troubles: Sequence[Trouble] = (), *, answers: bool = True) -> Iterator[Scripted]:
    """Run the upstream; without `answers` nobody hears about its final dot before the test says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    listener = socket.create_server(("127.0.0.1", 0))
    seen = Scripted(listener.getsockname()[1])
    if answers:
        seen.may_answer.set()
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def serve(accepted: socket.socket, number: int) -> None:
        trouble = troubles[number] if number < len(troubles) else Trouble.NONE
        try:
            # A socket that nobody unwraps closes without a word of TLS, as a dead server's does.
            with context.wrap_socket(accepted, server_side=True) as channel:
                sockets.append(channel)
                _Dialogue(channel, number, trouble, seen).run()
        except OSError:
            accepted.close()
        finally:
            seen.ended += 1

    def accept() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            accepted.settimeout(PATIENCE)
            _start(serve, accepted, seen.connections, threads=threads)
            seen.connections += 1

    _start(accept, threads=threads)
    try:
        yield seen
    finally:
        seen.may_answer.set()
        # `close` alone would not wake the thread that waits in `accept`.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in sockets:
            _shut(one)
        for thread in threads:
            thread.join(PATIENCE)


def _start(work: Callable[..., None], *args: object, threads: list[threading.Thread]) -> None:
    thread = threading.Thread(target=work, args=args, daemon=True)
    threads.append(thread)
    thread.start()


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is closed already.
