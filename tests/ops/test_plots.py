"""Plots as SVG."""

import xml.etree.ElementTree as ET

import pytest

from smtpbridge.ops.history import Point
from smtpbridge.ops.markup import Html
from smtpbridge.ops.plots import Line, plot
from smtpbridge.ops.wording import rate

LINES = [Line("accepted", lambda point: point.accepted), Line("median", lambda point: point.median)]


def drawn(points: list[Point]) -> ET.Element:
    figure = plot("Messages a second", points, LINES, rate)
    assert isinstance(figure, Html)
    found = ET.fromstring(figure).find("svg")
    assert found is not None
    return found


def point(ago: float, accepted: float = 1.0, median: float | None = None) -> Point:
    return Point(ago, accepted, 0.0, median, None)


def paths(svg: ET.Element, kind: str) -> list[str]:
    return [one.attrib["d"] for one in svg.iter("path") if one.attrib["class"] == kind]


def test_an_hour_is_one_line_from_the_left_to_the_right() -> None:
    svg = drawn([point(ago, 5.0) for ago in range(3600, -1, -30)])

    (path,) = paths(svg, "line0")
    places = path[1:].split(" ")
    assert len(places) == 121
    assert (places[0], places[-1]) == ("62.0,12.0", "600.0,12.0")


def test_a_stretch_without_values_or_without_points_is_a_gap() -> None:
    svg = drawn([point(600, 1, 0.1), point(570, 1), point(540, 1, 0.1), point(510, 1, 0.2), point(30, 1)])

    assert len(paths(svg, "line0")) == 2
    assert len(paths(svg, "line1")) == 2
    assert paths(svg, "line1")[0].endswith("h1"), "one point is a dot"


def test_what_is_drawn_is_said_in_words() -> None:
    label = drawn([point(60, 40.0), point(30, 3.0)]).attrib["aria-label"]

    assert label == "Messages a second, last hour: accepted: last 3/s, highest 40/s; median: none"


@pytest.mark.parametrize(
    ("most", "top"), [(0.0, "1/s"), (0.03, "0.05/s"), (1.0, "1/s"), (7.0, "10/s"), (99.0, "100/s"), (101.0, "200/s")]
)
def test_the_scale_ends_at_a_round_number(most: float, top: str) -> None:
    svg = drawn([point(60, most), point(30, most)])

    assert [one.text for one in svg.iter("text")][2] == top


def test_nothing_yet_is_an_empty_plot() -> None:
    assert paths(drawn([]), "line0") == []
