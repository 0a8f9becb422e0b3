"""
A report as lines for a terminal.

Colours are those of `click.style`, which `click.echo` takes out where nobody
would see them.  The width comes in; no terminal is touched here.
"""

from collections.abc import Iterator

import click

from smtpbridge.commands.audit.outline import Line, Mood, Section, facts, sections, verdict, where
from smtpbridge.commands.audit.report import Report

_NARROWEST, _WIDEST = 60, 160
_BAR = 12
_MOST_EXAMPLES = 2
_MOST_LINES = 20
_COLOURS = {Mood.GOOD: "green", Mood.FAIR: "yellow", Mood.BAD: "red", Mood.PLAIN: None}


def lines(report: Report, width: int) -> Iterator[str]:
    """Yield the lines of a report for a terminal of that width."""
    width = min(max(width, _NARROWEST), _WIDEST)
    yield click.style(verdict(report), bold=True)
    yield ", ".join(f"{what} {count}" for what, count in facts(report))
    if report.totals.messages or report.totals.unreadable:
        for section in sections(report):
            yield ""
            yield click.style(section.title, bold=True)
            for line in section.lines[:_MOST_LINES]:
                yield from _line(line, section, width)
            if len(section.lines) > _MOST_LINES:
                yield f"{len(section.lines) - _MOST_LINES:>10,} more rows; --json and --html have them"


def _line(line: Line, section: Section, width: int) -> Iterator[str]:
    percent = f"{100 * line.count / section.whole:.1f}%" if section.whole else ""
    start = f"{line.count:>10,} {percent:>6} {_bar(line, section.whole)} "
    taken = 10 + 1 + 6 + 1 + _BAR + 1
    for place, text in enumerate(_in_columns(line.name, line.remark, width - taken)):
        yield (start + text if place == 0 else " " * taken + text).rstrip()
    if not any(share.mood in (Mood.FAIR, Mood.BAD) for share in line.shares):
        return
    for example in line.examples[:_MOST_EXAMPLES]:
        told = f": {example.text}" if example.text else ""
        yield click.style(f"{' ' * taken}  {where(example)}{told}", dim=True)


def _in_columns(name: str, remark: str, width: int) -> list[str]:
    column = width // 2
    if not remark or len(name) + 2 + len(remark) <= width:
        return [f"{name:<{min(column, 30)}}  {remark}" if remark and len(name) <= 30 else f"{name}  {remark}"]
    return [name, f"  {remark}"]


def _bar(line: Line, whole: int) -> str:
    """Return a bar in which whatever is there at all can be seen."""
    drawn, left = "", _BAR
    for share in line.shares:
        cells = min(left, max(1, round(_BAR * share.count / whole))) if whole else 0
        drawn += click.style("#" * cells, fg=_COLOURS[share.mood])
        left -= cells
    return drawn + " " * left
