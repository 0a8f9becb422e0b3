"""
The line between the parent and a worker: a pair of connected sockets that keep packets whole.

A packet may carry open files along (SCM_RIGHTS, unix(7)), which is how a connection gets from
one process into another.  Nothing is ever kept back here: what the other end has no room for is
refused at once, and the caller decides.
"""

import array
import socket
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

# The largest packet holds the figures of a worker: some kilobytes.
_LARGEST = 262_144
# How many descriptors a packet can carry; the kernel's own limit is 253 (unix(7)).
MOST_DESCRIPTORS = 64
_ROOM = socket.CMSG_LEN(MOST_DESCRIPTORS * array.array("i").itemsize)
# What is read before others have their turn.
_PACKETS = 16


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@implementer(IReadDescriptor)
class Channel:
    """One end."""

    def __init__(
        self,
        own: socket.socket,
        reactor: IReactorFDSet,
        heard: Callable[[bytes, list[int]], None],
        lost: Callable[[], None],
    ) -> None:
        """
        Read from `own`: `heard` gets each packet, and its descriptors, which are its own to close.

        `lost` is called once when the other end is gone, not when this one was closed.
        """
        own.setblocking(False)
        self._socket = own
        self._reactor = reactor
        self._heard = heard
        self._lost = lost
        self._open = True
        self._buffer = memoryview(bytearray(_LARGEST))
        reactor.addReader(self)

    def send(self, words: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Send a packet; tell whether it was taken.  The descriptors stay open here."""
        along = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            self._socket.sendmsg((words,), along)
        except OSError:
            # No room, or nobody there; that nobody is there shows in reading.
            return False
        return True

    def close(self) -> None:
        """Neither read nor send any more."""
        if self._open:
            self._open = False
            self._reactor.removeReader(self)
            self._socket.close()

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "workers"

    def doRead(self) -> None:
        """See `IReadDescriptor`; what is left for the next turn wakes the reactor again."""
        for _ in range(_PACKETS):
            if not self._open or not self._read_one():
                return

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`: the reactor found the socket broken, or stops."""
        self._end()

    def _read_one(self) -> bool:
        try:
            size, along, _, _ = self._socket.recvmsg_into([self._buffer], _ROOM, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except OSError:
            size, along = 0, []
        if not size:
            self._end()
            return False
        self._heard(bytes(self._buffer[:size]), _descriptors(along))
        return True

    def _end(self) -> None:
        if self._open:
            self.close()
            self._lost()


def _descriptors(along: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, octets in along:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(octets[: len(octets) - len(octets) % found.itemsize])
    return found.tolist()
