"""A relay between a test and the stand-in, with a status page: the whole of it in this process."""

import itertools
import re
from collections import Counter
from typing import Any, cast

import treq
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from smtpbridge.config import loads
from smtpbridge.doors import endpoint_for
from smtpbridge.figures import figures_of
from smtpbridge.frontpage import admin_service
from smtpbridge.ops.admin import AdminService
from smtpbridge.ops.health import Health
from smtpbridge.ops.metrics import Metrics
from smtpbridge.ops.recent import Recent
from smtpbridge.sandbox.server import Sandbox
from smtpbridge.sights import Process
from smtpbridge.vitals import Depth, depth_figures, health_figures
from tests.ops.test_markup import Reader
from tests.relay.scripted import server_tls
from tests.relay.world import PASSWORD, Caller, RelayCase, number_of

reactor: Any = _reactor
TOKEN_SECRET = "a-token-of-operators-7140"
CONFIG = """
hostname = "bridge.test"
[[listener]]
endpoint = "tcp:0:interface=127.0.0.1"
[upstream.main]
hosts = ["mx.test:587"]
[admin]
endpoint = "{endpoint}"
{more}
"""
QUEUE = """
[[listener]]
endpoint = "tcp:0:interface=127.0.0.1:backlog=7"
mode = "queue"
[queue]
first_retry_seconds = 1
"""


class LookingCase(RelayCase):
    """A test that looks at the status page."""

    async def begin(self, more_of_admin: str = "", *, endpoint: str = "tcp:0:interface=127.0.0.1") -> None:
        """Start the stand-in, the relay and the page."""
        ids = itertools.count(1)
        context = cast(IOpenSSLContextFactory, server_tls(self.ca, "localhost"))
        self.sandbox = Sandbox(
            folder=None, users={"App": PASSWORD}, context_factory=context, clock=reactor, ids=lambda: f"up-{next(ids)}"
        )
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(self.sandbox.factory())
        self.addCleanup(port.stopListening)
        relay = await self.relay(f'"127.0.0.1:{number_of(port)}"', more=QUEUE)
        config = loads(
            CONFIG.format(endpoint=endpoint, more=more_of_admin),
            base=self.folder,
            environ={"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "upstream-secret-37"},
        )
        assert config.admin is not None
        self.health = Health(0.0)
        recent = Recent()
        depth = Depth(relay.keeper, reactor)
        depth.look()
        metrics = Metrics((*figures_of(relay), *depth_figures(depth, lambda: 0.0), *health_figures(self.health)))
        process = Process(relay, recent, depth, reactor)
        self.admin: AdminService = admin_service(
            lambda: config,
            config.admin,
            endpoint_for(config.admin, reactor),
            metrics,
            process,
            self.health,
            reactor,
            recent,
        )
        self.admin.privilegedStartService()
        self.admin.startService()
        self.addCleanup(self.admin.stopService)

    @property
    def url(self) -> str:
        assert self.admin.port is not None
        address = self.admin.port.getHost()
        assert isinstance(address, IPv4Address)
        return f"http://127.0.0.1:{address.port}"

    async def get(self, path: str = "/", method: str = "GET", **fields: str) -> tuple[int, str]:
        """Return the status and the text of a page."""
        answer = await treq.request(
            method, self.url + path, headers=cast(Any, fields), persistent=False, allow_redirects=False
        )
        return answer.code, await treq.text_content(answer)

    async def shown(self, words: str) -> str:
        """Wait until the status page has these words; what it shows may be a moment old.  Return its HTML."""
        while True:
            _, text = await self.get()
            if words in Reader(text).text:
                return text

    async def figures(self) -> dict[str, str]:
        """Return what stands in the tiles, by name."""
        _, text = await self.get()
        return {name: Reader(what).text for name, what in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text)}

    async def samples(self, name: str, label: str = "") -> Counter[str]:
        """Return what a figure of /metrics is, added up for each value of a label."""
        _, text = await self.get("/metrics")
        sums: Counter[str] = Counter()
        for one in (one for family in text_string_to_metric_families(text) for one in family.samples):
            if one.name == name:
                sums[one.labels.get(label, "")] += int(one.value)
        return sums

    async def queueing(self) -> Caller:
        """Connect to the listener that queues."""
        ports, self.service.ports = self.service.ports, self.service.ports[1:]
        caller = await self.caller()
        self.service.ports = ports
        return caller


class Events:
    """A reader of the stream."""

    def __init__(self) -> None:
        self.octets = b""
        self.over: Deferred[None] = Deferred()

    async def begin(self, url: str) -> None:
        answer = await treq.get(f"{url}/events", persistent=False)
        assert answer.code == 200
        treq.collect(answer, self.heard).addErrback(self._cut).addCallback(self.over.callback)

    def heard(self, octets: bytes) -> None:
        self.octets += octets

    @staticmethod
    def _cut(reason: Failure) -> None:
        reason.trap(ResponseDone, PotentialDataLoss, type(connectionDone.value))
