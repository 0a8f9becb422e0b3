"""
Keep what comes while a commit is made in the next one, together.

Under load that makes one change of the ledger out of hundreds of requests.  Their order stays.  When a commit fails
it fails for all that were in it, and each of them hears so.

What must not be known here: HTTP, and what is kept.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from smtpbridge.events.ledger_access import LedgerAccess


class Gathering:
    """Notifications on their way into the ledger."""

    def __init__(self, access: LedgerAccess, epoch: Callable[[], float]) -> None:
        """Keep them by `access`; `epoch` is the time of day."""
        self._access = access
        self._epoch = epoch
        self._waiting: list[tuple[bytes, float, Deferred[None]]] = []
        self._is_writing = False

    def keep(self, body: bytes) -> "Deferred[None]":
        """Return when a notification is durable, or with the `StoreError` why it is not."""
        kept: Deferred[None] = Deferred()
        self._waiting.append((body, self._epoch(), kept))
        if not self._is_writing:
            self._write()
        return kept

    def _write(self) -> None:
        together, self._waiting = self._waiting, []
        self._is_writing = True
        notices = [(body, at) for body, at, _ in together]

        def written(result: Failure | None) -> None:
            self._is_writing = False
            if self._waiting:
                self._write()
            for _, _, kept in together:
                if result is None:
                    kept.callback(None)
                else:
                    kept.errback(result)

        self._access.write(lambda writer: writer.take_in_all(notices)).addBoth(written)
