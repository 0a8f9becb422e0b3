"""
What is to be sent for one message: the ordered transactions over its one body.

The first transaction carries the envelope's recipients, the cc and the archive
copies; it decides what the sender hears.  The others follow once it has been
accepted.  A plan without transactions is complete as it stands (every
recipient was a sink): the message is accepted and goes nowhere.

The body is one for all transactions: as it came, or in pieces, of which most
are spans of the old body, so a large one is never copied for a small change.
"""

from dataclasses import field
from typing import TypeAlias

from smtpbridge.dialect.instructions import NOTHING, Instructions, Remark
from smtpbridge.dialect.remembered import Remembered
from smtpbridge.mail.message import Envelope
from smtpbridge.values import value


@value
class Frame:
    """The octets of the header above and below the place for what is one transaction's own."""

    above: bytes
    below: bytes


@value
class Transaction:
    """
    One envelope and one header block for the upstream of that name.

    All transactions of a plan share one frame, because a thousand copies of a large header would be a lot of memory;
    `own` are the fields that only this one has.
    """

    upstream: str
    envelope: Envelope
    frame: Frame
    own: bytes = b""

    @property
    def header(self) -> bytes:
        """The header block: CRLF lines without the empty line that ends it and without doubled dots."""
        return self.frame.above + self.own + self.frame.below


@value
class Kept:
    """The octets [start, end) of the body as it came."""

    start: int
    end: int


@value
class New:
    """Octets in wire form, dots doubled."""

    octets: bytes


Piece: TypeAlias = Kept | New


@value
class Plan:
    """
    The transactions in order; `warnings` and `notes` as in `Reading`.

    `body` is what all of them carry below their headers, in order; `None` is the body as it came.  `transactional`
    tells that somebody waits for this message, so a queue lets it pass others.  `wishes` are what the message asks for,
    to count by; `remembered` is what to remember of it where its fields carry a token.
    """

    transactions: tuple[Transaction, ...]
    warnings: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = ()
    body: tuple[Piece, ...] | None = None
    transactional: bool = False
    wishes: Instructions = field(default=NOTHING, compare=False)
    remembered: Remembered | None = None
