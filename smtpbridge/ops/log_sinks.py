"""
Where the log goes: a stream, a file that somebody else rotates, the journal.

Theory of operation
-------------------

Mail is not held up by its log.  A sink writes what the other end takes at once; what it does not take, because a
reader is slow, a disk is full or the journal is being started anew, waits here, up to four mebibytes.  Beyond that
what is new is dropped and counted, and when the other end takes lines again one of them says how many are missing.

A pipe or a terminal is asked whether it has room (poll(2)) and then gets no more than POSIX lets a pipe take in one
piece, so a write does not block; the descriptor itself is left as it is, because it is shared with whoever
started this process.

A file is opened anew when it is asked for (`reopen`), and when, looked at once a second at most, the name
stands for another file than the one that is open: somebody has moved it away.

What must not be known here: what a line says.
"""

import errno
import os
import select
import socket
import stat
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol as Contract

# Half an hour of a busy bridge's errors, seconds of all its lines.
_MOST_OCTETS = 4 * 1024 * 1024
# What a pipe takes whole or not at all (pipe(7)).
_ATOMIC = 4096
_LOOK_SECONDS = 1.0
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS}
JOURNAL = "/run/systemd/journal/socket"


class Sink(Contract):
    """Where whole lines, or entries, go."""

    lost: int
    why: str

    @property
    def waits(self) -> bool:
        """Whether something has not been taken yet."""

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write them behind what waits, as far as they are taken at once."""

    def drain(self, seconds: float) -> None:
        """Wait until all is taken, as long as something is taken within so many seconds."""

    def reopen(self) -> str:
        """Open anew where there is a name to open; return why that is not possible."""


class _Queue:
    """What waits, bounded; `lost` counts what was dropped since somebody set it back, and `why` says the reason."""

    def __init__(self) -> None:
        self.lost = 0
        self.why = ""
        self._pieces: deque[bytes] = deque()
        self._octets = 0

    @property
    def waits(self) -> bool:
        """See `Sink`."""
        return bool(self._pieces)

    def reopen(self) -> str:
        """See `Sink`."""
        return ""

    def _keep(self, piece: bytes, count: int) -> None:
        if self._octets + len(piece) > _MOST_OCTETS:
            self.lost += count
        else:
            self._pieces.append(piece)
            self._octets += len(piece)

    def _took(self, count: int) -> None:
        """The first piece, or so many octets of it, are away."""
        piece = self._pieces.popleft()
        self._octets -= count
        if count < len(piece):
            self._pieces.appendleft(piece[count:])


class Stream(_Queue):
    """An open file, pipe, socket or terminal."""

    def __init__(self, descriptor: int) -> None:
        """Write to `descriptor`, which is not closed here."""
        super().__init__()
        self._use(descriptor)

    def _use(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # A file is ready at any time, and takes all.
        self._poll: select.poll | None = None
        if not _is_file(descriptor):
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLOUT)

    def write(self, pieces: Sequence[bytes]) -> None:
        """See `Sink`."""
        if pieces:
            octets = b"".join(pieces)
            self._keep(octets, octets.count(b"\n"))
        while self._pieces and self._write_one():
            pass

    def drain(self, seconds: float) -> None:
        """See `Sink`."""
        while self._pieces and self._poll is not None and self._poll.poll(seconds * 1000):
            self.write(())

    def _write_one(self) -> bool:
        """Write what is first; tell whether all of it is away."""
        piece = self._pieces[0]
        count = self._taken(piece)
        self._took(count)
        return count == len(piece)

    def _taken(self, piece: bytes) -> int:
        view, count = memoryview(piece), 0
        most = len(piece) if self._poll is None else _ATOMIC
        while count < len(piece):
            if self._poll is not None and not self._poll.poll(0):
                self.why = "nobody reads fast enough"
                break
            try:
                count += os.write(self._descriptor, view[count : count + most])
            except BlockingIOError:
                self.why = "nobody reads fast enough"
                break
            except OSError as error:
                if error.errno in _DISK:
                    self.why = (error.strerror or str(error)).lower()
                    break
                return len(piece)  # nobody reads any more, and there is nowhere to say so
        return count


class File(Stream):
    """A file with a name, which somebody else rotates."""

    def __init__(self, opened: Callable[[], int], path: str, now: Callable[[], float]) -> None:
        """`opened` opens the file at `path` for appending; raises `OSError` where that is not possible."""
        super().__init__(opened())
        self._opened = opened
        self._path = path
        self._now = now
        self._look_at = now() + _LOOK_SECONDS

    def write(self, pieces: Sequence[bytes]) -> None:
        """See `Sink`."""
        if self._now() >= self._look_at:
            self._look_at = self._now() + _LOOK_SECONDS
            if self._moved():
                self.reopen()
        super().write(pieces)

    def drain(self, seconds: float) -> None:
        """See `Sink`; a disk that is full stays so."""

    def reopen(self) -> str:
        """See `Sink`; what is open stays so where the file cannot be opened anew."""
        try:
            descriptor = self._opened()
        except OSError as error:
            return error.strerror or str(error)
        before = self._descriptor
        self._use(descriptor)
        os.close(before)
        return ""

    def _moved(self) -> bool:
        try:
            there, open_ = os.stat(self._path), os.fstat(self._descriptor)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (open_.st_dev, open_.st_ino)


class Journal(_Queue):
    """The journal of systemd."""

    def __init__(self, path: str = JOURNAL) -> None:
        """Send to the socket at `path`; nothing is opened there."""
        super().__init__()
        self._path = path
        # Never connected: the journal may be started anew.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Send nothing more."""
        self._socket.close()

    def write(self, pieces: Sequence[bytes]) -> None:
        """See `Sink`."""
        for piece in pieces:
            self._keep(piece, 1)
        while self._pieces:
            try:
                self._socket.sendto(self._pieces[0], self._path)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    self.why = f"the journal does not take them ({(error.strerror or str(error)).lower()})"
                    return
                self.lost += 1
                self.why = "too large for the journal"
            self._took(len(self._pieces[0]))

    def drain(self, seconds: float) -> None:
        """See `Sink`."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        # The socket is not connected, so what poll tells is room on this side alone: one more attempt is all there is.
        if self._pieces and poll.poll(seconds * 1000):
            self.write(())


def journal_fault(path: str = JOURNAL) -> str:
    """Return why there is no journal to send to, in words; empty where there is one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        try:
            one.connect(path)
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return ""


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return True  # closed; writing finds that out
