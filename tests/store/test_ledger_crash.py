"""Wherever the process dies: entries and notices that were confirmed are there, and each becomes its events once."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from smtpbridge.store.ledger_sqlite import SqliteLedger
from tests.store.crashing import DIED
from tests.store.ledger_crashing import events_of, post, translate
from tests.store.ledger_samples import opened, token
from tests.store.samples import ids

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tests.store.ledger_crashing"]

# As many commits as the sequence makes, and one that is never reached.
COMMITS = range(1, 13)


def finish(ledger: SqliteLedger) -> None:
    """Do what a bridge does that starts after a crash: translate and post all that lies there."""
    for notice in ledger.notices(10_000):
        translate(ledger, notice.id, notice.octets)
    while post(ledger):
        pass


def check(folder: Path, said: list[list[str]], told_again: list[list[str]]) -> None:
    """Compare what was said with what is there."""
    ledger = opened(folder)
    for _, serial in (words for words in said if words[0] == "entered"):
        assert ledger.find(token(int(serial)), "ann@example.net") is not None
    kept = {one.id for one in ledger.list()}
    for _, octets in (words for words in said if words[0] == "taken"):
        assert kept >= set(events_of(octets.encode()))
    ledger.close()
    posted: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    batch_of: dict[str, set[str]] = defaultdict(set)
    for _, batch, *events in (words for words in said + told_again if words[0] == "posted"):
        posted[batch].add(tuple(events))
        for event in events:
            batch_of[event].add(batch)
    # Twice perhaps, but then with the same id and the same events.
    assert [batch for batch, contents in posted.items() if len(contents) > 1] == []
    assert [event for event, batches in batch_of.items() if len(batches) > 1] == []
    assert batch_of.keys() == kept


def after_a_crash(folder: Path, capfd: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Start again, finish, and return what was said."""
    capfd.readouterr()
    ledger = opened(folder, new_id=ids("again-"))
    finish(ledger)
    assert (ledger.waiting("one"), ledger.counts().notices) == ((0, None), 0)
    ledger.close()
    return [line.split() for line in capfd.readouterr().out.splitlines()]


@pytest.mark.parametrize("number", COMMITS)
@pytest.mark.parametrize("step", ["commit", "after-commit"])
def test_a_crash_at_any_step_loses_nothing_and_changes_no_batch(
    folder: Path, step: str, number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = subprocess.run(
        [*COMMAND, folder, step, str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    assert ran.returncode == (0 if number == COMMITS[-1] else DIED)

    check(folder, [line.split() for line in ran.stdout.splitlines()], after_a_crash(folder, capfd))


@pytest.mark.parametrize("lines", [1, 20, 100, 333])
def test_a_process_that_is_killed_under_load_loses_nothing(
    folder: Path, lines: int, capfd: pytest.CaptureFixture[str]
) -> None:
    process = subprocess.Popen([*COMMAND, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    said += process.stdout.readlines()
    process.stdout.close()
    process.wait()

    check(folder, [line.split() for line in said], after_a_crash(folder, capfd))
