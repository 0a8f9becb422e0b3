"""
How many sessions a listener has, in all and from each address, and their end when the service stops.
"""

from collections import Counter
from typing import Protocol

from twisted.internet.defer import Deferred

from smtpbridge.smtp.replies import Reply, reply

STOPPING = reply(421, "4.3.2", "Service is shutting down")
TOO_MANY_SESSIONS = reply(421, "4.4.5", "Service unavailable, concurrency limit reached")
TOO_MANY_FROM_YOU = reply(421, "4.7.0", "Too many sessions from your address")


class Session(Protocol):
    """What is counted."""

    @property
    def paused(self) -> bool:
        """Tell whether its peer is not read at the moment."""

    def stop(self) -> None:
        """End, unless a message is under way."""

    def cut(self) -> None:
        """End, whatever is under way."""


class Admission:
    """The sessions of one listener."""

    def __init__(self, most: int, most_per_address: int) -> None:
        """Let in up to `most`, and up to `most_per_address` from one address, if a peer has one."""
        self.sessions: set[Session] = set()
        self.stopping = False
        self._most = most
        self._most_per_address = most_per_address
        self._per_address: Counter[str] = Counter()
        self._when_empty: list[Deferred[None]] = []

    def bound(self, most: int, most_per_address: int) -> None:
        """Let in so many from now on; who is in stays."""
        self._most = most
        self._most_per_address = most_per_address

    def admit(self, session: Session, address: str) -> Reply | None:
        """Count a new session in; return the reply that turns it away, if there is one."""
        if self.stopping:
            return STOPPING
        if len(self.sessions) >= self._most:
            return TOO_MANY_SESSIONS
        if address and self._per_address[address] >= self._most_per_address:
            return TOO_MANY_FROM_YOU
        self.sessions.add(session)
        self._per_address[address] += 1
        return None

    def leave(self, session: Session, address: str) -> None:
        """Count a session out."""
        if session in self.sessions:
            self.sessions.discard(session)
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]
        if self.stopping and not self.sessions:
            self._tell_empty()

    def stop(self) -> Deferred[None]:
        """
        Turn new sessions away, and end those that are in no transaction (RFC 5321, 3.8), the others after it.

        Fire when the last session is gone.
        """
        self.stopping = True
        empty: Deferred[None] = Deferred()
        self._when_empty.append(empty)
        for session in list(self.sessions):
            session.stop()
        if not self.sessions:
            self._tell_empty()
        return empty

    def cut(self) -> None:
        """End every session, whatever it is about."""
        for session in list(self.sessions):
            session.cut()

    def _tell_empty(self) -> None:
        waiting, self._when_empty = self._when_empty, []
        for empty in waiting:
            if not empty.called:
                empty.callback(None)
