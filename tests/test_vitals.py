"""What the daemon finds out about itself: a real relay, a scripted provider, and a store that fails."""

from typing import Any, cast

from twisted.internet import reactor as _reactor

from smtpbridge.ops.health import Health, What, troubles_of
from smtpbridge.ops.metrics import Metrics
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.service import RelayService
from smtpbridge.store.interface import Store
from smtpbridge.vitals import Depth, health_figures, probe, seen_of, status_of
from tests.relay.scripted import CUT, USUAL
from tests.relay.test_sick_store import DISK_FULL, SickStore
from tests.relay.world import RelayCase

reactor: Any = _reactor
# Nothing listens there.
NOWHERE = '"127.0.0.1:1"'


class VitalsCase(RelayCase):
    def kinds(self) -> list[What]:
        return [trouble.what for trouble in troubles_of(seen_of(self.service))]

    def why(self) -> str:
        [trouble] = troubles_of(seen_of(self.service))
        return trouble.why

    def status(self) -> str:
        health = Health(0.0)
        health.look(troubles_of(seen_of(self.service)), 0.0)
        return status_of(self.service, health, None)


class TroublesTest(VitalsCase):
    async def test_a_relay_is_well_before_its_first_message_and_behind_it(self) -> None:
        await self.upstream()
        await self.relay()
        self.assertEqual(self.kinds(), [])
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test"))[:3], "250")

        self.assertEqual(self.kinds(), [])
        self.assertEqual(
            self.status(), "ready; 1 session, 0 messages under way, upstream main: 0 of 4 connections in use"
        )

    async def test_a_refused_login_is_seen_with_the_providers_words_and_over_when_a_probe_gets_in(self) -> None:
        seen = await self.upstream({"AUTH": [b"535 5.7.8 bad credentials\r\n", USUAL]})
        await self.relay()
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test"))[:1], "4")
        self.assertEqual(self.kinds(), [What.LOGIN])
        self.assertIn("upstream main refuses our login: 127.0.0.1:", self.why())
        self.assertIn("535 5.7.8 bad credentials", self.why())
        self.assertIn("upstream main: login refused", self.status())

        def well() -> bool:
            probe(self.service)
            return self.kinds() == []

        await self.eventually(well, every=0.1)
        self.assertEqual(seen.recipients(), [], "a probe sends no mail")

    async def test_a_provider_that_cannot_be_reached_is_seen_in_plain_words(self) -> None:
        await self.relay(hosts=NOWHERE)
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test"))[:1], "4")

        self.assertEqual(self.kinds(), [What.UPSTREAM])
        self.assertEqual(self.why(), "no host of upstream main can be used: 127.0.0.1:1: connection refused")
        self.assertIn("NOT READY: no host of upstream main can be used", self.status())

    async def test_one_host_that_fails_is_no_trouble(self) -> None:
        await self.upstream()
        await self.relay(hosts=f'{NOWHERE}, "127.0.0.1:{self.port}"')
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test"))[:3], "250")

        self.assertEqual(self.kinds(), [])

    async def test_a_transaction_that_is_cut_is_no_trouble(self) -> None:
        await self.upstream({"MAIL": CUT})
        await self.relay()
        caller = await self.caller()
        await caller.mail("a@rcpt.test")

        self.assertEqual(self.kinds(), [])

    async def test_a_sick_store_is_seen_until_something_could_be_kept(self) -> None:
        await self.upstream()
        service = await self.relay(listener='mode = "queue"')
        keeper = cast(Keeper, service.keeper)
        sick = SickStore(cast(Store, keeper.store))
        keeper.store = cast(Store, sick)
        sick.fault = DISK_FULL
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test"))[:1], "4")
        self.assertEqual(self.kinds(), [What.STORE])
        self.assertIn("database or disk is full", self.why())

        sick.fault = None
        self.assertEqual((await caller.mail("a@rcpt.test"))[:3], "250")
        self.assertEqual(self.kinds(), [])

    async def test_a_relay_that_drains_says_so_from_the_first_moment(self) -> None:
        await self.upstream()
        service = await self.relay()
        stopped = service.stopService()

        self.assertEqual(self.kinds(), [What.DRAINING])
        self.assertTrue(self.status().startswith("stopping; 0 sessions"))
        await stopped

    async def test_nothing_is_probed_while_all_is_well_or_when_it_drains(self) -> None:
        seen = await self.upstream({"AUTH": b"535 5.7.8 bad credentials\r\n"})
        service = await self.relay()
        probe(service)
        self.assertEqual(self.dials(service), 0)
        caller = await self.caller()
        await caller.mail("a@rcpt.test")
        before = len(seen.connections)
        stopped = service.stopService()
        probe(service)

        self.assertEqual((self.dials(service), len(seen.connections)), (0, before))
        await stopped

    def dials(self, service: RelayService) -> int:
        return sum(pool.counts().dialling for pool in service.pools)


class DepthTest(VitalsCase):
    async def test_the_queue_is_counted_in_a_thread_and_stands_in_the_status(self) -> None:
        await self.relay(hosts=NOWHERE, listener='mode = "queue"')
        depth = Depth(self.service.keeper, reactor)
        caller = await self.caller()
        self.assertEqual((await caller.mail("a@rcpt.test"))[:3], "250")
        depth.look()
        self.assertIsNone(depth.counts, "not in the reactor's thread")
        await self.eventually(lambda: depth.counts is not None)

        health = Health(0.0)
        health.look((), 0.0)
        self.assertIn(", 1 in the queue, ", status_of(self.service, health, depth.counts))

    async def test_a_store_that_is_not_there_has_no_depth(self) -> None:
        depth = Depth(None, reactor)
        depth.look()

        self.assertIsNone(depth.counts)


def test_readiness_is_a_figure_and_each_reason_one() -> None:
    health = Health(0.0)
    text = Metrics(health_figures(health)).text("")[0].decode()

    assert "smtpbridge_ready 0.0" in text
    assert 'smtpbridge_unready{reason="starting"} 1.0' in text
    health.look((), 1.0)
    text = Metrics(health_figures(health)).text("")[0].decode()
    assert "smtpbridge_ready 1.0" in text
    assert text.count("} 0.0") == len(What)
