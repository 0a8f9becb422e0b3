"""The Grafana dashboard in etc/grafana: whole, readable, and about figures that there are."""

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.rig import program
from tests.ops.every_figure import ROOT, every_figure
from tests.ops.queries import faults_of, figures_by_query_name

DASHBOARD: dict[str, Any] = json.loads((ROOT / "etc" / "grafana" / "smtpbridge.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
# A dashboard has as many columns (Grafana, "dashboard JSON model").
COLUMNS = 24


def queries() -> list[str]:
    found = [target["expr"] for panel in SHOWN for target in panel["targets"]]
    return found + [one["expr"] for one in DASHBOARD["annotations"]["list"]]


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))


def test_it_has_what_grafana_asks_of_a_dashboard() -> None:
    assert DASHBOARD["id"] is None, "it is new where it is imported"
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("smtpbridge", "smtpbridge")
    assert DASHBOARD["schemaVersion"] >= 37
    numbers = [panel["id"] for panel in PANELS]
    assert len(numbers) == len(set(numbers))
    for panel in SHOWN:
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["title"], panel["id"]
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH"[: len(panel["targets"])])


def test_no_two_panels_overlap_and_none_stands_out() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        own = cells(panel)
        assert not own & taken, panel["title"]
        assert max(column for column, _ in own) < COLUMNS, panel["title"]
        taken |= own


def test_whoever_imports_it_chooses_the_data_source() -> None:
    names = [one["name"] for one in DASHBOARD["templating"]["list"]]
    sources = re.findall(r'"uid": "([^"]*)"', json.dumps(DASHBOARD))

    assert names == ["datasource", "instance"]
    assert set(sources) == {"${datasource}", "smtpbridge"}


def test_every_query_names_figures_that_there_are() -> None:
    known = figures_by_query_name()

    assert {query: faults for query in queries() if (faults := faults_of(query, known))} == {}
    assert all('instance=~"$instance"' in query for query in queries())


def test_every_figure_of_ours_is_on_it_but_those_that_say_in_other_words_what_is() -> None:
    shown = " ".join(queries())
    missing = {one.name for one in every_figure() if one.name not in shown}

    assert missing == {
        # The stat "Ready" and the alert say it.
        "smtpbridge_unready",
        # By version they are the handshakes of the dials that are shown.
        "smtpbridge_upstream_tls_connections",
        "smtpbridge_translation_notes",
        "process_virtual_memory_bytes",
        "process_max_fds",
        "process_start_time_seconds",
    }


def test_prometheus_takes_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for number, query in enumerate(queries())
    ]
    # JSON is YAML too.
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [program("promtool", "prometheus"), "check", "rules", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
