"""
What `smtpbridge queue` does with the store, beside a daemon that runs or without one.

The store is opened as the daemon opens it, by SQLite's and our own locks, so a
change made here is one that the daemon sees: it looks for what is due every few
seconds.  A store is never made here: a slip in a path must not look like an
empty queue.

What must not be known here: the terminal, the clock.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from smtpbridge.commands.printing import harmless
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.relay.ids import message_ids
from smtpbridge.smtp.data import unstuff
from smtpbridge.store.database import DATABASE
from smtpbridge.store.errors import NotKept
from smtpbridge.store.interface import Store
from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import Filter, Kept, State

# Changes that are asked for before the first of them is waited for: the store commits them together.
_AT_ONCE = 500


class NoStore(SmtpbridgeError):
    """There is no store where the configuration says, or nobody may look."""


class NotThere(SmtpbridgeError):
    """Nothing is kept under a name that was given, or too much for what was asked."""


@dataclass(slots=True)
class Changed:
    """How many parcels were changed, and of these: are being sent, may have been taken, have no time left."""

    parcels: int = 0
    leased: int = 0
    uncertain: int = 0
    expired: int = 0
    # Not among `parcels`: they went between question and answer.
    gone: int = 0


@contextmanager
def opened(folder: Path) -> Iterator[SqliteStore]:
    """Open the store in `folder`; raise `NoStore` where there is none, and `StoreError`."""
    try:
        there = (folder / DATABASE).is_file()
    except OSError as error:
        raise NoStore(f"the store in {folder} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if not there:
        raise NoStore(f"there is no store in {folder}; the daemon makes it when it starts with this configuration")
    with closing(SqliteStore(folder, message_ids(time.time, os.getpid()))) as store:
        yield store


def found(store: Store, names: Iterable[str]) -> list[Kept]:
    """Return the parcels of these ids or message ids, each once; raise `NotThere` for a name that has none."""
    parcels: dict[str, Kept] = {}
    for name in names:
        try:
            several = [store.show(name)]
        except NotKept:
            several = list(store.list(Filter(message_id=name)))
        if not several:
            raise NotThere(f"nothing is kept as {harmless(name)}")
        parcels.update((kept.id, kept) for kept in several)
    return list(parcels.values())


def found_alone(store: Store, name: str) -> Kept:
    """Return the one parcel of this id or message id; raise `NotThere`."""
    parcels = found(store, [name])
    if len(parcels) > 1:
        ids = ", ".join(kept.id for kept in parcels)
        raise NotThere(f"{len(parcels)} parcels belong to message {harmless(name)}; name one of them: {ids}")
    return parcels[0]


def release(store: Store, parcels: Iterable[Kept], now: float) -> Changed:
    """Let parcels be tried at once, held ones too."""
    return _change(parcels, lambda kept: store.writer.release(kept.id, now), now)


def hold(store: Store, parcels: Iterable[Kept], now: float) -> Changed:
    """Let parcels lie until they are released."""
    return _change(parcels, lambda kept: store.writer.hold(kept.id), now)


def drop(store: Store, parcels: Iterable[Kept], now: float) -> Changed:
    """Remove parcels; nobody is told."""
    return _change(parcels, lambda kept: store.writer.give_up(kept.id), now)


def message(store: Store, kept: Kept) -> bytes:
    """Return a message as a file would hold it: CRLF lines, dots not doubled; raise `StoreError`."""
    with closing(store.body(kept.id)) as body:
        chunks: list[bytes] = []
        at = 0
        while chunk := body.read(at):
            chunks.append(chunk)
            at += len(chunk)
    return b"%b\r\n%b" % (kept.parcel.header, unstuff(b"".join(chunks)))


def _change(parcels: Iterable[Kept], ask: Callable[[Kept], "Future[bool]"], now: float) -> Changed:
    changed, rest = Changed(), iter(parcels)
    while asked := [(kept, ask(kept)) for kept in islice(rest, _AT_ONCE)]:
        for kept, answer in asked:
            if not answer.result():
                changed.gone += 1
                continue
            changed.parcels += 1
            changed.leased += kept.state is State.LEASED
            changed.uncertain += not is_certain(kept)
            changed.expired += kept.parcel.expires_at <= now
    return changed


def is_certain(kept: Kept) -> bool:
    """Tell whether it is known that no attempt was taken: none lost its answer, or its process."""
    return kept.parcel.certain and not kept.interruptions
