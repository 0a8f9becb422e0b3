"""
How all workers together are: what each says of itself, as the one answer that the outside gets.

A trouble of one worker counts for the whole, because a share of the mail meets it; told once, however many
have it.  That a worker is starting or draining is none while another serves.
"""

from collections.abc import Sequence

from smtpbridge.ops.health import Health, Trouble, What
from smtpbridge.workers.ledger import Ledger, State
from smtpbridge.workers.words import Nonsense

# These are the parent's to say of the whole.
_OF_THE_WHOLE = {What.STARTING, What.DRAINING}


def told(troubles: Sequence[Trouble]) -> list[list[str]]:
    """Return what `Wellness.told` takes, fit for JSON."""
    return [[one.what.value, one.why, one.about] for one in troubles if one.what not in _OF_THE_WHOLE]


class Wellness:
    """The troubles of all workers."""

    def __init__(self, ledger: Ledger, workers: int) -> None:
        """Know of none; `ledger` knows who serves."""
        self._ledger = ledger
        self._workers = workers
        self._troubles: dict[int, list[Trouble]] = {}
        self._sessions: dict[int, int] = {}

    def told(self, number: int, sessions: int, troubles: Sequence[object]) -> None:
        """A worker says how it is; raise `Nonsense`."""
        self._sessions[number] = sessions
        self._troubles[number] = [_trouble(one) for one in troubles]

    def ended(self, number: int) -> None:
        """A worker is gone, and its troubles with it."""
        self._troubles.pop(number, None)
        self._sessions.pop(number, None)

    def troubles(self) -> list[Trouble]:
        """Return what stands in the way of mail."""
        if self._ledger.stopping:
            why = "the bridge is stopping: it takes no new connections and ends what is under way"
            return [Trouble(What.DRAINING, why)]
        if not self._ledger.count(State.READY):
            return [Trouble(What.STARTING, "no worker is ready yet")]
        by_kind = {(one.what, one.about): one for troubles in self._troubles.values() for one in troubles}
        return list(by_kind.values())

    def status(self, health: Health) -> str:
        """Return a line for `systemctl status`."""
        sessions = sum(self._sessions.values())
        if health.ready:
            word = "ready"
        elif health.has(What.DRAINING):
            word = "stopping"
        else:
            word = "NOT READY: " + "; ".join(reason.why for reason in health.reasons)
        ready = self._ledger.count(State.READY)
        return f"{word}; {ready} of {self._workers} workers serve, sessions: {sessions}"


def _trouble(one: object) -> Trouble:
    match one:
        case [str(what), str(why), str(about)] if what in {kind.value for kind in What}:
            return Trouble(What(what), why, about)
    raise Nonsense("a trouble that is none")
