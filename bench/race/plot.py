"""
Bars as SVG, written by hand: no library, and a file that diffs.

Each panel has a scale of its own, from zero, and each bar its figure beside it.  A
contestant has the same colour everywhere; the colours can be told apart by people who see few of
them, and the names stand beside the bars anyway.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from bench.race.course import DIRECT

_PANEL = 310
_NAMES = 116
_BARS = 130
_BAR = 16
_MARGIN = 16
# Okabe and Ito's palette.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
_GREY = "#999999"
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.title{font-weight:bold;font-size:14px}.what{fill:#555}"
    ".name{text-anchor:end}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """A name, how long, and what is written beside it."""

    name: str
    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A few bars on one scale."""

    title: str
    what: str
    bars: list[Bar]


def drawn(rows: list[list[Panel]]) -> str:
    """Return the panels, row by row, as an SVG document."""
    names = dict.fromkeys(bar.name for row in rows for panel in row for bar in panel.bars)
    proxies = sorted(names.keys() - {DIRECT}, key=lambda name: (not name.startswith("smtpbridge"), name))
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(proxies)}
    top, parts = _MARGIN, list[str]()
    for row in rows:
        for place, panel in enumerate(row):
            parts += _panel(panel, _MARGIN + place * _PANEL, top, colours)
        top += 60 + _BAR * max(len(panel.bars) for panel in row)
    width = 2 * _MARGIN + _PANEL * max(len(row) for row in rows)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" role="img">'
    ground = f'<rect width="{width}" height="{top}" fill="#ffffff"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", ground, *parts, "</svg>"]) + "\n"


def _panel(panel: Panel, left: int, top: int, colours: dict[str, str]) -> Iterator[str]:
    yield f'<text class="title" x="{left}" y="{top + 12}">{escape(panel.title)}</text>'
    yield f'<text class="what" x="{left + _NAMES}" y="{top + 30}">{escape(panel.what)}</text>'
    longest = max((bar.value for bar in panel.bars), default=0.0) or 1.0
    for place, bar in enumerate(panel.bars):
        y = top + 36 + _BAR * place
        length = max(1.0, _BARS * bar.value / longest)
        colour = colours.get(bar.name, _GREY)
        yield f'<text class="name" x="{left + _NAMES - 6}" y="{y + 12}">{escape(bar.name)}</text>'
        yield f'<rect x="{left + _NAMES}" y="{y + 2}" width="{length:.1f}" height="{_BAR - 4}" fill="{colour}"/>'
        yield f'<text x="{left + _NAMES + length + 5:.1f}" y="{y + 12}">{escape(bar.label)}</text>'
