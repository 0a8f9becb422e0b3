"""
The ledger of messages and events, opened beside a daemon that runs or without one.

It is opened as the daemon opens it, so a change made here is one that the daemon sees: it looks for what waits every
few seconds.  A ledger is never made here: a slip in a path must not look like one without events.

What must not be known here: the terminal, the clock.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.store.ledger import EventFilter, Ledger, Standing
from smtpbridge.store.ledger_schema import LEDGER
from smtpbridge.store.ledger_sqlite import SqliteLedger

_DONE_WITH = (Standing.DELIVERED, Standing.DEAD)


class NoLedger(SmtpbridgeError):
    """There is no ledger where the configuration says, or nobody may look."""


@contextmanager
def opened(folder: Path) -> Iterator[SqliteLedger]:
    """Open the ledger in `folder`; raise `NoLedger` where there is none, and `StoreError`."""
    try:
        there = (folder / LEDGER.file).is_file()
    except OSError as error:
        raise NoLedger(f"the ledger in {folder} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if not there:
        raise NoLedger(
            f"there are no events in {folder}; the daemon keeps them there once the configuration has [events]"
        )
    with closing(SqliteLedger(folder, lambda: uuid4().hex)) as ledger:
        yield ledger


def replayable(ledger: Ledger, wanted: EventFilter) -> int:
    """Return how many deliveries `Ledger.replay` would make again."""
    standings = _DONE_WITH if wanted.standing is None else (wanted.standing,)
    return sum(
        delivery.standing in standings and wanted.target in (None, delivery.target)
        for kept in ledger.list(wanted)
        for delivery in kept.deliveries
    )
