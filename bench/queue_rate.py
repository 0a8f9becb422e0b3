"""
How many messages a second senders get rid of, in both modes: `python -m bench.queue_rate [FOLDER]`.

The daemon is the real one, and syncs; FOLDER (default: a temporary one) is on
the disk that is measured.  Twenty kept sessions send messages of 2 KB.  In
queue mode the daemon delivers what it has accepted at the same time.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from bench.traffic import config, load, sink
from tests.integration.rig import Papers, bridge, make_papers

_SESSIONS = 20
_SECONDS = 10.0
_SIZE = 2_000


def measure(folder: Path, papers: Papers, mode: str) -> float:
    """Return the messages a second that were answered 250."""
    with sink(papers) as provider, bridge(config(folder, papers, provider.port, mode)) as relay:
        asyncio.run(load(relay.port, _SESSIONS, 1.0, _SIZE))
        before = provider.count.value
        rate = asyncio.run(load(relay.port, _SESSIONS, _SECONDS, _SIZE)) / _SECONDS
        delivered = (provider.count.value - before) / _SECONDS
        memory = relay.memory("VmHWM") / 1e6
    print(f"{mode}: {rate:.0f} accepted a second, {delivered:.0f} delivered; {memory:.0f} MB at most")
    return rate


def main() -> None:
    """Measure both."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        papers = make_papers(folder)
        proxy = measure(folder / "proxy", papers, "proxy")
        queue = measure(folder / "queue", papers, "queue")
    print(f"queue mode accepts {queue / proxy:.2f} of what proxy mode does")


if __name__ == "__main__":
    main()
