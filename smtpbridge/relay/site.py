"""
One place where senders connect: what all its sessions share, and the habits that they are treated by.

It counts sessions and knows who may relay.  `listener.Gate` makes a `sender.Sender` for each connection.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network

from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.logger import Logger

from smtpbridge.dialect.policy import UNSAID, Defaults
from smtpbridge.relay.admission import Admission
from smtpbridge.relay.auth import Accounts, allowed
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.smtp.events import Terms


@dataclass(frozen=True, slots=True)
class Habits:
    """
    How a listener treats its senders; times in seconds, sizes in octets.

    `defaults` count for every message that comes in here and does not say, unless the sender's login says otherwise.
    """

    terms: Terms
    allow: Sequence[IPv4Network | IPv6Network] = ()
    reject_bare: bool = False
    idle: float = 300.0
    data: float = 180.0
    verdict: float = 570.0
    max_sessions: int = 4096
    max_sessions_per_address: int = 2048
    max_header: int = 4 * 1024 * 1024
    spool: int = 262_144
    queue: bool = False
    defaults: Defaults = UNSAID


class Site(Admission):
    """One place where senders connect."""

    log = Logger()

    def __init__(
        self,
        habits: Habits,
        accounts: Accounts,
        bridge: Bridge,
        deadlines: Deadlines,
        *,
        new_id: Callable[[], str],
        epoch: Callable[[], float],
        tls: IOpenSSLContextFactory | None = None,
        local: bool = False,
    ) -> None:
        """Let senders in; `epoch` is the time of day, `local` says that peers have no address and are trusted."""
        super().__init__(habits.max_sessions, habits.max_sessions_per_address)
        self.habits = habits
        self.accounts = accounts
        self.bridge = bridge
        self.deadlines = deadlines
        self.new_id = new_id
        self.epoch = epoch
        self.tls = tls
        self._local = local

    def terms_for(self, address: str) -> Terms:
        """Return the conditions for a peer."""
        trusted = (self._local and not address) or allowed(address, self.habits.allow)
        return replace(self.habits.terms, trusted=True) if trusted else self.habits.terms
