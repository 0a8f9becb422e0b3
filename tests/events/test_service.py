"""Start and stop of everything about events, and what is built of a configuration."""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from treq.client import HTTPClient
from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.server import Request

from smtpbridge.config import loads
from smtpbridge.dialect.token import Tokens
from smtpbridge.event_assembly import WrongProxy, aim, events_service, proxies
from smtpbridge.events.agents import Proxy
from smtpbridge.events.service import CannotTakeIn, EventsService
from smtpbridge.events.tallies import Taken
from smtpbridge.ops.events import Aim, Kept, Posted
from smtpbridge.ops.events import events as section
from smtpbridge.ops.metrics import Metrics
from smtpbridge.readings.events import events_figures
from smtpbridge.readings.events_seen import events_seen
from smtpbridge.secret import Secret
from smtpbridge.settings.event_values import Basic, Events, HeaderToken, OAuth2, Target
from smtpbridge.settings.values import Config, Store
from smtpbridge.store.ledger import LedgerCounts, TargetCounts
from tests.events.hook import Hook, hang, serve
from tests.ops.every_figure import CONFIG, ROOT
from tests.test_figures import Found

reactor: Any = _reactor
SECRET = Secret(b"a secret of the inbox")
TOKENS = Tokens(SECRET.reveal())


def configured(folder: Path) -> Config:
    environ = {"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "upstream-secret-29"}
    return replace(loads(CONFIG, base=ROOT, environ=environ), store=Store(folder))


def events(**more: Any) -> Events:
    said = {"public_url": "https://events.test/x", "endpoint": "tcp:0:interface=127.0.0.1", "secret": SECRET}
    return Events(**{**said, **more})


def report(number: int = 1, group: str = "DELIVERED") -> bytes:
    token = TOKENS.write(number.to_bytes(16, "big"))
    said = {"to": f"{number}@rcpt.test", "callbackData": token, "status": {"groupName": group}}
    return json.dumps({"results": [said]}).encode()


COUNTED = (TargetCounts("old", 3, 60.0, 0, 4), TargetCounts("crm", 5, 70.0, 1, 2))


def refuse_with_markup(request: Request) -> bytes:
    request.setResponseCode(500, b"<b>no</b>")
    return b""


class ServiceTest(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.pool = HTTPConnectionPool(reactor)
        self.addCleanup(self.pool.closeCachedConnections)
        self.client = HTTPClient(Agent(reactor, pool=self.pool))

    def service(self, *targets: Target, folder: Path | None = None, **more: Any) -> EventsService:
        said = events(targets=targets, **more)
        self.said = said
        made = events_service(configured(folder or self.folder), said, reactor, {})
        made.privilegedStartService()
        made.startService()
        return made

    async def post(self, service: EventsService, body: bytes) -> int:
        port: Any = service.port
        url = f"http://127.0.0.1:{port.getHost().port}/x/{self.said.path}"
        response = await self.client.post(url, data=body, reactor=reactor)
        await response.content()
        code: int = response.code
        return code

    async def taken(self, service: EventsService, body: bytes) -> None:
        while await self.post(service, body) != 200:
            pass

    async def until(self, what: Any) -> None:
        while not what():
            await deferLater(reactor, 0.001)

    async def test_a_notification_comes_out_as_an_event_and_the_figures_say_so(self) -> None:
        hook = Hook()
        target = Target("crm", f"http://127.0.0.1:{serve(self, hook)}/", batch_events=2)
        service = self.service(target, Target("down", "http://127.0.0.1:1/", batch_seconds=0.1))
        await self.taken(service, report(1))
        await self.taken(service, report(2, "UNDELIVERABLE"))
        await self.until(lambda: service.outboxes["crm"].tally.delivered == 2)
        await self.until(lambda: service.outboxes["down"].failures)
        found = Found(Metrics(events_figures(service, lambda: 0.0)).text("")[0])
        await service.stopService()
        (posted,) = [json.loads(got.body) for got in hook.got]

        self.assertEqual([one["msys"]["message_event"]["type"] for one in posted], ["delivery", "bounce"])
        self.assertEqual(found.by("events_total", "type"), {"delivery": 1, "bounce": 1})
        self.assertEqual(found.of("inbox_requests_total", outcome="taken"), 2)
        self.assertEqual(found.by("notifications_unmatched_total", "reason"), {"expired": 2})
        self.assertEqual(found.by("target_events_total", "target"), {"crm": 2})
        self.assertEqual(found.by("target_posts_total", "outcome")["taken"], 1)
        self.assertGreaterEqual(found.by("target_posts_total", "outcome")["unreachable"], 1)
        self.assertEqual(found.by("target_failing", "target"), {"down": 1})

    async def test_the_status_page_has_the_numbers_of_the_figures_and_the_answer_of_a_target_as_text(self) -> None:
        hook = Hook(refuse_with_markup)
        target = Target("crm", f"http://127.0.0.1:{serve(self, hook)}/", batch_events=1)
        service = self.service(target)
        await self.taken(service, report(1))
        service.inbox.tally.requests[Taken.NOT_POST] += 1
        await self.until(lambda: service.outboxes["crm"].failures)
        service.housekeeping.counts = LedgerCounts(1, 0.0, 7, 40.0, 9, 4096, COUNTED)
        found = Found(Metrics(events_figures(service, lambda: 100.0)).text("")[0])
        seen = events_seen(service)
        # The words for a status are our own; others can be a proxy's.
        service.outboxes["crm"].answer += " <i>no</i>"
        shown = section(events_seen(service), 100.0)
        await service.stopService()
        crm, old = seen.aims

        self.assertEqual(seen.taken, found.of("inbox_requests_total", outcome="taken"))
        self.assertEqual(seen.taken + seen.refused, found.of("inbox_requests_total"))
        self.assertEqual((seen.waiting, 100.0 - (seen.oldest or 0.0)), (7, found.of("notices_oldest_seconds")))
        self.assertEqual(old, Aim("old", None, Kept(3, 60.0, 0, 4)))
        self.assertEqual(crm.kept, Kept(5, 70.0, 1, 2))
        for name, expected in (("waiting", 5), ("sending", 1), ("dead", 2), ("oldest_seconds", 30)):
            self.assertEqual(found.of(f"target_{name}", target="crm"), expected)
        assert isinstance(crm.posted, Posted)
        self.assertEqual(crm.posted.failures, found.of("target_posts_total", target="crm", outcome="refused"))
        self.assertEqual(crm.posted.failing, found.of("target_failing", target="crm"))
        self.assertIn("<bdi>HTTP 500 Internal Server Error &lt;i&gt;no&lt;/i&gt;</bdi>", shown)
        self.assertNotIn("<b>", shown)
        self.assertNotIn("<i>", shown)

    async def test_while_nobody_knows_the_ledger_the_status_page_says_why(self) -> None:
        (self.folder / "file").write_bytes(b"")
        service = self.service(Target("crm", "http://127.0.0.1:1/"), folder=self.folder / "file")
        await self.until(lambda: events_seen(service).fault not in ("", "it is not open yet"))
        seen = events_seen(service)
        await service.stopService()

        self.assertEqual((seen.waiting, seen.oldest), (None, None))
        self.assertEqual(seen.aims, (Aim("crm", Posted(0, 0, 0, "", 0.0), None),))

    async def test_what_is_not_posted_at_the_end_is_posted_by_the_next_start(self) -> None:
        hook = Hook()
        target = Target("crm", f"http://127.0.0.1:{serve(self, hook)}/", batch_seconds=600)
        service = self.service(target)
        await self.taken(service, report())
        await service.stopService()
        self.assertEqual(hook.got, [])
        again = self.service(replace(target, batch_seconds=0.1))
        await self.until(lambda: again.outboxes["crm"].tally.delivered)
        await again.stopService()

        self.assertEqual(len(hook.got), 1)

    async def test_the_end_waits_for_a_post_and_no_longer_than_a_post_may_take(self) -> None:
        hook = Hook(hang)
        url = f"http://127.0.0.1:{serve(self, hook)}/"
        service = self.service(Target("crm", url, batch_events=1, timeout_seconds=0.2))
        await self.taken(service, report())
        await self.until(lambda: hook.open)
        await service.stopService()

        self.assertEqual(service.outboxes["crm"].tally.posts, {"timeout": 1})

    async def test_while_the_ledger_cannot_be_opened_the_answer_is_503_and_the_end_still_comes(self) -> None:
        (self.folder / "file").write_bytes(b"")
        service = self.service(folder=self.folder / "file")
        codes = {await self.post(service, report()) for _ in range(5)}
        await service.stopService()

        self.assertEqual(codes, {503})

    async def test_a_port_that_is_taken_is_a_fault(self) -> None:
        taken = serve(self, Hook())
        with self.assertRaisesRegex(CannotTakeIn, f"cannot listen at tcp:{taken}"):
            self.service(endpoint=f"tcp:{taken}:interface=127.0.0.1")

    async def test_the_terms_of_the_configuration_are_those_of_the_inbox(self) -> None:
        service = self.service(
            basic=Basic("infobip", Secret(b"infobip-pass-77")),
            allow=(ip_network("127.0.0.0/8"),),
            max_body_bytes=65_536,
        )
        codes = [await self.post(service, report()) for _ in range(2)]
        await service.stopService()

        self.assertEqual(codes, [401, 401])


@pytest.mark.parametrize(
    ("proof", "headers"),
    [
        (None, []),
        (Basic("me", Secret(b"target-pass-80")), [("Authorization", b"Basic bWU6dGFyZ2V0LXBhc3MtODA=")]),
        (
            HeaderToken("X-MessageSystems-Webhook-Token", Secret(b"target-token-81")),
            [("X-MessageSystems-Webhook-Token", b"target-token-81")],
        ),
        (OAuth2("https://login.test/", "id", Secret(b"client-pass-82")), []),
    ],
)
def test_each_kind_of_proof_is_given_to_the_target(proof: Any, headers: list[tuple[str, bytes]]) -> None:
    made = aim(Target("crm", "https://crm.test/", proof=proof, headers=(("X-Own", Secret(b"own-header-79")),)))

    assert [(name, value.reveal()) for name, value in made.headers] == [("X-Own", b"own-header-79"), *headers]
    assert (made.oauth is not None) == isinstance(proof, OAuth2)
    assert not any(one in repr(made) for one in ("pass-80", "bWU6", "token-81", "pass-82"))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"http_proxy": "http://proxy.test:3128"}, None),
        ({"https_proxy": "http://proxy.test:3128"}, Proxy("proxy.test", 3128)),
        ({"HTTPS_PROXY": "proxy.test:3128"}, Proxy("proxy.test", 3128)),
        ({"ALL_PROXY": "http://proxy.test"}, Proxy("proxy.test", 80)),
        ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}, Proxy("a", 1)),
        ({"https_proxy": "http://me:proxy%40pass-83@[::1]:3128/"}, Proxy("::1", 3128, Secret(b"me:proxy@pass-83"))),
        ({"https_proxy": "http://proxy.test:3128", "NO_PROXY": "other.test,.crm.test"}, None),
        ({"https_proxy": "http://proxy.test:3128", "no_proxy": "*"}, None),
        ({"https_proxy": "http://proxy.test:3128", "no_proxy": "other.test"}, Proxy("proxy.test", 3128)),
    ],
)
def test_the_proxy_is_that_of_the_environment(environ: dict[str, str], expected: Proxy | None) -> None:
    assert proxies(environ)("hook.crm.test") == expected


@pytest.mark.parametrize("text", ["https://proxy.test:3128", "socks5://proxy.test", "http://:3128", "http://a:port"])
def test_a_proxy_that_cannot_be_used_is_a_fault_that_shows_no_password(text: str) -> None:
    with pytest.raises(WrongProxy, match="https_proxy") as raised:
        proxies({"https_proxy": text.replace("://", "://me:geheim@")})

    assert "geheim" not in str(raised.value)


def test_without_events_nothing_of_it_is_loaded() -> None:
    script = "import smtpbridge.tap, sys; print([one for one in sys.modules if one.startswith('smtpbridge.events')])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
