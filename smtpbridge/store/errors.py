"""
What can go wrong with the store.

Every error is a `StoreError` and says by its class what the caller may
conclude.  The cause is an attribute, because a health page shows it, and is
chained for a log.  A mail peer never sees either.
"""

import sqlite3

from smtpbridge.errors import SmtpbridgeError

# Primary result codes (the low octet of an extended one): somebody else holds the lock for longer than we wait.
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class StoreError(SmtpbridgeError):
    """The store did not do what was asked; what was to be kept is not kept.  `cause` is the fault below, if any."""

    def __init__(self, what: str, cause: Exception | None = None) -> None:
        """Join what was being done and why it failed."""
        super().__init__(what if cause is None else f"{what}: {cause}")
        self.cause = cause


class StoreBusy(StoreError):
    """Another process held the store for longer than the limit.  Nothing is wrong with it: ask again."""


class StoreClosed(StoreError):
    """The store was closed before it came to this."""


class CommitFailed(StoreError):
    """
    The disk failed while the change was being made durable.

    The change is not in force.  After a crash that comes before the next commit it may turn out to be, as a whole:
    what was refused with 4xx may then be delivered beside the sender's own retry.
    """


class SchemaTooNew(StoreError):
    """A newer program has written this store; this one does not know what it would break."""


class NotKept(StoreError):
    """There is nothing of that id (any more)."""


def store_error(what: str, error: Exception) -> StoreError:
    """Return the error of this room for a fault of SQLite or of the system; one of this room stays as it is."""
    if isinstance(error, StoreError):
        return error
    code = getattr(error, "sqlite_errorcode", 0)
    made = StoreBusy(what, error) if code & 0xFF in _BUSY else StoreError(what, error)
    made.__cause__ = error
    return made
