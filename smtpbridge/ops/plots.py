"""
Lines over the last hour as SVG that stands in the page itself: no script draws them, no file is fetched.

Two lines differ in more than their colour: the second one is dashed.  What a plot shows is said in words too, for who
does not see it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import floor, log10

from smtpbridge.ops.history import SPAN_SECONDS, Point
from smtpbridge.ops.markup import Html, element

_WIDTH, _HEIGHT = 600, 150
# Room for the numbers at the left and the times below, in units of the drawing.
_LEFT, _TOP, _BOTTOM = 62, 12, 22
# Two neighbours that are further apart than this, in seconds, are not joined by a line.
_GAP = 95.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its name, and what it shows of a point."""

    name: str
    of: Callable[[Point], float | None]


def plot(title: str, points: Sequence[Point], lines: Sequence[Line], show: Callable[[float], str]) -> Html:
    """Return a figure with a plot of up to two lines; `show` writes a value with its unit."""
    values = [value for line in lines for point in points if (value := line.of(point)) is not None]
    top = _round(max(values, default=0.0))
    words = "; ".join(_said(line, points, show) for line in lines)
    drawing = element(
        "svg",
        list(_grid(top, show)),
        [path for place, line in enumerate(lines) for path in _paths(place, line, points, top)],
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{title}, last hour: {words}",
    )
    legend = [element("span", element("i", class_=f"key line{place}"), line.name) for place, line in enumerate(lines)]
    caption = element("figcaption", element("b", title), " ", legend, element("small", words))
    return element("figure", caption, drawing)


def _said(line: Line, points: Sequence[Point], show: Callable[[float], str]) -> str:
    values = [value for point in points if (value := line.of(point)) is not None]
    return f"{line.name}: last {show(values[-1])}, highest {show(max(values))}" if values else f"{line.name}: none"


def _round(most: float) -> float:
    """Return the next larger number that reads well."""
    if most <= 0:
        return 1.0
    step = 10.0 ** floor(log10(most))
    return next(step * times for times in (1, 2, 5, 10) if times == 10 or step * times >= most)


def _grid(top: float, show: Callable[[float], str]) -> Iterator[Html]:
    for part in (0.0, 0.5, 1.0):
        y = _y(top * part, top)
        yield element("line", class_="grid", x1=_LEFT, x2=_WIDTH, y1=y, y2=y)
        yield element("text", show(top * part), x=_LEFT - 4, y=y + 4, text_anchor="end")
    for minutes in (60, 45, 30, 15):
        anchor = "start" if minutes == 60 else "middle"
        yield element("text", f"-{minutes} min", x=_x(minutes * 60.0), y=_HEIGHT - 5, text_anchor=anchor)
    yield element("text", "now", x=_WIDTH, y=_HEIGHT - 5, text_anchor="end")


def _paths(place: int, line: Line, points: Sequence[Point], top: float) -> Iterator[Html]:
    """Yield a path for each stretch without a gap; a stretch of one point is a dot."""
    stretch: list[tuple[float, float]] = []
    before: float | None = None
    for point in points:
        value = line.of(point)
        if stretch and (value is None or (before is not None and before - point.ago > _GAP)):
            yield _path(place, stretch)
            stretch = []
        if value is not None:
            stretch.append((_x(point.ago), _y(value, top)))
        before = point.ago
    if stretch:
        yield _path(place, stretch)


def _path(place: int, stretch: Sequence[tuple[float, float]]) -> Html:
    at = " ".join(f"{x},{y}" for x, y in stretch)
    return element("path", d=f"M{at}" if len(stretch) > 1 else f"M{at}h1", class_=f"line{place}")


def _x(ago: float) -> float:
    return round(_WIDTH - max(0.0, ago) / SPAN_SECONDS * (_WIDTH - _LEFT), 1)


def _y(value: float, top: float) -> float:
    return round(_TOP + (1 - value / top) * (_HEIGHT - _TOP - _BOTTOM), 1)
