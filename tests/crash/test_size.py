"""
A long queue costs the daemon neither memory nor its first delivery.

`python -m bench.queue_depth` has the figures.
"""

import re
import time
from itertools import count
from pathlib import Path

from smtpbridge.store.database import Database
from smtpbridge.store.rows import Turns
from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import OTHER, TRANSACTIONAL, Body, Parcel
from tests.crash.world import Mode, World, world
from tests.integration.rig import Papers, eventually

_DEPTH = 1_000
_OCTETS = 40_000
# Half of what lies in the queue: more than a daemon needs that holds only what it sends.
_ROOM = _DEPTH * _OCTETS // 2


def parcel(serial: int, priority: int) -> Parcel:
    """Return one with a header of half its octets."""
    filling = b"X-Filling: 0123456789abcdef\r\n" * (_OCTETS // 58)
    received = b"Received: by life0.example.com with ESMTP id %d;\r\n Mon, 1 Jan 2024 00:00:00 +0000\r\n" % serial
    now = time.time()
    return Parcel(
        message_id=str(serial),
        upstream="main",
        sender="shop@example.com",
        original_sender="shop@example.com",
        recipients=(f"one.q{serial}@example.net",),
        header=received + b"Subject: q%d\r\n" % serial + filling,
        eight_bit=False,
        priority=priority,
        source="shop",
        expires_at=now + 86_400,
        not_before=now,
    )


def fill(made: World) -> None:
    """Queue many messages, the one that is urgent last."""
    serials = count()
    store = SqliteStore(made.store, lambda: f"{next(serials):020d}")
    body = b"0123456789abcdef\r\n" * (_OCTETS // 36)
    waiting = [
        store.writer.put([parcel(serial, TRANSACTIONAL if serial == _DEPTH else OTHER)], Body.of(body), time.time())
        for serial in range(1, _DEPTH + 1)
    ]
    for future in waiting:
        future.result()
    store.close()


def steps_of_a_claim(folder: Path, depth: int) -> int:
    """Return how many steps the database needs to find who is due among that many parcels of one source."""
    serials = count()
    store = SqliteStore(folder, lambda: f"{next(serials):020d}")
    store.put([parcel(serial, OTHER) for serial in range(depth)], Body.of(b""), time.time())
    store.close()
    connection, steps = Database(folder, 5.0).connect(), 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(step, 1)
    assert len(Turns().due(connection, time.time(), 1, ())) == 1
    connection.close()
    return steps


def peak(made: World) -> int:
    """Return the most memory that the daemon ever had, in octets."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{made.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_who_is_due_is_found_without_walking_through_the_queue(tmp_path: Path) -> None:
    assert steps_of_a_claim(tmp_path / "long", 500) == steps_of_a_claim(tmp_path / "short", 5)


def test_a_long_queue_is_delivered_once_the_urgent_first_and_in_little_memory(tmp_path: Path, papers: Papers) -> None:
    with world(tmp_path / "world", papers, Mode.QUEUE) as made:
        made.start()
        before = peak(made)
        assert made.stop()
        fill(made)
        made.start()
        eventually(lambda: len(made.sink.arrivals) == _DEPTH, "everything")
        made.settle()
        after = peak(made)
        assert made.stop()

        assert sorted(one.recipient for one in made.sink.arrivals) == sorted(
            f"one.q{serial}@example.net" for serial in range(1, _DEPTH + 1)
        )
        # Side by side with what was claimed together with it.
        assert f"q{_DEPTH}" in [one.name for one in made.sink.arrivals[:10]]
        assert after - before < _ROOM
