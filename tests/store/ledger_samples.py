"""Entries, events and ledgers for the tests of this room."""

from pathlib import Path
from typing import Any

from smtpbridge.store.ledger import Copy, Entry, EventFilter, LedgerPurged, Outgoing
from smtpbridge.store.ledger_sqlite import SqliteLedger
from tests.store.samples import NOW, ids

FOREVER = 2**40


def opened(folder: Path, **differing: Any) -> SqliteLedger:
    """Open a ledger."""
    return SqliteLedger(folder, **{"new_id": ids("batch-"), "busy_seconds": 0.05, **differing})


def token(serial: int) -> bytes:
    """Return the token of a message; neighbours are not beside each other."""
    return serial.to_bytes(16, "little")


def entry(serial: int = 0, at: float = NOW, recipients: tuple[str, ...] = ("ann@example.net",)) -> Entry:
    """Return the entry of a message."""
    copies = tuple(Copy(recipient, b"own of " + recipient.encode()) for recipient in recipients)
    return Entry(token(serial), at, b"common %d" % serial, copies)


def outgoing(serial: int = 0, **differing: Any) -> Outgoing:
    """Return an event that differs from a plain one in the fields that are given."""
    plain: dict[str, Any] = {
        "id": str(serial),
        "type": "delivery",
        "octets": b'{"event": %d}' % serial,
        "at": NOW + serial,
        "recipient": "ann@example.net",
        "subaccount": "",
        "targets": ("one",),
    }
    return Outgoing(**{**plain, **differing})


def listed(ledger: SqliteLedger, **wanted: Any) -> list[str]:
    """Return the ids of the events that are wanted."""
    return [kept.id for kept in ledger.list(EventFilter(**wanted))]


def deliver(ledger: SqliteLedger, target: str = "one", most: int = 350) -> str:
    """Form a batch, deliver it, and return its id."""
    batch = ledger.form_batch(target, most, NOW)
    assert batch is not None
    assert ledger.delivered(batch.id)
    return batch.id


def purged(ledger: SqliteLedger, before: float = 0.0, max_bytes: int = FOREVER) -> LedgerPurged:
    """Take steps until there is no more to purge; return their sum."""
    entries = events = undelivered = 0
    while (step := ledger.purge(before, max_bytes)).more:
        entries, events, undelivered = entries + step.entries, events + step.events, undelivered + step.undelivered
    assert (step.entries, step.events, step.undelivered) == (0, 0, 0)
    return LedgerPurged(entries, events, undelivered)
