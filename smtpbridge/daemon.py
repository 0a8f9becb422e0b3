"""
The main service of the daemon's process: its order at the start and at the end, whatever it is made of; and with which
status the process ends.

What must not be known here: the configuration, and how anything is built.
"""

import atexit
import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.ops.admin import AdminService
from smtpbridge.ops.control import Control
from smtpbridge.ops.logs import EventLog
from smtpbridge.ops.watch import Watch
from smtpbridge.reloading.reloader import Reloader

_ROOT = 0
_AS_ROOT = (
    "RUNNING AS ROOT: whoever gets into this process has the whole machine. Nothing here needs root. Let systemd run "
    "it (smtpbridge.service and smtpbridge.socket), or write USER in the container, or start it with "
    "twistd --uid=smtpbridge --gid=smtpbridge (the ports are bound before), with [store] path owned by that user"
)


class Daemon(MultiService):
    """
    The main service of a process: what it cannot bind ends the process.

    It shouts when it runs as root. twistd binds first, then becomes the user of --uid, then starts the services, so the
    question is asked at the start. Root as the real user counts too: from there is a way back (--euid).
    """

    log = Logger()

    def __init__(
        self,
        relay: Service,
        log: EventLog | None,
        admin: AdminService | None = None,
        watch: Watch | None = None,
        control: Control | None = None,
        reloader: Reloader | None = None,
        events: Service | None = None,
        *,
        user_ids: Callable[[], tuple[int, int]] = lambda: (os.getuid(), os.geteuid()),
    ) -> None:
        """
        Run `relay`; `log` takes the place of twistd's own, `None` leaves that as it is.

        `watch` looks at its health, where there is somebody to tell; at `control` commands ask.
        `reloader` reads the configuration again.  `events` takes notifications in and posts events.
        `user_ids` tells the real and the effective user of the process.
        """
        super().__init__()
        self._log = log
        self._user_ids = user_ids
        self._relay = relay
        self._watch = watch
        self._reloader = reloader
        # Open to the end: who looks and who asks may be interested in the drain.
        self._asked = [one for one in (admin, control) if one is not None]
        relay.setServiceParent(self)
        self._events = events
        if events is not None:
            events.setServiceParent(self)
        for one in self._asked:
            one.setServiceParent(self)

    def setServiceParent(self, parent: IService) -> None:
        """Before twistd begins to log it asks its application for an observer: give it ours."""
        if self._log is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._log)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind, or exit."""
        try:
            super().privilegedStartService()
        except SmtpbridgeError as error:
            raise SystemExit(f"smtpbridge: {error}") from error

    def startService(self) -> None:
        """Start all; by now a process that was to give root up has done so."""
        if _ROOT in self._user_ids():
            self.log.critical("{warning}", warning=_AS_ROOT)
        super().startService()
        if self._watch is not None:
            self._watch.start()
        if self._reloader is not None:
            self._reloader.start()

    def stopService(self) -> "Deferred[Any]":
        """Drain; who watches is told so from the beginning to the end (`MultiService` would stop all at once)."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._reloader is not None:
            self._reloader.stop()
        drained = maybeDeferred(self._relay.stopService)
        posted = maybeDeferred(self._events.stopService) if self._events is not None else succeed(None)
        if self._watch is not None:
            self._watch.look()
        try:
            await drained
            await posted
        finally:
            for one in self._asked:
                await maybeDeferred(one.stopService)
            if self._watch is not None:
                self._watch.stop()


def end_badly(reactor: Any) -> None:
    """
    Stop, and let the process end with a status that says that it failed.

    twistd has none to give for a service that fails while it runs; the very last thing that this process does is
    to leave with it.
    """
    atexit.register(os._exit, 1)
    reactor.stop()


def end_well(reactor: Any) -> None:
    """
    Let SIGTERM end the process with status 0.

    Twisted's own way drains just the same, but then the process kills itself with the signal that it got, and a
    supervisor takes an orderly end for a crash.
    """
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))
