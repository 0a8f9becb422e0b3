"""
The connections to one upstream: does what the ledger decides.

Theory of operation
-------------------

`leases.Ledger` keeps the books; this actor dials, hands out and closes.  It
calls the ledger with what happened and carries out the actions that come back,
so every decision can be tested without a socket.

A connection is handed out when it is ready for MAIL: greeted, on verified TLS,
logged in.  What went wrong on the way is kept in `fault`, in words for the log and
for the senders who are refused because of it; a login that was refused is the
operator's to mend and is said loudly.

A waiter is an object with two methods; exactly one of them is called, once.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol as Contract
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpbridge.relay.deadlines import NEVER, Deadlines
from smtpbridge.relay.dial_faults import dial_fault
from smtpbridge.relay.leases import Action, Counts, Dial, Grant, HostCounts, Ledger, Limits, Refuse, Retire, Why
from smtpbridge.relay.onlooker import Onlooker
from smtpbridge.relay.standing import Standing
from smtpbridge.relay.tallies import UpstreamTally
from smtpbridge.relay.tally import Limit, Tally
from smtpbridge.relay.tls_words import LOST, TLS_FAILED, VERIFY_FAILED
from smtpbridge.relay.upstream import Patience, UpstreamConnection
from smtpbridge.secret import Secret
from smtpbridge.smtp.client import ClientSession, State
from smtpbridge.smtp.replies import Reply, ReplyReader, printable, reply

_log = Logger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """One place to dial: `label` is for logs, `tls` verifies the name."""

    label: str
    endpoint: IStreamClientEndpoint
    tls: IOpenSSLClientConnectionCreator


@dataclass(frozen=True, slots=True)
class Login:
    """Who the bridge is at the provider; without a user name it does not log in."""

    username: str
    password: Secret


class Waiter(Contract):
    """Somebody who asked for a connection."""

    def granted(self, connection: UpstreamConnection) -> None:
        """Use it for one message, then give it back."""

    def refused(self, answer: Reply) -> None:
        """There is none; `answer` is a 4yz reply fit for a sender."""


# To ask a class for a member is a call.
_READY = State.READY
# What stands before the words of an exception.
_CANNOT_CONNECT = "cannot connect: "
_FROM_BELOW = (TLS_FAILED, LOST, _CANNOT_CONNECT)
_WAITS = {Why.CROWD: Limit.MAX_WAITERS, Why.TIME: Limit.WAIT_SECONDS}
_NO_LOGIN = Login("", Secret(b""))


class Pool:
    """The connections to one upstream."""

    def __init__(
        self,
        name: str,
        hosts: Sequence[Host],
        limits: Limits,
        deadlines: Deadlines,
        *,
        hello_name: str,
        implicit_tls: bool = False,
        login: Login = _NO_LOGIN,
        patience: Patience | None = None,
        max_wait: float = 60.0,
        tally: Tally | None = None,
    ) -> None:
        """Know where to dial; nothing is dialled before somebody asks.  Nobody waits longer than `max_wait` seconds."""
        self.name = name
        self.fault = self._plain_fault = ""
        self.standing = Standing(len(hosts))
        self.traffic = UpstreamTally(deadlines.now)
        self.tracing: Onlooker | None = None
        self.deadline = -inf  # swept at every tick of the deadlines while there is anything to look after
        self._hosts = hosts
        self._ledger = Ledger(limits)
        self._deadlines = deadlines
        self._hello_name = hello_name
        self._implicit_tls = implicit_tls
        self._login = login
        self._patience = patience or Patience()
        self._max_wait = max_wait
        self._tally = tally or Tally()
        self._waiters: dict[int, Waiter] = {}
        self._numbers: dict[object, int] = {}
        self._connections: dict[int, UpstreamConnection] = {}
        self._dialling: dict[int, Deferred[IProtocol]] = {}
        self._when_empty: list[Deferred[None]] = []
        self._closing: set[UpstreamConnection] = set()
        self._closed = False
        self._watched = False
        self._pending: deque[Action] = deque()
        self._doing = False
        self._probe: _Probe | None = None

    # What users call

    def lease(self) -> UpstreamConnection | None:
        """
        Return an idle connection at once, to be used for one message and given back.

        `None` where it is not as simple as that, and while others are served, who come first: then `ask`.
        """
        if self._doing:
            return None
        number = self._ledger.lease(self._deadlines.now())
        return None if number is None else self._connections[number]

    def ask(self, waiter: Waiter, until: float, *, fresh: bool = False, bounded: bool = True) -> int:
        """
        Ask for a connection; return a number for `withdraw`.  The waiter may be called before this returns.

        It waits until `until` or the pool's own limit, whichever is sooner; one that is not `bounded` may wait until
        `until`, and is let in however many wait.
        """
        now = self._deadlines.now()
        until = min(until, now + self._max_wait) if bounded else until
        number, actions = self._ledger.ask(now, until, fresh=fresh, bounded=bounded)
        self._waiters[number] = waiter
        self._do(actions)
        return number

    def withdraw(self, number: int) -> None:
        """Wait no more."""
        if self._waiters.pop(number, None) is not None:
            self._ledger.withdraw(number)

    def give_back(self, granted: object) -> None:
        """Return a connection that was granted, whatever state it is in."""
        number = self._numbers.get(granted)
        if number is None:
            return
        connection = self._connections[number]
        connection.deadline = NEVER
        usable = connection.session.state is _READY
        actions = self._ledger.returned(number, self._deadlines.now(), usable=usable)
        if actions:
            self._do(actions)

    def probe(self) -> None:
        """
        See whether the upstream can be used again: mail may be kept away until it can, and then nobody else dials.

        It is for whoever watches the `standing`.  Called often it dials no more often than the hosts' pauses let it,
        and not while messages wait for a connection anyway.
        """
        counts = self.counts()
        if self._closed or self._probe is not None or counts.waiting or counts.dialling:
            return
        self._probe = probe = _Probe(self)
        # A fresh one: what is idle has logged in with what was right then.
        self.ask(probe, inf, fresh=True, bounded=False)

    def probed(self) -> None:
        """The probe has ended."""
        self._probe = None

    def counts(self) -> Counts:
        """Say how many connections and waiters there are."""
        return self._ledger.counts()

    def host_counts(self) -> list[tuple[str, HostCounts]]:
        """Say the same for each host, by its label."""
        counts = self._ledger.host_counts(self._deadlines.now())
        return [(host.label, one) for host, one in zip(self._hosts, counts, strict=True)]

    @property
    def max_connections(self) -> int:
        """How many connections there may be."""
        return self._ledger.limits.max_connections

    @property
    def connections(self) -> list[UpstreamConnection]:
        """All that are open."""
        return list(self._connections.values())

    def fade(self) -> None:
        """Another pool has this one's place: serve who asks here still, and keep no connection for later."""
        self._ledger.limits = replace(self._ledger.limits, max_idle=0.0)
        self._do(self._ledger.tick(self._deadlines.now()))

    def close(self) -> Deferred[None]:
        """Hand out nothing from now on, close what is idle; fire when the last connection is closed."""
        self._closed = True
        self._do(self._ledger.close())
        for number, dialled in list(self._dialling.items()):
            if number not in self._connections:
                dialled.cancel()
        for connection in [self._connections[number] for number in self._dialling if number in self._connections]:
            connection.abandon("the bridge is closing")
        done: Deferred[None] = Deferred()
        self._when_empty.append(done)
        self._settle_down()
        return done

    # What the deadlines call

    def deadline_passed(self) -> None:
        """A second has passed: what is idle or waits grows old."""
        self._do(self._ledger.tick(self._deadlines.now()))

    # What connections call

    def ready(self, connection: UpstreamConnection) -> None:
        """A dialled connection takes mail."""
        number = self._numbers[connection]
        self._dialling.pop(number, None)
        self.fault = ""
        self.standing.ready()
        self.traffic.connected(number, connection.tls_version)
        _log.info(
            "upstream={upstream} connected host={host} tls={tls}",
            upstream=self.name,
            host=connection.label,
            tls=connection.tls_version,
        )
        self._do(self._ledger.opened(number, self._deadlines.now()))

    def gone(self, connection: UpstreamConnection, why: str, answer: Reply | None) -> None:
        """A connection closed by itself: while it was set up, idle, or leased."""
        number = self._numbers.get(connection)
        if number is None:
            return
        if number in self._dialling:
            self._forget(connection)
            self._dial_failed(number, connection.label, why, answer)
        elif not self._ledger.is_leased(number):
            self._forget(connection)
            self.traffic.lost_idle += 1
            _log.debug(
                "upstream={upstream} lost an idle connection host={host}: {why}",
                upstream=self.name,
                host=connection.label,
                why=why,
            )
            self._do(self._ledger.lost(number, self._deadlines.now()))
        else:
            # It comes back by `give_back`, which finds it unusable; only here is known why.
            self.traffic.lost_leased += 1
            _log.warn(
                "upstream={upstream} lost a connection within a message host={host}: {why}{said}",
                upstream=self.name,
                host=connection.label,
                why=printable(why, 300),
                said=f": {answer}" if answer is not None else "",
            )

    def reached(self, limit: Limit) -> None:
        """A server went beyond a bound."""
        self._tally.reached(limit)

    def closed(self, connection: UpstreamConnection) -> None:
        """The socket is closed."""
        self._closing.discard(connection)
        self._settle_down()

    # Carrying out

    def _do(self, actions: list[Action]) -> None:
        """Carry actions out in order; what one of them brings about is appended, so a crowd is no recursion."""
        pending = self._pending
        pending += actions
        if self._doing:
            return
        self._doing = True
        try:
            while pending:
                self._carry_out(pending.popleft())
        finally:
            self._doing = False
        self._watch()

    def _carry_out(self, action: Action) -> None:
        match action:
            case Grant():
                connection = self._connections[action.connection]
                if (waiter := self._waiters.pop(action.waiter, None)) is not None:
                    waiter.granted(connection)
                else:
                    self.give_back(connection)  # it was withdrawn while an earlier action was carried out
            case Refuse():
                if (limit := _WAITS.get(action.why)) is not None:
                    self._tally.reached(limit)
                if (waiter := self._waiters.pop(action.waiter, None)) is not None:
                    waiter.refused(self._why_not(action.why))
            case Dial():
                self._dial(action.connection, self._hosts[action.host])
            case Retire():
                self._retire(action.connection, action.why)

    def _watch(self) -> None:
        """Look at the clock only while there is something that could grow old."""
        wanted = bool(self._connections or self._waiters)
        if wanted != self._watched:
            self._watched = wanted
            (self._deadlines.watch if wanted else self._deadlines.forget)(self)

    def _dial(self, number: int, host: Host) -> None:
        def build() -> UpstreamConnection:
            secret = self._login.password.reveal().decode("utf-8", "surrogateescape")
            session = ClientSession(
                self._hello_name,
                implicit_tls=self._implicit_tls,
                username=self._login.username,
                password=secret,
                replies=ReplyReader(self._patience.max_reply_line, self._patience.max_reply_lines),
            )
            connection = UpstreamConnection(session, host.tls, self._patience, self._deadlines, self, host.label)
            connection.onlooker = self.tracing
            self._numbers[connection] = number
            self._connections[number] = connection
            return connection

        def failed(reason: Failure) -> None:
            if self._dialling.pop(number, None) is not None:
                self._dial_failed(number, host.label, f"{_CANNOT_CONNECT}{reason.getErrorMessage()}", None)
                self._settle_down()

        self.traffic.dials(number)
        dialled = host.endpoint.connect(_Builder(build))
        self._dialling[number] = dialled
        dialled.addErrback(failed)

    def _dial_failed(self, number: int, label: str, why: str, answer: Reply | None) -> None:
        self._dialling.pop(number, None)
        said = f": {answer}" if answer is not None else ""
        self.fault = printable(f"{label}: {why}{said}", 300)
        self._plain_fault = printable(f"{label}: {_plain(why)}{said}", 300)
        if not self._closed:
            counts = self.counts()
            self.traffic.dial_failed(number, dial_fault(why, answer))
            self.standing.failed(label, self._plain_fault, answer, alive=bool(counts.idle or counts.leased))
            _log.error("upstream={upstream} cannot be used: {fault}", upstream=self.name, fault=self.fault)
        self._do(self._ledger.failed(number, self._deadlines.now()))

    def _why_not(self, why: Why) -> Reply:
        match why:
            case Why.UNREACHABLE:
                return reply(451, "4.4.1", f"The provider cannot be reached: {self._plain_fault}")
            case Why.CLOSING:
                return reply(451, "4.3.2", "The bridge is shutting down")
            case Why.TIME if self.fault:
                return reply(451, "4.4.1", f"No connection to the provider in time: {self._plain_fault}")
            case _:
                return reply(451, "4.3.2", f"No connection to the provider is free: {why.value}")

    def _retire(self, number: int, why: Why) -> None:
        connection = self._connections[number]
        self._forget(connection)
        self.traffic.retired[why] += 1
        _log.debug(
            "upstream={upstream} retired host={host} why={why}",
            upstream=self.name,
            host=connection.label,
            why=why.value,
        )
        self._closing.add(connection)
        connection.retire()

    def _forget(self, connection: UpstreamConnection) -> None:
        self._connections.pop(self._numbers.pop(connection), None)

    def _settle_down(self) -> None:
        """Tell those who wait for the end when there is nothing left."""
        if self._closed and not self._dialling and not self._connections and not self._closing:
            waiting, self._when_empty = self._when_empty, []
            for done in waiting:
                done.callback(None)


# What the libraries below say, and what a sender hears instead: the log has their own words.
_PLAIN = (
    (f"{VERIFY_FAILED}: it is not for", "its certificate is for another name"),
    ("not trusted here", "its certificate is not from an authority that is trusted here"),
    ("signed by itself", "its certificate is not from an authority that is trusted here"),
    (VERIFY_FAILED, "its certificate cannot be verified"),
    (TLS_FAILED, "TLS failed"),
    ("refused", "connection refused"),
    ("lookup", "its name cannot be resolved"),
    ("timeout", "no answer in time"),
    ("timed out", "no answer in time"),
)


def _plain(why: str) -> str:
    """Return what went wrong without the words of an exception (a peer never sees those)."""
    if not why.startswith(_FROM_BELOW):
        return why
    return next((plain for word, plain in _PLAIN if word in why), "connection lost")


class _Probe:
    """A waiter that wants no connection, only that there is one."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def granted(self, connection: UpstreamConnection) -> None:
        self._pool.probed()
        self._pool.give_back(connection)

    def refused(self, _: Reply) -> None:
        self._pool.probed()


class _Builder(Factory):
    """Make the one protocol of one dialled connection."""

    noisy = False

    def __init__(self, build: Callable[[], UpstreamConnection]) -> None:
        self._build = build

    def buildProtocol(self, _: object) -> Protocol:
        """Return it; it is a protocol that never asks for its factory."""
        return cast(Protocol, self._build())
