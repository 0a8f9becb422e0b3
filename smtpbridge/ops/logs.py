"""
The log as lines of text: time, level, what happened.

Theory of operation
-------------------

Twisted hands over events; a line is made of an event's constant format and its
fields.  Formats are few and events many, so a format is taken apart once and kept.
Lines are collected and written together, when enough have come or a tenth of a
second has passed, which is far cheaper than a system call for each; an error is
written at once, with all before it.

Whatever a field holds, and much of it is what a peer said, an event is one line, and
the line says what its format says:

- what is not printable (controls, escape sequences, other alphabets' line ends, marks
  that turn the direction of writing) is escaped, so nothing ends the line or moves the cursor;
- a field has at most 1,000 characters, a line about 8,000;
- a blank, a word and `=` stand only where the format has them, and between its `<` and `>`
  a field has no `>`, so no field can pass for another one.

A failure alone takes more lines, those of its traceback, and they are indented.

What must not be known here: what the events mean.
"""

import os
import re
import string
import time
from collections.abc import Callable
from operator import itemgetter

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import implementer

_FLUSH_SECONDS = 0.1
_FLUSH_OCTETS = 16_384
# To ask the class for a level is a call, and so is it to compare two.
_DEBUG, _INFO, _ERROR, _CRITICAL = LogLevel.debug, LogLevel.info, LogLevel.error, LogLevel.critical
# In characters.  A syslog daemon takes lines of 8,192 octets; no field that is meant to be read whole is over 1,000.
_LONGEST = 8192
_LONGEST_FIELD = 1000
_KEY = re.compile(r"(?<= )(\w[\w.-]*)=")
_QUICK_FORM = re.compile(r"(?:\.\d+f)?")


@implementer(ILogObserver)
class TextLog:
    """Write events as lines to a file descriptor."""

    def __init__(
        self, descriptor: int, clock: IReactorTime | None = None, *, debug: bool = False, mark: str = ""
    ) -> None:
        """Write to `descriptor`; without a clock each line at once; `mark` stands in front of every text."""
        self._descriptor = descriptor
        self._clock = clock
        self._debug = debug
        self._mark = f"{mark} " if mark else ""
        self._lines: list[str] = []
        self._octets = 0
        self._call: IDelayedCall | None = None
        self._formats: dict[str, Callable[[LogEvent], str]] = {}
        self._second = -1
        self._stamp = ""

    def __call__(self, event: LogEvent) -> None:
        """Take an event."""
        level = event.get("log_level", _INFO)
        if level is _DEBUG and not self._debug:
            return
        now = event.get("log_time")
        if now is None:
            now = time.time()
        whole = int(now)
        if whole != self._second:
            self._second = whole
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        milliseconds = int((now - whole) * 1000)
        line = f"{self._stamp}.{milliseconds:03}Z {level.name} {self._mark}{self._text(event)}\n"
        self._lines.append(line)
        self._octets += len(line)
        # A reactor that does not run, before its start and behind its end, would never call back.
        running = getattr(self._clock, "running", self._clock is not None)
        if level is _ERROR or level is _CRITICAL or self._octets > _FLUSH_OCTETS or not running:
            self.flush()
        elif self._call is None and self._clock is not None:
            self._call = self._clock.callLater(_FLUSH_SECONDS, self._due)

    def flush(self) -> None:
        """Write what has been collected."""
        lines, self._lines, self._octets = self._lines, [], 0
        self._write("".join(lines).encode("utf-8", "backslashreplace"))

    def pass_on(self, lines: bytes) -> None:
        """Write whole lines that a log of another process has made, behind what has been collected here."""
        self.flush()
        self._write(lines)

    def _write(self, octets: bytes) -> None:
        data = memoryview(octets)
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

    def _text(self, event: LogEvent) -> str:
        if "log_failure" in event:
            told = f"{formatEvent(_harmless(event))}\n{event['log_failure'].getTraceback()}"
            text = "\n    ".join(_escaped(one) for one in told[:_LONGEST].rstrip("\n").split("\n"))
        else:
            text = self._one_line(event)
        return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."

    def _one_line(self, event: LogEvent) -> str:
        template = event.get("log_format")
        if isinstance(template, str):
            try:
                write = self._formats.get(template)
                if write is None:
                    write = self._formats[template] = _compiled(template)
                return write(event)
            except Exception:
                pass  # Twisted says in the line itself what is wrong with the format or a field.
        return _slowly(event)


def _slowly(event: LogEvent) -> str:
    return _escaped(formatEvent(_harmless(event))[: _LONGEST + 1])


def _harmless(event: LogEvent) -> LogEvent:
    """Return the event with its texts cut and escaped."""
    return {
        name: _cut(value) if isinstance(value, str) and not name.startswith("log_") else value
        for name, value in event.items()
    }


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_FIELD and text.isprintable():
        return text
    text = _escaped(text[: _LONGEST_FIELD + 1])
    return text if len(text) <= _LONGEST_FIELD else text[:_LONGEST_FIELD] + "..."


def _escaped(text: str) -> str:
    """Return `text` with everything that is not printable as Python would write it."""
    if text.isprintable():
        return text
    return "".join([one if one.isprintable() else _code(one) for one in text])


def _code(character: str) -> str:
    if character == "\n":
        return "\\n"
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65_536 else f"\\U{number:08x}"


def _compiled(template: str) -> Callable[[LogEvent], str]:
    """Return a function that fills `template`, quick where its fields are plain or have a number of decimals."""
    pattern = literals = shape = ""
    fields: list[tuple[str, str]] = []
    for literal, name, form, conversion in string.Formatter().parse(template):
        pattern += literal.replace("%", "%%")
        literals += literal
        shape += f"{literal}x"
        if name is None:
            continue
        if conversion or not name.isidentifier() or not _QUICK_FORM.fullmatch(form or ""):
            return _slowly
        pattern += f"%{form}" if form else "%s"
        fields.append((name, literal[-1:]))
    names = [name for name, _ in fields]
    pick = _values_of(names)
    # A line that has more of these than its format has them from a field.
    equals, brackets, keys = literals.count("="), literals.count(">"), len(_KEY.findall(f" {shape}"))

    def write(event: LogEvent) -> str:
        text = pattern % pick(event)
        if (
            text.isprintable()
            and len(text) <= _LONGEST_FIELD
            and text.count(">") == brackets
            and (text.count("=") == equals or len(_KEY.findall(" " + text)) == keys)
        ):
            return text
        return pattern % tuple([_fit(event[name], before) for name, before in fields])

    return write


def _values_of(names: list[str]) -> Callable[[LogEvent], tuple[object, ...]]:
    """Return what takes the fields of these names out of an event."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda event: tuple([event[name] for name in names])


def _fit(value: object, before: str) -> object:
    """Return a field's value as it may stand behind the character `before`."""
    if isinstance(value, float):
        return value
    text = _cut(str(value))
    if before == "<":
        text = text.replace(">", "\\x3e")
    # Without a blank there is no key; addresses hold a sign often.
    if "=" not in text or (before != " " and " " not in text) or IAddress.providedBy(value):
        return text
    if before:
        return _KEY.sub(r"\1\\x3d", before + text)[1:]
    # A field that follows another one at once brings a key of its own.
    key, equals, rest = text.partition("=")
    return key + equals + _KEY.sub(r"\1\\x3d", rest)
