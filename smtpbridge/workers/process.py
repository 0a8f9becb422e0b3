"""
One worker's process, as the parent sees it.

It is a fresh Python, not a copy of this process: a reactor with its open files cannot be
shared.  It gets what it has to know on its standard input, the line to its parent as file 3, and
what it writes comes back here: lines of its log, and on the other stream whatever Python itself
has to say when the worker dies of something that nobody foresaw.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpbridge.workers.channel import Channel, channel_pair

# Where a worker finds the line to its parent.
LINE = 3
MODULE = "smtpbridge.workers"
# What a line of a log may have at most; what is longer is no line.
_LONGEST_LINE = 65_536


# Why a process has ended that nobody asked: the kernel was short of memory, or a person did it.
KILLED = "killed by signal 9"


class Worker(ProcessProtocol):
    """A worker that was started."""

    log = Logger()

    def __init__(
        self,
        number: int,
        reactor: Any,
        *,
        task: bytes,
        heard: Callable[[int, bytes], None],
        lines: Callable[[bytes], None],
        ended: Callable[[int, str], None],
    ) -> None:
        """
        Start worker `number`, and tell it its `task`.

        `heard` gets its packets, `lines` its log, `ended` why it has ended, once everything of it is gone.  Raise
        `OSError` where the system gives no process.
        """
        self.number = number
        self._ended = ended
        self._lines = lines
        self._out = self._complaint = b""
        own, theirs = channel_pair()
        try:
            self.channel = Channel(own, reactor, lambda words, _: heard(number, words), lambda: None)
            self._process = reactor.spawnProcess(
                self,
                sys.executable,
                # The number is for whoever looks at a list of processes.
                [sys.executable, "-m", MODULE, str(number)],
                env=None,
                childFDs={0: "w", 1: "r", 2: "r", LINE: theirs.fileno()},
            )
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self.pid: int = self._process.pid
        self._process.write(task)
        self._process.closeStdin()

    def send(self, words: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Send a packet; tell whether there was room for it."""
        return self.channel.send(words, descriptors)

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        try:
            self._process.signalProcess("KILL")
        except ProcessExitedAlready:
            pass  # That is what was wanted.

    def outReceived(self, data: bytes) -> None:
        """Pass whole lines on."""
        lines, end, rest = (self._out + data).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, end, rest = lines + end + rest, b"\n", b""
        self._out = rest
        if lines:
            self._lines(lines + end)

    def errReceived(self, data: bytes) -> None:
        """Log what is no log: the end of a process that did not come so far."""
        *lines, self._complaint = (self._complaint + data).split(b"\n")
        self._complaint = self._complaint[-_LONGEST_LINE:]
        for line in lines:
            self.log.error(
                "worker {number} says: {line}", number=self.number, line=line.decode("utf-8", "backslashreplace")
            )

    def processEnded(self, reason: Failure) -> None:
        """Twisted has waited for it and read all that it wrote."""
        self.channel.close()
        if self._out:
            self.outReceived(b"\n")
        if self._complaint:
            self.errReceived(b"\n")
        self._ended(self.number, _why(reason.value))


def _why(ending: Any) -> str:
    """Say in words how a process has ended; `ending` is Twisted's `ProcessDone` or `ProcessTerminated`."""
    if ending.signal == signal.SIGKILL:
        return KILLED
    if ending.signal is not None:
        return f"killed by signal {ending.signal}"
    return f"ended with status {ending.exitCode}" if ending.exitCode else "ended"


def inherited(number: int) -> int:
    """Keep a file that was passed to this process from going further; return its number."""
    os.set_inheritable(number, False)
    return number
