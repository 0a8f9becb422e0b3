"""
Look at the daemon once a second, and say when it becomes ready and when not any more.

What is looked at comes in as a function; who wants to act after each look (the notices for
systemd, a probe of an upstream) is called then.  A look reads numbers that are there anyway.

What must not be known here: what the relay is.
"""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from smtpbridge.ops.health import Health, Trouble, What
from smtpbridge.ops.notify import Notices

_LOOK_SECONDS = 1.0
# These are no faults, and the log has their own lines.
_EXPECTED = {What.STARTING, What.DRAINING}


class Watch:
    """Keep `health` up to date while the process runs."""

    log = Logger()

    def __init__(
        self,
        health: Health,
        troubles: Callable[[], Sequence[Trouble]],
        clock: IReactorTime,
        epoch: Callable[[], float],
        *,
        notices: Notices | None = None,
        after: Sequence[Callable[[], None]] = (),
    ) -> None:
        """Look by `troubles`; `epoch` is the time of day; call each of `after` behind every look."""
        self.health = health
        self._troubles = troubles
        self._clock = clock
        self._epoch = epoch
        self._notices = notices
        self._after = after
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin with the first turn of the event loop: what is told from then on comes from a loop that turns."""
        self._call = self._clock.callLater(0, self._begin)

    def look(self) -> None:
        """Look now; a look that fails is said, and hinders nothing."""
        try:
            self._look()
        except Exception:
            self.log.failure("the bridge could not look at itself")

    def _look(self) -> None:
        before = {reason.what for reason in self.health.reasons} - _EXPECTED
        was_ready = self.health.ready
        self.health.look(self._troubles(), self._epoch())
        self._say(before)
        if self._notices is not None:
            if was_ready != self.health.ready:
                self._notices.changed()
            self._notices.tick()
        for call in self._after:
            call()

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._notices is not None:
            self._notices.stop()

    def _begin(self) -> None:
        if self._notices is not None:
            self._notices.start()
        self._again()

    def _again(self) -> None:
        self._call = self._clock.callLater(_LOOK_SECONDS, self._again)
        self.look()

    def _say(self, before: set[What]) -> None:
        new = [reason for reason in self.health.reasons if reason.what not in _EXPECTED | before]
        for reason in new:
            self.log.warn("not ready: {what}: {why}", what=reason.what.value, why=reason.why)
        if before and self.health.ready:
            self.log.info("ready again")
