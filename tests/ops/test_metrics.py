"""What operators read at the admin endpoint."""

import re
from collections.abc import Iterator

import treq
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.trial.unittest import TestCase
from twisted.web.http_headers import Headers

from smtpbridge.figures import figures_of
from smtpbridge.ops.admin import AdminService, CannotShow
from smtpbridge.ops.metrics import Figure, Kind, Metrics, Sample
from smtpbridge.relay.tally import Limit
from tests.ops.every_figure import ROOT, every_figure, relay


def samples(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_are_read_when_they_are_asked_for() -> None:
    counted = [1.0]

    def read() -> Iterator[Sample]:
        return ((("one",), value) for value in counted)

    metrics = Metrics([Figure("bridge_things", Kind.COUNTER, "Things.", ("kind",), read)])
    counted[0] = 7.0

    text, content_type = metrics.text("text/plain")

    assert samples(text.decode()) == {("bridge_things_total", "one"): 7.0}
    assert content_type.startswith("text/plain; version=")


def openmetrics(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in strictly(text)
        for sample in family.samples
    }


def test_both_forms_of_the_text_are_read_by_a_parser_and_say_the_same() -> None:
    running = relay()
    running.doors[0].gate.traffic.verdict(250, "main", 1, 1000, 0.2)
    metrics = Metrics(figures_of(running))
    text, _ = metrics.text("text/plain")
    strict, content_type = metrics.text("application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    assert openmetrics(strict.decode()) == samples(text.decode())
    assert samples(text.decode())["smtpbridge_verdict_seconds_bucket", "2xx,0.25,tcp:0:interface=127.0.0.1"] == 1


def test_no_two_figures_have_one_name() -> None:
    names = [one.name for one in every_figure()]

    assert len(names) == len(set(names))


def test_names_keep_to_the_conventions_of_prometheus() -> None:
    for one in every_figure():
        assert one.help.endswith("."), one.name
        assert re.fullmatch(r"(smtpbridge|process)_[a-z]+(_[a-z]+)*", one.name), one.name
        # The exposition adds it.
        assert not one.name.endswith("_total"), one.name
        assert all(re.fullmatch(r"[a-z]+", label) for label in one.labels), one.name
        if one.kind is Kind.HISTOGRAM:
            assert one.name.endswith("_seconds"), one.name


def test_counters_and_histograms_are_there_before_anything_happened() -> None:
    silent = [one.name for one in every_figure() if one.kind is not Kind.GAUGE and not list(one.read())]

    assert silent == []


def test_every_limit_is_shown_from_the_start() -> None:
    text, _ = Metrics(figures_of(relay())).text("")
    found = samples(text.decode())

    assert {label for name, label in found if name == "smtpbridge_limit_reached_total"} == {one.value for one in Limit}
    assert {value for (name, _), value in found.items() if name.endswith("_total")} == {0.0}


def test_what_the_relay_counts_is_what_is_shown() -> None:
    running = relay()
    metrics = Metrics(figures_of(running))

    running.tally.reached(Limit.MAX_SESSIONS)
    running.tally.reached(Limit.MAX_SESSIONS)
    running.tally.login(accepted=False)
    found = samples(metrics.text("")[0].decode())

    assert found["smtpbridge_limit_reached_total", "max_sessions"] == 2
    assert found["smtpbridge_logins_total", "refused"] == 1
    assert found["smtpbridge_logins_total", "accepted"] == 0


def test_the_page_about_the_figures_has_a_row_for_each_with_its_kind_and_its_labels() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", page, re.MULTILINE)
    # In parentheses are values of a label.
    told = {name: (kind, tuple(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", labels)))) for name, kind, labels in rows}

    assert told == {one.shown: (one.kind.value, one.labels) for one in every_figure()}
    assert len(rows) == len(told)


def test_the_page_about_the_figures_names_the_values_of_labels_that_there_are() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| \w+ \| ([^|]*)\|", page, re.MULTILINE))

    for one in every_figure():
        for label, values in re.findall(r"`(\w+)` \(([^)]*)\)", rows[one.shown]):
            shown = {labels[one.labels.index(label)] for labels, _ in one.read()}
            assert set(re.findall(r"`([\w.-]+)`", values)) == shown, (one.name, label)


def test_the_page_about_the_limits_has_a_row_for_each_and_names_keys_that_there_are() -> None:
    page = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    example = (ROOT / "etc" / "smtpbridge.toml").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)

    assert {one.value for one in Limit} - set(rows) == set()
    assert [key for key in rows if not re.search(rf"\b{key} =", example)] == []


class AdminTest(TestCase):
    def setUp(self) -> None:
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.service = AdminService("here", endpoint, Metrics(figures_of(relay())), reactor)
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)

    @property
    def port(self) -> int:
        assert self.service.port is not None
        address = self.service.port.getHost()
        assert isinstance(address, IPv4Address)
        return address.port

    async def get(self, path: str, method: str = "GET") -> tuple[int, str, Headers]:
        answer = await treq.request(method, f"http://127.0.0.1:{self.port}{path}", persistent=False)
        return answer.code, await treq.text_content(answer), answer.headers

    def test_a_scrape_gets_the_figures(self) -> "Deferred[None]":
        async def scrape() -> None:
            code, text, headers = await self.get("/metrics")
            self.assertEqual(code, 200)
            self.assertEqual(headers.getRawHeaders("Cache-Control"), ["no-store"])
            self.assertIn(("smtpbridge_sessions", "tcp:0:interface=127.0.0.1"), samples(text))

        return Deferred.fromCoroutine(scrape())

    def test_there_is_nothing_else(self) -> "Deferred[None]":
        async def look() -> None:
            self.assertEqual((await self.get("/"))[0], 200)
            self.assertEqual((await self.get("/etc/passwd"))[0], 404)
            self.assertEqual((await self.get("/metrics", "POST"))[0], 405)

        return Deferred.fromCoroutine(look())

    def test_an_endpoint_that_is_taken_is_a_fault(self) -> None:
        taken = f"tcp:{self.port}:interface=127.0.0.1"
        second = AdminService(taken, serverFromString(reactor, taken), Metrics(()), reactor)
        with self.assertRaises(CannotShow) as caught:
            second.privilegedStartService()
        self.assertIn(taken, str(caught.exception))
