"""
The listening sockets of the parent.

Each listener is bound by its own endpoint, so whatever can be written there works, also a
socket of systemd's.  Then Twisted is told not to read from it: connections are accepted here and
handed on as they are, with not one octet of them read.

While nobody can take connections none are accepted; they wait in the kernel's queue, and new ones
are refused by it when that is full, as with any busy server.
"""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol as Contract
from typing import cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IListeningPort, IReactorFDSet, IReadDescriptor, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpbridge.relay.service import CannotListen
from smtpbridge.workers.channel import MOST_DESCRIPTORS

# Takes connections that came in by a door, and closes them here.
HandOn = Callable[[int, Sequence[socket.socket]], None]


@dataclass(frozen=True, slots=True)
class Opening:
    """A listener: what the operator wrote, and its endpoint."""

    description: str
    endpoint: IStreamServerEndpoint


class _SocketPort(Contract):
    """What Twisted's own ports have beside `IListeningPort`."""

    def fileno(self) -> int: ...

    def stopReading(self) -> None: ...


class Doors:
    """All listeners."""

    log = Logger()

    def __init__(self, openings: Sequence[Opening], reactor: IReactorFDSet, hand_on: HandOn) -> None:
        """Bind nothing yet; `hand_on` gets connections with the number of their door, and owns them."""
        self.ports: list[IListeningPort] = []
        self._openings = openings
        self._reactor = reactor
        self._hand_on = hand_on
        self._doors: list[_Door] = []
        self._fault: CannotListen | None = None

    def bind(self) -> None:
        """Bind all, accept nothing; raise `CannotListen`."""
        for number, opening in enumerate(self._openings):
            listening = opening.endpoint.listen(_Nobody())
            listening.addCallback(self._bound, number, opening)
            listening.addErrback(self._not_bound, opening)
        if self._fault is not None:
            raise self._fault

    def accept(self, welcome: bool) -> None:
        """Begin to accept connections, or pause."""
        for door in self._doors:
            door.accept(welcome)

    def close(self) -> None:
        """Give all up; a socket that was passed to this process stays open for whoever passed it."""
        doors, self._doors = self._doors, []
        for door in doors:
            door.close()
        ports, self.ports = self.ports, []
        for port in ports:
            port.stopListening()

    def _bound(self, port: IListeningPort, number: int, opening: Opening) -> None:
        if not hasattr(port, "fileno") or not hasattr(port, "stopReading"):
            raise CannotListen("this kind of endpoint cannot be shared by several processes; write workers = 1")
        own = cast(_SocketPort, port)
        own.stopReading()
        self.ports.append(port)
        self._doors.append(_Door(number, socket.socket(fileno=os.dup(own.fileno())), self._reactor, self._hand_on))
        address = port.getHost()
        if isinstance(address, IPv4Address | IPv6Address):
            self.log.info(
                "listening at {door} host={host} port={port}",
                door=opening.description,
                host=address.host,
                port=address.port,
            )
        else:
            self.log.info("listening at {door}", door=opening.description)

    def _not_bound(self, reason: Failure, opening: Opening) -> None:
        fault = CannotListen(f"cannot listen at {opening.description}: {reason.getErrorMessage()}")
        self.log.critical("{fault}", fault=str(fault))
        self._fault = self._fault or fault


class _Nobody(Factory):
    """Stands where a port wants a factory; no connection ever gets to it."""

    noisy = False


@implementer(IReadDescriptor)
class _Door:
    log = Logger()

    def __init__(self, number: int, own: socket.socket, reactor: IReactorFDSet, hand_on: HandOn) -> None:
        own.setblocking(False)
        self._number = number
        self._socket = own
        self._reactor = reactor
        self._hand_on = hand_on
        # As many as came the last time: asking whether there is one more costs as much as accepting it.
        self._most = 1
        self._reading = False
        self._starved = False

    def accept(self, welcome: bool) -> None:
        if welcome and not self._reading:
            self._reactor.addReader(self)
        elif not welcome and self._reading:
            self._reactor.removeReader(self)
        self._reading = welcome

    def close(self) -> None:
        self.accept(False)
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "workers"

    def connectionLost(self, reason: Failure) -> None:
        self._reading = False

    def doRead(self) -> None:
        came: list[socket.socket] = []
        try:
            while len(came) < self._most:
                came.append(self._socket.accept()[0])
            self._most = min(MOST_DESCRIPTORS, self._most * 2)
            self._starved = False
        except BlockingIOError:
            self._most = max(1, len(came))
        except OSError as error:
            self._failed(error)
        if came:
            self._hand_on(self._number, came)

    def _failed(self, error: OSError) -> None:
        """Out of descriptors, most likely; a peer that is gone already is nothing to speak of."""
        if isinstance(error, ConnectionAbortedError):
            return
        # Left to itself the reactor would come here again at once; the next look of the parent goes on.
        self.accept(False)
        if not self._starved:
            self._starved = True
            self.log.error("no connection can be accepted: {error}; trying again", error=str(error))
