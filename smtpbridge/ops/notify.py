"""
Tell the service manager how the daemon is: systemd's notification protocol (sd_notify(3)).

Theory of operation
-------------------

systemd names a datagram socket in $NOTIFY_SOCKET and reads assignments from it, a line each:
READY=1 when the service is up, STATUS= for `systemctl status`, WATCHDOG=1 as a sign of life,
STOPPING=1 when it has begun to end.  The protocol is a promise of systemd's to stay as it is,
and one `sendto`, so no library stands between.

A notice never waits: the socket does not block, and what its queue has no room for is told
again a second later.  Somebody calls `tick` about once a second.  The sign of life has its own
timer and comes from the event loop, so a loop that is stuck gives none, and systemd starts the
service anew.

Before and behind a reload it is told so, because `systemctl reload` waits for both.

While the daemon drains it asks for more time again and again, each time a little: systemd lets
it go on beyond TimeoutStopSec only as long as it asks, and the drain has its own limit.

What must not be known here: what the relay is, and the environment.
"""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Protocol as Contract

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from smtpbridge.ops.health import Health, What

_STATUS_SECONDS = 5.0
# Three times what passes between two requests for more time.
_EXTENSION_MICROSECONDS = 15_000_000
# systemd cuts far later; `systemctl status` shows one line.
_LONGEST_STATUS = 500
_FULL = {errno.EAGAIN, errno.ENOBUFS}


class Teller(Contract):
    """Where notices go."""

    def tell(self, *assignments: str) -> bool:
        """Send them together, now; tell whether they were taken."""

    def close(self) -> None:
        """Send nothing more."""


class NotifySocket:
    """The socket that $NOTIFY_SOCKET names: a path, or with "@" in front a name in the abstract namespace."""

    log = Logger()

    def __init__(self, address: str) -> None:
        """Raise `ValueError` for an address of another kind."""
        if not address.startswith(("/", "@")) or len(address) == 1:
            raise ValueError("neither a path nor an abstract name")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self._complained = False

    def tell(self, *assignments: str) -> bool:
        """See `Teller`; a failure is said once in the log, because without READY=1 systemd ends the service."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            if error.errno not in _FULL and not self._complained:
                self._complained = True
                self.log.warn(
                    "the service manager cannot be told how the bridge is: {error}; with Type=notify it will end it "
                    "(is AF_UNIX in RestrictAddressFamilies= of the unit?)",
                    error=str(error),
                )
            return False
        return True

    def close(self) -> None:
        """See `Teller`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Notices:
    """What the service manager is told, and when."""

    def __init__(
        self,
        teller: Teller,
        health: Health,
        status: Callable[[], str],
        clock: IReactorTime,
        watchdog_seconds: float = 0.0,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        """
        Say `status()`, a line; without `watchdog_seconds` nobody waits for signs of life.

        `monotonic` are the seconds of CLOCK_MONOTONIC, which systemd compares with its own.
        """
        self._monotonic = monotonic
        self._teller = teller
        self._health = health
        self._status = status
        self._clock = clock
        # systemd advises half of the time that it waits (sd_watchdog_enabled(3)).
        self._life_seconds = watchdog_seconds / 2
        self._life: IDelayedCall | None = None
        self._told_ready = self._told_stopping = False
        self._told_status = ""
        self._status_due = self._extension_due = 0.0

    def start(self) -> None:
        """The event loop turns."""
        if self._life_seconds:
            self._alive()

    def tick(self) -> None:
        """Tell what is new."""
        if self._health.has(What.DRAINING):
            self._stopping()
        elif not self._told_ready and not self._health.has(What.STARTING):
            self._told_ready = self._tell_status("READY=1")
        now = self._clock.seconds()
        if now >= self._status_due:
            self._tell_status()

    def stop(self) -> None:
        """The end; nothing is told any more."""
        if self._life is not None:
            self._life.cancel()
            self._life = None
        self._teller.close()

    def changed(self) -> None:
        """Readiness has changed: the status is told with the next tick."""
        self._status_due = 0.0

    def reloading(self) -> None:
        """
        The configuration is read again.

        By the time systemd knows that this is an answer to what it wants, and not to something before
        (Type=notify-reload, systemd.service(5)).
        """
        self._teller.tell("RELOADING=1", f"MONOTONIC_USEC={int(self._monotonic() * 1e6)}")

    def reloaded(self) -> None:
        """It was read, whatever became of it: READY=1 is told anew, now or as soon as there is room."""
        self._told_ready = False
        self.tick()

    def _stopping(self) -> None:
        now = self._clock.seconds()
        if now < self._extension_due:
            return
        more = f"EXTEND_TIMEOUT_USEC={_EXTENSION_MICROSECONDS}"
        first = () if self._told_stopping else ("STOPPING=1",)
        if self._teller.tell(*first, more):
            self._told_stopping = True
            self._extension_due = now + _EXTENSION_MICROSECONDS / 3e6

    def _tell_status(self, *before: str) -> bool:
        """Tell the status if it has changed, and `before` in any case."""
        status = " ".join(self._status().split())[:_LONGEST_STATUS]
        new = [f"STATUS={status}"] if status != self._told_status else []
        if (before or new) and not self._teller.tell(*before, *new):
            return False
        self._told_status = status
        self._status_due = self._clock.seconds() + _STATUS_SECONDS
        return True

    def _alive(self) -> None:
        self._life = self._clock.callLater(self._life_seconds, self._alive)
        self._teller.tell("WATCHDOG=1")


def watchdog_seconds(microseconds: str, for_process: str, process: int) -> float:
    """
    Return how long systemd waits for a sign of life, 0 where it does not.

    The arguments are $WATCHDOG_USEC, $WATCHDOG_PID and the process that asks: the variables may have been meant for
    another (sd_watchdog_enabled(3)).
    """
    if for_process and for_process != str(process):
        return 0.0
    with suppress(ValueError):
        return max(0, int(microseconds)) / 1e6
    return 0.0
