"""
Write the fields that name copies: `Cc` for everybody to see, `Bcc` for the one who gets it.

How it works: SparkPost shows all cc entries in every copy.  A `Cc` field that
the sender wrote keeps its place and its text; entries that it does not name
are put behind what it says.  Without one, a new field goes behind `To`.

What must not be known here: who gets which transaction.
"""

import re

from smtpbridge.dialect.copies import one_each
from smtpbridge.dialect.instructions import Mailbox
from smtpbridge.mail.addresses import format_mailboxes, key
from smtpbridge.mail.headers import HeaderBlock, unfold

# RFC 5322 knows no limit; a thousand addresses with names take a third.  An address that stands behind is named twice.
_MOST_OF_CC = 1 << 18

# The pieces of an address list (RFC 5322, 3.4), each taken at once, so that a list is read in linear time: quoted
# string, comment (the inner ones of nested comments come one by one), angle address, separator, anything else.
_PIECE = re.compile(
    r'(?P<quoted>"(?>(?:[^"\\]|\\.?)*)"?)|\((?>(?:[^()\\]|\\.?)*)\)?|\)|<(?P<angle>[^<>]*)>?|>|(?P<end>[,;:])|'
    r'(?P<bare>[^"(),:;<>]+)',
    re.DOTALL,
)


def bcc_field(recipient: Mailbox) -> bytes:
    """Return the `Bcc` field of this recipient's own copy."""
    return b"Bcc: " + format_mailboxes([recipient], 5) + b"\r\n"


def with_cc(header: HeaderBlock, cc: tuple[Mailbox, ...]) -> HeaderBlock:
    """Return the header with every cc entry in its `Cc` field, what was there before them."""
    named = set().union(*map(_listed, header.values(b"cc")))
    missing = [mailbox for mailbox in one_each(cc) if key(mailbox.address) not in named]
    if not missing:
        return header
    names, fields = list(header.names), list(header.fields)
    if b"cc" in header:
        at = header.names.index(b"cc")
        fields[at] = _appended(fields[at], missing)
    else:
        at = _behind_to(header.names)
        names.insert(at, b"cc")
        fields.insert(at, b"Cc: " + format_mailboxes(missing, 4) + b"\r\n")
    return HeaderBlock(tuple(names), tuple(fields))


def _appended(field: bytes, missing: list[Mailbox]) -> bytes:
    text = field.rstrip(b" \t\r\n")
    if text.endswith(b":") and text.count(b":") == 1:
        return text + b" " + format_mailboxes(missing, len(text) + 1) + b"\r\n"
    comma = b"" if text.endswith(b",") else b","
    return text + comma + b"\r\n " + format_mailboxes(missing, 1) + b"\r\n"


def _behind_to(names: tuple[bytes, ...]) -> int:
    for name in (b"to", b"from"):
        if name in names:
            return len(names) - names[::-1].index(name)
    return 0


def _listed(value: bytes) -> set[str]:
    """Return the comparison keys of the addresses in a list as it really arrives; what is no address does no harm."""
    found: set[str] = set()
    text, angle = "", ""
    for piece in _PIECE.finditer(unfold(value[:_MOST_OF_CC]).decode("latin-1") + ","):
        if piece["end"]:
            found.add(key((angle or text).strip()))
            text, angle = "", ""
        elif piece["angle"]:
            angle = piece["angle"]
        else:
            text += piece["quoted"] or piece["bare"] or ""
    return found
