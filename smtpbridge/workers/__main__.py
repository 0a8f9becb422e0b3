"""
The program of a worker, `python -m smtpbridge.workers NUMBER`: its parent starts it, and it is of no use by hand.
"""

import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger, globalLogBeginner

from smtpbridge.assembly import endpoint_for, relay_service
from smtpbridge.config import load_record
from smtpbridge.figures import figures_of
from smtpbridge.ops.health import Trouble, troubles_of
from smtpbridge.ops.logs import TextLog
from smtpbridge.relay.service import RelayService
from smtpbridge.settings.values import Listener
from smtpbridge.vitals import probe, seen_of
from smtpbridge.workers.arrivals import Entrance, Plain
from smtpbridge.workers.channel import Channel
from smtpbridge.workers.child import Child
from smtpbridge.workers.process import LINE, inherited
from smtpbridge.workers.shares import share_of
from smtpbridge.workers.task import Task, read_task

_log = Logger()


def main() -> None:
    """Be a worker until the end."""
    from twisted.internet import reactor as installed

    # Its interfaces are many, and declared for none of the kinds.
    reactor: Any = installed
    words = sys.stdin.buffer.read()
    if not words:
        raise SystemExit("this program is started by the daemon, with [process] workers = 2 or more")
    task = read_task(words)
    log = TextLog(sys.stdout.fileno(), reactor, mark=f"worker={task.number}")
    globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False, discardBuffer=True)
    try:
        child = _built(task, reactor)
    except Exception:
        _log.failure("this worker cannot start")
        log.flush()
        raise SystemExit(1) from None
    reactor.addSystemEventTrigger("after", "shutdown", log.flush)
    channel = Channel(socket.socket(fileno=inherited(LINE)), reactor, child.heard, child.lost)
    reactor.callWhenRunning(child.begin, channel)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(_end, reactor))
    reactor.run(installSignalHandlers=False)


def _built(task: Task, reactor: Any) -> Child:
    config = share_of(load_record(task.record), task.number, task.workers)
    entrances: list[Entrance] = []

    def endpoint_of(listener: Listener) -> IStreamServerEndpoint:
        entrance = Entrance(reactor)
        entrances.append(entrance)
        return Plain(entrance) if listener.address.kind == "systemd" else endpoint_for(listener, entrance)

    relay = relay_service(config, reactor, endpoint_of=endpoint_of)
    child = Child(
        relay, entrances, figures_of(relay), reactor, look=lambda: _troubles(relay), end=lambda: _end(reactor)
    )

    def stop() -> Any:
        child.leave()
        return relay.stopService().addBoth(lambda _: child.finish())

    relay.privilegedStartService()
    reactor.callWhenRunning(relay.startService)
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    return child


def _troubles(relay: RelayService) -> tuple[Trouble, ...]:
    probe(relay)
    return troubles_of(seen_of(relay))


def _end(reactor: Any) -> None:
    """Stop, however often it is wanted."""
    with suppress(ReactorNotRunning):
        reactor.stop()


if __name__ == "__main__":
    main()
