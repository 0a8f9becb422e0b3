"""
The log as lines of text: time, level, what happened.

Theory of operation
-------------------

Twisted hands over events; a line is made of an event's constant format and its
fields.  Formats are few and events many, so a format is taken apart once and kept.
Lines are collected and written together, when enough have come or a tenth of a
second has passed, which is far cheaper than a system call for each; an error is
written at once, with all before it.

Nothing in a line can end it or move the cursor: what is not printable is escaped.

What must not be known here: what the events mean.
"""

import os
import re
import string
import time
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

_FLUSH_SECONDS = 0.1
_FLUSH_OCTETS = 16_384
_URGENT = (LogLevel.error, LogLevel.critical)
_LONGEST = 8192
_QUICK_FORM = re.compile(r"(?:\.\d+f)?")
# Tab, CR and LF and what else is no text; a traceback's line ends are kept and indented.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


@implementer(ILogObserver)
class TextLog:
    """Write events as lines to a file descriptor."""

    def __init__(self, descriptor: int, clock: IReactorTime | None = None, *, debug: bool = False) -> None:
        """Write to `descriptor`; without a clock each line at once."""
        self._descriptor = descriptor
        self._clock = clock
        self._debug = debug
        self._lines: list[str] = []
        self._octets = 0
        self._call: IDelayedCall | None = None
        self._formats: dict[str, Callable[[LogEvent], str]] = {}
        self._second = -1
        self._stamp = ""

    def __call__(self, event: LogEvent) -> None:
        """Take an event."""
        level = event.get("log_level", LogLevel.info)
        if level is LogLevel.debug and not self._debug:
            return
        line = f"{self._time(event.get('log_time'))} {level.name} {self._text(event)}\n"
        self._lines.append(line)
        self._octets += len(line)
        # A reactor that does not run, before its start and behind its end, would never call back.
        running = getattr(self._clock, "running", self._clock is not None)
        if level in _URGENT or self._octets > _FLUSH_OCTETS or not running:
            self.flush()
        elif self._call is None and self._clock is not None:
            self._call = self._clock.callLater(_FLUSH_SECONDS, self._due)

    def flush(self) -> None:
        """Write what has been collected."""
        data = memoryview("".join(self._lines).encode("utf-8", "backslashreplace"))
        self._lines, self._octets = [], 0
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # The other end of a pipe is slow.  Losing a line is worse than waiting for it.
                os.set_blocking(self._descriptor, True)
            except OSError:
                return  # nobody reads any more, and there is nowhere to say so

    def _due(self) -> None:
        self._call = None
        self.flush()

    def _time(self, seconds: float | None) -> str:
        now = time.time() if seconds is None else seconds
        whole = int(now)
        if whole != self._second:
            self._second = whole
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        return f"{self._stamp}.{int((now - whole) * 1000):03}Z"

    def _text(self, event: LogEvent) -> str:
        template = event.get("log_format")
        if isinstance(template, str) and "log_failure" not in event:
            try:
                write = self._formats.get(template)
                if write is None:
                    write = self._formats[template] = _compiled(template)
                text = write(event)
            except Exception:
                text = formatEvent(event)
        else:
            text = formatEvent(event)
            if (failure := event.get("log_failure")) is not None:
                text += "\n" + failure.getTraceback()
        if not text.isprintable():
            text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.rstrip("\n")).replace("\n", "\n    ")
        return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _compiled(template: str) -> Callable[[LogEvent], str]:
    """Return a function that fills `template`, quick where its fields are plain or have a number of decimals."""
    pattern = ""
    names: list[str] = []
    for literal, name, form, conversion in string.Formatter().parse(template):
        pattern += literal.replace("%", "%%")
        if name is None:
            continue
        if conversion or not name.isidentifier() or not _QUICK_FORM.fullmatch(form or ""):
            return formatEvent
        pattern += f"%{form}" if form else "%s"
        names.append(name)

    def write(event: LogEvent) -> str:
        text = pattern % tuple([event[name] for name in names])
        if text.isprintable():
            return text
        # A field cannot begin a line of its own.
        fields = [event[name] for name in names]
        return pattern % tuple([one if isinstance(one, float) else str(one).replace("\n", "\\n") for one in fields])

    return write
