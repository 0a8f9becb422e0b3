"""
The forms of an event: a line for people, a line for programs, an entry of the journal.

- `TextForm`: time, level, text; a failure alone takes more lines, those of its traceback, and they are indented.  For
  systemd, which reads standard output line by line, each line can begin with its priority (sd-daemon(3)).
- `JsonForm`: one flat object a line.  First `time` (RFC 3339), `level`, `event` (the name of its kind) and
  `message` (what the text form says), then the fields of the format, numbers as numbers, then `worker` and `failure`.
  It is ASCII: whatever a field holds, JSON's own escapes keep it within its string and on its line.
- `JournalForm`: systemd's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): the same fields in upper case with a
  prefix, and those that the journal itself knows.

What must not be known here: where the forms are written to.
"""

import re
import string
import struct
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from math import isfinite
from typing import Protocol as Contract
from typing import TypeAlias, cast

from twisted.logger import LogEvent, LogLevel

from smtpbridge.ops.log_names import fields_of, key_of, name_of
from smtpbridge.ops.log_text import LONGEST_FIELD, Texts, traceback_of

# syslog(3); a level that is not there has the one of an info line.
PRIORITIES = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}
_NAMES = {level: level.name for level in PRIORITIES}
_LENGTH = struct.Struct("<Q")
_DECIMALS = re.compile(r"\.(\d+)f")

Members: TypeAlias = Callable[[LogEvent, str], str]


class Form(Contract):
    """How an event is written."""

    def of(self, event: LogEvent, level: object, seconds: float) -> bytes:
        """Return it whole; `seconds` is the time of day."""


class _Stamps:
    """The time of day as RFC 3339 has it, with milliseconds; a second is written once."""

    def __init__(self) -> None:
        self._second = -1
        self._stamp = ""

    def of(self, seconds: float) -> str:
        whole = int(seconds)
        if whole != self._second:
            self._second = whole
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        return f"{self._stamp}.{int((seconds - whole) * 1000):03}Z"


class TextForm:
    """A line for people."""

    def __init__(self, mark: str = "", *, priorities: bool = False) -> None:
        """Let `mark` stand in front of each text, and, with `priorities`, in front of each line what systemd reads."""
        self._mark = f"{mark} " if mark else ""
        self._priorities = priorities
        self._texts = Texts()
        self._stamps = _Stamps()

    def of(self, event: LogEvent, level: object, seconds: float) -> bytes:
        """See `Form`."""
        line = f"{self._stamps.of(seconds)} {_NAMES.get(level, 'info')} {self._mark}{self._texts.of(event)}"
        if "log_failure" in event:
            line = "\n    ".join([line, *traceback_of(event).split("\n")])
        if self._priorities:
            prefix = f"<{PRIORITIES.get(level, 6)}>"
            line = prefix + line.replace("\n", f"\n{prefix}")
        return f"{line}\n".encode("utf-8", "backslashreplace")


class JsonForm:
    """A line for programs."""

    def __init__(self, worker: int = 0) -> None:
        """Name the worker, where there are several."""
        self._end = f',"worker":{worker}' if worker else ""
        self._texts = Texts()
        self._stamps = _Stamps()
        self._formats: dict[str, Members] = {}

    def of(self, event: LogEvent, level: object, seconds: float) -> bytes:
        """See `Form`."""
        text = quoted(_whole(self._texts.of(event)))
        try:
            members = self._formats[event["log_format"]](event, text)
        except Exception:
            members = self._of_a_new_kind(event, text)
        failure = f',"failure":{quoted(traceback_of(event))}' if "log_failure" in event else ""
        name = _NAMES.get(level, "info")
        line = f'{{"time":"{self._stamps.of(seconds)}","level":"{name}",{members}{self._end}{failure}}}\n'
        return line.encode("ascii")

    def _of_a_new_kind(self, event: LogEvent, text: str) -> str:
        template = event.get("log_format")
        if isinstance(template, str):
            try:
                write = self._formats[template] = _members_of(template)
                return write(event, text)
            except Exception:
                pass  # What is wrong with the format, or with a field, the message says.
        return f'"event":"event","message":{text}'


class JournalForm:
    """An entry of the journal."""

    def __init__(self, worker: int = 0) -> None:
        """Name the worker, where there are several."""
        self._end = b"SYSLOG_IDENTIFIER=smtpbridge\n" + (f"SMTPBRIDGE_WORKER={worker}\n".encode() if worker else b"")
        self._texts = Texts()

    def of(self, event: LogEvent, level: object, seconds: float) -> bytes:
        """See `Form`; the journal has the time of its own clock."""
        template = event.get("log_format")
        template = template if isinstance(template, str) else ""
        entries = [
            _entry("MESSAGE", self._texts.of(event)),
            _entry("PRIORITY", str(PRIORITIES.get(level, 6))),
            _entry("SMTPBRIDGE_EVENT", _name(template)),
        ]
        there = [name for name in _fields(template) if name in event]
        entries += [_entry(f"SMTPBRIDGE_{key_of(name).upper()}", _short(str(event[name]))) for name in there]
        if "log_failure" in event:
            entries.append(_entry("SMTPBRIDGE_FAILURE", traceback_of(event)))
        return b"".join([*entries, self._end])


def _name(template: str) -> str:
    try:
        return name_of(template)
    except ValueError:
        return "event"


def _fields(template: str) -> tuple[str, ...]:
    """Return the fields of a format, none of one that is none: not every event is ours."""
    try:
        # Of the journal's names only ASCII letters, digits and underscores are taken, 64 of them.
        return tuple(name for name in fields_of(template) if name.isascii() and len(name) < 50)
    except ValueError:
        return ()


def _entry(key: str, value: str) -> bytes:
    """Return a field; one of several lines is written with its length in front (the only form that takes any octet)."""
    octets = value.encode("utf-8", "backslashreplace")
    if b"\n" in octets:
        return key.encode() + b"\n" + _LENGTH.pack(len(octets)) + octets + b"\n"
    return b"%b=%b\n" % (key.encode(), octets)


def _members_of(template: str) -> Members:
    """Return a function that writes the members of the events of a format, whose message is there already."""
    decimals: dict[str, int] = {}
    for _, field, form, _ in string.Formatter().parse(template):
        if field and (found := _DECIMALS.fullmatch(form or "")):
            decimals[field] = int(found[1])
    names = fields_of(template)
    keys = "".join(f",{quoted(key_of(name))}:%s" for name in names)
    # A name and a key have letters, digits and the like: nothing that a pattern would take for its own.
    pattern = f'"event":"{name_of(template)}","message":%s{keys}'
    fields = [(name, decimals.get(name)) for name in names]

    def write(event: LogEvent, text: str) -> str:
        return pattern % (text, *[_member(event[name], places) for name, places in fields])

    return write


def _member(value: object, places: int | None) -> str:
    kind = type(value)
    if kind is str:
        text = cast(str, value)
        return quoted(text if len(text) <= LONGEST_FIELD and text.isascii() else _short(text))
    if kind is int:
        return str(value)
    return _typed(value, places)


def _typed(value: object, places: int | None) -> str:
    match value:
        case True:
            return "true"
        case False:
            return "false"
        case None:
            return "null"
        case int():
            return str(int(value))
        case float() if isfinite(value):
            return repr(float(value)) if places is None else f"{value:.{places}f}"
        case _:
            return quoted(_short(str(value)))


def _short(text: str) -> str:
    return _whole(text if len(text) <= LONGEST_FIELD else text[:LONGEST_FIELD] + "...")


def _whole(text: str) -> str:
    """Return a text without halves of characters, which JSON has no way to write that every reader takes."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()
