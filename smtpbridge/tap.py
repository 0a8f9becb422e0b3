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
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from OpenSSL import SSL
from twisted.application.service import IService
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python import usage

from smtpbridge import __version__
from smtpbridge.assembly import relay_service
from smtpbridge.config import ConfigError, load_recorded
from smtpbridge.daemon import Daemon, end_badly, end_well
from smtpbridge.doors import endpoint_for
from smtpbridge.figures import figures_of
from smtpbridge.following import follow_here, trace_verb, tracing_of
from smtpbridge.frontpage import admin_service
from smtpbridge.logbook import CannotLog, Shape, daemon_log, follow, say_of_workers
from smtpbridge.ops.admin import AdminService
from smtpbridge.ops.control import Control, Verb
from smtpbridge.ops.conversation import Conversation
from smtpbridge.ops.health import Health, troubles_of
from smtpbridge.ops.logs import EventLog
from smtpbridge.ops.metrics import Figure, Metrics
from smtpbridge.ops.notify import Notices, NotifySocket, watchdog_seconds
from smtpbridge.ops.recent import Recent
from smtpbridge.ops.watch import Watch
from smtpbridge.readings.process import build_figures, process_figures
from smtpbridge.relay.polling import shorten
from smtpbridge.relay.service import CannotListen, RelayService
from smtpbridge.reloading.reloader import Reloader
from smtpbridge.reloading.reloads import Apply, NotApplied
from smtpbridge.reloading.reloads import figures_of as reload_figures
from smtpbridge.renewal import CannotRenew, admin_renewal, renewal_for
from smtpbridge.settings.record import Record
from smtpbridge.settings.values import Config
from smtpbridge.sights import Process
from smtpbridge.vitals import Depth, depth_figures, health_figures, probe, seen_of, status_of
from smtpbridge.webhooks import Webhooks, webhooks

_log = Logger()


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


def makeService(options: Options) -> IService:
    """Return the service that `options` describe."""
    from twisted.internet import reactor

    reactor.callWhenRunning(end_well, reactor)
    shorten(reactor)
    if options.config.process.workers > 1:
        return _with_workers(options, reactor)
    try:
        relay = relay_service(options.config, reactor)
    except CannotListen as error:
        raise SystemExit(f"smtpbridge: {error}") from error
    return _alone(options, relay, reactor)


def _alone(options: Options, relay: RelayService, reactor: Any) -> Daemon:
    """Return the daemon that relays in its own process."""
    health, log = Health(time.time()), _log_of(options, reactor)[0]
    depth = Depth(relay.keeper, reactor)
    notices = _notices_of(health, lambda: status_of(relay, health, depth.counts), reactor)

    shown_at = _admin_endpoint(options.config, reactor)

    async def apply(old: Config, new: Config, _: Record) -> None:
        try:
            show_anew = admin_renewal(shown_at, new, reactor)
            relay.renew(renewal_for(relay, old, new, reactor))
        except CannotRenew as error:
            raise NotApplied(str(error)) from error
        show_anew()
        if log is not None:
            follow(log, new.log)

    reloader = _reloader_of(options, apply, reactor, notices, log, lambda config: config.notes)
    events = webhooks(options.config, reactor, os.environ)
    admin = _admin_of(options.config, shown_at, relay, health, depth, reloader, events, reactor)
    watch = _watch_of(relay, health, admin, notices, depth, reactor)
    verbs = {"trace": trace_verb(follow_here(tracing_of(relay, reactor))), "reload": reloader.obey}
    control = _control_of(options.config, verbs, reactor)
    return Daemon(relay, log, admin, watch, control, reloader, events.service)


def _reloader_of(
    options: Options,
    apply: Apply,
    reactor: Any,
    notices: Notices | None,
    log: EventLog | None,
    notes: Callable[[Config], Sequence[str]],
) -> Reloader:
    """Return what reads the configuration again; it heeds SIGHUP as soon as the reactor runs."""
    reloader = Reloader(
        # twistd may have changed the folder by the time that somebody asks.
        os.path.abspath(options["config"]),
        options.config,
        options.record,
        os.environ,
        apply,
        reactor,
        epoch=time.time,
        notes=notes,
        notices=notices,
        reopen=_nothing if log is None else log.reopen,
    )
    reactor.callWhenRunning(signal.signal, signal.SIGHUP, lambda *_: reactor.callFromThread(reloader.hang_up))
    return reloader


def _control_of(config: Config, verbs: Mapping[str, Verb], reactor: Any) -> Control | None:
    """Return the control socket, if there is to be one, with `verbs` and what every daemon knows."""
    if config.process.control is None:
        return None
    return Control(str(config.process.control), {"version": _tell_version, **verbs}, reactor)


def _tell_version(_: Mapping[str, object], asked: Conversation) -> None:
    asked.done(version=__version__, pid=os.getpid())


def _admin_of(
    config: Config,
    endpoint: IStreamServerEndpoint | None,
    relay: RelayService,
    health: Health,
    depth: Depth,
    reloader: Reloader,
    events: Webhooks,
    reactor: Any,
) -> AdminService | None:
    if config.admin is None or endpoint is None:
        return None
    figures = (*figures_of(relay), *depth_figures(depth, time.time), *_own_figures(health))
    metrics = Metrics((*figures, *reload_figures(reloader.reloads), *events.figures))
    recent = Recent()
    source = Process(relay, recent, depth, reactor)
    parts = metrics, source, health, reactor, recent, events.seen
    return admin_service(lambda: reloader.reloads.config, config.admin, endpoint, *parts)


def _admin_endpoint(config: Config, reactor: Any) -> IStreamServerEndpoint | None:
    """Return where operators look, or end with what is wrong with it, such as a key file that cannot be read."""
    if config.admin is None:
        return None
    try:
        return endpoint_for(config.admin, reactor)
    except (CannotListen, OSError, SSL.Error) as error:
        raise SystemExit(f"smtpbridge: [admin] endpoint {config.admin.endpoint} cannot be used: {error}") from error


def _own_figures(health: Health) -> tuple[Figure, ...]:
    """Return the figures about the process and the whole."""
    return (*health_figures(health), *build_figures(time.time()), *process_figures())


def _watch_of(
    relay: RelayService,
    health: Health,
    admin: AdminService | None,
    notices: Notices | None,
    depth: Depth,
    reactor: Any,
) -> Watch | None:
    """Return what looks at the health, if there is an admin endpoint or a service manager that wants to know."""
    if admin is None and notices is None:
        return None
    after = [lambda: probe(relay), depth.look]
    return Watch(health, lambda: troubles_of(seen_of(relay)), reactor, time.time, notices=notices, after=after)


def _notices_of(health: Health, status: Callable[[], str], reactor: Any) -> Notices | None:
    """Return what tells systemd, if it started us and asks to be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return None
    try:
        teller = NotifySocket(address)
    except ValueError as error:
        _log.warn("NOTIFY_SOCKET={address} is {error}: nobody is told", address=address, error=str(error))
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

    config, record = options.config, options.record
    log, shape = _log_of(options, reactor)
    workers = config.process.workers
    try:
        openings = [Opening(one.endpoint, endpoint_for(one, reactor)) for one in config.listeners]
    except CannotListen as error:
        raise SystemExit(f"smtpbridge: {error}") from error
    health, ledger = Health(time.time()), Ledger(workers, config.process.stuck_seconds)
    wellness = Wellness(ledger, workers)
    doors = tuple(one.endpoint for one in config.listeners)
    own_figures = [*_own_figures(health)]

    def notes(of: Config) -> tuple[str, ...]:
        return (*of.notes, *notes_on(of, workers))

    parent = Parent(
        openings,
        ledger,
        reactor,
        task=lambda number: Task(number, workers, record, doors, shape.value).written(),
        lines=say_of_workers if log is None or shape is Shape.JOURNAL else log.pass_on,
        give_up=lambda _: end_badly(reactor),
        wellness=wellness,
        figures=own_figures,
        notes=notes(config),
    )

    shown_at = _admin_endpoint(config, reactor)

    async def apply(_: Config, new: Config, read: Record) -> None:
        try:
            show_anew = admin_renewal(shown_at, new, reactor)
        except CannotRenew as error:
            raise NotApplied(str(error)) from error
        await parent.renew(lambda number: Task(number, workers, read, doors, shape.value).written())
        show_anew()
        if log is not None:
            follow(log, new.log)

    notices = _notices_of(health, lambda: wellness.status(health), reactor)
    reloader = _reloader_of(options, apply, reactor, notices, log, notes)
    events = webhooks(config, reactor, os.environ)
    own_figures += (*reload_figures(reloader.reloads), *events.figures)
    admin = None
    if config.admin is not None and shown_at is not None:
        parts = parent.figures, parent.survey, health, reactor, None, events.seen
        admin = admin_service(lambda: reloader.reloads.config, config.admin, shown_at, *parts)
    watch = Watch(health, wellness.troubles, reactor, time.time, notices=notices)
    verbs = {"trace": trace_verb(parent.following.follow), "reload": reloader.obey}
    control = _control_of(config, verbs, reactor)
    return Daemon(parent, log, admin, watch, control, reloader, events.service)


def _nothing() -> None:
    """Do so."""


def _log_of(options: Options, reactor: Any) -> tuple[EventLog | None, Shape]:
    """Return our log, none where twistd was told where to log or goes to the background, and how workers write."""
    twistd: Mapping[str, object] = options.parent or {}
    told = twistd.get("logfile") or twistd.get("syslog") or twistd.get("logger")
    if told or not twistd.get("nodaemon"):
        return None, Shape.TEXT
    try:
        return daemon_log(options.config.log, sys.stdout.fileno(), os.environ.get("JOURNAL_STREAM", ""), reactor)
    except CannotLog as error:
        raise SystemExit(f"smtpbridge: {error}") from error
