"""
The whole relay in this process, between a test that speaks SMTP and a scripted upstream.  Real sockets, real TLS.

The configuration goes through `config.loads`, so what is tested is what an operator writes.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from smtpbridge.assembly import relay_service
from smtpbridge.config import Config, loads
from smtpbridge.relay.service import RelayService
from tests.relay.scripted import Script, Upstream, server_tls

reactor: Any = _reactor
PASSWORD = "upstream-secret-91"
CONFIG = """
hostname = "bridge.test"
[[listener]]
endpoint = "tcp:0:interface=127.0.0.1"
{listener}
[upstream.main]
hosts = [{hosts}]
server_name = "localhost"
trust_roots = {roots}
username = "App"
password_file = {password}
max_connections = {connections}
{upstream}
[store]
path = {store}
{more}
"""


class Caller(Protocol):
    """A sender that says octets and collects replies."""

    def __init__(self) -> None:
        self.octets = b""
        self.closed = False
        self._wanted: Callable[[], bool] | None = None
        self._waiting: Deferred[None] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.octets += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed = True
        self._look()

    def _look(self) -> None:
        if self._waiting is not None and self._wanted is not None and (self._wanted() or self.closed):
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    async def until(self, wanted: Callable[[], bool]) -> None:
        if not wanted() and not self.closed:
            self._wanted, self._waiting = wanted, Deferred()
            await self._waiting

    def send(self, octets: bytes) -> None:
        assert self.transport is not None
        self.transport.write(octets)

    async def reply(self) -> str:
        """Return the next reply, its lines joined by a blank."""
        await self.until(lambda: self._end_of_reply() > 0)
        end = self._end_of_reply()
        assert end > 0, f"the connection was closed; seen: {self.octets!r}"
        said, self.octets = self.octets[:end], self.octets[end:]
        return said.decode().strip().replace("\r\n", " ")

    def _end_of_reply(self) -> int:
        at = 0
        while (end := self.octets.find(b"\r\n", at)) >= 0:
            if self.octets[at + 3 : at + 4] != b"-":
                return end + 2
            at = end + 2
        return 0

    async def say(self, line: str) -> str:
        self.send(line.encode() + b"\r\n")
        return await self.reply()

    async def mail(self, *recipients: str, data: bytes = b"", sender: str = "news@sender.test") -> str:
        """Send one message; return the reply to its final dot, or the refusal that came before."""
        for line in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA"):
            answer = await self.say(line)
            if answer[:1] not in "23":
                return answer
        self.send((data or message()) + b".\r\n")
        return await self.reply()


def message(api: object = None, subject: str = "hello", body: bytes = b"text\r\n") -> bytes:
    header = b"From: News <news@sender.test>\r\nTo: a@rcpt.test\r\nSubject: " + subject.encode() + b"\r\n"
    if api is not None:
        header += b"X-MSYS-API: " + json.dumps(api).encode() + b"\r\n"
    return header + b"\r\n" + body


def number_of(port: IListeningPort) -> int:
    """Return the TCP port that was given for port 0."""
    address = port.getHost()
    assert isinstance(address, IPv4Address)
    return address.port


class RelayCase(TestCase):
    """A test with a relay and a scripted upstream around it."""

    timeout = 30

    def setUp(self) -> None:
        self.ca = trustme.CA()
        # trial's own mktemp would leave its folders where pytest was started.
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.ca.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        (self.folder / "password").write_text(PASSWORD)
        # How far the relay's time of day is ahead, and what happens at each step of its store.
        self.ahead = 0.0
        self.step: Callable[[str], None] = lambda _: None
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def log(self) -> list[str]:
        """Return the log as it would be printed."""
        return [formatEvent(event) for event in self.events]

    async def upstream(self, script: Script | None = None, *, name: str = "localhost") -> Upstream:
        """Start a scripted upstream; its port is in `self.port`."""
        upstream = Upstream(server_tls(self.ca, name), script or {})
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(upstream)
        self.addCleanup(self._close, upstream, port)
        self.port = number_of(port)
        self.upstream_port = port
        return upstream

    def configured(
        self,
        hosts: str = "",
        *,
        listener: str = "",
        upstream: str = "",
        store: str = "store",
        more: str = "",
        connections: int = 4,
    ) -> Config:
        """Return a configuration towards the last upstream, or towards `hosts`; `store` lies in the case's folder."""
        text = CONFIG.format(
            hosts=hosts or f'"127.0.0.1:{self.port}"',
            roots=json.dumps(str((self.folder / "ca.pem").absolute())),
            password=json.dumps(str((self.folder / "password").absolute())),
            listener=listener,
            upstream=upstream,
            connections=connections,
            store=json.dumps(str((self.folder / store).absolute())),
            more=more,
        )
        return loads(text, base=self.folder, environ={})

    async def relay(self, hosts: str = "", **said: Any) -> RelayService:
        """Start the relay with what is `configured`."""
        self.config = self.configured(hosts, **said)
        service = relay_service(
            self.config,
            reactor,
            epoch=lambda: time.time() + self.ahead,
            steps=lambda name: self.step(name),
        )
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        self.service = service
        return service

    async def caller(self, *, hello: bool = True, service: RelayService | None = None) -> Caller:
        """Connect to the relay, the last that was started where none is named."""
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", number_of((service or self.service).ports[0]))
        caller: Caller = await connectProtocol(endpoint, Caller())
        self.addCleanup(self._hang_up, caller)
        await caller.reply()
        if hello:
            await caller.say("EHLO client.test")
        return caller

    async def eventually(self, condition: Callable[[], bool], every: float = 0.01) -> None:
        """Wait for something that nobody announces; the case's own timeout bounds it."""
        while not condition():
            await deferLater(reactor, every)

    async def _hang_up(self, caller: Caller) -> None:
        if not caller.closed:
            assert caller.transport is not None
            caller.transport.abortConnection()  # type: ignore[attr-defined]
            await caller.until(lambda: caller.closed)

    async def _close(self, upstream: Upstream, port: IListeningPort) -> None:
        await maybeDeferred(port.stopListening)
        for line in upstream.connections:
            if line.connected:
                line.transport.abortConnection()  # type: ignore[union-attr]
        await self.eventually(lambda: upstream.open == 0)
