"""
The process that the crash tests kill.

`python -m tests.store.crashing FOLDER STEP NUMBER` changes a store and dies, by
`os._exit`, when STEP is reached for that time.  `... FOLDER` alone puts messages
from several threads until it is killed.  It writes a line for everything that
the store has confirmed.
"""

import os
import sys
import threading
from pathlib import Path

from smtpbridge.store.values import Body
from tests.store.samples import ATTEMPT, NOW, ids, long, opened, parcel, short

DIED = 77


def confirm(*words: str) -> None:
    """Write a line at once; one write is never torn."""
    os.write(1, " ".join(words).encode() + b"\n")


def die_at(wanted: str, number: int) -> None:
    """Go through a fixed sequence, and die at a step of it; leave normally when there is no such step."""
    reached = 0

    def step(name: str) -> None:
        nonlocal reached
        reached += name == wanted
        if name == wanted and reached == number:
            os._exit(DIED)

    store = opened(Path(sys.argv[1]), steps=step)
    for name, body in (("s1", short()), ("l1", long()), ("s2", short()), ("l2", long()), ("l3", long())):
        one, two = store.put([parcel(message_id=name), parcel(message_id=name)], body, NOW)
        confirm("put", name, one, two)
    for name, kept in zip(("claim1", "claim2"), store.claim(NOW, 2, NOW + 60, "dead"), strict=True):
        confirm(name, kept.id)
    for kept in list(store.list())[2:5]:
        store.done(kept.id)
        confirm("done", kept.id)
    store.retry(kept_id := f"{0:012d}", "dead", NOW + 30, ["ann@example.net"], ATTEMPT)
    confirm("retry", kept_id)
    store.remember(b"key", "250 2.0.0 OK", NOW + 60)
    confirm("remember", "key")
    store.close()


def put_for_ever() -> None:
    """Put short and long messages from four threads until somebody kills the process."""
    store = opened(Path(sys.argv[1]), new_id=ids())

    def work(thread: int) -> None:
        for serial in range(1_000_000):
            name = f"{thread}.{serial}"
            octets = name.encode() * (30 if serial % 3 == 0 else 1)
            one, two = store.put([parcel(message_id=name), parcel(message_id=name)], Body.of(octets), NOW)
            confirm("put", name, one, two)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    # An interpreter whose main thread has ended gives out no work to executors.
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        die_at(sys.argv[2], int(sys.argv[3]))
    else:
        put_for_ever()
