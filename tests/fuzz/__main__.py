"""
`python -m tests.fuzz [TARGET ...]`: run targets under atheris, one after the other.

Each starts from its seeds and from what earlier campaigns found worth keeping
(`.cache/fuzz/TARGET/corpus`).  An input that breaks a promise, takes longer
than `_SLOWEST` or needs more memory than `_MOST_MEMORY` is a finding: it is
kept in `.cache/fuzz/TARGET/findings` and its path is printed.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from tests.fuzz.catalogue import DICTIONARIES, FOUND, SEEDS, findings, names, seeds, target

_LONGEST_INPUT = 16_384  # octets
# A step takes well under a millisecond for most inputs; what takes this long has no bound worth the name.
_SLOWEST = 10  # seconds
_MOST_MEMORY = 1024  # MiB, of which Python, the package and what atheris keeps take a fifth


@click.command()
@click.argument("chosen", metavar="[TARGET]...", nargs=-1)
@click.option("--minutes", type=click.FloatRange(min=0.01), default=1.0, show_default=True, help="For each target.")
@click.option("--seed-only", is_flag=True, help="Run the seeds and the findings once, without atheris.")
def main(chosen: tuple[str, ...], minutes: float, seed_only: bool) -> None:
    """Run the fuzz targets; without TARGET, all of them."""
    if unknown := set(chosen) - set(names()):
        raise click.UsageError(f"no target {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if not seed_only and find_spec("atheris") is None:
        raise click.ClickException("atheris is not installed; to have it: make fuzz, or pip install -e '.[fuzz]'")
    broken = [name for name in chosen or names() if not (_once(name) if seed_only else _campaign(name, minutes))]
    if broken:
        raise click.ClickException(f"a promise was broken: {', '.join(broken)}")


def _once(name: str) -> bool:
    """Run the seeds and the findings of a target in this process; a broken promise shows with its traceback."""
    run = target(name)
    given = [*seeds(name), *(path.read_bytes() for path in findings(name))]
    for octets in given:
        run(octets)
    click.echo(f"{name}: {len(given)} inputs, all promises kept")
    return True


def _campaign(name: str, minutes: float) -> bool:
    """Run a target under atheris; print the paths of what it found."""
    corpus, kept = FOUND / name / "corpus", FOUND / name / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    kept.mkdir(exist_ok=True)
    before = findings(name)
    click.echo(f"{name}: {minutes:g} min")
    ended = subprocess.run([*_command(name, minutes, corpus, kept), str(SEEDS / name)], check=False)
    new = [path for path in findings(name) if path not in before]
    for path in new:
        click.echo(f"{name}: found {path}")
    return ended.returncode == 0 and not new


def _command(name: str, minutes: float, corpus: Path, kept: Path) -> list[str]:
    """Return the call of libFuzzer; what is new goes into the first folder of the corpus."""
    dictionary = DICTIONARIES / f"{name}.dict"
    return [
        *(sys.executable, "-m", "tests.fuzz.campaign", name),
        f"-max_total_time={max(1, round(minutes * 60))}",
        f"-max_len={_LONGEST_INPUT}",
        f"-timeout={_SLOWEST}",
        f"-rss_limit_mb={_MOST_MEMORY}",
        f"-artifact_prefix={kept}/",
        *([f"-dict={dictionary}"] if dictionary.exists() else []),
        "-print_final_stats=1",
        str(corpus),
    ]


if __name__ == "__main__":
    main()
