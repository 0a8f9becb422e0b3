"""
Turn one message that was meant for SparkPost into what is to be sent to Infobip.  Pure: values in, values out.

Theory of operation
-------------------

`translate` reads the wishes out of `X-MSYS-API`, lets `options` choose the
account, `copies` share the recipients out, `sender` choose the reverse-path
and `infobip` write the new fields.  Here the parts are put together.

`layout` says which fields leave.  What every transaction has in common is
joined into two pieces of octets, what stands above the place of the first
`X-MSYS-API` and what stands below it; between them goes what only one
transaction has (its `Bcc`, its `List-Unsubscribe`).  All other fields leave
byte for byte as they came.

A line in the header that is no field ends the header for many readers, so new
fields are put above it.  The line that a mailbox file writes on top of a
message is dropped, because `Received` goes above everything.

The body is handed to `body`, which looks over it and nearly always leaves it
as it is.

What must not be known here: JSON, MIME, sockets, the clock.
"""

import re
from dataclasses import replace

from smtpbridge.dialect import infobip, sparkpost
from smtpbridge.dialect.body import rework
from smtpbridge.dialect.bounds import USUAL, Bounds
from smtpbridge.dialect.copies import Sharing, share_out
from smtpbridge.dialect.copy_fields import bcc_field, with_cc
from smtpbridge.dialect.inline_css import can_inline
from smtpbridge.dialect.instructions import Reading, Refusal, Remark
from smtpbridge.dialect.layout import API, Layout, layout_of
from smtpbridge.dialect.options import judge
from smtpbridge.dialect.plan import Frame, Plan, Transaction
from smtpbridge.dialect.policy import UNSAID, Defaults, Policy
from smtpbridge.dialect.remembered import remembered
from smtpbridge.dialect.sender import envelope_sender
from smtpbridge.dialect.unsubscribe import unsubscribe_fields
from smtpbridge.mail import trace as trace_fields
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.parts import Octets
from smtpbridge.mail.trace import Trace

# RFC 5321, 6.3: more hops than any real way has mean a loop.
_MOST_HOPS = 50
# A value with lines that fell off it is read twice.  A thousand copies with names take less.
_MOST_BROKEN = 1 << 18
_MAILBOX_LINE = re.compile(rb">?From ")
_BROKEN_LINES = Remark(
    "broken-lines", "X-MSYS-API went on in lines that do not begin with a blank, as header lines must; they were joined"
)
_NO_UNSUBSCRIBE = Remark(
    "list-unsubscribe",
    "List-Unsubscribe was left out: its template names the recipient and there are several, or it fits no line",
)


def translate(
    envelope: Envelope,
    header: HeaderBlock,
    trace: Trace,
    policy: Policy,
    subaccount: str = "",
    defaults: Defaults = UNSAID,
    body: Octets = b"",
    token: str = "",
) -> Plan | Refusal:
    """
    Return what is to be sent for the message, or the reply that refuses it; never fails.

    `defaults` are what the listener and the login of the sender say in place of `policy`; `body` is in wire form.
    With a `token`, the text that leads back to this message, the plan tells what to remember of it.
    """
    layout = layout_of(header.names)
    if layout.hops > _MOST_HOPS:
        return Refusal(f"More than {_MOST_HOPS} Received fields: the message is in a loop", 554, "5.4.6", kind="loop")
    before = header
    header, reading = read_wishes(before, policy.bounds)
    if isinstance(reading, Refusal):
        return reading
    if header is not before:
        layout = layout_of(header.names)
    wishes = reading.instructions
    if subaccount or defaults is not UNSAID:
        policy = policy.for_sender(defaults, subaccount)
    judgement = judge(wishes, policy, subaccount, can_inline=bool(wishes.inline_css) and can_inline())
    if isinstance(judgement, Refusal):
        return judgement
    clicks_tracked = infobip.tracks_clicks(wishes, policy, layout.own)
    reworked = rework(header, body, inline_css=judgement.inline_css, clicks_tracked=clicks_tracked)
    if reworked.too_many_links:
        wishes = replace(wishes, click_tracking=False)
    fields = infobip.write(wishes, policy, judgement.account, layout.own, token)
    sharing = share_out(envelope.recipients, wishes, policy.bcc)
    sender = envelope_sender(envelope.sender, header, policy.envelope_from)
    transactional = policy.transactional if wishes.transactional is None else wishes.transactional
    # For this message, if it needs the field.
    template = "" if transactional or layout.unsubscribable else policy.list_unsubscribe
    if wishes.cc:
        header = with_cc(header, wishes.cc)
        layout = layout_of(header.names)
    frame = _frame(header, layout, trace, fields.octets)
    transactions: list[Transaction] = []
    warnings = reading.warnings + judgement.warnings + fields.warnings + reworked.warnings
    upstream = judgement.account.upstream
    for lot in sharing.lots:
        own = bcc_field(lot.bcc) if lot.bcc else b""
        if template:
            unsubscribe = unsubscribe_fields(template, lot.recipients)
            own += unsubscribe
            if not unsubscribe and _NO_UNSUBSCRIBE not in warnings:
                warnings += (_NO_UNSUBSCRIBE,)
        # Usually that of the message.
        same = lot.recipients is envelope.recipients and sender == envelope.sender
        to = envelope if same else Envelope(sender, lot.recipients)
        transactions.append(Transaction(upstream, to, frame, own))
    notes = reading.notes + reworked.notes
    if sharing.sinks or sender != envelope.sender:
        notes += _notes(envelope.sender, sender, sharing)
    known = None
    if token and b"x-ib-callback-data" not in layout.own:
        known = remembered(envelope, header, wishes, policy, subaccount, sharing, layout.own)
    return Plan(tuple(transactions), warnings, notes, reworked.pieces, transactional, wishes, known)


def read_wishes(header: HeaderBlock, bounds: Bounds = USUAL) -> tuple[HeaderBlock, Reading | Refusal]:
    """Read X-MSYS-API; return the header without such lines as turned out to belong to it."""
    api = layout_of(header.names).api
    if not api:
        return header, sparkpost.NOTHING_READ
    values = [header.value_at(at) for at in api]
    reading = sparkpost.read(values, bounds)
    if isinstance(reading, Reading) or b"" not in header.names:
        return header, reading
    # What is over a limit already does not become less.
    hopeless = bool(reading.limit) or sum(map(len, values)) > _MOST_BROKEN
    return (header, reading) if hopeless else _read_broken(header, reading, bounds)


def _read_broken(header: HeaderBlock, refusal: Refusal, bounds: Bounds) -> tuple[HeaderBlock, Reading | Refusal]:
    """
    Read X-MSYS-API together with the lines behind it that are no fields, and take those out of the header.

    A library that breaks indented JSON into header lines leaves the closing brace in the first column, where it
    continues nothing.
    """
    names: list[bytes] = []
    # In pieces: putting them together one by one would cost the square of their number.
    fields: list[list[bytes]] = []
    for name, field in header:
        if not name and names and names[-1] == API:
            fields[-1] += (b" ", field)
        else:
            names.append(name)
            fields.append([field])
    mended = HeaderBlock(tuple(names), tuple(map(b"".join, fields)))
    reading = sparkpost.read(mended.values(API), bounds)
    if isinstance(reading, Refusal):
        return header, refusal
    return mended, replace(reading, warnings=(*reading.warnings, _BROKEN_LINES))


def _frame(header: HeaderBlock, layout: Layout, trace: Trace, new: bytes) -> Frame:
    """Return the header as it leaves, with the new fields, open at the place for what is one transaction's own."""
    fields = header.fields
    if fields and not header.names[0] and _MAILBOX_LINE.match(fields[0]):
        fields, layout = fields[1:], layout_of(header.names[1:])
    above = [trace_fields.received(trace)]
    if not layout.identified:
        above.append(trace_fields.message_id(trace))
    if not layout.dated:
        above.append(trace_fields.date(trace))
    for run in layout.above:
        above += fields[run]
    below = [new]
    for run in layout.below:
        below += fields[run]
    return Frame(b"".join(above), b"".join(below))


def _notes(given: str, sent: str, sharing: Sharing) -> tuple[Remark, ...]:
    notes: tuple[Remark, ...] = ()
    if sent != given:
        notes += (Remark("envelope-sender", f"MAIL FROM:<{sent}> is sent in place of <{given}>"),)
    if count := len(sharing.sinks):
        shown = ", ".join(sharing.sinks[:3]) + ("" if count <= 3 else ", ...")
        are = "1 recipient is a sink and goes" if count == 1 else f"{count} recipients are sinks and go"
        notes += (Remark("sink", f"{are} nowhere: {shown}"),)
    return notes
