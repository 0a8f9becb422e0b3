"""
The `twistd smtpbridge` command: its options, and the service that they describe.

The faults of a configuration are shown all at once, as a usage error; a port
that cannot be bound ends the process with a status other than zero.

The log goes to standard output as lines of our own (`ops.logs`), unless
twistd's own options send it elsewhere.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from twisted.application.service import IService, MultiService
from twisted.internet.endpoints import serverFromString
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized

from smtpbridge import __version__
from smtpbridge.assembly import relay_service
from smtpbridge.config import ConfigError, load
from smtpbridge.figures import figures_of
from smtpbridge.ops.admin import AdminService, CannotShow
from smtpbridge.ops.logs import TextLog
from smtpbridge.ops.metrics import Metrics
from smtpbridge.relay.service import CannotListen, RelayService
from smtpbridge.settings.values import Config

_ROOT = 0
_AS_ROOT = (
    "RUNNING AS ROOT: whoever gets into this process has the whole machine. Nothing here needs root. Let systemd run "
    "it (smtpbridge.service and smtpbridge.socket), or write USER in the container, or start it with "
    "twistd --uid=smtpbridge --gid=smtpbridge (the ports are bound before), with [store] path owned by that user"
)


class Options(usage.Options):
    """What can stand behind `twistd smtpbridge`."""

    synopsis = "[--config FILE]"
    longdesc = (
        "Accept mail as SparkPost's SMTP endpoint does and relay it to Infobip.  All settings stand in one TOML file; "
        "`smtpbridge check --config FILE` looks through it without starting anything."
    )
    optParameters: ClassVar[list[list[str]]] = [
        ["config", "c", "/etc/smtpbridge/smtpbridge.toml", "the configuration file"]
    ]
    config: Config

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"smtpbridge {__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the configuration; every fault of it is a usage error."""
        try:
            self.config = load(self["config"], os.environ)
        except ConfigError as error:
            faults = "\n".join(f"  {fault}" for fault in error.faults)
            raise usage.UsageError(f"{self['config']} cannot be used:\n{faults}") from error


class Daemon(MultiService):
    """
    The main service of a process: what it cannot bind ends the process.

    It shouts when it runs as root. twistd binds first, then becomes the user of --uid, then starts the services, so the
    question is asked at the start. Root as the real user counts too: from there is a way back (--euid).
    """

    log = Logger()

    def __init__(
        self,
        relay: RelayService,
        log: TextLog | None,
        admin: AdminService | None = None,
        *,
        user_ids: Callable[[], tuple[int, int]] = lambda: (os.getuid(), os.geteuid()),
    ) -> None:
        """
        Run `relay`; `log` takes the place of twistd's own, `None` leaves that as it is.

        `user_ids` tells the real and the effective user of the process.
        """
        super().__init__()
        self._log = log
        self._user_ids = user_ids
        relay.setServiceParent(self)
        if admin is not None:
            admin.setServiceParent(self)

    def setServiceParent(self, parent: IService) -> None:
        """Before twistd begins to log it asks its application for an observer: give it ours."""
        if self._log is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._log)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind, or exit."""
        try:
            super().privilegedStartService()
        except (CannotListen, CannotShow) as error:
            raise SystemExit(f"smtpbridge: {error}") from error

    def startService(self) -> None:
        """Start all; by now a process that was to give root up has done so."""
        if _ROOT in self._user_ids():
            self.log.critical("{warning}", warning=_AS_ROOT)
        super().startService()


def makeService(options: Options) -> IService:
    """Return the service that `options` describe."""
    from twisted.internet import reactor

    reactor.callWhenRunning(_end_well, reactor)
    try:
        relay = relay_service(options.config, reactor)
    except CannotListen as error:
        raise SystemExit(f"smtpbridge: {error}") from error
    return Daemon(relay, _log_of(options, reactor), _admin_of(options.config, relay, reactor))


def _admin_of(config: Config, relay: RelayService, reactor: Any) -> AdminService | None:
    if config.admin is None:
        return None
    where = config.admin.endpoint
    return AdminService(where, serverFromString(reactor, where), Metrics(figures_of(relay)), reactor)


def _end_well(reactor: Any) -> None:
    """
    Let SIGTERM end the process with status 0.

    Twisted's own way drains just the same, but then the process kills itself with the signal that it got, and a
    supervisor takes an orderly end for a crash.
    """
    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))


def _log_of(options: Options, reactor: Any) -> TextLog | None:
    """Return our log unless twistd was told where to log or goes to the background."""
    twistd: Mapping[str, object] = options.parent or {}
    told = twistd.get("logfile") or twistd.get("syslog") or twistd.get("logger")
    if told or not twistd.get("nodaemon"):
        return None
    log = TextLog(sys.stdout.fileno(), reactor)
    reactor.addSystemEventTrigger("after", "shutdown", log.flush)
    return log
