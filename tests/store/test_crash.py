"""Whatever was confirmed before a crash is there after it; whatever was not is there as a whole or not at all."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from smtpbridge.store.sqlite import SqliteStore
from tests.store.crashing import DIED
from tests.store.samples import ATTEMPT, NOW, SHORT, octets, opened

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "tests.store.crashing"]

# Three long bodies, and as many commits as the sequence makes; the last one of each row is never reached.
STEPS = [
    *((step, number) for step in ("body-write", "body-fsync", "body-rename", "dir-fsync") for number in range(1, 5)),
    *((step, number) for step in ("commit", "after-commit") for number in range(1, 13)),
]
NEVER = {
    ("body-write", 4),
    ("body-fsync", 4),
    ("body-rename", 4),
    ("dir-fsync", 4),
    ("commit", 12),
    ("after-commit", 12),
}


def whole_and_nothing_else(store: SqliteStore, folder: Path) -> Counter[str]:
    """Check that every body can be read and no other is left; return how many parcels each message has."""
    found: Counter[str] = Counter()
    for kept in store.list():
        body = octets(store, kept.id)
        assert len(body) == kept.body_size
        found[kept.parcel.message_id] += 1
    store.purge(NOW)
    long_ones = {kept.parcel.message_id for kept in store.list() if kept.body_size > 100}
    assert len(list(folder.glob("bodies/*"))) == len(long_ones)
    assert store.counts().octets == sum({kept.parcel.message_id: kept.body_size for kept in store.list()}.values())
    return found


@pytest.mark.parametrize(("step", "number"), STEPS)
def test_a_crash_at_any_step_loses_nothing_and_halves_nothing(folder: Path, step: str, number: int) -> None:
    ran = subprocess.run(
        [*COMMAND, folder, step, str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    said = [line.split() for line in ran.stdout.splitlines()]
    assert ran.returncode == (0 if (step, number) in NEVER else DIED)

    store = opened(folder)
    kept = {one.id: one for one in store.list()}
    done = {words[1] for words in said if words[0] == "done"}
    put = {kept_id: words[1] for words in said if words[0] == "put" for kept_id in words[2:]}
    # The one change that was being made when the process died may have happened; nothing more.
    assert len(put.keys() - kept.keys() - done) <= 1
    assert not done & kept.keys()
    for kept_id in put.keys() & kept.keys():
        expected = SHORT if put[kept_id].startswith("s") else b"x" * 300
        assert octets(store, kept_id) == expected
    unconfirmed = Counter(one.parcel.message_id for one in kept.values() if one.id not in put)
    assert unconfirmed in (Counter(), *(Counter({name: 2}) for name in ("s1", "l1", "s2", "l2", "l3")))
    whole_and_nothing_else(store, folder)
    if ["retry", "000000000000"] in said:
        retried = store.show("000000000000")
        assert (retried.parcel.recipients, retried.history) == (("ann@example.net",), (ATTEMPT,))
    if ["remember", "key"] in said:
        assert store.recall(b"key", NOW) == "250 2.0.0 OK"

    # The dead have no say: all that is kept is served again once their leases are over.
    assert {one.id for one in store.claim(NOW + 60, 99, NOW + 120, "next")} == kept.keys()
    store.close()


@pytest.mark.parametrize("lines", [1, 10, 50, 150, 151, 152, 153, 400])
def test_a_process_that_is_killed_under_load_loses_nothing(folder: Path, lines: int) -> None:
    process = subprocess.Popen([*COMMAND, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    said += process.stdout.readlines()
    process.stdout.close()
    process.wait()

    store = opened(folder)
    for line in said:
        _, name, *both = line.split()
        for kept_id in both:
            assert octets(store, kept_id) in (name.encode(), name.encode() * 30)
    found = whole_and_nothing_else(store, folder)
    assert set(found.values()) == {2}
    # Each thread may have been waiting for one answer.
    assert len(said) <= len(found) <= len(said) + 4
    store.close()
