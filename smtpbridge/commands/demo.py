"""
`smtpbridge demo`: a stand-in for Infobip, the real daemon before it, and one message sent through.

Theory of operation
-------------------

Certificates, secrets and the configuration are made in a folder that is gone
afterwards; the folder with the mail stays.  The stand-in runs in this process,
so it tells of each message as it comes; the daemon is a child process, started
as an operator would start it.  The sample is sent by `smtplib` in a thread.

Whatever ends the demo, Ctrl-C too, the daemon is ended first.
"""

import secrets
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from twisted.internet.defer import maybeDeferred
from twisted.internet.threads import deferToThread

from smtpbridge.commands.certificates import Certificates, make_certificates
from smtpbridge.commands.daemon import Daemon, DaemonEnded
from smtpbridge.commands.folders import write_files
from smtpbridge.commands.printing import harmless
from smtpbridge.commands.running import Reactor
from smtpbridge.commands.sample import ENVELOPE, MESSAGE, USER, Entrance, NotSent, send_sample, swaks_line, swaks_login
from smtpbridge.commands.sidebyside import Mail, side_by_side
from smtpbridge.commands.standin import LOOPBACK, CannotListen, Premises, arrival, listen, number_of, open_sandbox
from smtpbridge.mail.headers import HeaderBlock, end_of_header
from smtpbridge.mail.message import Envelope
from smtpbridge.sandbox.folder import StoredMessage

INFOBIP_USER = "App"
_START_SECONDS = 20.0
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
"""


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
    _sample: list[StoredMessage] | None = field(default_factory=list)

    async def run(self, port: int, *, once: bool) -> None:
        """
        Show the sample on its way through, then stay until cancelled; `once` ends there.

        Raise `CannotListen`, `NotSent`, or `DaemonEnded`.
        """
        port = free_port(port)
        premises = Premises(
            self._certificates.certificate, self._certificates.key, {INFOBIP_USER: self._infobip_key}, self.mail
        )
        upstream = await listen(self.reactor, open_sandbox(self.reactor, premises, self._arrived), 0)
        try:
            config = self._write(port, number_of(upstream))
            entrance = Entrance(LOOPBACK, port, self.private / "authority.pem", self._sender_key)
            await self._through(Daemon(self.reactor, config, self.private / "smtpbridge.log"), config, entrance, once)
        finally:
            await maybeDeferred(upstream.stopListening)

    async def _through(self, daemon: Daemon, config: Path, entrance: Entrance, once: bool) -> None:
        try:
            answer = await self._send(daemon, entrance)
            self._show(answer, config, daemon.log)
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

    def _write(self, port: int, upstream_port: int) -> Path:
        text = _CONFIGURATION.format(
            host=LOOPBACK, port=port, user=USER, upstream_port=upstream_port, upstream_user=INFOBIP_USER
        )
        files = {
            "smtpbridge.toml": text.encode(),
            "authority.pem": self._certificates.authority,
            "certificate.pem": self._certificates.certificate,
            "key.pem": self._certificates.key.reveal(),
            "sender.key": self._sender_key.encode(),
            "infobip.key": self._infobip_key.encode(),
        }
        write_files(self.private, files)
        return self.private / "smtpbridge.toml"

    def _arrived(self, message: StoredMessage) -> None:
        if self._sample is not None:
            self._sample.append(message)
            return
        for line in arrival(message):
            self.say(line)

    def _show(self, answer: str, config: Path, log: Path) -> None:
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
        self.say(f"\nMail           {self.mail}   each message as an .eml file, its envelope as .json")
        self.say(f"Configuration  {config}")
        self.say(f"Log            {log}")

    def _name_what_is_next(self, entrance: Entrance) -> None:
        self.say(f"\nThe bridge listens at {entrance.host}:{entrance.port}.  Try next:\n")
        self.say(f"  {swaks_line(entrance)}\n")
        self.say(f"and with TLS and a login, as SparkPost asked for, the same with:\n\n  {swaks_login(entrance)}\n")
        self.say("What comes out is shown here.  Ctrl-C ends the demo.\n")


def free_port(port: int) -> int:
    """Return `port`, or one that is free for 0; raise `CannotListen` where somebody else has it."""
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
        return found
