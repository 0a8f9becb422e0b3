"""
Whether the race judges rightly: `python -m pytest bench/test_race.py`.

No violations mean something only when the sink finds those that are there.
"""

import xml.etree.ElementTree as ET

import pytest

from bench.race.conditions import Conditions
from bench.race.course import Row
from bench.race.messages import Kind, message
from bench.race.plot import Bar, Panel, drawn
from bench.race.report import page
from bench.race.results import results
from bench.race.sink import faults

MESSAGE = message(Kind.TYPICAL)


def row(peer: str, number: int, cpu_ms: float, **other: int) -> Row:
    """Return a run in which all went well, or nearly."""
    wrong = {"a body was changed": other["changed"]} if "changed" in other else {}
    return Row(
        number, "S1", peer, 1000, other.get("failed", 0), "closed", 2.0, cpu_ms, 1.0, 2.0, 40.0, 0, wrong, 0.25
    )  # fmt: skip


def header(octets: bytes) -> bytes:
    """Return a header block as the sink looks at it: line ends around it, without the empty line."""
    return b"\r\n" + octets[:-2]


def test_a_right_translation_has_no_fault() -> None:
    assert faults(header(MESSAGE.translated), MESSAGE) == []


def test_a_message_that_nobody_translated_has_every_fault() -> None:
    assert faults(header(MESSAGE.asking), MESSAGE) == [
        "X-MSYS-API is left", "no callback data", "a field is missing or wrong"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b"key_01", b"key_99", "wrong callback data"),
        (b"X-IB-Callback-Data: {", b"X-IB-Callback-Data: ", "wrong callback data"),
        (b"X-IB-Track-Clicks: false", b"X-IB-Track-Clicks: true", "a field is missing or wrong"),
        (b"X-IB-Bulk-Id", b"X-IB-Other", "a field is missing or wrong"),
        (b"Reply-To: ", b"Reply-To: " + b"x" * 990, "a line over 998"),
    ],
)
def test_each_fault_is_found(old: bytes, new: bytes, fault: str) -> None:
    assert old in MESSAGE.translated
    assert faults(header(MESSAGE.translated.replace(old, new)), MESSAGE) == [fault]


@pytest.mark.parametrize("kind", Kind)
def test_both_forms_of_a_message_end_once(kind: Kind) -> None:
    for translated in (True, False):
        octets = message(kind).sent(translated=translated)
        assert octets.find(b"\r\n.\r\n") == len(octets) - 5
        assert octets.count(b"\n") == octets.count(b"\r\n")


def test_results_are_medians_and_count_every_failure() -> None:
    rows = [row("smtpbridge", 0, 0.3), row("smtpbridge", 1, 0.1, failed=2), row("smtpbridge", 2, 0.2, changed=1)]

    [found] = results([*rows, row("other", 0, 9.0)])["S1"][:1]

    assert (found.peer, found.cpu_ms, found.rate, found.failed) == ("smtpbridge", 0.2, 500.0, 2)
    assert found.violations == {"a body was changed": 1}


def test_the_page_names_what_went_wrong() -> None:
    rows = [row("smtpbridge", 0, 0.2, changed=3), row("other", 0, 0.4, failed=7)]
    conditions = Conditions(
        3, 3.0, 1.0, "2026-11-20", "a machine", "a system", "abc", 0.5, skipped={"third": "no root"}
    )

    text = page(conditions, rows, results(rows))

    assert "- smtpbridge in S1: a body was changed: 3" in text
    assert '- other in S1: failed, first with "closed": 7' in text
    assert "- left out: third, no root" in text
    assert "| other | 1 | 0.400 | 2.00 |" in text


def test_the_plot_is_well_formed_whatever_the_names_are() -> None:
    drawing = ET.fromstring(drawn([[Panel("a < b", "ms", [Bar("x & y", 2.0, "2"), Bar("z", 0.0, "0")])]]))

    widths = [float(bar.get("width", "")) for bar in drawing.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert widths == [130.0, 1.0]
