"""
What happened, counted by place: at a listener, with an upstream, in the queue.

Theory of operation
-------------------

A tally is an object with slots that lies where something is known: the gate of a listener has one, a pool has
one, the process has the rest (`tally.Tally`).  To count is an addition to an attribute or to a place in a
list; no name is put together and no lock is taken, because everything here happens in one thread.  The one
exception is said where it stands.

`readings` turns tallies into figures when somebody asks.

What must not be known here: names of figures, sockets, the clock's source.
"""

from collections import Counter
from collections.abc import Callable
from enum import Enum

from smtpbridge.relay.dial_faults import DialFault
from smtpbridge.relay.histogram import QUEUE_SECONDS, Histogram
from smtpbridge.relay.leases import Why
from smtpbridge.relay.verdict import Outcome, Stage, final_refusal

# In the place of an upstream: the message went to none.
NO_UPSTREAM = "-"
# A reply's class is its first digit (RFC 5321, 4.2.1); a list with a place for each needs no look-up.
_CLASSES = 6


class Lane:
    """The messages of one listener for one upstream, by the class of the verdict; `octets` as they came in."""

    __slots__ = ("messages", "octets", "recipients")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.messages = [0] * _CLASSES
        self.recipients = [0] * _CLASSES
        self.octets = [0] * _CLASSES


class ListenerTally:
    """What happened at one listener."""

    __slots__ = ("lanes", "let_in", "refused_commands", "seconds", "tls", "tls_failed", "turned_away")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.let_in = self.turned_away = self.tls_failed = 0
        self.lanes: dict[str, Lane] = {}
        self.refused_commands = [0] * _CLASSES
        # From the final dot to the answer.
        self.seconds = [Histogram() for _ in range(_CLASSES)]
        self.tls: Counter[str] = Counter()

    def connected(self, *, welcome: bool) -> None:
        """Count a connection that was let in or turned away."""
        if welcome:
            self.let_in += 1
        else:
            self.turned_away += 1

    def verdict(self, code: int, upstream: str, recipients: int, octets: int, seconds: float) -> None:
        """Count a message that has its answer, `seconds` behind its final dot."""
        lane = self.lanes.get(upstream)
        if lane is None:
            lane = self.lanes[upstream] = Lane()
        place = code // 100
        lane.messages[place] += 1
        lane.recipients[place] += recipients
        lane.octets[place] += octets
        self.seconds[place].add(seconds)

    def refused(self, code: int) -> None:
        """Count a command that was refused."""
        self.refused_commands[code // 100] += 1


class Ended(Enum):
    """How a transaction with an upstream ended."""

    TAKEN = "taken"
    PARTLY = "partly"
    REFUSED = "refused"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"

    # Enum's own hash is a Python function.
    __hash__ = object.__hash__


class Fared(Enum):
    """What became of a recipient in a transaction."""

    TAKEN = "taken"
    REFUSED = "refused"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"

    __hash__ = object.__hash__


# To ask a class for a member is a call.
_WHOLE, _TAKEN = Ended.TAKEN, Fared.TAKEN


class UpstreamTally:
    """What happened with one upstream; times by `now`, the seconds of a clock."""

    __slots__ = (
        "_dials",
        "connect_seconds",
        "dialled",
        "failed",
        "lost_idle",
        "lost_leased",
        "moved",
        "now",
        "octets",
        "recipients",
        "retired",
        "seconds",
        "tls",
        "transactions",
    )

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin with nothing."""
        self.now = now
        self.transactions: dict[Ended, int] = dict.fromkeys(Ended, 0)
        self.recipients: dict[Fared, int] = dict.fromkeys(Fared, 0)
        self.octets = self.moved = self.dialled = self.lost_idle = self.lost_leased = 0
        # From MAIL to the end of the transaction; from the dial to the first message that may be sent.
        self.seconds, self.connect_seconds = Histogram(), Histogram()
        self.failed: dict[DialFault, int] = dict.fromkeys(DialFault, 0)
        self.retired: Counter[Why] = Counter()
        self.tls: Counter[str] = Counter()
        self._dials: dict[int, float] = {}

    def ended(self, outcome: Outcome, octets: int) -> None:
        """Count a transaction that has its outcome; `octets` are those of header and body."""
        if taken := outcome.taken:
            self.recipients[_TAKEN] += len(taken)
            self.octets += octets
            if not outcome.refused and not outcome.unknown:
                self.transactions[_WHOLE] += 1
                return
        self.transactions[_ended(outcome)] += 1
        self.recipients[Fared.UNKNOWN] += len(outcome.unknown)
        for one in outcome.refused:
            self.recipients[Fared.REFUSED if final_refusal(one.answer) else Fared.DEFERRED] += 1

    def dials(self, number: int) -> None:
        """Count a dial; `number` is the connection's."""
        self.dialled += 1
        self._dials[number] = self.now()

    def connected(self, number: int, tls_version: str) -> None:
        """Count a connection that takes mail now."""
        self.tls[tls_version] += 1
        self.connect_seconds.add(self.now() - self._dials.pop(number, self.now()))

    def dial_failed(self, number: int, fault: DialFault) -> None:
        """Count a dial that came to nothing."""
        self._dials.pop(number, None)
        self.failed[fault] += 1


def _ended(outcome: Outcome) -> Ended:
    if outcome.taken:
        return Ended.PARTLY
    if outcome.unknown:
        return Ended.UNKNOWN
    if outcome.stage is Stage.CONNECTION:
        return Ended.NOT_SENT
    return Ended.REFUSED if final_refusal(outcome.answer) else Ended.DEFERRED


class QueueTally:
    """What was taken over, and what became of it: parcels, and recipients of parcels."""

    __slots__ = (
        "commits",
        "deferred",
        "delivered",
        "delivered_seconds",
        "faults",
        "given_up",
        "given_up_seconds",
        "kept",
        "unknown",
    )

    def __init__(self) -> None:
        """Begin with nothing."""
        self.kept = self.faults = self.delivered = self.deferred = self.given_up = self.unknown = 0
        # How long parcels had lain when they were delivered, or given up.
        self.delivered_seconds, self.given_up_seconds = Histogram(QUEUE_SECONDS), Histogram(QUEUE_SECONDS)
        # Counted in the thread of the store's writer, which alone adds to it.
        self.commits = 0

    def step(self, name: str) -> None:
        """Hear of a step of the store (see `GroupCommit`)."""
        if name == "after-commit":
            self.commits += 1

    def attempted(self, outcome: Outcome, given_up: int, deferred: int, age: float) -> None:
        """
        Count an attempt at a parcel that is `age` seconds old.

        So many of its recipients are given up now, and so many tried again.
        """
        self.delivered += len(outcome.taken)
        self.unknown += len(outcome.unknown)
        self.given_up += given_up
        self.deferred += deferred
        if outcome.taken:
            self.delivered_seconds.add(age)
        if given_up:
            self.given_up_seconds.add(age)
