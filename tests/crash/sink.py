"""
The provider: takes mail over TLS and remembers who got what, from which life of the daemon, under which of its ids.

A thread for each connection, Python's own `ssl`, nothing of the bridge.  What
is done with a recipient stands in its local part:

    later.NAME      refused with 451 the first time, taken after that
    never.NAME      refused with 550
    cut.NAME        the first message for it is taken, and the connection cut without a word

A message counts as taken when its final dot has come, before that is answered.
"""

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from tests.integration.rig import PATIENCE, Papers

_ID = re.compile(rb"(?i)^received: [^;]*?\sid (\w+);", re.MULTILINE)
_SUBJECT = re.compile(rb"(?im)^subject: (\S+)\r$")
_FINAL_RECIPIENT = re.compile(rb"(?im)^final-recipient: rfc822; ?(\S+?)\r$")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that one recipient got; `answered` is False where the sink cut the connection instead."""

    name: str
    recipient: str
    bridge_id: str
    life: int
    answered: bool


@dataclass(slots=True)
class Sink:
    """What has come."""

    port: int
    arrivals: list[Arrival] = field(default_factory=list)
    # Recipients that were named in a report to their sender.
    reported: set[str] = field(default_factory=set)
    _met: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def first_time(self, recipient: str) -> bool:
        """Tell whether nobody has asked this about `recipient` before."""
        with self._lock:
            if recipient in self._met:
                return False
            self._met.add(recipient)
            return True

    def take(self, data: bytes, recipients: list[str], life: int, answered: bool) -> None:
        """Remember a message."""
        header = data.partition(b"\r\n\r\n")[0] + b"\r\n"
        if b"multipart/report" in header:
            with self._lock:
                self.reported.update(found.decode() for found in _FINAL_RECIPIENT.findall(data))
            return
        name, bridge_id = _SUBJECT.search(header), _ID.search(header)
        assert name is not None
        assert bridge_id is not None
        with self._lock:
            self.arrivals += [
                Arrival(name[1].decode(), recipient, bridge_id[1].decode(), life, answered) for recipient in recipients
            ]


class _Gone(Exception):
    """The dialogue is over."""


class _Dialogue:
    """One connection."""

    def __init__(self, channel: ssl.SSLSocket, lines: BinaryIO, sink: Sink) -> None:
        self._channel = channel
        self._lines = lines
        self._sink = sink
        self._life = 0
        self._recipients: list[str] = []

    def run(self) -> None:
        self._say("220 sink.example.net")
        while line := self._lines.readline():
            self._command(line.decode().rstrip("\r\n"))

    def _say(self, reply: str) -> None:
        self._channel.sendall(reply.encode() + b"\r\n")

    def _command(self, line: str) -> None:
        match line.split(" ")[0].upper():
            case "EHLO":
                # The name that the daemon has in this life.
                self._life = int(line.partition("life")[2].partition(".")[0])
                self._say("250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN")
            case "AUTH":
                self._say("235 2.7.0 go on")
            case "MAIL":
                self._recipients = []
                self._say("250 2.1.0 sender")
            case "RCPT":
                self._recipient(line.partition("<")[2].partition(">")[0])
            case "DATA" if self._recipients:
                self._say("354 go on")
                self._message()
            case "DATA":
                self._say("554 5.5.1 nobody wants it")
            case "QUIT":
                self._say("221 2.0.0 bye")
                raise _Gone
            case _:
                self._say("250 2.0.0 fine")

    def _recipient(self, recipient: str) -> None:
        if recipient.startswith("never."):
            self._say("550 5.1.1 nobody of that name")
        elif recipient.startswith("later.") and self._sink.first_time(recipient):
            self._say("451 4.2.1 not now")
        else:
            self._recipients.append(recipient)
            self._say("250 2.1.5 recipient")

    def _message(self) -> None:
        lines = []
        while (line := self._lines.readline()) not in (b".\r\n", b""):
            lines.append(line)
        if not line:
            raise _Gone
        cut = any(recipient.startswith("cut.") and self._sink.first_time(recipient) for recipient in self._recipients)
        self._sink.take(b"".join(lines), self._recipients, self._life, answered=not cut)
        if cut:
            raise _Gone
        self._say("250 2.6.0 taken")


@contextmanager
def running(papers: Papers) -> Iterator[Sink]:
    """Run the sink."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    sink = Sink(listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def serve(accepted: socket.socket) -> None:
        try:
            with context.wrap_socket(accepted, server_side=True) as channel, channel.makefile("rb") as lines:
                _Dialogue(channel, lines, sink).run()
        except (_Gone, OSError):
            pass
        finally:
            accepted.close()

    def accept() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            accepted.settimeout(PATIENCE)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threads.append(threading.Thread(target=serve, args=(accepted,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield sink
    finally:
        # `close` alone would not wake the thread that waits in `accept`.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(PATIENCE)
        # The daemon is gone by now, and its connections with it.
        for thread in threads:
            thread.join(PATIENCE)
