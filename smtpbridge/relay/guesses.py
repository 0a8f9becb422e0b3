"""
Who has guessed too often, and for how long nobody looks at what they say.  No I/O, no clock.

Theory of operation
-------------------

Failed logins are counted for each address and for each user name, within a
window that begins with the first of them.  One too many, and what comes from
there is not looked into for a while, which doubles each time until there was
peace for a window.  What is not looked into tells nothing and counts for
nothing: neither is a pause made longer by it.  A login that succeeds forgives
nothing either, or whoever has one account could guess the others' secrets.

Two kinds of bystanders are spared.  Senders may share an address, so a pause of
an address does not touch a secret that was right from there before.  All senders
may share a user name, as SparkPost's do, so a pause of a name touches only
addresses that never succeeded with it; it takes ten times as many failures, and
one wrong secret counts once however often it comes: a fleet with an old key is
no guesser.

One thing remains for whoever shares the address of a sender: what is spared can be
told from what is not.  So no more than `most` different attempts of one address
are under way at a time (`begin`, `end`), and each is answered late.

Every table is bounded; what was not touched for longest is forgotten first.

An address is that of the IPv4 host or the IPv6 /64 (RFC 4291, 2.5.4: what one
network link has).  A peer without address, on a local socket, has no pause of its own.
What must not be known here: what a secret is.  A `proof` stands for a name with a secret.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

# The first pause, in seconds: a person who mistyped a password waits, a guesser loses nearly all of its rate.
FIRST_PAUSE = 30.0
# How many times more failures a user name may have than an address.
_FOR_A_NAME = 10
# The bounds of the tables.  A name has up to 100 proofs, so its table is smaller.
_ADDRESSES = 10_000
_NAMES = 1_000
_PROVEN = 10_000
# A name in a table; those that are longer and begin alike share their count.
_NAME = 64

Key = TypeVar("Key", bound=Hashable)


class Whose(Enum):
    """What has failed too often."""

    ADDRESS = "address"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is looked into for so many seconds more."""

    whose: Whose
    seconds: float


@dataclass(frozen=True, slots=True)
class Patience:
    """`most` failures within `window` seconds are too many; no pause is longer than `longest` seconds."""

    most: int = 10
    window: float = 600.0
    longest: float = 900.0


def place_of(address: str) -> str:
    """Return what counts as one address: IPv4 as it is, IPv6 by its /64, what is neither as it is."""
    if ":" not in address:
        return address
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped) if ip.ipv4_mapped is not None else f"{IPv6Address(int(ip) >> 64 << 64)}/64"


@dataclass(slots=True)
class _Count:
    """The failures of one address or name: since when, which, how many pauses they brought, until when the last."""

    since: float
    failures: int = 0
    proofs: set[bytes] = field(default_factory=set)
    pauses: int = 0
    until: float = 0.0


class _Counts(Generic[Key]):
    """The failures of many."""

    def __init__(self, most: int, patience: Patience, bound: int, *, distinct: bool) -> None:
        """Pause at `most`; `distinct` says that a proof counts once."""
        self._most = most
        self._patience = patience
        self._bound = bound
        self._distinct = distinct
        self._counts: OrderedDict[Key, _Count] = OrderedDict()

    def renew(self, most: int, patience: Patience) -> None:
        self._most = most
        self._patience = patience

    def __len__(self) -> int:
        return len(self._counts)

    def rest(self, key: Key, now: float) -> float:
        """Return how many seconds of a pause are left."""
        count = self._counts.get(key)
        return count.until - now if count is not None else 0.0

    def add(self, key: Key, proof: bytes, now: float) -> None:
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(now)
            if len(self._counts) > self._bound:
                self._counts.popitem(last=False)
        self._counts.move_to_end(key)
        if now - max(count.since, count.until) > self._patience.window:
            # A whole window of peace, or of too few failures, ends what was before.
            count.since, count.failures, count.pauses = now, 0, 0
            count.proofs.clear()
        if self._distinct:
            if proof in count.proofs:
                return
            count.proofs.add(proof)
        count.failures += 1
        if count.failures >= self._most:
            self._pause(count, now)

    def _pause(self, count: _Count, now: float) -> None:
        count.pauses += 1
        # Beyond forty doublings there is no span that is configured, and no float either at a thousand.
        count.until = now + min(self._patience.longest, FIRST_PAUSE * 2.0 ** min(count.pauses - 1, 40))
        count.since, count.failures = count.until, 0
        count.proofs.clear()


class _Latest(Generic[Key]):
    """What was met last, up to a bound."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._met: OrderedDict[Key, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._met)

    def __contains__(self, key: Key) -> bool:
        return key in self._met

    def add(self, key: Key) -> None:
        self._met[key] = None
        self._met.move_to_end(key)
        if len(self._met) > self._bound:
            self._met.popitem(last=False)


class Guesses:
    """The failed logins of one process.  Addresses come from `place_of`; `now` is any clock's seconds."""

    def __init__(
        self, patience: Patience, *, addresses: int = _ADDRESSES, names: int = _NAMES, proven: int = _PROVEN
    ) -> None:
        """Begin with nothing; the other arguments are the bounds of the tables."""
        self._most = patience.most
        self._addresses: _Counts[str] = _Counts(patience.most, patience, addresses, distinct=False)
        self._names: _Counts[str] = _Counts(patience.most * _FOR_A_NAME, patience, names, distinct=True)
        self._proven: _Latest[tuple[str, bytes]] = _Latest(proven)
        self._welcome: _Latest[tuple[str, str]] = _Latest(proven)
        self._under_way: dict[str, dict[bytes, int]] = {}

    def renew(self, patience: Patience) -> None:
        """Count by another measure from now on; what was counted stays, and so does a pause that has begun."""
        self._most = patience.most
        self._addresses.renew(patience.most, patience)
        self._names.renew(patience.most * _FOR_A_NAME, patience)

    def __len__(self) -> int:
        """Return how much is remembered, in entries."""
        tables = (self._addresses, self._names, self._proven, self._welcome, self._under_way)
        return sum(len(table) for table in tables)

    def pause(self, address: str, user: str, proof: bytes, now: float, *, trusted: bool = False) -> Pause | None:
        """Return why this attempt is not looked into; `trusted` is an address that the operator named."""
        if address and (rest := self._addresses.rest(address, now)) > 0:
            return None if (address, proof) in self._proven else Pause(Whose.ADDRESS, rest)
        name = user[:_NAME]
        if trusted or (rest := self._names.rest(name, now)) <= 0 or (address, name) in self._welcome:
            return None
        return Pause(Whose.USER, rest)

    def failed(self, address: str, user: str, proof: bytes, now: float) -> None:
        """Count an attempt that was looked into and was wrong."""
        if address:
            self._addresses.add(address, proof, now)
        self._names.add(user[:_NAME], proof, now)

    def succeeded(self, address: str, user: str, proof: bytes) -> None:
        """Remember that this was right from there."""
        self._proven.add((address, proof))
        self._welcome.add((address, user[:_NAME]))

    def begin(self, address: str, proof: bytes) -> bool:
        """Count an attempt as under way; `False`, and nothing is counted, where too many others of that address are."""
        ours = self._under_way.get(address, {})
        if address and proof not in ours and len(ours) >= self._most:
            return False
        self._under_way.setdefault(address, ours)[proof] = ours.get(proof, 0) + 1
        return True

    def end(self, address: str, proof: bytes) -> None:
        """An attempt that had begun is answered."""
        ours = self._under_way[address]
        ours[proof] -= 1
        if not ours[proof]:
            del ours[proof]
        if not ours:
            del self._under_way[address]
