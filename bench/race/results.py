"""
What the runs of a race come to.

Of several runs the median counts for figures of speed; for memory, violations and
failures it is the worst or the sum, because one is one too many.
"""

from collections import Counter
from dataclasses import dataclass
from statistics import median

from bench.race.course import Row
from bench.race.scenarios import SCENARIOS


@dataclass(frozen=True, slots=True)
class Result:
    """All runs of one contestant in one scenario."""

    peer: str
    rows: tuple[Row, ...]

    @property
    def cpu_ms(self) -> float:
        """Processor time a message."""
        return median(row.cpu_ms for row in self.rows)

    @property
    def rate(self) -> float:
        """Messages a second."""
        return median(row.rate for row in self.rows)

    @property
    def median_ms(self) -> float:
        """What half of the messages took at most."""
        return median(row.median_ms for row in self.rows)

    @property
    def p99_ms(self) -> float:
        """What nearly all took at most."""
        return median(row.p99_ms for row in self.rows)

    @property
    def memory_mb(self) -> float:
        """The most that any run needed; nothing for no proxy."""
        return max(row.memory_mb for row in self.rows)

    @property
    def spread(self) -> str:
        """The best and the worst processor time."""
        found = [row.cpu_ms for row in self.rows]
        return f"{figure(min(found))}-{figure(max(found))}"

    @property
    def opened(self) -> float:
        """Upstream connections opened for a thousand messages."""
        return 1000 * sum(row.opened for row in self.rows) / sum(row.taken for row in self.rows)

    @property
    def violations(self) -> Counter[str]:
        """What the sink found wrong, by name."""
        found = Counter[str]()
        for row in self.rows:
            found.update(row.violations)
        return found

    @property
    def failed(self) -> int:
        """Messages that were not taken, or taken and not delivered."""
        return sum(row.failed for row in self.rows)


def results(rows: list[Row]) -> dict[str, list[Result]]:
    """Return the results by scenario, in the order of the scenarios, the thriftiest contestant first."""
    found = {}
    for name in SCENARIOS:
        peers = dict.fromkeys(row.peer for row in rows if row.scenario == name)
        here = [Result(peer, tuple(r for r in rows if (r.scenario, r.peer) == (name, peer))) for peer in peers]
        if here:
            found[name] = sorted(here, key=lambda result: result.cpu_ms)
    return found


def told(row: Row) -> str:
    """Return a run as a line for whoever waits."""
    wrong = f"  {sum(row.violations.values())} violations" if row.violations else ""
    wrong += f"  {row.failed} failed ({row.first_failure})" if row.failed else ""
    speed = f"{row.rate:>8,.0f}/s  CPU {figure(row.cpu_ms):>6} ms  p99 {figure(row.p99_ms):>6} ms"
    return f"{row.scenario} {row.peer:<16} {speed}  {row.memory_mb:>4.0f} MB  other work {row.foreign:>4.0%}{wrong}"


def figure(number: float) -> str:
    """Return three digits that count."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}" if number >= 1 else f"{number:.3f}" if number else "0"
