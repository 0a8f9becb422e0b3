"""
`smtpbridge translate`: what would become of a message, without sending it.

The octets of a file take the way that they would take through a listener: they
get their wire form, the end of the data is looked for in it, and a `Spool` seals
them.  So what a listener refuses is refused here, in the same words, and what
would be written anew is.  Then `dialect.translate` decides.

What must not be known here: the terminal and the file; `cli` reads and prints.
"""

import base64
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import getaddresses

from smtpbridge.commands.printing import harmless
from smtpbridge.commands.sidebyside import Mail, side_by_side
from smtpbridge.dialect.instructions import Refusal
from smtpbridge.dialect.plan import Plan, Transaction
from smtpbridge.dialect.policy import UNSAID, CallbackData, Defaults, Policy
from smtpbridge.dialect.token import SAMPLE
from smtpbridge.dialect.translate import translate
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.mail.addresses import BadAddress, first_address, parse_address
from smtpbridge.mail.headers import HeaderBlock, end_of_header, unfold
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace, rfc5322_date
from smtpbridge.mail.words import without_words
from smtpbridge.relay.content import Content
from smtpbridge.relay.ids import message_ids
from smtpbridge.relay.intake import content_of
from smtpbridge.settings.values import LineEndings, Listener
from smtpbridge.smtp import texts
from smtpbridge.smtp.data import unstuff
from smtpbridge.smtp.paths import BadPath, read_path
from smtpbridge.smtp.replies import Reply, reply

_BARE_LF = re.compile(rb"(?<!\r)\n")
# `sendmail -t` reads the recipients from the same three.
_RECIPIENT_FIELDS = (b"to", b"cc", b"bcc")


class NoSuchAddress(SmtpbridgeError):
    """An address that was given is none, or one that was not given is not in the header either."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """
    Who takes the message: the rules, the listener's limits, the bridge's name, the sender's subaccount.

    `defaults` are what the listener and the sender's credential say where the message does not.
    """

    policy: Policy
    listener: Listener
    hostname: str
    subaccount: str = ""
    defaults: Defaults = UNSAID


@dataclass(frozen=True, slots=True)
class Foretold:
    """What would become of the message; `given` is it as it came, `body` what all transactions share, plain."""

    given: Mail
    reply: str
    transactions: tuple[Transaction, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    body: bytes = b""

    @property
    def refused(self) -> bool:
        """Tell whether nobody would get it."""
        return not self.reply.startswith("250")

    def as_json(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return {
            "reply": self.reply,
            "warnings": list(self.warnings),
            "transactions": [
                {
                    "upstream": one.upstream,
                    "mail_from": one.envelope.sender,
                    "rcpt_to": list(one.envelope.recipients),
                    "message": base64.b64encode(b"%b\r\n%b" % (one.header, self.body)).decode("ascii"),
                }
                for one in self.transactions
            ],
        }

    def as_lines(self, width: int) -> list[str]:
        """Return what people see on a terminal of that width."""
        after = [
            Mail(_title(place, len(self.transactions), one.upstream), one.envelope, HeaderBlock.parse(one.header))
            for place, one in enumerate(self.transactions, 1)
        ]
        lines: list[str] = []
        if not self.refused:
            lines = [*side_by_side(self.given, after, width), "", f"Body: {len(self.body):,} octets"]
        lines.append(f"{'Refused' if self.refused else 'Reply'}: {harmless(self.reply)}")
        lines += [f"Warning: {harmless(text)}" for text in self.warnings]
        return lines + [f"Note: {harmless(text)}" for text in self.notes]


def wire_lines(octets: bytes) -> bytes:
    """Return the content of a file as lines that end with CRLF; a lone CR is the message's own defect and stays."""
    lines = _BARE_LF.sub(b"\r\n", octets) if b"\n" in octets else octets
    return lines if not lines or lines.endswith(b"\r\n") else lines + b"\r\n"


def envelope_of(octets: bytes, mail_from: str | None, rcpt_to: Sequence[str]) -> Envelope:
    """
    Return the envelope as given, the rest from the header of `octets` (CRLF lines).

    The sender is taken from Return-Path, else From; the recipients from To, Cc and Bcc.  Raise `NoSuchAddress`.
    """
    length, _ = end_of_header(octets)
    header = HeaderBlock.parse(octets[:length])
    sender = _sender_in(header) if mail_from is None else _path(mail_from, "--mail-from")
    recipients = tuple(_path(one, "--rcpt-to") for one in rcpt_to) or _recipients_in(header)
    if not all(recipients):
        raise NoSuchAddress("--rcpt-to: the empty address can be a sender only")
    if not recipients:
        raise NoSuchAddress("--rcpt-to is missing, and the message has no address in To, Cc or Bcc")
    return Envelope(sender, recipients)


def foretell(octets: bytes, envelope: Envelope, around: Circumstances) -> Foretold:
    """Return what would become of `octets` (CRLF lines, dots not doubled)."""
    length, _ = end_of_header(octets)
    given = Mail("as SparkPost's sender gives it", envelope, HeaderBlock.parse(octets[:length]))
    content = _received(octets, envelope, around.listener)
    if isinstance(content, Reply):
        return Foretold(given, str(content))
    header, trace = HeaderBlock.parse(content.header), _trace(around.hostname)
    token = SAMPLE if around.policy.callback_data is CallbackData.TOKEN else ""
    plan = translate(envelope, header, trace, around.policy, around.subaccount, around.defaults, content.body(), token)
    if isinstance(plan, Refusal):
        content.close()
        return Foretold(given, str(reply(plan.code, plan.enhanced, plan.text)))
    return _foretold(given, plan, content)


def _foretold(given: Mail, plan: Plan, content: Content) -> Foretold:
    warnings = tuple(remark.text for remark in plan.warnings)
    notes = tuple(remark.text for remark in plan.notes)
    body = _body_of(content if plan.body is None else content.reworked(plan.body))
    content.close()
    return Foretold(given, "250", plan.transactions, warnings, notes, body)


def _body_of(content: Content) -> bytes:
    """Return the body with its dots undone; what was written anew may have grown into a file."""
    chunks: list[bytes] = []
    while chunk := content.read(sum(map(len, chunks))):
        chunks.append(chunk)
    return unstuff(b"".join(chunks))


def _received(octets: bytes, envelope: Envelope, listener: Listener) -> Content | Reply:
    """Return the message as a listener would hold it, or the reply by which it would refuse."""
    if len(envelope.recipients) > listener.max_recipients:
        return texts.TOO_MANY
    return content_of(
        octets,
        max_message=listener.max_message_bytes,
        reject_bare=listener.line_endings is LineEndings.REJECT,
        max_header=listener.max_header_bytes,
    )


def _trace(hostname: str) -> Trace:
    new_id = message_ids(time.time, os.getpid())
    return Trace(hostname, "localhost", "127.0.0.1", "ESMTP", new_id(), rfc5322_date(time.time()))


def _title(place: int, count: int, upstream: str) -> str:
    return f"as Infobip gets it ({upstream})" if count == 1 else f"transaction {place} of {count} ({upstream})"


def _path(text: str, option: str) -> str:
    """Return an address that was given with or without angle brackets."""
    try:
        address, parameters = read_path(text if text.startswith("<") else f"<{text}>")
    except BadPath as error:
        raise NoSuchAddress(f"{option} {harmless(text)}: {error}") from error
    if parameters:
        raise NoSuchAddress(f"{option} {harmless(text)}: there is something behind the address")
    return address


def _sender_in(header: HeaderBlock) -> str:
    for value in header.values(b"return-path"):
        return _path(unfold(value).decode("utf-8", "replace"), "Return-Path")
    for value in header.values(b"from"):
        if (address := first_address(value)) is not None:
            return address
    raise NoSuchAddress("--mail-from is missing, and the message has no address in Return-Path or From")


def _recipients_in(header: HeaderBlock) -> tuple[str, ...]:
    values = [
        without_words(unfold(value)).decode("utf-8", "replace")
        for name in _RECIPIENT_FIELDS
        for value in header.values(name)
    ]
    found: dict[str, str] = {}
    for _, written in getaddresses(values):
        try:
            address = parse_address(written)
        except BadAddress:
            continue
        found.setdefault(address.lower(), address)
    return tuple(found.values())
