"""
What a long queue costs: `python -m bench.queue_depth [DEPTH] [FOLDER]`.

Fills a store with DEPTH messages (default 100,000) of 4 KB, starts the real
daemon, and tells how long it takes until it listens and until the provider has
the first message, and how its memory grows over half a minute of delivery.
"""

import sys
import tempfile
import time
from concurrent.futures import Future
from itertools import count
from pathlib import Path

from bench.traffic import Sink, config, sink
from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import Body, Parcel
from tests.integration.rig import BridgeProgram, bridge, eventually, make_papers

_SECONDS = 30
_STRIDE = 10


def fill(folder: Path, depth: int) -> None:
    """Put that many messages into a store."""
    serials = count()
    store = SqliteStore(folder, lambda: f"{next(serials):020d}")
    now, waiting = time.time(), list[Future[tuple[str, ...]]]()
    for serial in range(depth):
        parcel = Parcel(
            message_id=str(serial),
            upstream="main",
            sender="shop@example.com",
            original_sender="shop@example.com",
            recipients=("ann@example.net",),
            header=b"Subject: %d\r\n" % serial + b"X-Filling: 0123456789abcdef\r\n" * 70,
            eight_bit=False,
            priority=1,
            source=f"source {serial % 20}",
            expires_at=now + 259_200,
            not_before=now,
        )
        waiting.append(store.writer.put([parcel], Body.of(b"0123456789abcdef\r\n" * 111), now))
    for future in waiting:
        future.result()
    store.close()


def watch(relay: BridgeProgram, provider: Sink) -> None:
    """Tell how the delivery goes."""
    for second in range(0, _SECONDS + 1, _STRIDE):
        print(f"after {second} s: {provider.count.value} delivered, {relay.memory() / 1e6:.1f} MB")
        time.sleep(_STRIDE if second < _SECONDS else 0)
    print(f"at most {relay.memory('VmHWM') / 1e6:.1f} MB")


def main() -> None:
    """Measure."""
    depth = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as name:
        folder = Path(name)
        papers = make_papers(folder)
        with sink(papers) as provider:
            path = config(folder / "state", papers, provider.port, "queue")
            with bridge(path) as relay:
                assert relay.port
                print(f"with an empty queue: {relay.memory() / 1e6:.1f} MB")
            fill(folder / "state" / "store", depth)
            begun = time.monotonic()
            with bridge(path) as relay:
                assert relay.port
                print(f"{depth} queued: listens after {time.monotonic() - begun:.2f} s, {relay.memory() / 1e6:.1f} MB")
                eventually(lambda: provider.count.value, "the first delivery")
                print(f"first delivery after {provider.first.value - begun:.2f} s")
                watch(relay, provider)


if __name__ == "__main__":
    main()
