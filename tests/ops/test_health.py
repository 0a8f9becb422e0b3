"""When the daemon calls itself ready, and what it says when it is not."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import treq
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.ops.admin import AdminService
from smtpbridge.ops.health import Health, Seen, Trouble, Upstream, What, troubles_of
from smtpbridge.ops.metrics import Metrics
from smtpbridge.ops.watch import Watch
from tests.relay.fakes import log_lines

ROOT = Path(__file__).parents[2]
MAIN = Upstream("main", default=True)
OTHER = Upstream("other", default=False)
WELL = Seen(listening=True, draining=False, store_open=True, store_fault="", held_up=0, upstreams=(MAIN, OTHER))
T0 = 1_700_000_000.0


def kinds(seen: Seen) -> list[What]:
    return [trouble.what for trouble in troubles_of(seen)]


# What is trouble


def test_a_relay_that_was_never_used_is_in_no_trouble() -> None:
    assert kinds(WELL) == []


def test_listeners_that_are_not_open_are_the_start() -> None:
    assert kinds(replace(WELL, listening=False)) == [What.STARTING]


def test_a_store_that_is_not_open_yet_is_the_start_and_a_sick_one_is_not() -> None:
    assert kinds(replace(WELL, store_open=False)) == [What.STARTING]
    assert kinds(replace(WELL, store_open=False, store_fault="disk full")) == [What.STORE]


def test_a_relay_that_drains_has_closed_its_listeners_and_is_not_starting() -> None:
    assert kinds(replace(WELL, draining=True, listening=False, store_open=False)) == [What.DRAINING]


def test_a_login_that_any_upstream_refuses_is_trouble() -> None:
    for refusing in (MAIN, OTHER):
        [trouble] = troubles_of(replace(WELL, upstreams=(replace(refusing, login_refused=True, fault="535 no"),)))

        assert trouble == Trouble(What.LOGIN, f"upstream {refusing.name} refuses our login: 535 no", refusing.name)


def test_only_the_default_upstream_has_to_be_reachable() -> None:
    assert kinds(replace(WELL, upstreams=(replace(MAIN, unreachable=True), OTHER))) == [What.UPSTREAM]
    assert kinds(replace(WELL, upstreams=(MAIN, replace(OTHER, unreachable=True)))) == []


def test_senders_that_are_held_up_are_trouble() -> None:
    assert kinds(replace(WELL, held_up=1)) == [What.TEMPORARY_FILES]


# What counts, and since when

STORE = Trouble(What.STORE, "the store is out of order: disk full")
ROOM = Trouble(What.TEMPORARY_FILES, "full")
LOGIN = Trouble(What.LOGIN, "refused", "main")


def running() -> Health:
    """Return the health of a bridge that was well when it had started."""
    health = Health(T0 - 1)
    health.look((), T0 - 1)
    return health


def test_a_store_that_is_sick_from_the_start_counts_at_once() -> None:
    health = Health(T0)
    health.look((STORE,), T0)

    assert [reason.what for reason in health.reasons] == [What.STORE]


def test_health_is_starting_until_somebody_has_looked() -> None:
    health = Health(T0)

    assert not health.ready
    assert health.has(What.STARTING)
    health.look((), T0 + 2)
    assert health.ready


def test_a_start_that_takes_long_is_said_to_have_begun_with_the_process() -> None:
    health = Health(T0)
    health.look((Trouble(What.STARTING, "slow"),), T0 + 9)

    assert [reason.since for reason in health.reasons] == [T0]


def test_a_trouble_keeps_the_time_at_which_it_began_and_its_newest_words() -> None:
    health = Health(T0)
    health.look((LOGIN,), T0 + 1)
    health.look((replace(LOGIN, why="refused again"),), T0 + 60)

    [reason] = health.reasons
    assert (reason.why, reason.since) == ("refused again", T0 + 1)


def test_a_trouble_that_comes_again_begins_anew() -> None:
    health = Health(T0)
    for second, troubles in enumerate([(LOGIN,), (), (LOGIN,)]):
        health.look(troubles, T0 + second)

    assert [reason.since for reason in health.reasons] == [T0 + 2]


def test_the_word_for_it_is_what_an_operator_sees_first() -> None:
    health = Health(T0)
    assert health.word == "starting"
    health.look((), T0)
    assert health.word == "ready"
    health.look((LOGIN, replace(LOGIN, why="full", about="other")), T0)
    assert health.word == "NOT READY: refused; full"
    health.look((LOGIN, Trouble(What.DRAINING, "it stops")), T0)
    assert health.word == "stopping"


def test_two_upstreams_that_refuse_us_are_two_reasons() -> None:
    health = Health(T0)
    health.look((replace(LOGIN, about="b"), replace(LOGIN, about="a", why="first")), T0)

    assert [reason.why for reason in health.reasons] == ["first", "refused"]


def test_senders_held_up_at_a_peak_do_not_count_and_for_long_they_do() -> None:
    health = running()
    for second in range(30):
        health.look((ROOM,), T0 + second)
        assert health.ready, second
    health.look((ROOM,), T0 + 30)

    assert [(reason.what, reason.since) for reason in health.reasons] == [(What.TEMPORARY_FILES, T0)]


def test_room_that_was_there_for_a_moment_starts_the_wait_anew() -> None:
    health = running()
    for second in range(120):
        health.look(() if second % 20 == 0 else (ROOM,), T0 + second)
        assert health.ready, second


def test_readiness_comes_back_only_when_there_has_been_room_for_a_while() -> None:
    health = running()
    for second in range(31):
        health.look((ROOM,), T0 + second)
    for second in range(31, 40):
        health.look((), T0 + second)
        assert not health.ready, second
    health.look((), T0 + 40)

    assert health.ready


def test_a_store_that_was_busy_for_a_moment_does_not_count() -> None:
    health = running()
    for second in range(6):
        health.look((STORE,), T0 + second)
        assert health.ready, second
    health.look((STORE,), T0 + 6)
    assert not health.ready
    health.look((), T0 + 7)
    assert health.ready


@given(st.lists(st.booleans(), max_size=200))
def test_held_up_senders_change_readiness_at_most_once_in_ten_seconds(held_up: list[bool]) -> None:
    health = running()
    changes, was = [], True
    for second, held in enumerate(held_up):
        health.look((ROOM,) if held else (), T0 + second)
        if health.ready != was:
            changes.append(second)
            was = health.ready

    assert all(later - earlier >= 10 for earlier, later in pairwise(changes))


# The words


def test_the_reasons_are_a_flat_list_in_json() -> None:
    health = Health(T0)
    health.look((LOGIN,), T0)

    assert json.loads(health.as_json()) == [{"what": "login", "why": "refused", "since": "2023-11-14T22:13:20Z"}]


def test_nothing_in_the_way_is_an_empty_list() -> None:
    health = Health(T0)
    health.look((), T0)

    assert json.loads(health.as_json()) == []


@given(st.text())
def test_whatever_a_server_said_the_words_are_printable_and_bounded(said: str) -> None:
    health = Health(T0)
    health.look((replace(LOGIN, why=said),), T0)

    [reason] = json.loads(health.as_json())
    assert reason["why"].isascii()
    assert reason["why"].isprintable()
    assert len(reason["why"]) <= 300


def test_the_page_about_health_has_a_section_for_each_reason_and_no_other() -> None:
    page = (ROOT / "docs" / "health.md").read_text(encoding="utf-8")
    sections = [line.removeprefix("### `").rstrip("`") for line in page.splitlines() if line.startswith("### `")]

    assert sections == [what.value for what in What]


# Looking


class WatchTest(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lines = log_lines(self)
        self.health = Health(T0)
        self.troubles: tuple[Trouble, ...] = ()
        self.looks = 0
        self.watch = Watch(
            self.health,
            lambda: self.troubles,
            self.clock,
            lambda: T0 + self.clock.seconds(),
            after=[self.count],
        )

    def count(self) -> None:
        self.looks += 1

    def test_it_looks_with_the_first_turn_of_the_loop_and_then_every_second_until_the_end(self) -> None:
        self.watch.start()
        self.assertFalse(self.health.ready)
        self.clock.pump([0, 1, 1])
        self.assertTrue(self.health.ready)
        self.assertEqual(self.looks, 3)
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_log_says_once_that_it_is_not_ready_and_once_that_it_is_again(self) -> None:
        self.watch.start()
        self.clock.pump([0, 1])
        self.troubles = (LOGIN,)
        self.clock.pump([1] * 5)
        self.troubles = ()
        self.clock.pump([1] * 5)

        self.assertEqual(self.lines, ["not ready: login: refused", "ready again"])

    def test_starting_and_stopping_are_said_elsewhere(self) -> None:
        self.troubles = (Trouble(What.STARTING, "starting"),)
        self.watch.start()
        self.clock.pump([0, 1])
        self.troubles = ()
        self.clock.pump([1])
        self.troubles = (Trouble(What.DRAINING, "stopping"),)
        self.clock.pump([1])

        self.assertEqual(self.lines, [])

    def test_a_look_that_fails_does_not_end_the_watch(self) -> None:
        def fail() -> None:
            raise RuntimeError("by intention")

        watch = Watch(self.health, lambda: self.troubles, self.clock, lambda: T0, after=[fail])
        watch.start()
        self.clock.pump([0, 1, 1])
        watch.look()

        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 4)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


# The pages


class PagesTest(TestCase):
    def setUp(self) -> None:
        self.health = Health(T0)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.service = AdminService("here", endpoint, Metrics(()), reactor, self.health)
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)

    async def get(self, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
        assert self.service.port is not None
        address = self.service.port.getHost()
        assert isinstance(address, IPv4Address)
        answer = await treq.request(method, f"http://127.0.0.1:{address.port}{path}", persistent=False)
        fields = {name.decode().lower(): values[0].decode() for name, values in answer.headers.getAllRawHeaders()}
        return answer.code, await treq.content(answer), fields

    def test_readiness_is_in_the_status_and_the_reasons_in_json(self) -> "Deferred[None]":
        async def look() -> None:
            code, body, fields = await self.get("/readyz")
            self.assertEqual((code, [one["what"] for one in json.loads(body)]), (503, ["starting"]))
            self.assertEqual(fields["content-type"], "application/json")
            self.assertEqual(fields["cache-control"], "no-store")
            self.health.look((), T0)
            code, body, _ = await self.get("/readyz")
            self.assertEqual((code, json.loads(body)), (200, []))

        return Deferred.fromCoroutine(look())

    def test_head_has_the_status_and_no_body(self) -> "Deferred[None]":
        async def look() -> None:
            self.assertEqual((await self.get("/readyz", "HEAD"))[:2], (503, b""))
            self.assertEqual((await self.get("/livez", "HEAD"))[:2], (200, b""))

        return Deferred.fromCoroutine(look())

    def test_a_process_that_is_not_ready_is_alive(self) -> "Deferred[None]":
        async def look() -> None:
            code, _, fields = await self.get("/livez")
            self.assertEqual(code, 200)
            self.assertEqual(fields["cache-control"], "no-store")

        return Deferred.fromCoroutine(look())

    def test_nothing_can_be_posted(self) -> "Deferred[None]":
        async def look() -> None:
            self.assertEqual((await self.get("/readyz", "POST"))[0], 405)
            self.assertEqual((await self.get("/livez", "POST"))[0], 405)

        return Deferred.fromCoroutine(look())

    def test_the_command_for_probes_asks_the_real_pages(self) -> "Deferred[None]":
        from twisted.internet.threads import deferToThread

        assert self.service.port is not None
        address = self.service.port.getHost()
        assert isinstance(address, IPv4Address)
        # trial's own mktemp would leave its folders where pytest was started.
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        config = folder / "smtpbridge.toml"
        config.write_text(f'[admin]\nendpoint = "tcp:{address.port}:interface=127.0.0.1"\n')

        async def look() -> None:
            # Not ready, but alive; then ready.
            self.assertEqual([await deferToThread(probe, config, *more) for more in (["--live"], [])], [0, 1])
            self.health.look((), T0)
            self.assertEqual(await deferToThread(probe, config), 0)

        return Deferred.fromCoroutine(look())


def probe(config: Path, *options: str) -> int:
    """Run `smtpbridge health`; return its exit status.  A proxy for the web is not for this machine's own pages."""
    command = [sys.executable, "-c", "from smtpbridge.cli import main; main()", "health", "--config", str(config)]
    environment = {"http_proxy": "http://127.0.0.1:1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, *options], capture_output=True, timeout=60, check=False, env=environment
    ).returncode


def test_haproxy_understands_the_lines_in_the_page_about_health(tmp_path: Path) -> None:
    program = shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        pytest.skip("haproxy is not installed (package haproxy)")
    page = (ROOT / "docs" / "health.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"```haproxy\n(.*?)```", page, re.DOTALL)
    config = tmp_path / "haproxy.cfg"
    times = "".join(f"    timeout {name} 5s\n" for name in ("connect", "client", "server"))
    front = f"frontend f\n    mode tcp\n    bind unix@{tmp_path}/senders\n    default_backend smtpbridge\n"
    config.write_text(f"defaults\n{times}{front}{lines}")

    done = subprocess.run([program, "-c", "-f", config], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
