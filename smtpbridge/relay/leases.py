"""
Who may use which upstream connection: the ledger of the pool, and nothing but the ledger.

Theory of operation
-------------------

The ledger knows connections by number (being dialled, idle, leased) and
waiters by number.  Each method says what happened and returns what is to be done
about it, as values: `Grant`, `Dial`, `Retire`, `Refuse`.  Whoever calls does it,
all of it, in that order.  Time is an argument.

A waiter gets the idle connection that was used last, so those that are not
needed grow old and go.  Where none is idle, a new one is dialled while there are
fewer than `max_connections`.  A waiter may ask for a fresh connection: one that
carried nothing yet, because what was idle beside a stale one is likely to be
stale too.

Hosts are tried in order.  One that failed is left alone for a while that
doubles with each failure.  When all are left alone and no connection lives,
waiting is pointless and every waiter is refused at once.

A connection is retired when it has carried `max_messages`, is older than
`max_age`, was idle for `max_idle`, or came back unusable; never while it is leased.

What must not be known here: sockets, reactors, SMTP.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import TypeAlias

from smtpbridge.values import value


@dataclass(frozen=True, slots=True)
class Limits:
    """`hosts` is how many there are; times in seconds."""

    hosts: int
    max_connections: int = 20
    max_messages: int = 100_000
    max_age: float = 600.0
    max_idle: float = 30.0
    max_waiters: int = 1000
    first_pause: float = 1.0
    longest_pause: float = 60.0


class Why(Enum):
    """Why a connection is retired or a waiter refused; the words are for logs and metrics."""

    IDLE = "idle for long enough"
    AGE = "old"
    COUNT = "carried enough"
    UNUSABLE = "unusable"
    ROOM = "room is needed for a fresh one"
    CLOSING = "the bridge is closing"
    CROWD = "too many are waiting"
    TIME = "waited too long"
    UNREACHABLE = "no host can be reached"

    # Enum's own hash is a Python function.
    __hash__ = object.__hash__


@value
class Grant:
    """Give the connection to the waiter."""

    waiter: int
    connection: int


@dataclass(frozen=True, slots=True)
class Dial:
    """Open that connection to the host at this place in the list."""

    connection: int
    host: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Close the connection; the ledger has forgotten it."""

    connection: int
    why: Why


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the waiter no; the ledger has forgotten it."""

    waiter: int
    why: Why


Action: TypeAlias = Grant | Dial | Retire | Refuse


@dataclass(slots=True)
class _Connection:
    host: int
    since: float = inf
    idle_since: float = inf
    messages: int = 0


@dataclass(slots=True)
class _Host:
    failures: int = 0
    left_alone_until: float = -inf


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each there are."""

    dialling: int
    idle: int
    leased: int
    waiting: int


@dataclass(frozen=True, slots=True)
class HostCounts:
    """How many connections a host has, and for how many seconds it is left alone."""

    dialling: int
    idle: int
    leased: int
    resting: float


class Ledger:
    """The books of one pool."""

    def __init__(self, limits: Limits) -> None:
        """Open the books without a connection."""
        self.limits = limits
        self._hosts = [_Host() for _ in range(limits.hosts)]
        self._dialling: dict[int, _Connection] = {}
        # The one that was used last stands last.
        self._idle: dict[int, _Connection] = {}
        self._leased: dict[int, _Connection] = {}
        # In the order of asking, with the time at which each gives up.
        self._waiting: OrderedDict[int, float] = OrderedDict()
        self._waiting_fresh: OrderedDict[int, float] = OrderedDict()
        self._last = 0
        self._closing = False

    def lease(self, now: float) -> int | None:
        """Return the idle connection that was used last; `None` where it is not as simple as that: then `ask`."""
        if not self._idle:
            return None
        connection, idle = self._idle.popitem()
        if self._worn_out(idle, now, usable=True) is not None:
            self._idle[connection] = idle
            return None
        idle.idle_since = inf
        self._leased[connection] = idle
        return connection

    def ask(self, now: float, until: float, *, fresh: bool = False, bounded: bool = True) -> tuple[int, list[Action]]:
        """
        Ask for a connection; return the waiter's number and what to do.

        The waiter is refused when `until` has come.  One that is not `bounded` is let in however many are waiting.
        """
        self._last += 1
        waiter = self._last
        if self._closing:
            return waiter, [Refuse(waiter, Why.CLOSING)]
        actions: list[Action] = []
        if not fresh and self._idle and (connection := self._newest(now, actions)) is not None:
            actions.append(Grant(waiter, connection))
            return waiter, actions
        if bounded and len(self._waiting) + len(self._waiting_fresh) >= self.limits.max_waiters:
            actions.append(Refuse(waiter, Why.CROWD))
        else:
            (self._waiting_fresh if fresh else self._waiting)[waiter] = until
        return waiter, actions + self._settle(now)

    def withdraw(self, waiter: int) -> None:
        """The waiter needs none any more; one that was granted or refused is unknown here, and that is all right."""
        self._waiting.pop(waiter, None)
        self._waiting_fresh.pop(waiter, None)

    def opened(self, connection: int, now: float) -> list[Action]:
        """A dialled connection is ready for mail."""
        opened = self._dialling.pop(connection)
        opened.since = now
        self._hosts[opened.host] = _Host()
        if self._closing:
            return [Retire(connection, Why.CLOSING)]
        for queue in (self._waiting_fresh, self._waiting):
            if queue:
                waiter, _ = queue.popitem(last=False)
                return [self._grant(waiter, connection, opened), *self._settle(now)]
        opened.idle_since = now
        self._idle[connection] = opened
        return []

    def failed(self, connection: int, now: float) -> list[Action]:
        """A dialled connection did not become ready: its host is left alone for a while."""
        host = self._hosts[self._dialling.pop(connection).host]
        # Several were dialled at once: their failures are one.
        if host.left_alone_until <= now:
            host.failures += 1
            pause = self.limits.first_pause * 2.0 ** min(host.failures - 1, 30)
            host.left_alone_until = now + min(pause, self.limits.longest_pause)
        return self._settle(now)

    def returned(self, connection: int, now: float, *, usable: bool) -> list[Action]:
        """A leased connection comes back after one message."""
        back = self._leased.pop(connection)
        back.messages += 1
        if (why := self._worn_out(back, now, usable=usable)) is not None:
            return [Retire(connection, why), *self._settle(now)]
        if self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            return [self._grant(waiter, connection, back)]
        back.idle_since = now
        self._idle[connection] = back
        return self._settle(now) if self._waiting_fresh else []

    def lost(self, connection: int, now: float) -> list[Action]:
        """An idle connection was closed by the other side; a leased one comes back by `returned`."""
        if self._idle.pop(connection, None) is None:
            return []
        return self._settle(now)

    def tick(self, now: float) -> list[Action]:
        """Time has passed: call it about once a second."""
        actions: list[Action] = []
        for connection, idle in list(self._idle.items()):
            if (why := self._worn_out(idle, now, usable=True)) is not None:
                del self._idle[connection]
                actions.append(Retire(connection, why))
        for queue in (self._waiting_fresh, self._waiting):
            for waiter in [waiter for waiter, until in queue.items() if until <= now]:
                del queue[waiter]
                actions.append(Refuse(waiter, Why.TIME))
        return actions + self._settle(now)

    def close(self) -> list[Action]:
        """Grant nothing from now on; what is idle goes, what is leased goes when it comes back."""
        self._closing = True
        actions: list[Action] = [Retire(connection, Why.CLOSING) for connection in self._idle]
        self._idle.clear()
        return actions + list(self._refuse_all(Why.CLOSING))

    def is_leased(self, connection: int) -> bool:
        """Tell whether somebody uses the connection."""
        return connection in self._leased

    def counts(self) -> Counts:
        """Say how the books stand."""
        waiting = len(self._waiting) + len(self._waiting_fresh)
        return Counts(len(self._dialling), len(self._idle), len(self._leased), waiting)

    def host_counts(self, now: float) -> list[HostCounts]:
        """Say how the books stand for each host."""
        dialling, idle, leased = (
            Counter(one.host for one in kind.values()) for kind in (self._dialling, self._idle, self._leased)
        )
        return [
            HostCounts(dialling[place], idle[place], leased[place], max(0.0, host.left_alone_until - now))
            for place, host in enumerate(self._hosts)
        ]

    # What follows from what

    def _settle(self, now: float) -> list[Action]:
        """Give idle connections to waiters, dial for the others, refuse them when that is hopeless."""
        actions: list[Action] = []
        while self._waiting and self._idle:
            if (connection := self._newest(now, actions)) is not None:
                waiter, _ = self._waiting.popitem(last=False)
                actions.append(Grant(waiter, connection))
        wanted = len(self._waiting) + len(self._waiting_fresh) - len(self._dialling)
        while wanted > 0 and (host := self._alive(now)) is not None and self._make_room(actions):
            wanted -= 1
            self._last += 1
            self._dialling[self._last] = _Connection(host)
            actions.append(Dial(self._last, host))
        if wanted > 0 and not self._dialling and not self._leased and self._alive(now) is None:
            actions += self._refuse_all(Why.UNREACHABLE)
        return actions

    def _make_room(self, actions: list[Action]) -> bool:
        """Tell whether another connection may be dialled; an idle one goes for a waiter who wants a fresh one."""
        if len(self._dialling) + len(self._idle) + len(self._leased) < self.limits.max_connections:
            return True
        if not self._waiting_fresh or not self._idle:
            return False
        connection = next(iter(self._idle))
        del self._idle[connection]
        actions.append(Retire(connection, Why.ROOM))
        return True

    def _newest(self, now: float, actions: list[Action]) -> int | None:
        """Lease the idle connection that was used last; on the way those that are worn out are retired."""
        while self._idle:
            connection, idle = self._idle.popitem()
            if (why := self._worn_out(idle, now, usable=True)) is None:
                idle.idle_since = inf
                self._leased[connection] = idle
                return connection
            actions.append(Retire(connection, why))
        return None

    def _worn_out(self, connection: _Connection, now: float, *, usable: bool) -> Why | None:
        if not usable:
            return Why.UNUSABLE
        if self._closing:
            return Why.CLOSING
        limits = self.limits
        if connection.messages >= limits.max_messages:
            return Why.COUNT
        if now - connection.since >= limits.max_age:
            return Why.AGE
        if now - connection.idle_since >= limits.max_idle:
            return Why.IDLE
        return None

    def _grant(self, waiter: int, connection: int, leased: _Connection) -> Grant:
        leased.idle_since = inf
        self._leased[connection] = leased
        return Grant(waiter, connection)

    def _alive(self, now: float) -> int | None:
        return next((place for place, host in enumerate(self._hosts) if host.left_alone_until <= now), None)

    def _refuse_all(self, why: Why) -> Iterator[Refuse]:
        for queue in (self._waiting_fresh, self._waiting):
            while queue:
                waiter, _ = queue.popitem(last=False)
                yield Refuse(waiter, why)
