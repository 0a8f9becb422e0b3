"""
The results of a race as a page and a plot.

The prose stands in constants with gaps; what depends on the runs is filled in.  The page
is a view: everything in it comes from the rows and the conditions, so it can be made anew.
"""

from collections import Counter
from pathlib import Path
from statistics import median

from bench.race.conditions import Conditions
from bench.race.course import DIRECT, Row
from bench.race.plot import Bar, Panel, drawn
from bench.race.results import Result, figure, results
from bench.race.scenarios import SCENARIOS, Scenario

_OURS = "smtpbridge"
_COLUMNS = (
    "runs", "CPU ms/message", "to smtpbridge", "messages/s", "median ms", "p99 ms", "memory MB", "upstream conn./1,000",
    "violations", "failed",
)  # fmt: skip

_OPENING = """\
# How fast the bridge is, against what else its users could pick

{short}Written by `make bench`; do not edit. Every contestant does the same job: it takes mail on loopback, turns
`X-MSYS-API` into `X-IB-Callback-Data`, `X-IB-Bulk-Id`, `X-IB-Track-Opens` and `X-IB-Track-Clicks`, and relays with
STARTTLS (certificate verified) and AUTH. A sink compares those fields and every octet of the body. The figure to
compare is **CPU time a message**, in the contestant's whole process tree; messages a second and times are those of the
machine with load generator and sink on it.

![The results as bars](results.svg)
"""

_SHORT = """\
> **A short run** (rounds: {rounds}, {seconds:g} s each), to see that everything works. Its figures are rough.

"""

_CONDITIONS = """\
## Conditions

- {date}, revision {revision}
- {machine}; {software}
- runs: {runs}, in up to {rounds} interleaved rounds, another contestant first in each; {seconds:g} s each after a
  warm-up of {warm_up:g} s, with a fresh sink and a fresh contestant
- load average {before:.1f} before and {after:.1f} after; other work had {usual:.0%} of the machine (median of the
  runs), at most {most:.0%}
- medians of the runs, the spread of CPU time in brackets; memory is the worst, sampled twice a second, and pages that
  processes share count once
"""

_DOUBTS = """\
## Doubts

- Load generator and sink are Python and share the processors with the contestant: the fastest contestants wait for
  them, so messages a second flatter the slow. On processors that other work keeps busy, CPU time rises for all.
- Who stores before it answers (Postfix, queue mode) survives a dead provider, and syncs; the others need not. Its
  median and p99 are the time to the answer, its messages a second count until the sink has all.
- In S4 "no proxy" pays TLS and AUTH for every message, which the kept connections of the others save.
- PIPELINING is used where a contestant offers it; aiosmtpd does not.
- Haraka's plugin sets TCP_NODELAY, its DH parameters are made beforehand, and it logs errors alone; aiosmtpd logs
  nothing; what syslog does for Postfix is not counted. The bridge logs each message into a file.
"""


def write(folder: Path, conditions: Conditions, rows: list[Row]) -> None:
    """Write RESULTS.md and results.svg."""
    found = results(rows)
    (folder / "RESULTS.md").write_text(page(conditions, rows, found), encoding="utf-8")
    (folder / "results.svg").write_text(drawn(_panels(found)), encoding="utf-8")


def page(conditions: Conditions, rows: list[Row], found: dict[str, list[Result]]) -> str:
    """Return RESULTS.md."""
    is_short = conditions.is_short
    short = _SHORT.format(rounds=conditions.rounds, seconds=conditions.seconds) if is_short else ""
    parts = [_OPENING.format(short=short), _summary(found)]
    parts += [_table(SCENARIOS[name], here) for name, here in found.items()]
    parts += [_contestants(conditions), _conditions(conditions, rows), _DOUBTS + _wrong(conditions, rows)]
    return "\n".join(parts)


def _summary(found: dict[str, list[Result]]) -> str:
    peers = dict.fromkeys(result.peer for here in found.values() for result in here)
    lines = ["## CPU milliseconds a message\n", _row("", *found), _row(*["---"] * (len(found) + 1))]
    for peer in peers:
        by_name = {name: result for name, here in found.items() for result in here if result.peer == peer}
        lines.append(_row(peer, *(figure(by_name[name].cpu_ms) if name in by_name else "" for name in found)))
    return "\n".join(lines) + "\n"


def _table(scenario: Scenario, here: list[Result]) -> str:
    ours = next((result.cpu_ms for result in here if result.peer == _OURS), 0.0)
    lines = [f"## {scenario.name}: {scenario.title}\n", _row("", *_COLUMNS), _row("---", *["---:"] * len(_COLUMNS))]
    for result in here:
        cpu = f"{figure(result.cpu_ms)} ({result.spread})" if len(result.rows) > 1 else figure(result.cpu_ms)
        lines.append(
            _row(
                result.peer, str(len(result.rows)), cpu, figure(result.cpu_ms / ours) if ours else "",
                f"{result.rate:,.0f}", figure(result.median_ms), figure(result.p99_ms),
                "" if result.peer == DIRECT else figure(result.memory_mb), figure(result.opened),
                str(sum(result.violations.values())), str(result.failed),
            )
        )  # fmt: skip
    return "\n".join(lines) + "\n"


def _contestants(conditions: Conditions) -> str:
    lines = [
        "## Who took part\n",
        f"- {DIRECT}: the senders speak to the sink; the CPU time is theirs, memory is not counted",
    ]
    lines += [f"- {name}: {text}" for name, text in conditions.versions.items()]
    lines += [f"- left out: {name}, {reason}" for name, reason in conditions.skipped.items()]
    return "\n".join(lines) + "\n"


def _conditions(conditions: Conditions, rows: list[Row]) -> str:
    return _CONDITIONS.format(
        date=conditions.date,
        revision=conditions.revision,
        machine=conditions.machine,
        software=conditions.software,
        runs=len(rows),
        rounds=conditions.rounds,
        seconds=conditions.seconds,
        warm_up=conditions.warm_up,
        before=conditions.load_before,
        after=conditions.load_after,
        usual=median(row.foreign for row in rows),
        most=max(row.foreign for row in rows),
    )


def _wrong(conditions: Conditions, rows: list[Row]) -> str:
    """Return lines on everything that went wrong."""
    found = Counter[str]()
    for row in rows:
        found.update({f"{row.peer} in {row.scenario}: {name}": count for name, count in row.violations.items()})
        if row.failed:
            found[f'{row.peer} in {row.scenario}: failed, first with "{row.first_failure}"'] += row.failed
    lines = [f"- {text}: {count}" for text, count in found.items()]
    lines += [f"- No figures: {text}" for text in conditions.failures]
    return "".join(f"{line}\n" for line in lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _panels(found: dict[str, list[Result]]) -> list[list[Panel]]:
    """Return a row of panels for each scenario."""
    rows = []
    for name, here in found.items():
        proxies = [result for result in here if result.peer != DIRECT]
        measures = (
            ("CPU ms a message", here, [result.cpu_ms for result in here]),
            ("messages a second", here, [result.rate for result in here]),
            ("99th percentile, ms", here, [result.p99_ms for result in here]),
            ("memory, MB", proxies, [result.memory_mb for result in proxies]),
        )
        title = f"{name}: {SCENARIOS[name].title}"
        rows.append(
            [
                Panel(
                    title if not number else "",
                    what,
                    [Bar(one.peer, value, figure(value)) for one, value in zip(those, values, strict=True)],
                )
                for number, (what, those, values) in enumerate(measures)
            ]
        )
    return rows
