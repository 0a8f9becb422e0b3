"""
One place where senders connect: what all its sessions share, and the habits that they are treated by.

It counts sessions and knows who may relay.  `listener.Gate` makes a `sender.Sender` for each connection.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.threads import deferToThread

from smtpbridge.dialect.policy import UNSAID, Defaults
from smtpbridge.relay.admission import Admission, Session
from smtpbridge.relay.auth import Account, Accounts, allowed
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.budget import Budget
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.intake import MAX_FIELDS, long_header, many_fields
from smtpbridge.relay.log import Log
from smtpbridge.relay.logins import Logins
from smtpbridge.relay.onlooker import Onlooker
from smtpbridge.relay.pace import TOO_MANY_CONNECTIONS, Pace
from smtpbridge.relay.rates import Rates, network_of
from smtpbridge.relay.tallies import ListenerTally
from smtpbridge.relay.tally import Limit, Tally
from smtpbridge.smtp.events import Terms
from smtpbridge.smtp.replies import Reply

# Of so many addresses is known whether they may relay without AUTH: a megabyte at most.
_ADDRESSES = 4096


@dataclass(frozen=True, slots=True)
class Habits:
    """
    How a listener treats its senders; times in seconds, sizes in octets.

    `defaults` count for every message that comes in here and does not say, unless the sender's login says otherwise.
    """

    terms: Terms
    allow: Sequence[IPv4Network | IPv6Network] = ()
    proxy_from: Sequence[IPv4Network | IPv6Network] = ()
    proxy: float = 5.0
    proxy_tls_always: bool = False
    reject_bare: bool = False
    idle: float = 300.0
    handshake: float = 60.0
    data: float = 180.0
    min_rate: float = 500.0
    verdict: float = 570.0
    max_sessions: int = 4096
    max_sessions_per_address: int = 2048
    max_connections_per_minute: int = 0
    max_messages_per_minute: int = 0
    max_header: int = 4 * 1024 * 1024
    max_fields: int = MAX_FIELDS
    spool: int = 262_144
    queue: bool = False
    defaults: Defaults = UNSAID


class Site(Admission):
    """One place where senders connect."""

    log = Log()

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
        tally: Tally | None = None,
        budget: Budget | None = None,
        logins: Logins | None = None,
    ) -> None:
        """
        Let senders in; `epoch` is the time of day, `local` says that peers have no address and are trusted.

        `logins` are those of the process, where it has several sites.
        """
        super().__init__(habits.max_sessions, habits.max_sessions_per_address)
        self.habits = habits
        self.accounts = accounts
        self.bridge = bridge
        self.deadlines = deadlines
        self.new_id = new_id
        self.epoch = epoch
        self.tls = tls
        self.tally = tally or Tally()
        self.traffic = ListenerTally()
        self.budget = budget or Budget()
        # What says which bound of this listener's was reached.
        self.tracing: Onlooker | None = None
        self.limits = _limits_of(habits)
        self._connections = Rates(habits.max_connections_per_minute)
        self._messages = Rates(habits.max_messages_per_minute)
        self.logins = logins or Logins(deadlines, deferToThread, tally=self.tally)
        self._local = local
        self._look_up()

    def renew(self, habits: Habits, accounts: Accounts, tls: IOpenSSLContextFactory | None) -> None:
        """
        Treat new sessions like this, and what sessions that are there begin from now on.

        A session keeps the conditions that it was greeted with.  One that was offered STARTTLS before there was no
        certificate any more may still take it.
        """
        old, self.habits, self.accounts = self.habits, habits, accounts
        self.bound(habits.max_sessions, habits.max_sessions_per_address)
        self.tls = tls or self.tls
        self._look_up()
        self.limits = _limits_of(habits)
        if old.max_connections_per_minute != habits.max_connections_per_minute:
            self._connections = Rates(habits.max_connections_per_minute)
        if old.max_messages_per_minute != habits.max_messages_per_minute:
            self._messages = Rates(habits.max_messages_per_minute)

    def let_in(self, session: Session, address: str) -> Reply | None:
        """Count a new session in; return the reply that turns it away, if there is one."""
        if address and not self._connections.take(network_of(address), self.deadlines.now()):
            return TOO_MANY_CONNECTIONS
        return self.admit(session, address)

    def judge_for(self, address: str, account: Account | None = None) -> Pace | None:
        """Return who looks how often messages come: an account's own bound counts in the listener's stead."""
        if account is not None and account.messages.bounded:
            return Pace(account.messages, "", self.deadlines)
        return Pace(self._messages, address, self.deadlines) if address and self._messages.bounded else None

    def terms_for(self, address: str) -> Terms:
        """Return the conditions for a peer."""
        terms = self._trusted if (self._local and not address) or self._allowed(address) else self.habits.terms
        judge = self.judge_for(address)
        return replace(terms, judge=judge) if judge else terms

    def _look_up(self) -> None:
        """Prepare what every new session asks for: senders come again and again from a few addresses."""
        habits = self.habits
        self._trusted = replace(habits.terms, trusted=True)
        self._allowed = lru_cache(maxsize=_ADDRESSES)(lambda address: allowed(address, habits.allow))


def _limits_of(habits: Habits) -> dict[Reply, Limit]:
    return {
        long_header(habits.max_header): Limit.MAX_HEADER_BYTES,
        many_fields(habits.max_fields): Limit.MAX_HEADER_FIELDS,
    }
