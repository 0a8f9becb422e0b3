"""
`smtpbridge demo`: a stand-in for Infobip, the real daemon before it, one message sent through, and what is told of it.

Theory of operation
-------------------

Certificates, secrets and the configuration are made in a folder that is gone
afterwards; the folder with the mail stays.  The stand-in runs in this process,
so it tells of each message as it comes; the daemon is a child process, started
as an operator would start it.  The sample is sent by `smtplib` in a thread.  The
stand-in reports what becomes of it, and the daemon posts SparkPost's events to a
small reader in this process: that closes the circle.

Whatever ends the demo, Ctrl-C too, the daemon is ended first.
"""

import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from uuid import uuid4

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.threads import deferToThread

from smtpbridge.commands.certificates import Certificates, make_certificates
from smtpbridge.commands.daemon import Daemon, DaemonEnded
from smtpbridge.commands.folders import write_files
from smtpbridge.commands.printing import harmless
from smtpbridge.commands.running import Reactor
from smtpbridge.commands.sample import ENVELOPE, MESSAGE, USER, Entrance, NotSent, send_sample, swaks_line, swaks_login
from smtpbridge.commands.sidebyside import Mail, side_by_side
from smtpbridge.commands.standin import (
    LOOPBACK,
    CannotListen,
    Premises,
    arrival,
    listen,
    number_of,
    open_sandbox,
    postman,
)
from smtpbridge.commands.webhook import QuietSite, Told, Webhook
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.mail.headers import HeaderBlock, end_of_header
from smtpbridge.mail.message import Envelope
from smtpbridge.sandbox.folder import StoredMessage
from smtpbridge.sandbox.notifications import what_follows
from smtpbridge.sandbox.postman import Postman

INFOBIP_USER = "App"
EVENTS = "events.jsonl"
_START_SECONDS = 20.0
_TOLD_SECONDS = 20.0
# What happens to mail takes seconds at the stand-in; who waits at a terminal wants it sooner.
_SPEED = 4.0
_CONFIGURATION = """\
# What `smtpbridge demo` runs with.  The secrets and certificates beside it were made for this run.
hostname = "bridge.localhost"

[[listener]]
endpoint = "tcp:{port}:interface={host}"
certificate = "certificate.pem"
key = "key.pem"

[[credential]]
username = "{user}"
secret_file = "sender.key"

[upstream.main]
hosts = ["{host}:{upstream_port}"]
trust_roots = "authority.pem"
username = "{upstream_user}"
password_file = "infobip.key"

[store]
path = "store"

[bounces]
from = "Mail Delivery <mailer-daemon@localhost>"

[events]
public_url = "http://{host}:{inbox_port}/infobip"
endpoint = "tcp:{inbox_port}:interface={host}"
secret_file = "inbox.key"

[events.target.demo]
url = "http://{host}:{webhook_port}/"
batch_seconds = 0.2
"""


class NotTold(SmtpbridgeError):
    """The events of the sample did not come."""


@dataclass(slots=True)
class Demo:
    """One demo: `say` prints a line, `width` is the terminal's; `private` is a folder for secrets, `mail` for mail."""

    reactor: Reactor
    say: Callable[[str], None]
    width: int
    private: Path
    mail: Path
    _certificates: Certificates = field(default_factory=lambda: make_certificates(datetime.now(UTC)))
    _sender_key: str = field(default_factory=lambda: secrets.token_hex(20))
    _infobip_key: str = field(default_factory=lambda: secrets.token_hex(20))
    _inbox_key: str = field(default_factory=lambda: secrets.token_hex(20))
    _sample: list[StoredMessage] | None = field(default_factory=list)
    _told: Told = field(default_factory=Told)

    async def run(self, port: int, *, once: bool) -> None:
        """
        Show the sample on its way through, then stay until cancelled; `once` ends there.

        Raise `CannotListen`, `NotSent`, `NotTold`, or `DaemonEnded`.
        """
        port = free_port(port)
        premises = Premises(
            self._certificates.certificate, self._certificates.key, {INFOBIP_USER: self._infobip_key}, self.mail
        )
        async with self._webhook() as webhook, postman(self.reactor, _SPEED, None) as posts:
            upstream = await listen(self.reactor, open_sandbox(self.reactor, premises, self._arrived_for(posts)), 0)
            try:
                config = self._write(port, number_of(upstream), free_port(0, port), webhook)
                entrance = Entrance(LOOPBACK, port, self.private / "authority.pem", self._sender_key)
                daemon = Daemon(self.reactor, config, self.private / "smtpbridge.log")
                await self._through(daemon, config, entrance, once)
            finally:
                await maybeDeferred(upstream.stopListening)

    @asynccontextmanager
    async def _webhook(self) -> AsyncIterator[int]:
        """Open the reader of events for the time of a block, and give its port."""
        site = QuietSite(Webhook(self.mail / EVENTS, self._event))
        port = await TCP4ServerEndpoint(self.reactor, 0, interface=LOOPBACK).listen(site)
        try:
            yield number_of(port)
        finally:
            await maybeDeferred(port.stopListening)

    async def _through(self, daemon: Daemon, config: Path, entrance: Entrance, once: bool) -> None:
        try:
            answer = await self._send(daemon, entrance)
            messages = self._show(answer)
            await self._show_events(messages, daemon)
            self._name_files(config, daemon.log)
            if once:
                return
            self._name_what_is_next(entrance)
            await daemon.ended()
            if not daemon.asked_to_end:
                raise DaemonEnded(f"the bridge ended by itself; the last lines of its log:\n{daemon.last_words()}")
        finally:
            await daemon.end()

    async def _send(self, daemon: Daemon, entrance: Entrance) -> str:
        given_up = Event()
        watch = daemon.ended().addBoth(lambda _: given_up.set())
        try:
            return await deferToThread(send_sample, entrance, given_up, _START_SECONDS)
        except NotSent as error:
            raise NotSent(
                f"the sample did not come through: {harmless(str(error))}\n"
                f"The last lines of the bridge's log:\n{daemon.last_words()}"
            ) from error
        finally:
            given_up.set()
            watch.cancel()

    async def _show_events(self, messages: list[StoredMessage], daemon: Daemon) -> None:
        """Wait until all is told about each recipient, and show it."""
        recipients = {one.lower() for message in messages for one in message.rcpt_to}
        late = self.reactor.callLater(_TOLD_SECONDS, self._told.give_up)
        watch = daemon.ended().addBoth(lambda _: self._told.give_up())
        try:
            await self._told.about(recipients)
        finally:
            watch.cancel()
            if late.active():
                late.cancel()
        if not self._told.all_about(recipients):
            raise NotTold(
                f"the events of the sample did not come within {_TOLD_SECONDS:g} seconds\n"
                f"The last lines of the bridge's log:\n{daemon.last_words()}"
            )
        self.say("\nThe stand-in reported; the bridge posted, as SparkPost's webhooks did:\n")
        for line in self._told.lines:
            self.say(f"  {line}")

    def _write(self, port: int, upstream_port: int, inbox_port: int, webhook_port: int) -> Path:
        text = _CONFIGURATION.format(
            host=LOOPBACK,
            port=port,
            user=USER,
            upstream_port=upstream_port,
            upstream_user=INFOBIP_USER,
            inbox_port=inbox_port,
            webhook_port=webhook_port,
        )
        files = {
            "smtpbridge.toml": text.encode(),
            "authority.pem": self._certificates.authority,
            "certificate.pem": self._certificates.certificate,
            "key.pem": self._certificates.key.reveal(),
            "sender.key": self._sender_key.encode(),
            "infobip.key": self._infobip_key.encode(),
            "inbox.key": self._inbox_key.encode(),
        }
        write_files(self.private, files)
        return self.private / "smtpbridge.toml"

    def _arrived_for(self, posts: Postman) -> Callable[[StoredMessage], None]:
        def arrived(message: StoredMessage) -> None:
            posts.take(what_follows(message, lambda: str(uuid4()), _SPEED))
            if self._sample is not None:
                self._sample.append(message)
                return
            for line in arrival(message):
                self.say(line)

        return arrived

    def _event(self, kind: str, recipient: str, line: str) -> None:
        if self._told.over:
            self.say(f"          event  {line}")
        else:
            self._told.hear(kind, recipient, line)

    def _show(self, answer: str) -> list[StoredMessage]:
        messages, self._sample = self._sample or [], None
        self.say(f"A message as for SparkPost went in; the bridge answered: {harmless(answer)}\n")
        length, _ = end_of_header(MESSAGE)
        before = Mail("what the sender wrote", ENVELOPE, HeaderBlock.parse(MESSAGE[:length]))
        after = [
            Mail(
                f"what Infobip got, transaction {place} of {len(messages)}",
                Envelope(one.mail_from, one.rcpt_to),
                HeaderBlock.parse(one.header),
            )
            for place, one in enumerate(messages, 1)
        ]
        for line in side_by_side(before, after, self.width):
            self.say(line)
        for message in messages:
            for warning in message.warnings:
                self.say(f"The stand-in warns: {harmless(warning)}")
        return messages

    def _name_files(self, config: Path, log: Path) -> None:
        self.say(f"\nMail           {self.mail}   each message as an .eml file, its envelope as .json")
        self.say(f"Events         {self.mail / EVENTS}   each as it was posted, one a line")
        self.say(f"Configuration  {config}")
        self.say(f"Log            {log}")

    def _name_what_is_next(self, entrance: Entrance) -> None:
        self.say(f"\nThe bridge listens at {entrance.host}:{entrance.port}.  Try next:\n")
        self.say(f"  {swaks_line(entrance)}\n")
        self.say(f"and with TLS and a login, as SparkPost asked for, the same with:\n\n  {swaks_login(entrance)}\n")
        self.say("Write to hard.bounce@, open.click@ or complaint@ for other events: see smtpbridge sandbox --help.\n")
        self.say("What comes out is shown here.  Ctrl-C ends the demo.\n")


def free_port(port: int, but: int = 0) -> int:
    """Return `port`, or for 0 one that is free and not `but`; raise `CannotListen` where somebody else has it."""
    with closing(socket.socket()) as probe:
        # As the daemon itself will bind it: connections of an earlier run that are not forgotten yet do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            raise CannotListen(
                f"{LOOPBACK}:{port} cannot be used ({(error.strerror or str(error)).lower()}); "
                "choose another port with --port, or --port 0 for one that is free"
            ) from error
        found: int = probe.getsockname()[1]
        # A port that was free a moment ago may well be given out again; this one is held while another is asked for.
        return free_port(0, but) if found == but and not port else found
