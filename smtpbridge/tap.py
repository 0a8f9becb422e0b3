"""
The `twistd smtpbridge` command: its options, and the service that they describe.

The faults of a configuration are shown all at once, as a usage error; a port
that cannot be bound ends the process with a status other than zero.

The log goes to standard output as lines of our own (`ops.logs`), unless
twistd's own options send it elsewhere.
"""

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python import usage
from twisted.python.components import Componentized

from smtpbridge import __version__
from smtpbridge.assembly import endpoint_for, relay_service
from smtpbridge.config import ConfigError, load_recorded
from smtpbridge.figures import figures_of
from smtpbridge.ops.admin import AdminService, CannotShow
from smtpbridge.ops.health import Health, troubles_of
from smtpbridge.ops.logs import TextLog
from smtpbridge.ops.metrics import Metrics
from smtpbridge.ops.notify import Notices, NotifySocket, watchdog_seconds
from smtpbridge.ops.watch import Watch
from smtpbridge.relay.service import CannotListen, RelayService
from smtpbridge.settings.record import Record
from smtpbridge.settings.values import Config
from smtpbridge.vitals import Depth, health_figures, probe, seen_of, status_of

_log = Logger()
_LEVELS = {level.name for level in LogLevel.iterconstants()}

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
    record: Record

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"smtpbridge {__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the configuration; every fault of it is a usage error."""
        try:
            self.config, self.record = load_recorded(self["config"], os.environ)
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
        relay: Service,
        log: TextLog | None,
        admin: AdminService | None = None,
        watch: Watch | None = None,
        *,
        user_ids: Callable[[], tuple[int, int]] = lambda: (os.getuid(), os.geteuid()),
    ) -> None:
        """
        Run `relay`; `log` takes the place of twistd's own, `None` leaves that as it is.

        `watch` looks at its health, where there is somebody to tell.
        `user_ids` tells the real and the effective user of the process.
        """
        super().__init__()
        self._log = log
        self._user_ids = user_ids
        self._relay = relay
        self._admin = admin
        self._watch = watch
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
        if self._watch is not None:
            self._watch.start()

    def stopService(self) -> "Deferred[Any]":
        """Drain; who watches is told so from the beginning to the end (`MultiService` would stop all at once)."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        drained = maybeDeferred(self._relay.stopService)
        if self._watch is not None:
            self._watch.look()
        try:
            await drained
        finally:
            if self._admin is not None:
                await maybeDeferred(self._admin.stopService)
            if self._watch is not None:
                self._watch.stop()


def makeService(options: Options) -> IService:
    """Return the service that `options` describe."""
    from twisted.internet import reactor

    reactor.callWhenRunning(_end_well, reactor)
    if options.config.process.workers > 1:
        return _with_workers(options, reactor)
    try:
        relay = relay_service(options.config, reactor)
    except CannotListen as error:
        raise SystemExit(f"smtpbridge: {error}") from error
    health = Health(time.time())
    admin = _admin_of(options.config, relay, health, reactor)
    return Daemon(relay, _log_of(options, reactor), admin, _watch_of(relay, health, admin, reactor))


def _admin_of(config: Config, relay: RelayService, health: Health, reactor: Any) -> AdminService | None:
    if config.admin is None:
        return None
    where = config.admin.endpoint
    metrics = Metrics((*figures_of(relay), *health_figures(health)))
    return AdminService(where, serverFromString(reactor, where), metrics, reactor, health)


def _watch_of(relay: RelayService, health: Health, admin: AdminService | None, reactor: Any) -> Watch | None:
    """Return what looks at the health, if there is an admin endpoint or a service manager that wants to know."""
    depth = Depth(relay.keeper, reactor)
    notices = _notices_of(health, lambda: status_of(relay, health, depth.counts), reactor)
    if admin is None and notices is None:
        return None
    after = [lambda: probe(relay)] if notices is None else [lambda: probe(relay), depth.look]
    return Watch(health, lambda: troubles_of(seen_of(relay)), reactor, time.time, notices=notices, after=after)


def _notices_of(health: Health, status: Callable[[], str], reactor: Any) -> Notices | None:
    """Return what tells systemd, if it started us and asks to be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return None
    try:
        teller = NotifySocket(address)
    except ValueError as error:
        Daemon.log.warn("NOTIFY_SOCKET={address} is {error}: nobody is told", address=address, error=str(error))
        return None
    life = watchdog_seconds(os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", ""), os.getpid())
    return Notices(teller, health, status, reactor, life)


def _with_workers(options: Options, reactor: Any) -> Daemon:
    """Return the parent of several workers."""
    # Here alone: a daemon of one process has no code in it that can start another.
    from smtpbridge.workers.doors import Opening
    from smtpbridge.workers.ledger import Ledger
    from smtpbridge.workers.parent import Parent
    from smtpbridge.workers.shares import notes_on
    from smtpbridge.workers.task import Task
    from smtpbridge.workers.wellness import Wellness

    config, record, log = options.config, options.record, _log_of(options, reactor)
    workers = config.process.workers
    try:
        openings = [Opening(one.endpoint, endpoint_for(one, reactor)) for one in config.listeners]
    except CannotListen as error:
        raise SystemExit(f"smtpbridge: {error}") from error
    health, ledger = Health(time.time()), Ledger(workers, config.process.stuck_seconds)
    wellness = Wellness(ledger, workers)
    parent = Parent(
        openings,
        ledger,
        reactor,
        task=lambda number: Task(number, workers, record).written(),
        lines=_say_of_workers if log is None else log.pass_on,
        give_up=lambda _: _end_badly(reactor),
        wellness=wellness,
        figures=health_figures(health),
        notes=(*config.notes, *notes_on(config, workers)),
    )
    where = config.admin.endpoint if config.admin else ""
    admin = AdminService(where, serverFromString(reactor, where), parent.figures, reactor, health) if where else None
    notices = _notices_of(health, lambda: wellness.status(health), reactor)
    return Daemon(parent, log, admin, Watch(health, wellness.troubles, reactor, time.time, notices=notices))


def _say_of_workers(lines: bytes) -> None:
    """Give lines of workers to the log that twistd was told to write, which has a time and level of its own."""
    for line in lines.decode("utf-8", "backslashreplace").splitlines():
        _, level, text = [*line.split(" ", 2), "", ""][:3]
        known = level in _LEVELS
        _log.emit(LogLevel.lookupByName(level if known else "error"), "{line}", line=text if known else line)


def _end_badly(reactor: Any) -> None:
    """
    Stop, and let the process end with a status that says that it failed.

    twistd has none to give for a service that fails while it runs; the very last thing that this process does is
    to leave with it.
    """
    atexit.register(os._exit, 1)
    reactor.stop()


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
