"""
Follow sessions while they run: taps on those that somebody wants to see.

Theory of operation
-------------------

While nobody follows, nothing of this is on the way of a session: where one begins, one attribute is `None`.  When
somebody begins to follow, every session of the process gets a `Tap`: its protocol hears octets through it, and writes
through a wire that hands on what it is given (`wire.OverheardWire`).  With the last follower the taps go.

Each follower has a `View` of each session.  A tap that fails is said in the log and hears nothing more; the session
goes on.  Listeners and pools may be replaced while somebody follows, so once a second they are looked for anew.

What must not be known here: how followers are reached.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpbridge.relay.pool import Pool
from smtpbridge.relay.sender import Sender
from smtpbridge.relay.site import Site
from smtpbridge.relay.transcript import Side, Stage, Transcript
from smtpbridge.relay.upstream import UpstreamConnection
from smtpbridge.relay.views import Follower, Reader, View
from smtpbridge.relay.wanted import Facts, Wanted
from smtpbridge.relay.wire import OverheardWire, Wire
from smtpbridge.smtp.client import State as ClientState
from smtpbridge.smtp.replies import printable
from smtpbridge.smtp.server import State as ServerState

_LOOK_SECONDS = 1.0
# Where a session stands that is met under way; anywhere else it is among commands.
_STAGES: dict[ServerState | ClientState, Stage] = {
    ServerState.RESPONSE: Stage.RESPONSE,
    ServerState.LOGIN: Stage.LOGIN,
    ClientState.AUTH: Stage.LOGIN,
    ClientState.RESPONSES: Stage.LOGIN,
    ServerState.DATA: Stage.DATA,
    ClientState.BODY: Stage.DATA,
}

Session: TypeAlias = Sender | UpstreamConnection


class Tap:
    """What a session's octets pass while somebody follows."""

    log = Logger()

    def __init__(
        self,
        session: Session,
        facts: Facts,
        inbound: Side,
        epoch: Callable[[], float],
        gone: Callable[[Session], object],
    ) -> None:
        """Hear `session`, of which `inbound` is the side that it reads from; `gone` is called when it is over."""
        self.facts = facts
        self.views: dict[Follower, View] = {}
        self._session = session
        self._inbound = inbound
        self._outbound = Side.SERVER if inbound is Side.CLIENT else Side.CLIENT
        self._epoch = epoch
        self._gone = gone

    def install(self) -> None:
        """Put it on the way."""
        if isinstance(self._session, UpstreamConnection):
            self._session.replace_tap(self)
        else:
            # An attribute of the object is found before the method of its class.
            vars(self._session).update(dataReceived=self.read, connectionLost=self.lost)
        self._session.replace_wire(self._overheard)

    def remove(self) -> None:
        """Take it away."""
        self.views.clear()
        if isinstance(self._session, UpstreamConnection):
            self._session.replace_tap(None)
        else:
            for name in ("dataReceived", "connectionLost"):
                vars(self._session).pop(name, None)
        self._session.replace_wire(_plain)

    def note(self, text: str, *, secured: bool = False) -> None:
        """Tell every follower."""
        self._each(lambda view: view.note(text, self.user, self._epoch(), secured=secured))

    @property
    def user(self) -> str | None:
        """Who has logged in."""
        return self._session.session.user if isinstance(self._session, Sender) else None

    def read(self, data: bytes) -> None:
        """Octets have come: hear them, and hand them on."""
        self._hear(self._inbound, data)
        if isinstance(self._session, UpstreamConnection):
            self._session.read(data)
        else:
            type(self._session).dataReceived(self._session, data)

    def lost(self, reason: Failure) -> None:
        """The session is over."""
        self.note(f"closed ({reason.getErrorMessage().rstrip('.')})")
        self.remove()
        self._gone(self._session)
        self._session.connectionLost(reason)

    def _overheard(self, wire: Wire) -> Wire:
        return OverheardWire(wire, lambda data: self._hear(self._outbound, data), self._secured)

    def _secured(self, version: str) -> None:
        self.note(f"TLS {version}", secured=True)

    def _hear(self, side: Side, data: bytes) -> None:
        self._each(lambda view: view.heard(side, data, self.user, self._epoch()))

    def _each(self, call: Callable[[View], None]) -> None:
        try:
            for view in list(self.views.values()):
                call(view)
        except Exception:
            self.log.failure("a session cannot be followed any more session={session}", session=self.facts.session)
            self.views.clear()


def _plain(wire: Wire) -> Wire:
    return wire.inner if isinstance(wire, OverheardWire) else wire


class Tracing:
    """Who follows the sessions of this process."""

    def __init__(
        self,
        sites: Callable[[], Mapping[str, Site]],
        pools: Callable[[], Sequence[Pool]],
        clock: IReactorTime,
        epoch: Callable[[], float],
        prefix: str = "",
    ) -> None:
        """
        Follow sessions at `sites`, by what the operator calls them, and of `pools`; `prefix` begins their names.

        Both are asked for whenever they are needed.
        """
        self._sites = sites
        self._pools = pools
        self._clock = clock
        self._epoch = epoch
        self._prefix = prefix
        self._count = 0
        # By transport: it lives as long as the session, and whatever the session is, it can be referred to weakly.
        self._names: WeakKeyDictionary[ITransport, str] = WeakKeyDictionary()
        self._taps: dict[Session, Tap] = {}
        self._followers: list[Follower] = []
        self._call: IDelayedCall | None = None

    def follow(self, wanted: Wanted, reader: Reader) -> Follower:
        """Begin to tell `reader` of what is wanted."""
        follower = Follower(wanted, reader, self._clock, self._epoch)
        self._followers.append(follower)
        if self._call is None:
            self._call = self._clock.callLater(_LOOK_SECONDS, self._look)
        self._listen()
        for session in self._sessions():
            self._join(session, follower)
        return follower

    def stop(self, follower: Follower) -> None:
        """Tell a follower nothing more."""
        follower.end()
        if follower not in self._followers:
            return
        self._followers.remove(follower)
        for tap in list(self._taps.values()):
            tap.views.pop(follower, None)
            if not self._followers:
                tap.remove()
        if not self._followers:
            self._taps.clear()
            self._listen()
            if self._call is not None:
                self._call.cancel()
                self._call = None

    def begun(self, session: Session) -> None:
        """A session has begun, and nothing was said yet."""
        if isinstance(session, Sender):
            by = f" by the balancer {session.balancer} (PROXY)" if session.balancer else ""
            text = f"connected: {session.address or 'local'}{by}"
        else:
            text = f"connected to {session.label}"
        for follower in self._followers:
            self._view(session, follower, Transcript(headers=follower.wanted.headers))
        if tap := self._taps.get(session):
            tap.note(text)

    def _look(self) -> None:
        self._call = self._clock.callLater(_LOOK_SECONDS, self._look)
        self._listen()
        for session in self._sessions():
            if session not in self._taps:
                for follower in self._followers:
                    self._join(session, follower)

    def _sessions(self) -> list[Session]:
        senders = [one for site in self._sites().values() for one in site.sessions if isinstance(one, Sender)]
        return [*senders, *[one for pool in self._pools() for one in pool.connections]]

    def _listen(self) -> None:
        """Let every listener and pool tell of new sessions, as long as somebody follows."""
        tracing = self if self._followers else None
        for site in self._sites().values():
            site.tracing = tracing
        for pool in self._pools():
            pool.tracing = tracing

    def _join(self, session: Session, follower: Follower) -> None:
        """Follow a session that is under way."""
        stage = _STAGES.get(session.session.state, Stage.COMMANDS)
        # What the session has read of a line is not known here.
        within = isinstance(session, Sender) and bool(session.session.buffered)
        self._view(session, follower, Transcript(headers=follower.wanted.headers, stage=stage, within_line=within))
        tap = self._taps[session]
        user = f", user {printable(tap.user, 80)}" if tap.user else ""
        tap.views[follower].note(f"followed from here on (in {stage.value}{user})", tap.user, self._epoch())

    def _view(self, session: Session, follower: Follower, transcript: Transcript) -> None:
        tap = self._taps.get(session)
        if tap is None:
            tap = self._taps[session] = self._tap(session)
            tap.install()
        tap.views[follower] = View(follower, tap.facts, transcript)

    def _tap(self, session: Session) -> Tap:
        assert session.transport is not None
        name = self._names.get(session.transport)
        if name is None:
            self._count += 1
            name = self._names[session.transport] = f"{self._prefix}{self._count}"
        if isinstance(session, Sender):
            listener = next((label for label, site in self._sites().items() if site is session.site), "?")
            facts = Facts(name, listener=listener, client=session.address)
            return Tap(session, facts, Side.CLIENT, self._epoch, self._taps.pop)
        upstream = next((pool.name for pool in self._pools() if session in pool.connections), "?")
        facts = Facts(name, upstream=upstream, client=session.label)
        return Tap(session, facts, Side.SERVER, self._epoch, self._taps.pop)
