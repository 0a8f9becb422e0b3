"""
Choose the reverse-path that the provider will take.

Infobip wants MAIL FROM and the header From under one organisational domain;
SparkPost took anything.  "auto" keeps a sender that is aligned and otherwise,
also for the null reverse-path, uses the address in From; "keep" keeps every
sender; an address replaces every sender.  The organisational domain is the
public suffix and one label more (RFC 7489, 3.2), private suffixes included:
two customers of one hosting firm are not one organisation.

What must not be known here: why the sender was empty, and who hears of bounces.
"""

from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

from smtpbridge.dialect.layout import layout_of
from smtpbridge.mail.addresses import first_address
from smtpbridge.mail.headers import HeaderBlock

# A From field longer than this is read each time, so the memory of the cache stays small.
_LONGEST_CACHED = 512


def envelope_sender(sender: str, header: HeaderBlock, envelope_from: str) -> str:
    """Return the reverse-path to send with; `envelope_from` is "auto", "keep" or an address."""
    if envelope_from == "keep":
        return sender
    if envelope_from != "auto":
        return envelope_from
    address = author(header)
    if address is None or (sender and aligned(sender, address)):
        return sender
    return address


def aligned(one: str, other: str) -> bool:
    """Tell whether two addresses are under one organisational domain."""
    left, right = one.rpartition("@")[2], other.rpartition("@")[2]
    if left == right:
        return True
    left, right = left.lower(), right.lower()
    return left == right or organisational_domain(left) == organisational_domain(right)


@lru_cache(maxsize=4096)
def organisational_domain(domain: str) -> str:
    """Return the organisational domain of an ASCII domain in lower case; a public suffix or a literal is its own."""
    return domain if domain.startswith("[") else _public_suffixes().privatesuffix(domain) or domain


@cache
def _public_suffixes() -> PublicSuffixList:
    # Reading the list takes tens of milliseconds, so it waits for the first question and is kept.
    return PublicSuffixList()


def author(header: HeaderBlock) -> str | None:
    """Return the first address in the first From field that has one."""
    for at in layout_of(header.names).authors:
        value = header.value_at(at)
        address = _read_address(value) if len(value) <= _LONGEST_CACHED else first_address(value)
        if address:
            return address
    return None


@lru_cache(maxsize=1024)
def _read_address(value: bytes) -> str | None:
    return first_address(value)
