"""
Who may log in, and which networks need not.

User names are SparkPost's: `SMTP_Injection` in any case, perhaps with a suffix
behind a colon, `X-MSYS-SUBACCOUNT=123` or Bird's `x-bird-workspace-id=...`.  The
suffix says on whose behalf, not who: it plays no part in the comparison.

Several credentials may share a user name, as SparkPost's keys do.  The one whose
secret fits decides what counts for the sender's messages.

How long it takes tells nothing
-------------------------------

All hashes are compared, each in constant time, whatever the name.  Quick ones come
first; where none fits and there are passwords (`ScryptHash`), every name costs as
many of them as the name that has most, a name that nobody has too: what it lacks
is made up with decoys.  That goes on in a thread (`admit_slowly`), so nothing here
may change what another thread reads.

What was right once is remembered by a keyed digest of name and secret, so a sender
that logs in anew for each message pays for its password once.
"""

import hmac
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from secrets import token_bytes

from smtpbridge.dialect.policy import UNSAID, Defaults
from smtpbridge.relay.rates import ANY_NUMBER, Rates
from smtpbridge.secret import KeyedHash, QuickHash, ScryptHash, Secret, SecretHash, Sha256Hash, fits

_SUBACCOUNT = "x-msys-subaccount="
_WORKSPACE = "x-bird-workspace-id="
# How many right answers are remembered; more senders than that with passwords pay for them now and then.
_REMEMBERED = 4096


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
    """What a sender must present, what counts then where its messages do not say, and how many of them it may send."""

    username: str
    secret: Secret | SecretHash
    defaults: Defaults = UNSAID
    messages: Rates = field(default=ANY_NUMBER, compare=False)


class Accounts:
    """Everybody who can log in."""

    def __init__(self, accounts: Iterable[Account], chance: Callable[[int], bytes] = token_bytes) -> None:
        """Know these; `chance` gives random octets.  A secret that is given in the clear is kept as a hash."""
        self._key = chance(32)
        self._quick: list[tuple[str, QuickHash, Account]] = []
        self._slow: defaultdict[str, list[tuple[ScryptHash, Account]]] = defaultdict(list)
        self._right: OrderedDict[bytes, Account] = OrderedDict()
        for account in accounts:
            name, known = account.username.lower(), account.secret
            if isinstance(known, ScryptHash):
                self._slow[name].append((known, account))
            else:
                self._quick.append((name, self._hashed(known), account))
        # What stands in for the passwords that a name lacks: those of the name that has most.
        self._decoys = max(self._slow.values(), key=len, default=[])

    def successor(self, accounts: Iterable[Account]) -> "Accounts":
        """
        Return those who can log in from now on, in place of these.

        Who stays the same keeps its count of messages, and a password that was right once.  Proofs are as before, so
        what is remembered of failures goes on.
        """
        known = [*(one for _, _, one in self._quick), *(one for some in self._slow.values() for _, one in some)]

        def kept(account: Account) -> Account:
            return next((one for one in known if one == account and _as_often(one, account)), account)

        staying = [kept(account) for account in accounts]
        next_ones = Accounts(staying, lambda _: self._key)
        for proof, account in self._right.items():
            if any(one is account for one in staying):
                next_ones.remember(proof, account)
        return next_ones

    def __bool__(self) -> bool:
        """Tell whether there is anybody."""
        return bool(self._quick or self._slow)

    @property
    def slow(self) -> bool:
        """Tell whether `admit_slowly` may find what `admit` does not."""
        return bool(self._slow)

    def proof(self, user: UserName, secret: str) -> bytes:
        """Return what stands for this name with this secret, here and until the process ends."""
        name = user.name.lower().encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, b"%d:%b%b" % (len(name), name, _octets(secret)), "sha256")

    def admit(self, user: UserName, secret: str) -> Account | None:
        """
        Return the account of that user that `secret` belongs to, the first of equal ones; `None` where it is nobody's.

        The name is compared without case, as SparkPost does.  Passwords are not looked at.
        """
        presented = _octets(secret)
        wanted = user.name.lower()
        # What the secret gives under each key; all that came from files share one, all plain digests have none.
        made: dict[bytes, bytes] = {}
        found: Account | None = None
        for name, known, account in self._quick:
            key = known.key if isinstance(known, KeyedHash) else b""
            digest = made.get(key)
            if digest is None:
                digest = made[key] = known.of(presented)
            # The comparison comes first and is never skipped: neither a wrong name nor an earlier fit shortens it.
            if hmac.compare_digest(known.digest, digest) and name == wanted:
                found = found or account
        return found

    def admit_slowly(self, user: UserName, secret: str) -> Account | None:
        """Return the account whose password it is; takes long, and may run in a thread."""
        presented = _octets(secret)
        own = self._slow.get(user.name.lower(), [])
        found: Account | None = None
        for known, account in own:
            if fits(known, presented):
                found = found or account
        for known, _ in self._decoys[len(own) :]:
            fits(known, presented)
        return found

    def remembered(self, proof: bytes) -> Account | None:
        """Return the account that `proof` was remembered for."""
        return self._right.get(proof)

    def remember(self, proof: bytes, account: Account) -> None:
        """Keep what is right, as long as it is among the latest."""
        self._right[proof] = account
        self._right.move_to_end(proof)
        if len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)

    def _hashed(self, secret: Secret | Sha256Hash | KeyedHash) -> QuickHash:
        return KeyedHash.make(secret.reveal(), self._key) if isinstance(secret, Secret) else secret


def allowed(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Tell whether an IP address, as text, is in one of the networks; what is no address is in none."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        # A dual-stack socket shows IPv4 peers so.
        ip = ip.ipv4_mapped
    return any(ip.version == network.version and ip in network for network in map(_unmapped, networks))


@lru_cache(maxsize=1024)
def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return a network of IPv4-mapped addresses (RFC 4291, 2.5.5.2) as the IPv4 network that it means."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _as_often(one: Account, other: Account) -> bool:
    return one.messages.per_minute == other.messages.per_minute


def _octets(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogateescape")
