"""
The log: takes events, writes each in a form to a sink.

Twisted hands over events.  What is written of one is for a `Form`, where it goes for a `Sink`.  Lines are collected
and written together, when enough have come or a tenth of a second has passed, which is far cheaper than a system call
for each; an error is written at once, with all before it.

What must not be known here: what the events mean, and what forms and sinks there are.
"""

import time

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from zope.interface import implementer

from smtpbridge.ops.log_forms import PRIORITIES, Form
from smtpbridge.ops.log_sinks import Sink

_FLUSH_SECONDS = 0.1
_FLUSH_OCTETS = 16_384
# What is written while no reactor runs waits so long for its reader.
_DRAIN_SECONDS = 1.0
# To ask the class for a level is a call, and so is it to compare two.
_INFO, _ERROR, _CRITICAL = LogLevel.info, LogLevel.error, LogLevel.critical


@implementer(ILogObserver)
class EventLog:
    """Write events."""

    def __init__(
        self, form: Form, sink: Sink, clock: IReactorTime | None = None, *, least: object = LogLevel.info
    ) -> None:
        """Write to `sink`; without a clock each line at once; what is below the level `least` is left out."""
        self._form = form
        self._sink = sink
        self._clock = clock
        self.leave_out_below(least)
        self._pieces: list[bytes] = []
        self._octets = 0
        self._call: IDelayedCall | None = None
        self._own = Logger("smtpbridge.log", observer=self)

    def leave_out_below(self, least: object) -> None:
        """Leave out what is below the level `least` from now on."""
        self._left_out = {level for level, number in PRIORITIES.items() if number > PRIORITIES[least]}

    def __call__(self, event: LogEvent) -> None:
        """Take an event."""
        level = event.get("log_level", _INFO)
        if level in self._left_out:
            return
        seconds = event.get("log_time")
        piece = self._form.of(event, level, time.time() if seconds is None else seconds)
        self._pieces.append(piece)
        self._octets += len(piece)
        if level is _ERROR or level is _CRITICAL or self._octets > _FLUSH_OCTETS or not self._running:
            self.flush()
        elif self._call is None:
            self._come_back()

    def flush(self) -> None:
        """Write what has been collected."""
        pieces, self._pieces, self._octets = self._pieces, [], 0
        self._write(pieces)

    def finish(self) -> None:
        """Write what has been collected and what waits; to be called at the end."""
        self.flush()
        self._sink.drain(_DRAIN_SECONDS)

    def pass_on(self, lines: bytes) -> None:
        """Write whole lines that a log of another process has made, behind what has been collected here."""
        self.flush()
        self._write([lines])

    def reopen(self) -> None:
        """Open a file anew that may have been moved away: what was logged before is in the old one."""
        self.flush()
        if why := self._sink.reopen():
            self._own.error("the log file cannot be opened anew: {why}; the old one is written on", why=why)

    @property
    def _running(self) -> bool:
        # A reactor that does not run, before its start and behind its end, would never call back.
        return getattr(self._clock, "running", self._clock is not None)

    def _write(self, pieces: list[bytes]) -> None:
        sink = self._sink
        waited = sink.waits
        sink.write(pieces)
        if sink.waits:
            # Who did not read within that time is not waited for again with each line.
            if not self._running and not waited:
                sink.drain(_DRAIN_SECONDS)
            elif self._running and self._call is None:
                self._come_back()
        elif sink.lost:
            lost, sink.lost = sink.lost, 0
            self._own.warn("lines of the log were lost: {why} count={count}", count=lost, why=sink.why)

    def _come_back(self) -> None:
        assert self._clock is not None
        self._call = self._clock.callLater(_FLUSH_SECONDS, self._due)

    def _due(self) -> None:
        self._call = None
        self.flush()
