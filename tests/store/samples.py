"""Parcels and stores for the tests of this room."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import Attempt, Body, Parcel

NOW = 1_700_000_000.0
SHORT = b"Hello.\r\n"
ATTEMPT = Attempt(NOW + 5, "smtp.example.net", "rcpt", "451 4.3.0 not now")


def ids(prefix: str = "") -> Callable[[], str]:
    """Return a source of ids that sort in the order in which they were given."""
    serial = count()
    return lambda: f"{prefix}{next(serial):012d}"


def parcel(**differing: Any) -> Parcel:
    """Return a parcel that differs from a plain one in the fields that are given."""
    plain: dict[str, Any] = {
        "message_id": "0001",
        "upstream": "main",
        "sender": "bounces@example.com",
        "original_sender": "shop@example.com",
        "recipients": ("ann@example.net", "bob@example.net"),
        "header": b"Subject: one\r\n",
        "eight_bit": False,
        "priority": 1,
        "source": "shop",
        "expires_at": NOW + 432_000,
        "not_before": NOW,
    }
    return Parcel(**{**plain, **differing})


def short() -> Body:
    """Return a body that lies in the database."""
    return Body.of(SHORT)


def long(threshold: int = 100, fill: bytes = b"x") -> Body:
    """Return a body of several blocks that is too long for a database with that threshold."""
    return Body(3 * threshold, (fill * threshold for _ in range(3)))


def opened(folder: Path, **differing: Any) -> SqliteStore:
    """Open a store that has files for bodies of more than 100 octets."""
    return SqliteStore(folder, **{"new_id": ids(), "threshold": 100, "busy_seconds": 0.05, **differing})


def octets(store: SqliteStore, kept_id: str) -> bytes:
    """Read a whole body."""
    reader = store.body(kept_id)
    try:
        found = b""
        while chunk := reader.read(len(found)):
            found += chunk
        assert len(found) == reader.size
        return found
    finally:
        reader.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let every write that would make a file larger than that fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
