"""
How fast the store takes what it is to keep: `python -m pytest bench/test_store.py`.

A put includes the fsync, so the figures are those of the disk below the folder
for temporary files (`--basetemp` chooses another).  `together` shows what group
commit saves: the time is for the whole crowd.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import Body, Parcel

NOW = 1_700_000_000.0
CROWD = 100
PARCEL = Parcel(
    message_id="0001",
    upstream="main",
    sender="bounces@example.com",
    original_sender="shop@example.com",
    recipients=("ann@example.net",),
    header=b"Subject: a header of the usual length\r\n" * 20,
    eight_bit=False,
    priority=1,
    source="shop",
    expires_at=NOW + 432_000,
    not_before=NOW,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Return an empty store."""
    serial = count()
    made = SqliteStore(tmp_path / "state", lambda: f"{next(serial):020d}")
    yield made
    made.close()


@pytest.mark.parametrize("size", [2_000, 55_000, 1_000_000])
def test_put_one_after_the_other(benchmark: BenchmarkFixture, store: SqliteStore, size: int) -> None:
    octets = b"x" * size

    benchmark(lambda: store.put([PARCEL], Body.of(octets), NOW))

    assert store.counts().depth > 0


@pytest.mark.parametrize("size", [2_000, 55_000])
def test_put_together(benchmark: BenchmarkFixture, store: SqliteStore, size: int) -> None:
    octets = b"x" * size

    def put_all() -> None:
        waiting = [store.writer.put([PARCEL], Body.of(octets), NOW) for _ in range(CROWD)]
        for future in waiting:
            future.result()

    benchmark(put_all)

    assert store.counts().depth % CROWD == 0


def test_claim_and_done(benchmark: BenchmarkFixture, store: SqliteStore) -> None:
    def fill() -> None:
        for _ in range(CROWD):
            store.writer.put([PARCEL], Body.of(b"x" * 2_000), NOW)

    def serve() -> int:
        waiting = [store.writer.done(kept.id) for kept in store.claim(NOW, CROWD, NOW + 60, "bench")]
        return sum(future.result() for future in waiting)

    assert benchmark.pedantic(serve, setup=fill, rounds=20) == CROWD


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_open_and_claim_the_first(benchmark: BenchmarkFixture, tmp_path: Path, depth: int) -> None:
    serial = count()

    def opened() -> SqliteStore:
        return SqliteStore(tmp_path / "state", lambda: f"{next(serial):020d}")

    store = opened()
    for _ in range(depth // 1_000):
        store.put([PARCEL] * 1_000, Body.of(b"x" * 2_000), NOW)
    store.close()

    def start() -> int:
        again = opened()
        claimed = len(again.claim(NOW, 1, NOW, "bench"))
        again.close()
        return claimed

    assert benchmark.pedantic(start, rounds=5) == 1
