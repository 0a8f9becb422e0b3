"""
The real daemon as a child process, with its log in a file.

It is started as `twistd` would be, by the Python that runs here, so it needs no
search for a program.  Only the process that was started is ended, by its id.
"""

import os
import sys
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from smtpbridge.commands.running import Reactor
from smtpbridge.errors import SmtpbridgeError

_TWISTD = "from twisted.scripts.twistd import run; run()"
# An idle daemon is gone at once; one that is not after this has hung.
_LAST_SECONDS = 10.0
_ORDERLY = (SIGINT, SIGTERM)


class DaemonEnded(SmtpbridgeError):
    """It ended by itself."""


class Daemon(ProcessProtocol):
    """One run of the daemon."""

    def __init__(self, reactor: Reactor, config: Path, log: Path) -> None:
        """Start it with the configuration; it runs in the folder of that."""
        self.log = log
        self._reactor = reactor
        self._over = False
        self._waiting: list[Deferred[None]] = []
        self.asked_to_end = False
        command = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", "smtpbridge", "--config", str(config)]
        nothing = os.open(os.devnull, os.O_RDONLY)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process: IProcessTransport = reactor.spawnProcess(
                self,
                sys.executable,
                command,
                env=os.environ,
                path=str(config.parent),
                childFDs={0: nothing, 1: file, 2: file},
            )
        finally:
            os.close(nothing)
            os.close(file)

    def processEnded(self, reason: Failure) -> None:
        """Twisted has waited for it."""
        self._over = True
        # The Ctrl-C of a terminal goes to both of us.
        self.asked_to_end = self.asked_to_end or getattr(reason.value, "signal", None) in _ORDERLY
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def ended(self) -> Deferred[None]:
        """Return a Deferred of the caller's own that fires when the process has ended."""
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        if self._over:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    async def end(self) -> None:
        """End it and wait for that."""
        self.asked_to_end = True
        self._signal(SIGTERM)
        last = self._reactor.callLater(_LAST_SECONDS, self._signal, SIGKILL)
        try:
            await self.ended()
        finally:
            if last.active():
                last.cancel()

    def last_words(self, lines: int = 15) -> str:
        """Return the end of its log."""
        text = self.log.read_text("utf-8", "backslashreplace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])

    def _signal(self, number: int) -> None:
        try:
            self._process.signalProcess(number)
        except ProcessExitedAlready:
            pass  # That is what was wanted.
