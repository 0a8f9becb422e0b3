"""aiosmtpd with aiosmtplib: what a Python developer writes in a day (`foreign/aiosmtpd_proxy.py`)."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.race.peers.surroundings import FOREIGN, Missing, Surroundings, run
from bench.race.processes import start

_PACKAGES = ("aiosmtpd", "aiosmtplib")


@dataclass(frozen=True, slots=True)
class Aiosmtpd:
    """In a virtual environment of its own, with the Python that runs the race."""

    name: str = "aiosmtpd"
    how: str = "a program of 110 lines with kept client connections; passes through"

    def install(self, cache: Path) -> str:
        """Set up the environment once."""
        if not (cache / "installed").exists():
            run(sys.executable, "-m", "venv", "--clear", cache)
            run(cache / "bin" / "python", "-m", "pip", "--quiet", "install", *_PACKAGES)
            (cache / "installed").touch()
        ask = "from importlib.metadata import version; print(*(f'{p} {version(p)}' for p in %r), sep=', ')"
        return run(cache / "bin" / "python", "-c", ask % (_PACKAGES,)).strip()

    def start(self, around: Surroundings) -> list["subprocess.Popen[bytes]"]:
        """Start one process."""
        if around.workers != 1:
            raise Missing("one process only")
        program = [around.cache / "bin" / "python", FOREIGN / "aiosmtpd_proxy.py"]
        return [start(program, around.log, more=around.variables())]
