"""
Share recipients and copies out to transactions.

How it works: one pass over RCPT, cc, bcc and archive, in this order, lets each
address in once, compared without case; the first spelling met stays.  What is
left goes into a first lot (RCPT, cc and archive; shared bcc too), cut where
the provider's limit is, and one lot for each bcc copy.  If nobody is in the
first lot, the first bcc copy becomes the first transaction.

Addresses of SparkPost's sink domain are taken out here: mail to them was
always swallowed, and Infobip would try to deliver it.

What must not be known here: how a header is written, and what a transaction
looks like on the wire.
"""

from collections.abc import Iterable

from smtpbridge.dialect.instructions import Instructions, Mailbox
from smtpbridge.dialect.policy import BccStyle
from smtpbridge.mail.addresses import domain_of, key
from smtpbridge.values import value

# Infobip takes 1,000 RCPT commands in a transaction.
MOST_RECIPIENTS = 1000

_SINK = "sink.sparkpostmail.com"


@value
class Lot:
    """The recipients of one transaction; `bcc` is whom its `Bcc` field names."""

    recipients: tuple[str, ...]
    bcc: Mailbox | None = None


@value
class Sharing:
    """The lots in the order of sending, and the recipients that are accepted and go nowhere."""

    lots: tuple[Lot, ...]
    sinks: tuple[str, ...] = ()


def share_out(recipients: tuple[str, ...], instructions: Instructions, style: BccStyle) -> Sharing:
    """Return who gets the message in which transaction; every address that is no sink is there exactly once."""
    if len(recipients) == 1 and not (instructions.cc or instructions.bcc or instructions.archive):
        # The usual case: one recipient, no copies.
        return Sharing((), recipients) if is_sink(recipients[0]) else Sharing((Lot(recipients),))
    seen: set[str] = set()
    sinks: list[str] = []
    main = _new(recipients, seen, sinks)
    main += _new((mailbox.address for mailbox in instructions.cc), seen, sinks)
    blind = _new((mailbox.address for mailbox in instructions.bcc), seen, sinks)
    archive = _new((mailbox.address for mailbox in instructions.archive), seen, sinks)
    if style is BccStyle.SHARED:
        return Sharing(_cut([*main, *blind, *archive]), tuple(sinks))
    named = {mailbox.address: mailbox for mailbox in one_each(instructions.bcc)}
    alone = tuple(Lot((address,), named[address]) for address in blind)
    return Sharing(_cut([*main, *archive]) + alone, tuple(sinks))


def one_each(mailboxes: Iterable[Mailbox]) -> list[Mailbox]:
    """Return one mailbox for each address, in order: the first spelling, and the first display name met."""
    first: dict[str, Mailbox] = {}
    for mailbox in mailboxes:
        met = first.setdefault(key(mailbox.address), mailbox)
        if mailbox.name and not met.name:
            first[key(mailbox.address)] = Mailbox(met.address, mailbox.name)
    return list(first.values())


def is_sink(address: str) -> bool:
    """Tell whether SparkPost would have swallowed mail to this address."""
    if _SINK not in address.lower():
        return False
    domain = domain_of(address).rstrip(".")
    return domain == _SINK or domain.endswith("." + _SINK)


def _new(addresses: Iterable[str], seen: set[str], sinks: list[str]) -> list[str]:
    """Return the addresses that were not seen yet; remember them, and put sinks aside."""
    fresh: list[str] = []
    for address in addresses:
        known_as = key(address)
        if known_as not in seen:
            seen.add(known_as)
            (sinks if is_sink(address) else fresh).append(address)
    return fresh


def _cut(addresses: list[str]) -> tuple[Lot, ...]:
    return tuple(
        Lot(tuple(addresses[start : start + MOST_RECIPIENTS])) for start in range(0, len(addresses), MOST_RECIPIENTS)
    )
