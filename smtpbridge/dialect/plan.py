"""
What is to be sent for one message: the ordered transactions over its one body.

The first transaction carries the envelope's recipients, the cc and the archive
copies; it decides what the sender hears.  The others follow once it has been
accepted.  A plan without transactions is complete as it stands (every
recipient was a sink): the message is accepted and goes nowhere.
"""

from dataclasses import dataclass

from smtpbridge.dialect.instructions import Remark
from smtpbridge.mail.message import Envelope


@dataclass(frozen=True, slots=True)
class Transaction:
    """
    One envelope and one header block for the upstream of that name.

    `header` is CRLF lines without the empty line that ends it and without doubled dots.
    """

    upstream: str
    envelope: Envelope
    header: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """The transactions in order; `warnings` and `notes` as in `Reading`."""

    transactions: tuple[Transaction, ...]
    warnings: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = ()
