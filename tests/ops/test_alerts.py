"""The alert rules in etc/prometheus: they name what there is, Prometheus takes them, and they ring when they should."""

import re
import subprocess
from pathlib import Path

import pytest

from smtpbridge.ops.metrics import Metrics
from tests.integration.rig import program
from tests.ops.every_figure import ROOT, every_figure
from tests.ops.queries import faults_of, figures_by_query_name

RULES = ROOT / "etc" / "prometheus" / "smtpbridge.rules.yml"
SERIES = Path(__file__).with_name("alerts.yml")


def alerts() -> dict[str, str]:
    """Return the text of each alert by its name."""
    return dict(re.findall(r"(?ms)^      - alert: (\w+)\n(.*?)(?=^      - |\Z)", RULES.read_text(encoding="utf-8")))


def promtool(*words: str, said: str = "") -> None:
    done = subprocess.run(
        [program("promtool", "prometheus"), *words], input=said, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_figure_that_an_alert_names_is_there_with_its_labels() -> None:
    known = figures_by_query_name()
    # Where a runbook names a figure it may do so without an ending or labels.
    known |= {one.shown: one for one in known.values()}

    assert faults_of(RULES.read_text(encoding="utf-8"), known) == []


@pytest.mark.parametrize(
    "query",
    [
        "smtpbridge_message_total",
        "smtpbridge_verdict_seconds",
        'smtpbridge_messages_total{verdict="2xx"}',
        'smtpbridge_messages_total{class!="3xx"}',
        'process_open_fds{place="here"}',
    ],
)
def test_a_query_that_names_what_is_not_there_is_seen(query: str) -> None:
    assert faults_of(f"rate({query}[5m]) > 0", figures_by_query_name()) != []


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alert_says_how_urgent_it_is_what_is_wrong_and_what_to_do(name: str) -> None:
    text = alerts()[name]

    assert re.search(r"(?m)^        labels: \{ severity: (page|ticket) \}$", text)
    assert re.search(r"(?m)^          summary: .{20,}$", text)
    assert len(text.partition("runbook: >-\n")[2]) > 60


def test_every_alert_rings_in_the_series_that_it_is_tried_with() -> None:
    assert set(re.findall(r'alertname="(\w+)"', SERIES.read_text(encoding="utf-8"))) == set(alerts())


def test_prometheus_finds_no_fault_in_the_names_of_figures() -> None:
    promtool("check", "metrics", said=Metrics(every_figure()).text("text/plain")[0].decode())


def test_prometheus_takes_the_example_of_a_configuration(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    [example] = re.findall(r"(?s)```yaml\n(.*?)```", page)
    assert RULES.name in example
    path = tmp_path / "prometheus.yml"
    path.write_text(example.replace(f"/etc/prometheus/{RULES.name}", str(RULES)))

    promtool("check", "config", str(path))


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", str(RULES))


def test_alerts_ring_when_they_should_and_are_quiet_when_all_is_well() -> None:
    promtool("test", "rules", str(SERIES))
