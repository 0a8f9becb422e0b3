"""
Say what has to be remembered of a message, so that SparkPost's events can be made of what is reported of it.

All of it is in the message as its sender gave it: in the instructions, in a few header fields, and in the lists of
recipients.

What must not be known here: ids, time, and where it is kept.
"""

from smtpbridge.dialect.copies import Sharing
from smtpbridge.dialect.instructions import Instructions
from smtpbridge.dialect.policy import Policy
from smtpbridge.dialect.sender import author
from smtpbridge.dialect.sent import Copy, Shared
from smtpbridge.mail import words
from smtpbridge.mail.addresses import key
from smtpbridge.mail.headers import HeaderBlock, unfold
from smtpbridge.mail.message import Envelope
from smtpbridge.values import value

# Two lines of RFC 5322, 2.1.1 at their longest; a subject is shown to a person.
_LONGEST_SUBJECT = 1996


@value
class Remembered:
    """What the copies share, and who got one, by which list, in the order of sending."""

    shared: Shared
    copies: tuple[tuple[str, Copy], ...]


def remembered(
    envelope: Envelope,
    header: HeaderBlock,
    wishes: Instructions,
    policy: Policy,
    subaccount: str,
    sharing: Sharing,
    own: frozenset[bytes],
) -> Remembered:
    """Return what is known of a message that goes to the lots of `sharing`; `own` names the sender's `x-ib-` fields."""
    opens = policy.open_tracking if wishes.open_tracking is None else wishes.open_tracking
    clicks = policy.click_tracking if wishes.click_tracking is None else wishes.click_tracking
    shared = Shared(
        campaign=wishes.campaign or "",
        metadata=wishes.metadata,
        tags=wishes.tags or (),
        subject=_subject(header),
        friendly_from=author(header) or envelope.sender,
        msg_from=envelope.sender,
        open_tracking=_said(header, b"x-ib-track-opens", opens) if own else opens,
        click_tracking=_said(header, b"x-ib-track-clicks", clicks) if own else clicks,
        transactional=policy.transactional if wishes.transactional is None else wishes.transactional,
        subaccount=subaccount,
        ip_pool=wishes.ip_pool or policy.ip_pool,
    )
    return Remembered(shared, _copies(envelope, wishes, sharing))


def _copies(envelope: Envelope, wishes: Instructions, sharing: Sharing) -> tuple[tuple[str, Copy], ...]:
    addresses = [address for lot in sharing.lots for address in lot.recipients]
    if not (wishes.cc or wishes.bcc or wishes.archive):
        return tuple([(address, Copy.ENVELOPE) for address in addresses])
    # As in `copies`: who is on several lists counts for the first one.
    lists = ((Copy.ARCHIVE, wishes.archive), (Copy.BCC, wishes.bcc), (Copy.CC, wishes.cc))
    by = {key(mailbox.address): copy for copy, mailboxes in lists for mailbox in mailboxes}
    by |= {key(address): Copy.ENVELOPE for address in envelope.recipients}
    return tuple([(address, by[key(address)]) for address in addresses])


def _subject(header: HeaderBlock) -> str:
    values = header.values(b"subject")
    if not values:
        return ""
    value = unfold(values[0])
    try:
        return words.decode(value)[:_LONGEST_SUBJECT]
    except words.NotUtf8:
        return value.decode("latin-1")[:_LONGEST_SUBJECT]


def _said(header: HeaderBlock, name: bytes, derived: bool) -> bool:
    """Return what the sender says itself about a kind of tracking, where it does: then nothing is derived."""
    for own in (name, b"x-ib-track"):
        if own in header:
            return unfold(header.values(own)[0]).lower() == b"true"
    return derived
