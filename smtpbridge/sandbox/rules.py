"""
What Infobip would think of a message, as far as its documentation tells.

Pure functions over a header block.  `refusal` is for what the provider checks
itself: it documents that the domains of Envelope From and Header From must
share their root ("relaxed alignment"), but neither the reply nor what it does
about a missing From or the null reverse-path.  Those replies are guesses and
say so.

`warnings_about` is for what the provider would let through and not do, or
would pass on to the recipients: a misspelt `X-IB-` name, a value of the wrong
form, a header that was meant for SparkPost.  The lengths are those of the
parameters of the same name in Infobip's HTTP API; for SMTP none are published.

What must not be known here: the bridge's idea of any of this.  The tables are
written from the provider's pages a second time, so that a slip in the bridge
does not repeat itself here.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache, partial
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

from smtpbridge.mail.addresses import BadAddress, domain_of, first_address, parse_mailbox
from smtpbridge.mail.headers import HeaderBlock, unfold
from smtpbridge.mail.words import decode_text
from smtpbridge.smtp.data import Defects
from smtpbridge.smtp.replies import Reply, printable, reply

_GUESS = "(the sandbox's guess: Infobip documents the check, not the reply)"
_BULK_ID_MOST = 100
_OTHER_ID_MOST = 255
_CALLBACK_MOST = 4000
# RFC 5322, 2.1.1
_LINE_MOST = 998
_LONG_LINE = re.compile(rb"[^\n]{%d}" % (_LINE_MOST + 2))
_PLAIN = re.compile(rb"[\t -~]*")
_NOT_IN_URL = re.compile(r"[^!-~]")
_QUOTE_MOST = 80


def refusal(sender: str, header: HeaderBlock, organisational: Callable[[str], str]) -> Reply | None:
    """Return the reply at the final dot when sender and From are not under one organisational domain."""
    author = next((found for value in header.values(b"from") if (found := first_address(value))), None)
    if author is None:
        return reply(550, "5.6.0", f"Header From with an address is needed {_GUESS}")
    if not sender:
        return reply(550, "5.7.1", f"Envelope From is empty, Header From is <{author}> {_GUESS}")
    left, right = domain_of(sender), domain_of(author)
    if left == right or organisational(left) == organisational(right):
        return None
    return reply(550, "5.7.1", f"Root domains of Envelope From <{sender}> and Header From <{author}> differ {_GUESS}")


@lru_cache(maxsize=4096)
def organisational_domain(domain: str) -> str:
    """Return the public suffix of a lower-case domain and one label more; a suffix or a literal is its own."""
    return domain if domain.startswith("[") else _public_suffixes().privatesuffix(domain) or domain


@cache
def _public_suffixes() -> PublicSuffixList:
    # Reading the list takes tens of milliseconds, so it waits for the first unequal pair.
    return PublicSuffixList()


def warnings_about(header: HeaderBlock, recipients: Sequence[str], defects: Defects) -> tuple[str, ...]:
    """Return what the sender ought to mend, one sentence each, in the order of the fields."""
    found: list[str] = []
    seen: set[bytes] = set()
    for name, field in header:
        if name.startswith(b"x-ib-"):
            found += _faults_of_option(name, field, repeated=name in seen)
            seen.add(name)
        elif name.startswith(b"x-msys-") or name == b"x-binding":
            found.append(f"{_shown(field)} would reach the recipient")
        elif name in (b"bcc", b"resent-bcc") and not _names_only(field, recipients):
            found.append(f"{_shown(field)} would reach the recipient, who is not the only one named there")
    found += _faults_of_form(header, defects)
    return tuple(found)


def _faults_of_form(header: HeaderBlock, defects: Defects) -> Iterator[str]:
    if header.count(b"from") > 1:
        yield "From stands more than once (RFC 5322, 3.6)"
    if _LONG_LINE.search(header.octets()):
        yield f"a header line is longer than {_LINE_MOST} octets (RFC 5322, 2.1.1)"
    if defects.bare_line_ends:
        yield "a CR or LF stands alone (RFC 5321, 2.3.8)"
    if defects.single_dots:
        yield "a line began with a dot that was not doubled (RFC 5321, 4.5.2)"
    if defects.nul:
        yield "there is a NUL in the message"


def _names_only(field: bytes, recipients: Sequence[str]) -> bool:
    """Tell whether a Bcc names the one recipient: SparkPost writes it so on a blind copy."""
    if len(recipients) != 1:
        return False
    try:
        named = parse_mailbox(unfold(field.partition(b":")[2][:-2]).decode("latin-1"))
    except BadAddress:
        return False
    return named.address.lower() == recipients[0].lower()


def _faults_of_option(name: bytes, field: bytes, *, repeated: bool) -> Iterator[str]:
    known = _OPTIONS.get(name)
    if known is None:
        yield f"{_shown(field)} is no header that Infobip documents; it would have no effect"
        return
    spelt, fault_of = known
    value = unfold(field.partition(b":")[2][:-2])
    if repeated:
        yield f"{spelt} stands more than once"
    if not _PLAIN.fullmatch(value):
        yield f"{spelt} holds control characters or octets beyond ASCII"
    elif not value:
        yield f"{spelt} is empty"
    elif fault := fault_of(value.decode("ascii")):
        yield f"{spelt}: {fault}"


def _shown(field: bytes) -> str:
    """Return the name of a field as the sender spelt it."""
    return printable(field.partition(b":")[0].decode("latin-1").rstrip(" \t"), _QUOTE_MOST)


# Each of these returns what is wrong with a value, or nothing.


def _one_of(allowed: tuple[str, ...], value: str) -> str:
    return "" if value in allowed else f"{printable(value, _QUOTE_MOST)} is not one of {', '.join(allowed)}"


def _text(most: int, value: str) -> str:
    length = len(decode_text(value) if "=?" in value else value)
    return f"{length} characters are over {most}" if length > most else ""


def _callback(value: str) -> str:
    return f"{len(value)} octets are over {_CALLBACK_MOST}" if len(value) > _CALLBACK_MOST else ""


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return "" if good and not _NOT_IN_URL.search(value) else f"{printable(value, _QUOTE_MOST)} is no http or https URL"


_switch = partial(_one_of, ("true", "false"))

# Infobip, "SMTP API integration", "Optional custom headers"; by lower-case name: the spelling there, and the check.
_OPTIONS: dict[bytes, tuple[str, Callable[[str], str]]] = {
    spelt.lower().encode("ascii"): (spelt, fault_of)
    for spelt, fault_of in (
        ("X-IB-Bulk-Id", partial(_text, _BULK_ID_MOST)),
        ("X-IB-Callback-Data", _callback),
        ("X-IB-Intermediate-Report", _switch),
        ("X-IB-Notify-Content-Type", partial(_one_of, ("application/json", "application/xml"))),
        ("X-IB-Notify-Url", _url),
        ("X-IB-Tracking-Url", _url),
        ("X-IB-Track", _switch),
        ("X-IB-Track-Clicks", _switch),
        ("X-IB-Track-Opens", _switch),
        ("X-IB-Client-Priority", partial(_one_of, ("HIGH", "STANDARD", "LOW"))),
        ("X-IB-Application-Id", partial(_text, _OTHER_ID_MOST)),
        ("X-IB-Entity-Id", partial(_text, _OTHER_ID_MOST)),
        ("X-IB-Skip-Passive-Storage", _switch),
        ("X-IB-Skip-Active-Storage", _switch),
    )
}
