"""
One transaction of a plan, until its end is known.

Asks a pool for a connection, sends, and moves to another connection once, for
free, when the first one failed before the final dot (design: the promise).
Calls back exactly once, with the outcome and the host that gave it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from twisted.logger import Logger

from smtpbridge.dialect.plan import Transaction
from smtpbridge.relay.pool import Waiter
from smtpbridge.relay.submission import Outgoing
from smtpbridge.relay.tallies import UpstreamTally
from smtpbridge.relay.upstream import Letter
from smtpbridge.relay.verdict import Outcome, Stage, not_sent, outcome_of
from smtpbridge.smtp.client import Concluded, Phase
from smtpbridge.smtp.replies import Reply, reply

_log = Logger(__name__)

# RFC 6152, 3: content of 8 bits may not go to a server that does not take it.
_BROKEN = reply(451, "4.3.0", "Internal error; the message was not sent")
_EIGHT_BIT = reply(554, "5.6.3", "The provider does not take 8-bit content")


class Carrier(Protocol):
    """What is needed of a connection; see `UpstreamConnection`."""

    label: str

    @property
    def takes_eight_bit(self) -> bool:
        """Tell whether the server takes content of 8 bits."""

    @property
    def behind_final_dot(self) -> bool:
        """Tell whether the server may take the message, whatever is done here."""

    def send(self, letter: Letter, done: Callable[[Concluded], None]) -> None:
        """Send one message."""

    def abandon(self, why: str) -> None:
        """Drop the transaction, and the connection with it."""


class Lender(Protocol):
    """What is needed of a pool; see `Pool`."""

    traffic: UpstreamTally

    @property
    def max_connections(self) -> int:
        """How many may be on loan at the same time."""

    def lease(self) -> Carrier | None:
        """Return a connection, if one is idle."""

    def ask(self, waiter: Waiter, until: float, *, fresh: bool = False, bounded: bool = True) -> int:
        """Ask for a connection; return a number for `withdraw`."""

    def withdraw(self, number: int) -> None:
        """Wait no more."""

    def give_back(self, granted: object) -> None:
        """Return a connection, whatever state it is in."""


class Attempt:
    """The sending of one transaction."""

    __slots__ = (
        "_answered",
        "_begun",
        "_bounded",
        "_connection",
        "_done",
        "_message",
        "_moved",
        "_octets",
        "_over",
        "_pool",
        "_transaction",
        "_waiting",
    )

    def __init__(
        self, pool: Lender, transaction: Transaction, message: Outgoing, over: Callable[[Outcome, str], None]
    ) -> None:
        """Prepare; nothing happens before `start`."""
        self._pool = pool
        self._transaction = transaction
        self._message = message
        self._over = over
        self._waiting: int | None = None
        self._answered = False
        self._connection: Carrier | None = None
        self._moved = False
        self._done = False
        self._bounded = True
        # When MAIL was sent, and how large the message is, for who counts.
        self._begun = 0.0
        self._octets = 0

    def start(self, *, bounded: bool) -> None:
        """Ask for a connection; a first transaction is refused when too many wait, a copy is not."""
        self._bounded = bounded
        connection = self._pool.lease()
        if connection is None:
            self._ask(fresh=False)
        else:
            self.granted(connection)

    def drop(self, answer: Reply) -> None:
        """Give up where that is possible: anywhere but behind the final dot."""
        if self._connection is not None and self._connection.behind_final_dot:
            return
        if self._waiting is not None:
            self._pool.withdraw(self._waiting)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon("the sender's time is up")
            self._pool.give_back(connection)
        self._end(not_sent(self._transaction.envelope.recipients, answer), "")

    # What the pool calls

    def granted(self, connection: Carrier) -> None:
        """Send."""
        self._answered, self._waiting = True, None
        self._connection = connection
        try:
            message = self._message
            if message.eight_bit and not connection.takes_eight_bit and not message.body.is_ascii():
                self._connection = None
                self._pool.give_back(connection)
                too_wide = not_sent(self._transaction.envelope.recipients, _EIGHT_BIT)
                self._end(replace(too_wide, stage=Stage.DATA), connection.label)
                return
            envelope, header, body = self._transaction.envelope, self._transaction.header, message.body
            self._begun = self._pool.traffic.now()
            self._octets = len(header) + 2 + body.body_size
            letter = Letter(envelope.sender, envelope.recipients, message.eight_bit, header, body)
            connection.send(letter, self._concluded)
        except Exception:
            _log.failure("id={id} cannot be sent", id=self._message.id)
            self._connection = None
            connection.abandon("internal error")
            self._pool.give_back(connection)
            self._end(not_sent(self._transaction.envelope.recipients, _BROKEN), connection.label)

    def refused(self, answer: Reply) -> None:
        """There is no connection."""
        self._answered, self._waiting = True, None
        self._end(not_sent(self._transaction.envelope.recipients, answer), "")

    # What the connection calls

    def _concluded(self, end: Concluded) -> None:
        connection = self._connection
        if connection is None or self._done:
            return
        self._connection = None
        pool = self._pool
        pool.traffic.seconds.add(pool.traffic.now() - self._begun)
        pool.give_back(connection)
        if end.unanimous or not self._moves(end, connection):
            self._end(outcome_of(self._transaction.envelope.recipients, end), connection.label)

    def _moves(self, end: Concluded, connection: Carrier) -> bool:
        """Move to another connection, where that is called for; tell whether it was."""
        hung_up = end.hung_up is not None
        lost = end.final is None and end.phase in (Phase.ENVELOPE, Phase.BODY)
        if self._moved or not (hung_up or lost):
            return False
        self._moved = True
        self._pool.traffic.moved += 1
        _log.info(
            "id={id} moves to another connection, before its final dot, from host={host}: {why}",
            id=self._message.id,
            host=connection.label,
            why=end.hung_up or "the connection was lost",
        )
        self._ask(fresh=True)
        return True

    def _ask(self, *, fresh: bool) -> None:
        self._answered = False
        number = self._pool.ask(self, self._message.until, fresh=fresh, bounded=self._bounded)
        # The answer may have come within the call.
        self._waiting = None if self._answered else number

    def _end(self, outcome: Outcome, host: str) -> None:
        if not self._done:
            self._done = True
            self._pool.traffic.ended(outcome, self._octets)
            self._over(outcome, host)
