"""
Many conversations over sockets in one thread, with as little Python between two system calls as there can be.

How it works
------------

A conversation is a generator that reads like a blocking program.  Where it would
block it yields what it waits for: `READ`, `WRITE` or `PAUSE`.  The `Loop` resumes
it when the kernel (epoll) says so, or when the pause is over; all pauses of a loop
are of one length, so a queue holds them in their order.  A `Line` is the socket
of one conversation, plain or under TLS.

The load generator and the sink share the processors with what they measure,
which is why they do not use asyncio: a round trip costs about a third of it.

What must not be known here: SMTP.
"""

import errno
import os
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Generator
from typing import TypeAlias, TypeVar

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
PAUSE = -1

Answer = TypeVar("Answer")
# What a conversation is made of: it yields what it waits for.
Steps: TypeAlias = Generator[int, None, Answer]

# A record of TLS holds 16 KiB at most (RFC 8446, 5.1), and one read returns one record at most.
_RECORD = 16_384
_READ_PLAIN = 262_144
# A write of TLS that could not go through is tried again with the same octets.
_WRITE_TLS = 65_536
_WOULD_BLOCK_READING = (BlockingIOError, ssl.SSLWantReadError)
_WOULD_BLOCK_WRITING = (BlockingIOError, ssl.SSLWantWriteError)


class Line:
    """The socket of one conversation; it may be opened again after it was closed."""

    def __init__(self, loop: "Loop") -> None:
        """Begin without a socket."""
        self._loop = loop
        self._sock: socket.socket | None = None
        self._tls: ssl.SSLSocket | None = None
        self.steps: Steps[None] | None = None
        self.waits_for = READ
        self.fd = -1

    @property
    def is_open(self) -> bool:
        """Tell whether there is a socket."""
        return self._sock is not None

    def attach(self, sock: socket.socket) -> None:
        """Use that socket."""
        sock.setblocking(False)
        self._sock, self._tls = sock, None
        self.fd = sock.fileno()
        self.waits_for = READ
        self._loop.watch(self)

    def connect(self, port: int) -> Steps[None]:
        """Open a connection to a port of this machine."""
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        begun = sock.connect_ex(("127.0.0.1", port))
        self.attach(sock)
        if begun == errno.EINPROGRESS:
            yield WRITE
            begun = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if begun:
            raise OSError(begun, os.strerror(begun))

    def close(self) -> None:
        """Let go of the socket; the kernel takes it off the list of epoll by itself."""
        if self._sock is not None:
            self._loop.forget(self)
            (self._tls or self._sock).close()
            self._sock = self._tls = None

    def secure(self, context: ssl.SSLContext, *, as_server: bool) -> Steps[None]:
        """Put TLS on the connection."""
        assert self._sock is not None
        name = None if as_server else "localhost"
        tls = context.wrap_socket(
            self._sock, server_side=as_server, server_hostname=name, do_handshake_on_connect=False
        )
        self._sock = self._tls = tls
        while True:
            try:
                tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                yield READ
            except ssl.SSLWantWriteError:
                yield WRITE

    def receive(self) -> Steps[bytes]:
        """Return what comes next, nothing when the other side has closed."""
        assert self._sock is not None
        receive, most = (self._tls.read, _RECORD) if self._tls is not None else (self._sock.recv, _READ_PLAIN)
        # OpenSSL keeps nothing back that the kernel still counts as unread: a record is read whole.
        while True:
            yield READ
            try:
                return receive(most)
            except _WOULD_BLOCK_READING:
                continue

    def send(self, octets: bytes) -> Steps[None]:
        """Send all of it."""
        assert self._sock is not None
        most = _WRITE_TLS if self._tls is not None else len(octets)
        # The usual case costs neither a view nor a loop.
        if len(octets) <= most:
            try:
                if (sent := self._sock.send(octets)) == len(octets):
                    return
            except _WOULD_BLOCK_WRITING:
                sent = 0
        else:
            sent = 0
        view = memoryview(octets)[sent:]
        while view:
            try:
                view = view[self._sock.send(view[:most]) :]
            except _WOULD_BLOCK_WRITING:
                yield WRITE


class Loop:
    """Resume each conversation when what it waits for has come."""

    def __init__(self, pause: float) -> None:
        """Make every pause `pause` seconds long."""
        self._pause = pause
        self._epoll = select.epoll()
        self._lines: dict[int, Line] = {}
        self._paused: deque[tuple[float, Line]] = deque()
        self._running = 0
        self._stopped = False

    def begin(self, line: Line, steps: Steps[None]) -> None:
        """Start a conversation."""
        line.steps = steps
        self._running += 1
        self._resume(line)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopped = True

    def run(self, until: float) -> int:
        """Go on to the end of all conversations, or to that time (monotonic); return how many have not ended."""
        lines, paused, monotonic = self._lines, self._paused, time.monotonic
        while self._running and not self._stopped:
            now = monotonic()
            while paused and paused[0][0] <= now:
                line = paused.popleft()[1]
                line.waits_for = READ
                self._resume(line)
            if now >= until:
                break
            for fd, _ in self._epoll.poll(min(max(0.0, (paused[0][0] if paused else until) - now), 3600.0)):
                # One that was closed in the same round, or that pauses, has nothing to do with the event.
                if (ready := lines.get(fd)) is not None and ready.waits_for != PAUSE:
                    self._resume(ready)
        return self._running

    def watch(self, line: Line) -> None:
        """Ask the kernel about a line's socket from now on."""
        self._lines[line.fd] = line
        self._epoll.register(line.fd, READ)

    def forget(self, line: Line) -> None:
        """Ask no more."""
        del self._lines[line.fd]

    def _resume(self, line: Line) -> None:
        assert line.steps is not None
        try:
            wish = next(line.steps)
        except (StopIteration, OSError):
            # Who wants to know about an error has caught it in the conversation.
            line.close()
            self._running -= 1
            return
        if wish == PAUSE:
            # The kernel goes on looking for what it looked for before the pause.
            self._paused.append((time.monotonic() + self._pause, line))
            line.waits_for = PAUSE
        elif wish != line.waits_for:
            self._epoll.modify(line.fd, wish)
            line.waits_for = wish
