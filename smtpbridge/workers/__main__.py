"""
The program of a worker, `python -m smtpbridge.workers NUMBER`: its parent starts it, and it is of no use by hand.
"""

import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger, globalLogBeginner, globalLogPublisher

from smtpbridge.assembly import relay_service
from smtpbridge.config import load_record
from smtpbridge.doors import endpoint_for
from smtpbridge.figures import figures_of
from smtpbridge.following import tracing_of
from smtpbridge.logbook import Shape, follow, worker_log
from smtpbridge.ops.health import Trouble, troubles_of
from smtpbridge.ops.logs import EventLog
from smtpbridge.ops.recent import Recent
from smtpbridge.readings.process import process_figures
from smtpbridge.relay.polling import shorten
from smtpbridge.relay.service import RelayService
from smtpbridge.settings.values import Config, Listener
from smtpbridge.sights import Process
from smtpbridge.vitals import Depth, depth_figures, probe, seen_of
from smtpbridge.workers.arrivals import Entrance, Plain
from smtpbridge.workers.channel import Channel
from smtpbridge.workers.child import Child
from smtpbridge.workers.obedience import Obedience, config_of
from smtpbridge.workers.process import LINE, inherited
from smtpbridge.workers.task import Task, read_task

_log = Logger()


def main() -> None:
    """Be a worker until the end."""
    from twisted.internet import reactor as installed

    # Its interfaces are many, and declared for none of the kinds.
    reactor: Any = installed
    shorten(reactor)
    words = sys.stdin.buffer.read()
    if not words:
        raise SystemExit("this program is started by the daemon, with [process] workers = 2 or more")
    task = read_task(words)
    config = load_record(task.record)
    log = worker_log(config.log, Shape(task.log), task.number, sys.stdout.fileno(), reactor)
    globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False, discardBuffer=True)
    try:
        child = _built(task, config, log, reactor)
    except Exception:
        _log.failure("this worker cannot start")
        log.finish()
        raise SystemExit(1) from None
    reactor.addSystemEventTrigger("after", "shutdown", log.finish)
    channel = Channel(socket.socket(fileno=inherited(LINE)), reactor, child.heard, child.lost)
    reactor.callWhenRunning(child.begin, channel)
    # Whoever rotates a log may tell all processes of the service; the file is the parent's.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(_end, reactor))
    # It is for the parent, and a terminal that goes tells all.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    reactor.run(installSignalHandlers=False)


def _built(task: Task, whole: Config, log: EventLog, reactor: Any) -> Child:
    config = config_of(task, whole)
    entrances: list[Entrance] = []

    def endpoint_of(listener: Listener) -> IStreamServerEndpoint:
        entrance = Entrance(reactor)
        entrances.append(entrance)
        return Plain(entrance) if listener.address.kind == "systemd" else endpoint_for(listener, entrance)

    relay = relay_service(config, reactor, endpoint_of=endpoint_of)
    depth = Depth(relay.keeper, reactor)
    figures = (*figures_of(relay), *depth_figures(depth, time.time), *process_figures())
    tracing = tracing_of(relay, reactor, f"{task.number}-")
    # All workers have one store, and one that looks how much it keeps is enough.
    look_deep = depth.look if task.number == 1 else _nothing

    def look() -> tuple[Trouble, ...]:
        look_deep()
        return _troubles(relay)

    child = Child(
        relay,
        entrances,
        figures,
        reactor,
        look=look,
        end=lambda: _end(reactor),
        tracing=tracing,
        prepare=Obedience(relay, config, reactor, lambda new: follow(log, new.log)).prepare,
        process=_process_of(config, relay, depth, reactor),
    )

    def stop() -> Any:
        child.leave()
        return relay.stopService().addBoth(lambda _: child.finish())

    relay.privilegedStartService()
    reactor.callWhenRunning(relay.startService)
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    return child


def _nothing() -> None:
    """Do so."""


def _process_of(config: Config, relay: RelayService, depth: Depth, reactor: Any) -> Process | None:
    """Return what the parent's status page asks; nobody listens to the log where there is none."""
    if config.admin is None:
        return None
    recent = Recent()
    globalLogPublisher.addObserver(recent)
    return Process(relay, recent, depth, reactor)


def _troubles(relay: RelayService) -> tuple[Trouble, ...]:
    probe(relay)
    return troubles_of(seen_of(relay))


def _end(reactor: Any) -> None:
    """Stop, however often it is wanted."""
    with suppress(ReactorNotRunning):
        reactor.stop()


if __name__ == "__main__":
    main()
