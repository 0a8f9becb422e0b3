"""
A report as one HTML page that needs nothing else: no script, no font, no image, no other file.

How it works: text is escaped in one place, where it enters the page.  Examples
are links to the files that they lie in, so a page that is read on another
machine still names them.  Numbers become the widths of bars.
"""

from collections.abc import Iterator
from html import escape

from smtpbridge.commands.audit.outline import Line, Section, facts, sections, verdict, where
from smtpbridge.commands.audit.report import Example, Report

_STYLE = """
:root { color-scheme: light dark; --text: #1c2330; --soft: #5b6577; --back: #f5f6f9; --card: #ffffff; --edge: #dfe3ea;
  --good: #1f9d63; --fair: #dd9a1b; --bad: #d13c3c; --plain: #7f8ea8; --link: #1f5fbf; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9f0; --soft: #9aa5b8; --back: #14171d; --card: #1d222b;
  --edge: #313846; --good: #38c184; --fair: #e5ac3c; --bad: #ee6464; --plain: #7485a3; --link: #82b1ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1rem; margin: 0; color: var(--soft); font-weight: 600; }
h2 { font-size: 1.15rem; margin: 0; }
.verdict { font-size: 1.7rem; line-height: 1.25; font-weight: 700; margin: .3rem 0 1.2rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem; margin: 0 0 1.2rem; }
.facts div, section { background: var(--card); border: 1px solid var(--edge); border-radius: .6rem; }
.facts div { padding: .6rem .9rem; display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.facts dt { color: var(--soft); font-size: .82rem; line-height: 1.3; }
.facts dd { margin: 0; font-size: 1.25rem; font-weight: 650; font-variant-numeric: tabular-nums; }
section { padding: 1rem 1.1rem; margin: 0 0 1rem; }
section > p { margin: 0 0 .6rem; color: var(--soft); font-size: .9rem; }
.row { padding: .5rem 0; border-top: 1px solid var(--edge); }
.head { display: flex; gap: 1rem; align-items: baseline; }
.name { flex: 1; min-width: 0; overflow-wrap: anywhere; font-weight: 550; }
.count { font-variant-numeric: tabular-nums; white-space: nowrap; }
.count small { color: var(--soft); display: inline-block; min-width: 3.6em; text-align: right; }
.remark { color: var(--soft); font-size: .88rem; overflow-wrap: anywhere; }
.bar { display: flex; height: .55rem; margin: .3rem 0 .15rem; border-radius: .3rem; background: var(--edge);
  overflow: hidden; }
.bar i { min-width: 3px; }
.good { background: var(--good); } .fair { background: var(--fair); }
.bad { background: var(--bad); } .plain { background: var(--plain); }
details { font-size: .86rem; } summary { cursor: pointer; color: var(--link); width: max-content; }
ul { margin: .3rem 0 .2rem; padding-left: 1.2rem; } li { margin-bottom: .35rem; overflow-wrap: anywhere; }
li span { color: var(--soft); display: block; } a { color: var(--link); }
.legend { color: var(--soft); font-size: .85rem; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 0 0 1rem; }
.legend i { display: inline-block; width: .75rem; height: .75rem; border-radius: .2rem; margin-right: .4rem; }
@media print { body { background: none; } section { break-inside: avoid; } }
"""
_LEGEND = (("good", "maps"), ("fair", "maps in part, or has no counterpart"), ("bad", "refused"), ("plain", "neutral"))


def html(report: Report) -> str:
    """Return the page."""
    return "\n".join(_page(report)) + "\n"


def _page(report: Report) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Moving to Infobip: an audit</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f'<h1>From SparkPost to Infobip: what would happen</h1>\n<p class="verdict">{escape(verdict(report))}</p>'
    yield '<dl class="facts">'
    for what, count in facts(report):
        yield f"<div><dt>{escape(what)}</dt><dd>{escape(count)}</dd></div>"
    yield "</dl>"
    legend = "".join(f'<span><i class="{mood}"></i>{text}</span>' for mood, text in _LEGEND)
    yield f'<p class="legend">{legend}</p>'
    for section in sections(report):
        yield from _section(section)
    yield "</main>\n</body>\n</html>"


def _section(section: Section) -> Iterator[str]:
    yield f"<section>\n<h2>{escape(section.title)}</h2>\n<p>{escape(section.explanation)}</p>"
    for line in section.lines:
        yield from _line(line, section.whole)
    yield "</section>"


def _line(line: Line, whole: int) -> Iterator[str]:
    percent = f"{_percent(line.count, whole):.1f}%"
    yield f'<div class="row"><div class="head"><span class="name">{escape(line.name)}</span>'
    yield f'<span class="count">{line.count:,} <small>{percent}</small></span></div>'
    bar = "".join(
        f'<i class="{share.mood.value}" style="width:{_percent(share.count, whole):.2f}%"></i>' for share in line.shares
    )
    yield f'<div class="bar">{bar}</div>'
    if line.remark:
        yield f'<div class="remark">{escape(line.remark)}</div>'
    if line.examples:
        items = "".join(map(_example, line.examples))
        yield f"<details><summary>Examples</summary><ul>{items}</ul></details>"
    yield "</div>"


def _example(example: Example) -> str:
    link = f'<a href="{escape(example.uri)}">{escape(where(example))}</a>'
    told = [text for text in (example.text, example.message_id) if text]
    return f"<li>{link}{''.join(f'<span>{escape(text)}</span>' for text in told)}</li>"


def _percent(count: int, whole: int) -> float:
    return 100 * count / whole if whole else 0.0
