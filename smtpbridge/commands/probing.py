"""
Try one host: its name, its addresses, and a conversation up to the login.

Theory of operation
-------------------

The name is asked of the system's resolver in a thread, as the daemon does; only here its
error is kept, because "there is no such name" and "nobody answered" want different
cures.  Then every address is connected to, side by side: one family that is broken
is hidden by the other, and costs time at each connection.  The conversation goes
through the first address that is open, by the session and the TLS of the daemon.

Where nothing comes, the port is asked in another way before it is called silent: with a
line of our own, which a web server answers; with a TLS handshake where none was expected;
in the clear where one was.  Nobody is verified then, and nothing secret is said.

What must not be known here: what all this means; `diagnosis` says so.
"""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as NotInTime
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.error import ConnectionRefusedError as ConnectRefused
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from smtpbridge.assembly import client_tls
from smtpbridge.commands.running import Reactor
from smtpbridge.commands.talking import Ending, Knocker, Listening, Talker, Waits
from smtpbridge.commands.trial import Knock, Name, Speaks, Talk, Trial, Way
from smtpbridge.relay.tls import unverified_client
from smtpbridge.settings.values import Host, Security, Upstream
from smtpbridge.smtp.client import ClientSession, State
from smtpbridge.smtp.replies import ReplyReader

T = TypeVar("T")
P = TypeVar("P", bound=Ending[Any])

# Returns the addresses of a name (and a port), or raises `socket.gaierror`.  It blocks.
Resolver: TypeAlias = Callable[[str, int], Sequence[str]]

# The name is there, with no address of a kind that is used here; not every system tells that from no name at all.
_NO_ADDRESS = {getattr(socket, name) for name in ("EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)}
# What else than silence makes it worth while to ask whether the port is the wrong one.
_MAYBE_WRONG_PORT = ("not TLS", "within the handshake", "not an SMTP reply", "not ended by CRLF")


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How long things may last, in seconds; nobody waits here for the five minutes of RFC 5321, 4.5.3.2.

    A port that says nothing is asked what it is after `greeting`; `silence` is for everything else that should come.
    """

    name: float = 20.0
    connect: float = 10.0
    greeting: float = 8.0  # Some servers hold their greeting back for six seconds, to see who cannot wait.
    silence: float = 15.0


@dataclass(frozen=True, slots=True)
class Prober:
    """Tries hosts; `say` hears of each step, `sender` is tried with MAIL where it is given."""

    reactor: Reactor
    hostname: str
    patience: Patience
    resolve: Resolver
    say: Callable[[str], None]
    sender: str | None = None

    async def probe(self, upstream: Upstream, host: Host) -> Trial:
        """Return what was found."""
        self.say(f"{host}: looking up the name")
        found = await self._addresses(host)
        if isinstance(found, Trial):
            return found
        self.say(f"{host}: connecting")
        knocks: list[Knock] = await gatherResults([self._knock(address, host.port) for address in found])
        usable = next((one.address for one in knocks if one.way is Way.OPEN), None)
        if usable is None:
            return Trial(Name.KNOWN, tuple(knocks))
        self.say(f"{host}: talking")
        talk = await self._talk(upstream, host, usable)
        if talk.is_ready or not _may_be_the_wrong_port(talk):
            return Trial(Name.KNOWN, tuple(knocks), talk)
        self.say(f"{host}: asking what the port speaks")
        below, encrypted = await self._below(upstream, host, usable, talk)
        return Trial(Name.KNOWN, tuple(knocks), talk, below, encrypted)

    @property
    def _waits(self) -> Waits:
        return Waits(self.patience.greeting, self.patience.silence)

    async def _addresses(self, host: Host) -> Sequence[str] | Trial:
        asked = deferToThread(self.resolve, host.name, host.port)
        asked.addTimeout(self.patience.name, self.reactor)
        try:
            found: Sequence[str] = await asked
        except NotInTime:
            return Trial(Name.NO_ANSWER, resolver=f"no answer within {self.patience.name:g} seconds")
        except socket.gaierror as error:
            return Trial(_name_fault(error), resolver=error.strerror or str(error))
        # RFC 1035 knows no longer name, and IDNA no such octets.
        except UnicodeError:
            return Trial(Name.UNKNOWN, resolver="not a name for DNS")
        return found or Trial(Name.NO_ADDRESS)

    def _knock(self, address: str, port: int) -> Deferred[Knock]:
        async def knock() -> Knock:
            try:
                knocker = await self._connect(address, port, Knocker(self.reactor, self._waits))
            except ConnectError as error:
                return self._not_open(address, error)
            await knocker.over
            return Knock(address, Way.OPEN)

        return Deferred.fromCoroutine(knock())

    def _not_open(self, address: str, error: ConnectError) -> Knock:
        match error:
            case ConnectRefused():
                return Knock(address, Way.REFUSED, "connection refused")
            case ConnectTimeout():
                return Knock(address, Way.SILENT, f"no answer within {self.patience.connect:g} seconds")
        number = getattr(error, "osError", None)
        return Knock(address, Way.NO_ROUTE, os.strerror(number).lower() if number else "no way there")

    async def _talk(self, upstream: Upstream, host: Host, address: str) -> Talk:
        session = ClientSession(
            self.hostname,
            implicit_tls=upstream.security is Security.TLS,
            username=upstream.username,
            password=upstream.password.reveal().decode("utf-8", "surrogateescape"),
            replies=ReplyReader(upstream.max_reply_line_bytes, upstream.max_reply_lines),
        )
        tls = client_tls(upstream, host.name)
        talker = Talker(session, tls, self.reactor, self._waits, self.hostname, self.sender)
        return await self._heard(address, host.port, talker, lost=Talk(session.state, "the connection was lost"))

    async def _below(self, upstream: Upstream, host: Host, address: str, talk: Talk) -> tuple[Speaks, bool]:
        """Ask in the other way: with TLS where there was none, in the clear where there was."""
        tls = None
        if upstream.security is Security.STARTTLS:
            if talk.speaks not in (Speaks.NOTHING, Speaks.TLS):
                return talk.speaks, False
            tls = unverified_client(upstream.server_name or host.name, upstream.name)
        elif talk.secure:
            return talk.speaks, True
        listening = Listening(self.reactor, self._waits, self.hostname, tls)
        return await self._heard(address, host.port, listening, lost=(Speaks.NOTHING, False))

    async def _heard(self, address: str, port: int, protocol: Ending[T], lost: T) -> T:
        try:
            await self._connect(address, port, protocol)
        except ConnectError:
            return lost  # It was open a moment ago.
        return await protocol.over

    async def _connect(self, address: str, port: int, protocol: P) -> P:
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        endpoint: IStreamClientEndpoint = kind(self.reactor, address, port, timeout=self.patience.connect)
        await endpoint.connect(_One(protocol))
        return protocol


class _One(Factory):
    """Make one connection's protocol."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, _: object) -> Protocol:
        """Return it."""
        return self._protocol


def _may_be_the_wrong_port(talk: Talk) -> bool:
    if talk.state not in (State.GREETING, State.HANDSHAKE):
        return False
    return talk.silent or any(words in talk.why for words in _MAYBE_WRONG_PORT)


def _name_fault(error: socket.gaierror) -> Name:
    if error.errno in _NO_ADDRESS:
        return Name.NO_ADDRESS
    return Name.UNKNOWN if error.errno == socket.EAI_NONAME else Name.NO_ANSWER


def system_addresses(name: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, in the order in which the system would try them."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))
