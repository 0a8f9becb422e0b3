"""
The real relay in a process of its own that kills itself (SIGKILL) where a test says, or runs until it is killed.

How it works: `run` builds the relay through `smtpbridge.assembly`, as the daemon does,
on a reactor whose listeners and dialled connections report what happens on them.
Those reports and the steps of the store are counted together, and at the chosen
one the process is gone, before the step is made.  What a socket step is:

    sender-connected, sender-read, sender-write             a sender's connection, before the bridge hears or says it
    upstream-dial, upstream-connected, upstream-secure      towards the provider
    upstream-read, upstream-write                           in clear text, that is above TLS

A death at a read is one behind the write that it answers.

`run` is called in a process that was forked from one which has imported all of
this, so a test can afford hundreds of them.  What must not be known here: what
the senders send.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.main import installReactor
from twisted.internet.pollreactor import PollReactor
from twisted.internet.protocol import Factory
from twisted.logger import globalLogBeginner
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import alsoProvides

from smtpbridge.assembly import relay_service
from smtpbridge.config import load
from smtpbridge.dialect.sender import organisational_domain
from tests.textlog import text_log

Steps = Callable[[str], None]

# Read before the fork, once for all.
organisational_domain("example.com")


@dataclass(frozen=True, slots=True)
class Death:
    """Die when `step` is reached for that time, counted from 1."""

    step: str
    number: int


@dataclass(frozen=True, slots=True)
class Life:
    """One daemon: its configuration, how many seconds its clock is ahead, where its log goes, and how it ends."""

    config: Path
    ahead: float
    log: Path
    death: Death | None = None


class _Told(ProtocolWrapper):
    """A connection that reports."""

    def __init__(self, factory: Any, protocol: Any) -> None:
        super().__init__(factory, protocol)
        self._tell: Steps = factory.tell

    def makeConnection(self, transport: Any) -> None:
        self._tell("connected")
        super().makeConnection(transport)
        alsoProvides(self, IHandshakeListener)

    def dataReceived(self, data: bytes) -> None:
        self._tell("read")
        super().dataReceived(data)

    def write(self, data: bytes) -> None:
        self._tell("write")
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self._tell("write")
        super().writeSequence(data)

    def handshakeCompleted(self) -> None:
        """TLS is there."""
        self._tell("secure")
        if IHandshakeListener.providedBy(self.wrappedProtocol):
            self.wrappedProtocol.handshakeCompleted()


class _Telling(WrappingFactory):
    protocol = _Told
    noisy = False

    def __init__(self, wrapped: Factory, side: str, steps: Steps) -> None:
        super().__init__(wrapped)
        self.tell: Steps = lambda what: steps(f"{side}-{what}")


class _Reactor(PollReactor):
    """A reactor on which nothing happens unseen."""

    steps: Steps

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> Any:
        return super().listenTCP(port, _Telling(factory, "sender", self.steps), backlog, interface)

    def connectTCP(self, host: str, port: int, factory: Any, *args: Any, **named: Any) -> Any:
        self.steps("upstream-dial")
        return super().connectTCP(host, port, _Telling(factory, "upstream", self.steps), *args, **named)


def _steps(death: Death | None) -> Steps:
    """Return what hears of the steps, in any thread."""
    if death is None:
        return lambda _: None
    reached, one_at_a_time = 0, threading.Lock()

    def step(name: str) -> None:
        nonlocal reached
        if name != death.step:
            return
        with one_at_a_time:
            reached += 1
            if reached == death.number:
                os.kill(os.getpid(), signal.SIGKILL)

    return step


def run(life: Life, tell_port: Connection) -> None:
    """Live; the port of the listener is told once it is bound."""
    descriptor = os.open(life.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    reactor = _Reactor()
    installReactor(reactor)
    globalLogBeginner.beginLoggingTo([text_log(descriptor)], redirectStandardIO=False)
    reactor.steps = steps = _steps(life.death)
    service = relay_service(load(str(life.config), {}), reactor, epoch=lambda: time.time() + life.ahead, steps=steps)
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    # Twisted's own way would end the process by the signal.
    reactor.callWhenRunning(signal.signal, signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))
    [bound] = service.ports
    address = bound.getHost()
    assert isinstance(address, IPv4Address)

    def tell() -> None:
        # Not before the signal is taken care of: whoever knows the port may end this process.
        tell_port.send(address.port)
        tell_port.close()

    reactor.callWhenRunning(tell)
    reactor.run()
