"""
Who follows sessions, and one session as such a one sees it.

A `View` turns what both sides say into lines (`transcript`) and asks its follower's filter (`wanted`).  What cannot be
judged yet waits there, bounded.

A `Follower` is told lines in batches, twenty times a second.  What one batch has no room for, and what its reader does
not take, is counted, and said in a line of its own.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol as Contract
from typing import TypeAlias

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smtpbridge.relay.transcript import Line, Side, Transcript
from smtpbridge.relay.wanted import Facts, Verdict, Wanted

# A line as it is told: JSON's types alone.
Told: TypeAlias = dict[str, object]

_BATCH_SECONDS = 0.05
_MOST_LINES = 1000
# What is kept of a session until it can be judged.
_MOST_PENDING = 200
_MOST_RECIPIENTS = 1000


class Reader(Contract):
    """Who follows."""

    def __call__(self, lines: Sequence[Told]) -> int:
        """Take lines; return how many of them, the others count as lost."""


class Follower:
    """Somebody who follows, and what waits to be told."""

    def __init__(self, wanted: Wanted, reader: Reader, clock: IReactorTime, epoch: Callable[[], float]) -> None:
        self.wanted = wanted
        self._reader = reader
        self._clock = clock
        self._epoch = epoch
        self._lines: list[Told] = []
        self._lost = 0
        self._call: IDelayedCall | None = None

    def tell(self, facts: Facts, line: Line, at: float) -> None:
        """Tell a line, soon."""
        if self._call is None:
            self._call = self._clock.callLater(_BATCH_SECONDS, self._flush)
        if len(self._lines) >= _MOST_LINES:
            self._lost += 1
            return
        where = {"listener": facts.listener} if facts.listener else {"upstream": facts.upstream}
        self._lines.append(
            {
                "at": at,
                "session": facts.session,
                **where,
                "peer": facts.client,
                "side": line.side.value,
                "text": line.text,
            }
        )

    def end(self) -> None:
        """Tell nothing more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _flush(self) -> None:
        self._call = None
        lines, self._lines = self._lines, []
        before, self._lost = self._lost, 0
        if before:
            lines.insert(0, {"at": self._epoch(), "lost": before})
        taken = self._reader(lines)
        if taken < len(lines):
            # The line about those that were lost is none of them.
            self._lost = len(lines) - taken if taken or not before else before + len(lines) - 1
            self._call = self._clock.callLater(_BATCH_SECONDS, self._flush)


class View:
    """One session as one follower sees it."""

    def __init__(self, follower: Follower, facts: Facts, transcript: Transcript) -> None:
        self._follower = follower
        self._facts = facts
        self._transcript = transcript
        self._pending: deque[tuple[Line, float]] = deque(maxlen=_MOST_PENDING)
        self._recipients: list[str] = []
        self._sender: str | None = None
        self._seen_message = False

    def heard(self, side: Side, octets: bytes, user: str | None, at: float) -> None:
        """One side has said something; `user` is who has logged in by now."""
        lines = self._transcript.client(octets) if side is Side.CLIENT else self._transcript.server(octets)
        for line in lines:
            self._take(line, user, at)

    def note(self, text: str, user: str | None, at: float, *, secured: bool = False) -> None:
        """Something has happened that neither side said."""
        if secured:
            self._transcript.secured()
        self._take(Line(Side.NOTE, text), user, at)

    def _take(self, line: Line, user: str | None, at: float) -> None:
        wanted = self._follower.wanted
        if line.sender is not None:
            if wanted.by_message and self._seen_message:
                # What waits is of a message that was not wanted.
                self._pending.clear()
            self._seen_message = True
            self._sender, self._recipients = line.sender, []
        if line.recipient is not None and len(self._recipients) < _MOST_RECIPIENTS:
            self._recipients.append(line.recipient)
        facts = self._facts
        match wanted.judge(
            Facts(
                facts.session, facts.listener, facts.upstream, facts.client, user, self._sender, tuple(self._recipients)
            )
        ):
            case Verdict.YES:
                for one, then in self._pending:
                    self._follower.tell(facts, one, then)
                self._pending.clear()
                self._follower.tell(facts, line, at)
            case Verdict.MAYBE:
                self._pending.append((line, at))
            case Verdict.NO:
                self._pending.clear()
