"""
The race: `python -m bench.race`, or `make bench`.

    --peers smtpbridge,haraka     which contestants; NAME@2 runs one with two workers
    --scenarios S1,S2             which scenarios
    --rounds 3 --seconds 3        how often, and how long each time (--warm-up before it)
    --rows FILE                   where the figures of each run go, a line of JSON each
    --from FILE                   run nothing; write the results anew from such a file

Rounds are interleaved: every contestant has its turn in a scenario before any has its second
one, and each round begins with another.  A table and a plot go into bench/RESULTS.md and bench/results.svg.
"""

import argparse
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.race import report
from bench.race.conditions import Conditions
from bench.race.course import Failed, Row, Run, measure
from bench.race.peers import aiosmtpd, haraka, postfix, smtpbridge
from bench.race.peers.surroundings import Missing, Peer
from bench.race.results import told
from bench.race.scenarios import SCENARIOS
from tests.integration.rig import ROOT

_CACHE = ROOT / ".cache" / "bench"
_PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (smtpbridge.PROXY, smtpbridge.QUEUE, haraka.Haraka(), postfix.Postfix(), aiosmtpd.Aiosmtpd())
}
_USUAL = ["direct", "smtpbridge", "aiosmtpd", "haraka", "postfix"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant as it was named; no peer is no proxy."""

    peer: Peer | None
    workers: int = 1


def _entry(name: str) -> Entry:
    base, _, workers = name.partition("@")
    if base == "direct":
        return Entry(None)
    if base not in _PEERS:
        raise SystemExit(f"no such peer: {base}; there are direct, {', '.join(_PEERS)}")
    return Entry(_PEERS[base], int(workers or 1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.race", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default=",".join(_USUAL))
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--rows", type=Path, default=_CACHE / "rows.jsonl")
    parser.add_argument("--from", dest="source", type=Path)
    return parser.parse_args()


def _installed(entries: list[Entry], conditions: Conditions) -> list[Entry]:
    """Return those that can run here; the others are named, with the reason."""
    found = []
    for entry in entries:
        if entry.peer is not None:
            try:
                conditions.versions[entry.peer.name] = (
                    f"{entry.peer.install(_CACHE / entry.peer.name)}; {entry.peer.how}"
                )
            except Missing as reason:
                conditions.skipped[entry.peer.name] = str(reason)
                print(f"{entry.peer.name} is left out: {reason}", flush=True)
                continue
        found.append(entry)
    return found


def _race(given: argparse.Namespace, entries: list[Entry], conditions: Conditions) -> list[Row]:
    rows = []
    for number in range(given.rounds):
        for name in given.scenarios.split(","):
            at = number % len(entries)
            for entry in entries[at:] + entries[:at]:
                cache = _CACHE / (entry.peer.name if entry.peer else "direct")
                run = Run(number, SCENARIOS[name], entry.peer, entry.workers, cache, given.seconds, given.warm_up)
                try:
                    row = measure(run)
                except (Failed, Missing, OSError, ValueError) as error:
                    conditions.failures.append(f"{run.label} in {name}: {error}")
                    print(f"{name} {run.label}: {error}", flush=True)
                    continue
                rows.append(row)
                with given.rows.open("a") as out:
                    out.write(row.line() + "\n")
                print(told(row), flush=True)
    return rows


def _again(path: Path) -> tuple[Conditions, list[Row]]:
    first, *lines = path.read_text().splitlines()
    return Conditions(**json.loads(first)), [Row(**json.loads(line)) for line in lines]


def _leave(number: int, _: FrameType | None) -> NoReturn:
    """Go by way of all that ends what was started; a second Ctrl-C must not cut that short."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main() -> None:
    """Race, and write the results down."""
    given = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    if given.source:
        conditions, rows = _again(given.source)
    else:
        conditions = Conditions.here(given.rounds, given.seconds, given.warm_up)
        entries = _installed([_entry(name) for name in given.peers.split(",")], conditions)
        given.rows.parent.mkdir(parents=True, exist_ok=True)
        given.rows.write_text(conditions.line() + "\n")
        rows = _race(given, entries, conditions)
        conditions.finish()
        given.rows.write_text("".join(f"{line}\n" for line in (conditions.line(), *(row.line() for row in rows))))
    if not rows:
        raise SystemExit("no run gave figures")
    report.write(ROOT / "bench", conditions, rows)
    print("written: bench/RESULTS.md and bench/results.svg")


if __name__ == "__main__":
    main()
