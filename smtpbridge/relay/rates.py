"""
How often somebody may do something in a minute: a connection from an address, a message with a credential.

Theory of operation
-------------------

Each key has a bucket of takes, full at first with a minute's worth.  A take needs one
whole; time puts back what it is due, up to the minute's worth again (a token bucket).
That is reckoned when the key is heard of, so nothing has to be swept.

The table is bounded.  Whoever was not heard of for the longest time is forgotten
first, and has then its whole minute again: who comes from more addresses than the table
holds is not held by this, but by the number of sessions.

An IPv6 address counts as its /64, which is what one customer has at the least; see
`network_of`.

What must not be known here: clocks, settings, what is counted.
"""

from collections import OrderedDict
from ipaddress import IPv6Address

_MINUTE = 60.0
# Some 4 MiB when it is full, and more peers than a relay in a company's network has.
MOST_KEYS = 16_384
# A whole take, but for what sums of fractions are off.
_WHOLE = 0.999


class Rates:
    """The takes of each key."""

    def __init__(self, per_minute: int | None, most_keys: int = MOST_KEYS) -> None:
        """Allow so many takes a minute for each key; 0 and `None` allow any number and keep nothing."""
        self._per_minute = per_minute
        self._most_keys = most_keys
        # What is left, and when that was so.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def per_minute(self) -> int:
        """Return the bound, 0 where there is none."""
        return self._per_minute or 0

    @property
    def bounded(self) -> bool:
        """Tell whether there is a bound at all."""
        return bool(self._per_minute)

    def __len__(self) -> int:
        """Return how many keys are kept."""
        return len(self._buckets)

    def take(self, key: str, now: float) -> bool:
        """Tell whether `key` may, at `now` in a clock's seconds, and count it if so."""
        if not self._per_minute:
            return True
        left, then = self._buckets.get(key, (float(self._per_minute), now))
        # A clock that was set back puts nothing back, and goes on from there.
        left = min(self._per_minute, left + max(0.0, now - then) * self._per_minute / _MINUTE)
        allowed = left >= _WHOLE
        self._buckets[key] = (left - allowed, now)
        # Who is refused was heard of too: else it would soon be forgotten, and allowed.
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most_keys:
            self._buckets.popitem(last=False)
        return allowed


# For who is not bounded.
ANY_NUMBER = Rates(None)


def network_of(address: str) -> str:
    """
    Return the key of a peer at `address`: an IPv6 address is counted by its /64, anything else as it is.

    IPv4 in IPv6 (RFC 4291, 2.5.5.2) is the IPv4 address: all of them share one /64.
    """
    if ":" not in address:
        return address
    try:
        found = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"
