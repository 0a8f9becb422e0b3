"""
Who may log in, and which networks need not.

User names are SparkPost's: `SMTP_Injection` in any case, perhaps with a suffix
behind a colon, `X-MSYS-SUBACCOUNT=123` or Bird's `x-bird-workspace-id=...`.  The
suffix says on whose behalf, not who: it plays no part in the comparison.

Several credentials may share a user name, as SparkPost's keys do.  All of them
are compared, each in constant time, so how long it takes says nothing.  The one
whose secret fits decides what counts for the sender's messages.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from smtpbridge.dialect.policy import UNSAID, Defaults
from smtpbridge.secret import Secret, SecretHash

_SUBACCOUNT = "x-msys-subaccount="
_WORKSPACE = "x-bird-workspace-id="


@dataclass(frozen=True, slots=True)
class UserName:
    """A user name taken apart; `odd` is a suffix that means nothing here."""

    name: str
    subaccount: str = ""
    odd: str = ""


def read_user_name(text: str) -> UserName:
    """Take a user name apart; never fails."""
    name, _, suffix = text.partition(":")
    lowered = suffix.lower()
    if lowered.startswith(_SUBACCOUNT):
        digits = suffix[len(_SUBACCOUNT) :].strip()
        return UserName(name, digits) if digits.isascii() and digits.isdecimal() else UserName(name, odd=suffix)
    if not suffix or lowered.startswith(_WORKSPACE):
        return UserName(name)
    return UserName(name, odd=suffix)


@dataclass(frozen=True, slots=True)
class Account:
    """What a sender must present, and what counts then where its messages do not say."""

    username: str
    secret: Secret | SecretHash
    defaults: Defaults = UNSAID


class Accounts:
    """Everybody who can log in."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        """Know these."""
        self._accounts = [(account.username.lower(), _digest(account.secret), account) for account in accounts]

    def __bool__(self) -> bool:
        """Tell whether there is anybody."""
        return bool(self._accounts)

    def admit(self, user: UserName, secret: str) -> Account | None:
        """
        Return the account of that user that `secret` belongs to, the first of equal ones; `None` where it is nobody's.

        The name is compared without case, as SparkPost does.
        """
        presented = sha256(secret.encode("utf-8", "surrogateescape")).digest()
        wanted = user.name.lower()
        found: Account | None = None
        for name, digest, account in self._accounts:
            # The comparison comes first and is never skipped: neither a wrong name nor an earlier fit shortens it.
            if hmac.compare_digest(digest, presented) and name == wanted:
                found = found or account
        return found


def allowed(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Tell whether an IP address, as text, is in one of the networks; what is no address is in none."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        # A dual-stack socket shows IPv4 peers so; the operator wrote the network as IPv4.
        ip = ip.ipv4_mapped
    return any(ip.version == network.version and ip in network for network in networks)


def _digest(secret: Secret | SecretHash) -> bytes:
    return secret.sha256 if isinstance(secret, SecretHash) else sha256(secret.reveal()).digest()
