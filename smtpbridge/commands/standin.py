"""
`smtpbridge sandbox`, and the upstream half of `smtpbridge demo`: the stand-in for Infobip on loopback.

`listen` opens a port, `postman` makes who posts notifications; `arrival` says a
message that the stand-in took in a few words.  What the stand-in does with mail is
for the `sandbox` package alone.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.web.client import Agent, HTTPConnectionPool

from smtpbridge.commands.certificates import make_certificates
from smtpbridge.commands.folders import write_files
from smtpbridge.commands.printing import harmless, shown, shown_path
from smtpbridge.commands.running import Reactor
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.mail.headers import HeaderBlock, unfold
from smtpbridge.relay.tls import server_context
from smtpbridge.sandbox.folder import StoredMessage
from smtpbridge.sandbox.notifications import what_follows
from smtpbridge.sandbox.postman import Postman
from smtpbridge.sandbox.server import Sandbox
from smtpbridge.secret import Secret
from smtpbridge.settings.pem import certificates_fault, key_fault, pair_fault

LOOPBACK = "127.0.0.1"
_MOST_SHOWN = 5
_CONNECT_SECONDS = 10.0


class CannotListen(SmtpbridgeError):
    """A port is taken, or may not be bound."""


class BadPair(SmtpbridgeError):
    """A certificate and a key do not make a pair."""


@dataclass(frozen=True, slots=True)
class Premises:
    """
    What a stand-in needs: certificate chain and key (PEM), accounts (user name -> password), a folder for mail.

    `authority` is the file that verifies the certificate, where it was made here.
    """

    certificate: bytes
    key: Secret
    users: Mapping[str, str]
    folder: Path
    authority: Path | None = None


def premises_from(pair: tuple[bytes, bytes] | None, private: Path, users: Mapping[str, str], folder: Path) -> Premises:
    """Return what a stand-in needs; without a pair of certificate and key one is made, its authority in `private`."""
    if pair is not None:
        certificate, key = pair
        wrong = certificates_fault(certificate) or key_fault(key) or pair_fault(certificate, key)
        if wrong:
            raise BadPair(f"the certificate or its key {wrong}")
        return Premises(certificate, Secret(key), users, folder)
    made = make_certificates(datetime.now(UTC))
    write_files(private, {"authority.pem": made.authority})
    return Premises(made.certificate, made.key, users, folder, private / "authority.pem")


def open_sandbox(reactor: Reactor, premises: Premises, on_message: Callable[[StoredMessage], None]) -> Sandbox:
    """Return a stand-in that listens nowhere yet."""
    return Sandbox(
        folder=premises.folder,
        users=premises.users,
        context_factory=server_context(premises.certificate, premises.key),
        clock=reactor,
        ids=lambda: str(uuid.uuid4()),
        on_message=on_message,
    )


@asynccontextmanager
async def postman(reactor: Reactor, speed: float, on_post: Callable[[str], None] | None) -> AsyncIterator[Postman]:
    """Make who posts notifications, over verified TLS where the URL says https; it is gone as the block ends."""
    pool = HTTPConnectionPool(reactor)
    opened = Postman(Agent(reactor, connectTimeout=_CONNECT_SECONDS, pool=pool), reactor, speed=speed, on_post=on_post)
    try:
        yield opened
    finally:
        opened.close()
        await pool.closeCachedConnections()


async def listen(reactor: Reactor, sandbox: Sandbox, port: int, *, implicit_tls: bool = False) -> IListeningPort:
    """Open a port on loopback, 0 for any that is free; raise `CannotListen`."""
    endpoint = TCP4ServerEndpoint(reactor, port, interface=LOOPBACK)
    try:
        opened: IListeningPort = await endpoint.listen(sandbox.factory(implicit_tls))
    except CannotListenError as error:
        raise CannotListen(f"{LOOPBACK}:{port} cannot be used: {error.socketError}") from error
    return opened


def number_of(port: IListeningPort) -> int:
    """Return the number of an open port."""
    address = port.getHost()
    assert isinstance(address, IPv4Address)
    return address.port


def arrival(message: StoredMessage) -> list[str]:
    """Return a few lines about a message that came in."""
    to = [shown_path(address) for address in message.rcpt_to[:_MOST_SHOWN]]
    if len(message.rcpt_to) > _MOST_SHOWN:
        to.append(f"and {len(message.rcpt_to) - _MOST_SHOWN} more")
    at = datetime.fromtimestamp(message.received_at).astimezone().strftime("%H:%M:%S")
    subjects = HeaderBlock.parse(message.header).values(b"subject")
    subject = f'"{shown(unfold(subjects[0]))}", ' if subjects else ""
    lines = [f"{at}  {shown_path(message.mail_from)} to {', '.join(to)}: {subject}{message.size:,} octets"]
    if message.path is not None:
        lines.append(f"          {message.path}")
    return lines + [f"          warning: {harmless(warning)}" for warning in message.warnings]


@dataclass(frozen=True, slots=True)
class StandIn:
    """The stand-in alone; `say` prints a line, `speed` is how many times as soon all is told and tried again."""

    reactor: Reactor
    premises: Premises
    say: Callable[[str], None]
    speed: float = 1.0

    async def run(self, port: int, tls_port: int | None) -> None:
        """Listen until cancelled; raise `CannotListen`."""
        async with postman(self.reactor, self.speed, self._posted) as posts:
            await self._listen(posts, port, tls_port)

    async def _listen(self, posts: Postman, port: int, tls_port: int | None) -> None:
        def arrived(message: StoredMessage) -> None:
            self._arrived(message)
            posts.take(what_follows(message, lambda: str(uuid.uuid4()), self.speed))

        sandbox = open_sandbox(self.reactor, self.premises, arrived)
        ports: list[IListeningPort] = []
        try:
            ports.append(await listen(self.reactor, sandbox, port))
            self.say(f"STARTTLS   {LOOPBACK}:{number_of(ports[0])}")
            if tls_port is not None:
                ports.append(await listen(self.reactor, sandbox, tls_port, implicit_tls=True))
                self.say(f"TLS        {LOOPBACK}:{number_of(ports[1])}")
            self._introduce()
            await Deferred()
        finally:
            for opened in ports:
                await maybeDeferred(opened.stopListening)

    def _introduce(self) -> None:
        for user, password in self.premises.users.items():
            self.say(f"User       {harmless(user)}")
            self.say(f"Password   {harmless(password)}")
        if self.premises.authority is not None:
            self.say(f"Authority  {self.premises.authority}   (trust_roots; gone when this ends)")
        self.say(f"Mail       {self.premises.folder}   each message as an .eml file, its envelope as .json")
        self.say("Ctrl-C ends it.\n")

    def _arrived(self, message: StoredMessage) -> None:
        for line in arrival(message):
            self.say(line)

    def _posted(self, text: str) -> None:
        self.say(f"          told  {harmless(text)}")
