"""Under what conditions a race was run: what a reader needs to judge the figures, and nothing that names a machine."""

import json
import os
import platform
import ssl
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.race.processes import PROCESSORS
from tests.integration.rig import ROOT


@dataclass(slots=True)
class Conditions:
    """The text is for people; `versions` and `skipped` are by contestant."""

    rounds: int
    seconds: float
    warm_up: float
    date: str
    machine: str
    software: str
    revision: str
    load_before: float
    load_after: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @classmethod
    def here(cls, rounds: int, seconds: float, warm_up: float) -> "Conditions":
        """Look around."""
        return cls(
            rounds, seconds, warm_up,
            date=time.strftime("%Y-%m-%d", time.gmtime()),
            machine=_machine(),
            software=_software(),
            revision=_revision(),
            load_before=os.getloadavg()[0],
        )  # fmt: skip

    def finish(self) -> None:
        """Look at the end, too."""
        self.load_after = os.getloadavg()[0]

    @property
    def is_short(self) -> bool:
        """Tell whether this was done to see that it works, and not for the figures."""
        return self.rounds < 3 or self.seconds < 3

    def line(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


def _entry(path: str, name: str, separator: str) -> str:
    """Return the value of the first line that begins with that name; nothing when there is none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    found = (line.partition(separator)[2] for line in lines if line.partition(separator)[0].strip() == name)
    return next(found, "").strip().strip('"')


def _machine() -> str:
    model = _entry("/proc/cpuinfo", "model name", ":") or platform.machine()
    octets = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    virtual = " (virtual)" if "hypervisor" in _entry("/proc/cpuinfo", "flags", ":").split() else ""
    return f"{PROCESSORS} processors, {model}{virtual}, {octets / 2**30:.0f} GiB"


def _distribution() -> str:
    return _entry("/etc/os-release", "PRETTY_NAME", "=") or platform.system()


def _software() -> str:
    kernel, library = platform.release().partition("-")[0], " ".join(ssl.OPENSSL_VERSION.split()[:2])
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{_distribution()}, Linux {kernel}, {python} with {library}"


def _revision() -> str:
    """Return which commit this tree is, and whether it was changed since."""
    try:
        asked = ["git", "describe", "--always", "--dirty=, with changes"]
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"
