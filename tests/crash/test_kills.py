"""
The daemon is killed at random while senders keep sending and trying again.

`KILLS=200 python -m pytest tests/crash/test_kills.py --log-cli-level=INFO` kills
more often than a usual run does, and tells the figures.
"""

import logging
import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.world import Message, Mode, World, world
from tests.integration.rig import Papers, eventually

KILLS = int(os.environ.get("KILLS", "20"))
_SENDERS = 6
_PER_CONNECTION = 5
_SIZES = (100, 3_000, 70_000)

log = logging.getLogger(__name__)


def messages(sender: int, chance: random.Random) -> Iterator[Message]:
    """Make messages of every kind, for ever."""
    serial = 0
    while True:
        serial += 1
        name = f"s{sender}n{serial}"
        # One is always served at once; the others are where the work is.
        kinds = ["one", *(kind for kind in ("two", "later", "never", "cut") if chance.random() < 0.15)]
        blind = [f"{kind}.b{name}@example.net" for kind in ("bcc", "later", "cut") if chance.random() < 0.1]
        recipients = tuple(f"{kind}.{name}@example.net" for kind in kinds)
        yield Message(name, recipients, tuple(blind), chance.choices(_SIZES, (8, 3, 1))[0])


def send(made: World, sender: int, seed: int, enough: threading.Event) -> int:
    """Send messages until that is enough, each of them until it is accepted; return how many."""
    source, sent = messages(sender, random.Random(seed)), 0
    while not enough.is_set():
        left = [next(source) for _ in range(_PER_CONNECTION)]
        sent += len(left)
        while left:
            assert made.is_up.wait(30)
            left = made.send_all(left)
    return sent


def kill(made: World, times: int, chance: random.Random) -> None:
    """Kill the daemon that often, each time after some more has happened."""
    for _ in range(times):
        made.start()
        wanted = made.has_happened() + chance.randrange(1, 80)
        eventually(lambda wanted=wanted: made.has_happened() >= wanted, "some work")  # type: ignore[misc]  # a default
        made.kill()


@pytest.mark.parametrize("mode", Mode)
def test_kills_under_load_lose_nothing_and_double_nothing_without_a_reason(
    tmp_path: Path, papers: Papers, mode: Mode
) -> None:
    seed = random.randrange(2**32)
    enough = threading.Event()
    with world(tmp_path / "world", papers, mode) as made, ThreadPoolExecutor(_SENDERS) as threads:
        senders = [threads.submit(send, made, number, seed + number, enough) for number in range(_SENDERS)]
        try:
            kill(made, KILLS, random.Random(seed))
            made.start()
        finally:
            enough.set()
        sent = sum(sender.result() for sender in senders)
        made.settle()
        assert made.stop()

        assert made.faults() == [], f"seed {seed}"
        assert len(made.book.accepted) == sent
        log.info(
            "%s mode, %d kills: %d messages answered 250, %d sendings without an answer, %d arrivals, duplicates: %s",
            mode.value,
            KILLS,
            sent,
            made.book.unsure.total(),
            len(made.sink.arrivals),
            ", ".join(f"{count} because {reason}" for reason, count in made.duplicates().items()),
        )
