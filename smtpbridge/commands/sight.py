"""
What the admin endpoint shows at one moment, read for `smtpbridge top`.

`Sight` is the figures with the time at which they were read and the reasons of `/readyz`.  prometheus-client
reads the text; which figures there are is for `board` to know.  `Scraper` fetches both pages.
"""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

from smtpbridge.commands.printing import harmless
from smtpbridge.commands.way import Way
from smtpbridge.errors import SmtpbridgeError

Labels: TypeAlias = Mapping[str, str]


class NotSeen(SmtpbridgeError):
    """The admin endpoint did not show anything that can be read."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the bridge is not ready."""

    why: str
    since: str


@dataclass(frozen=True, slots=True)
class Sight:
    """The samples by name, each with its labels; `at` in seconds of whatever clock the reader has."""

    at: float
    samples: Mapping[str, tuple[tuple[Labels, float], ...]]
    reasons: tuple[Reason, ...] = field(default=())

    @classmethod
    def read(cls, at: float, text: str, readiness: str = "[]") -> "Sight":
        """Read what the two pages say; raise `NotSeen`."""
        samples: dict[str, list[tuple[Labels, float]]] = {}
        try:
            for family in text_string_to_metric_families(text):
                for one in family.samples:
                    samples.setdefault(one.name, []).append((one.labels, one.value))
            reasons = tuple(
                Reason(harmless(str(one["why"])), harmless(str(one["since"]))) for one in json.loads(readiness)
            )
        # What the parser raises depends on where the text stops to be one.
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise NotSeen("what answers is no admin endpoint of smtpbridge: its pages cannot be read") from error
        if "smtpbridge_ready" not in samples:
            raise NotSeen("what answers has no figures of smtpbridge")
        return cls(at, {name: tuple(found) for name, found in samples.items()}, reasons)

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum over the samples that have these labels, `None` where there is none."""
        found = [value for has, value in self.samples.get(name, ()) if labels.items() <= has.items()]
        return sum(found) if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the sums for each value of a label."""
        sums: dict[str, float] = {}
        for labels, value in self.samples.get(name, ()):
            if label in labels:
                sums[labels[label]] = sums.get(labels[label], 0.0) + value
        return sums

    def buckets(self, name: str, **labels: str) -> dict[float, float]:
        """Return the counts of a histogram by their upper bounds."""
        counts: dict[float, float] = {}
        for has, value in self.samples.get(f"{name}_bucket", ()):
            if labels.items() <= has.items():
                bound = float(has["le"])
                counts[bound] = counts.get(bound, 0.0) + value
        return counts


@dataclass(frozen=True, slots=True)
class Scraper:
    """Asks for both pages."""

    way: Way
    token: str = ""
    seconds: float = 2.0

    def __str__(self) -> str:
        return str(self.way)

    def look(self, at: float) -> Sight:
        """Read both pages; raise `NotSeen`."""
        return Sight.read(at, self._page("/metrics", (200,)), self._page("/readyz", (200, 503)))

    def _page(self, path: str, good: tuple[int, ...]) -> str:
        try:
            status, text = self.way.get(path, self.seconds, self.token)
        except (OSError, http.client.HTTPException) as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NotSeen(f"{self} cannot be reached: {harmless(said)}") from error
        if status == http.HTTPStatus.UNAUTHORIZED:
            raise NotSeen(f"{self} asks for its token, and this is not it: see [admin] token_file, or --token-file")
        if status not in good:
            raise NotSeen(f"{self}{path} answered {status}: {harmless(text[:200].decode('utf-8', 'replace').strip())}")
        return text.decode("utf-8", "replace")
