"""Which targets there are, and where their inputs lie."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

Target: TypeAlias = Callable[[bytes], None]

HERE = Path(__file__).resolve().parent
SEEDS = HERE / "seeds"
DICTIONARIES = HERE / "dictionaries"
# What campaigns find: NAME/corpus, kept between campaigns, and NAME/findings.
FOUND = HERE.parents[1] / ".cache" / "fuzz"


def names() -> list[str]:
    """Return the names of all targets."""
    return sorted(path.stem for path in (HERE / "targets").glob("[a-z]*.py"))


def target(name: str) -> Target:
    """Return the function of a target; only now is what it tests imported, which lets atheris follow it."""
    run: Target = import_module(f"tests.fuzz.targets.{name}").run
    return run


def seeds(name: str) -> list[bytes]:
    """Return the seeds of a target."""
    return [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]


def findings(name: str) -> list[Path]:
    """Return what campaigns have found against a target."""
    return sorted((FOUND / name / "findings").glob("*-*"))


def tokens(name: str) -> list[bytes]:
    """Return the words of a target's dictionary, which is in the format of libFuzzer."""
    found = []
    for line in (DICTIONARIES / f"{name}.dict").read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            quoted = line[line.index('"') + 1 : line.rindex('"')]
            found.append(quoted.encode("ascii").decode("unicode_escape").encode("latin-1"))
    return found
