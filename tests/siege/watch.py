"""
What can be seen of the daemon from outside: its figures, its memory, its descriptors, its log.
"""

import functools
import os
import re
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.rig import BridgeProgram

_FIGURES_AT = re.compile(r"figures at .*port=(\d+)")
# What the process holds for messages and sessions; all of them fall to 0.
GAUGES = (
    "smtpbridge_sessions",
    "smtpbridge_body_memory_bytes",
    "smtpbridge_temporary_bytes",
    "smtpbridge_held_up",
    "smtpbridge_messages_under_way",
)


@dataclass(frozen=True, slots=True)
class Look:
    """
    One look: `figures` by name, or by the key in the configuration for limits; `lag` is the seconds that it took.

    Memory is in octets.  `processor` is the seconds for which the daemon had one, `queued` those for which it waited
    for one that others had.
    """

    figures: dict[str, float]
    limits: dict[str, int]
    descriptors: Counter[str]
    memory: int
    most_memory: int
    processor: float
    queued: float
    lag: float

    @property
    def own_descriptors(self) -> Counter[str]:
        """
        The descriptors without those that are kept for a while.

        Those are the connections to the provider, and the store's: it has one for each thread that ever read at the
        same time as others.
        """
        own = self.descriptors - Counter({"socket": int(self.figures["smtpbridge_upstream_connections"])})
        return Counter({name: number for name, number in own.items() if ".sqlite3" not in name})

    @property
    def held(self) -> dict[str, float]:
        """What is not 0 and should be when nobody is there."""
        return {name: self.figures[name] for name in GAUGES if self.figures[name]}


class Watch:
    """Looks at one daemon."""

    def __init__(self, relay: BridgeProgram) -> None:
        """Look at this one."""
        self._relay = relay

    @functools.cached_property
    def _page(self) -> str:
        return f"http://127.0.0.1:{self._relay.says(_FIGURES_AT)[1]}/metrics"

    def look(self) -> Look:
        """Look once."""
        started = time.monotonic()
        with urllib.request.urlopen(self._page, timeout=30) as page:
            text = page.read().decode()
        lag = time.monotonic() - started
        figures: dict[str, float] = {}
        limits: dict[str, int] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if family.name == "smtpbridge_limit_reached":
                    limits[sample.labels["limit"]] = int(sample.value)
                else:
                    figures[sample.name] = figures.get(sample.name, 0) + sample.value
        return Look(
            figures,
            limits,
            self.descriptors(),
            self._relay.memory(),
            self._relay.memory("VmHWM"),
            *self._scheduled(),
            lag,
        )

    def calm(self) -> Look:
        """Look a few times, and return the look with the fewest descriptors: that of the last scrape closes in time."""
        return min((self.look() for _ in range(5)), key=lambda look: look.descriptors.total())

    def descriptors(self) -> Counter[str]:
        """Count the open ones by what they are."""
        folder = Path(f"/proc/{self._relay.pid}/fd")
        found: Counter[str] = Counter()
        for name in os.listdir(folder):
            try:
                # A socket is called `socket:[123]`, and a file by its path.
                found[os.readlink(folder / name).partition(":[")[0]] += 1
            except FileNotFoundError:
                continue  # closed meanwhile
        return found

    def _scheduled(self) -> tuple[float, float]:
        ran, waited, _ = Path(f"/proc/{self._relay.pid}/schedstat").read_text().split()
        return int(ran) / 1e9, int(waited) / 1e9

    def log_lines(self) -> list[str]:
        """Return what it has logged."""
        return self._relay.output().splitlines()
