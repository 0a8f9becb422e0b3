"""
The process that the crash tests of the ledger kill.

`python -m tests.store.ledger_crashing FOLDER STEP NUMBER` does what a bridge does with a few messages and dies, by
`os._exit`, when STEP is reached for that time.  `... FOLDER` alone does it with ever more, from several threads, until
it is killed.  It writes a line for everything that the ledger has confirmed.
"""

import os
import sys
import threading
import time
from pathlib import Path

from smtpbridge.store.ledger_sqlite import SqliteLedger
from tests.store.crashing import DIED, confirm
from tests.store.ledger_samples import entry, opened, outgoing
from tests.store.samples import NOW, ids


def events_of(octets: bytes) -> list[str]:
    """Return the ids of the events that a notice means."""
    return [f"{octets.decode()}.{serial}" for serial in range(2)]


def work(ledger: SqliteLedger, serial: int) -> None:
    """Take one message through everything but the outbox."""
    ledger.enter(entry(serial))
    confirm("entered", str(serial))
    octets = b"%d" % serial
    notice = ledger.take_in(octets, NOW)
    confirm("taken", octets.decode())
    translate(ledger, notice, octets)


def translate(ledger: SqliteLedger, notice: int, octets: bytes) -> None:
    """Put two events in the place of a notice."""
    made = [outgoing(id=event, octets=event.encode()) for event in events_of(octets)]
    ledger.translated(notice, made)
    confirm("translated", octets.decode())


def post(ledger: SqliteLedger) -> bool:
    """Post a batch, as far as there is one."""
    batch = ledger.due("one", NOW) or ledger.form_batch("one", 3, NOW)
    if batch is None:
        return False
    events = [event.decode() for event in batch.events]
    confirm("posted", batch.id, *events)
    if ledger.delivered(batch.id):
        confirm("delivered", batch.id, *events)
    return True


def die_at(wanted: str, number: int) -> None:
    """Go through a fixed sequence, and die at a step of it; leave normally when there is no such step."""
    reached = 0

    def step(name: str) -> None:
        nonlocal reached
        reached += name == wanted
        if name == wanted and reached == number:
            os._exit(DIED)

    ledger = opened(Path(sys.argv[1]), steps=step)
    for serial in range(2):
        work(ledger, serial)
    while post(ledger):
        pass
    ledger.close()


def work_for_ever() -> None:
    """Do everything at a time until somebody kills the process."""
    ledger = opened(Path(sys.argv[1]), new_id=ids(f"{os.getpid()}-"))

    def take(thread: int) -> None:
        for serial in range(thread, 1_000_000, 3):
            work(ledger, serial)

    def post_all() -> None:
        while True:
            if not post(ledger):
                time.sleep(0.001)

    threads = [threading.Thread(target=take, args=(thread,)) for thread in range(3)]
    for thread in (*threads, threading.Thread(target=post_all)):
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        die_at(sys.argv[2], int(sys.argv[3]))
    else:
        work_for_ever()
