"""
A stand-in for Infobip's SMTP endpoint: what `make run` relays to and tests talk to.

It offers what the provider's pages document, in the same words: the extensions
in their order, whatever host was dialled; TLS before AUTH, AUTH before MAIL;
1,000 recipients; 20 MiB; an id for each accepted message.  On top of that,
`outcomes` lets an address ask for a refusal, and `rules` judges the header.

`Sandbox` holds what the connections share: users, the folder, the counters.
Its factories are for plain TCP endpoints, also for implicit TLS.

What must not be known here: the bridge.  Only the wire core is shared with it.
"""

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twisted.internet.interfaces import IAddress, IOpenSSLContextFactory, IProtocolFactory, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from smtpbridge.sandbox import rules
from smtpbridge.sandbox.conversation import Conversation
from smtpbridge.sandbox.folder import Folder, StoredMessage
from smtpbridge.sandbox.incoming import Incoming
from smtpbridge.smtp.data import Defects
from smtpbridge.smtp.events import Judge, Terms
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.smtp.sasl import LoginAttempt
from smtpbridge.smtp.server import ServerSession

HOSTNAME = "smtp.email-messaging.com"
MAX_MESSAGE = 20_971_520
MAX_RECIPIENTS = 1000
# Infobip, "Initiate a new SMTP session": the list was taken under TLS and still names STARTTLS.
KEYWORDS = (
    "8BITMIME",
    f"SIZE {MAX_MESSAGE}",
    "STARTTLS",
    "AUTH LOGIN PLAIN",
    "ENHANCEDSTATUSCODES",
    "PIPELINING",
    "OK",
)


@dataclass(frozen=True, slots=True)
class Stats:
    """
    What has happened so far.

    `open` counts the connections that are open now, `peak` those that were open at one time, `refused` the messages
    that got no 250 from the rules; `messages_per_connection` has an entry for each connection, in their order.
    """

    connections: int
    open: int
    peak: int
    messages: int
    recipients: int
    refused: int
    messages_per_connection: tuple[int, ...]


class Sandbox:
    """What all connections share."""

    _log = Logger(namespace="smtpbridge.sandbox")

    def __init__(
        self,
        *,
        folder: os.PathLike[str] | None,
        users: Mapping[str, str],
        context_factory: IOpenSSLContextFactory,
        clock: IReactorTime,
        ids: Callable[[], str],
        on_message: Callable[[StoredMessage], None] | None = None,
        hostname: str = HOSTNAME,
        organisational: Callable[[str], str] = rules.organisational_domain,
    ) -> None:
        """
        Take `users` as user name -> password, and `ids` as the source of message ids, which become file names.

        Without a `folder` the content of messages is not kept; `on_message` hears of each accepted one before
        its sender does.  `organisational` names the organisational domain of a domain.
        """
        self.clock = clock
        self.context_factory = context_factory
        self._folder = None if folder is None else Folder(folder)
        self._sequence = 0 if self._folder is None else self._folder.last_sequence()
        self._users = {user: secret.encode() for user, secret in users.items()}
        self._ids = ids
        self._on_message = on_message
        self._hostname = hostname
        self._organisational = organisational
        self._open = self._peak = self._recipients = self._refused = 0
        self._per_connection: list[int] = []

    def factory(self, implicit_tls: bool = False) -> IProtocolFactory:
        """Return a factory for a TCP endpoint; with `implicit_tls` it does TLS itself, as on port 465."""
        plain = _Conversations(self, secure=implicit_tls)
        if not implicit_tls:
            return plain
        wrapped = TLSMemoryBIOFactory(self.context_factory, False, plain, clock=self.clock)
        wrapped.noisy = False
        return wrapped

    def stats(self) -> Stats:
        """Return the counters as they stand now."""
        return Stats(
            connections=len(self._per_connection),
            open=self._open,
            peak=self._peak,
            messages=sum(self._per_connection),
            recipients=self._recipients,
            refused=self._refused,
            messages_per_connection=tuple(self._per_connection),
        )

    # What a connection asks for

    def opened(self) -> int:
        """Count a new connection and return its number."""
        self._per_connection.append(0)
        self._open += 1
        self._peak = max(self._peak, self._open)
        return len(self._per_connection)

    def closed(self, number: int) -> None:
        """Count the end of a connection."""
        self._log.debug("connection {number} of the sandbox is closed", number=number)
        self._open -= 1

    def terms(self, judge: Judge) -> Terms:
        """Return Infobip's terms."""
        return Terms(
            hostname=self._hostname,
            starttls=True,
            auth_offered=True,
            auth_required=True,
            max_message=MAX_MESSAGE,
            max_recipients=MAX_RECIPIENTS,
            # How long Infobip bears with commands that lead nowhere is not known, so nobody is cut off for it here.
            max_idle_commands=1_000_000,
            keywords=KEYWORDS,
            judge=judge,
        )

    def knows(self, attempt: LoginAttempt) -> bool:
        """Compare in constant time, also for a user that does not exist."""
        expected = self._users.get(attempt.user)
        same = hmac.compare_digest(attempt.secret.encode(), b"" if expected is None else expected)
        known = same and expected is not None
        if not known:
            self._log.warn("the sandbox refused a login as {user!r}", user=attempt.user)
        return known

    def begin(self, sender: str, recipients: tuple[str, ...]) -> Incoming:
        """Open a file for a message."""
        return Incoming(sender, recipients, None if self._folder is None else self._folder.begin())

    def take(self, incoming: Incoming, defects: Defects, number: int, session: ServerSession) -> Reply:
        """Accept the message, or refuse it as the rules say."""
        header = incoming.header()
        if (refused := rules.refusal(incoming.sender, header, self._organisational)) is not None:
            self._refused += 1
            self._log.warn(
                "the sandbox refused a message on connection {number}: {reply}", number=number, reply=refused
            )
            return refused
        message_id, sequence = self._ids(), self._sequence + 1
        message = StoredMessage(
            id=message_id,
            sequence=sequence,
            connection=number,
            received_at=self.clock.seconds(),
            mail_from=incoming.sender,
            rcpt_to=incoming.recipients,
            user=session.user,
            tls=session.secure,
            size=incoming.size,
            warnings=rules.warnings_about(header, incoming.recipients, defects),
            header=header.octets(),
            path=None if self._folder is None else self._folder.place_of(sequence, message_id),
        )
        if self._folder is not None and incoming.sink is not None:
            self._folder.keep(incoming.sink, message)
        self._count(message)
        return reply(250, "2.6.0", f"Message queued as {message_id}")

    def _count(self, message: StoredMessage) -> None:
        self._sequence = message.sequence
        self._per_connection[message.connection - 1] += 1
        self._recipients += len(message.rcpt_to)
        self._log.info(
            "the sandbox queued {id}: from <{sender}> for {recipients} recipients, {size} octets, connection {number}",
            id=message.id,
            sender=message.mail_from,
            recipients=len(message.rcpt_to),
            size=message.size,
            number=message.connection,
        )
        for warning in message.warnings:
            self._log.warn("the sandbox on {id}: {warning}", id=message.id, warning=warning)
        if self._on_message is not None:
            self._on_message(message)


class _Conversations(ServerFactory):
    """Make a `Conversation` for each connection."""

    noisy = False

    def __init__(self, sandbox: Sandbox, *, secure: bool) -> None:
        self._sandbox = sandbox
        self._secure = secure

    def buildProtocol(self, addr: IAddress | None) -> Conversation:
        return Conversation(self._sandbox, self._sandbox.opened(), secure=self._secure)
