"""
An event as one line of text: its constant format, filled with its fields.

Theory of operation
-------------------

Formats are few and events many, so a format is taken apart once and kept.  Whatever a field holds,
and much of it is what a peer said, an event is one line, and the line says what its format says:

- what is not printable (controls, escape sequences, other alphabets' line ends, marks
  that turn the direction of writing) is escaped, so nothing ends the line or moves the cursor;
- a field has at most 1,000 characters, a line about 8,000;
- a blank, a word and `=` stand only where the format has them, and between its `<` and `>`
  a field has no `>`, so no field can pass for another one.

What must not be known here: what the events mean, and what is written around the text.
"""

import re
import string
from collections.abc import Callable
from operator import itemgetter
from typing import TypeAlias

from twisted.internet.interfaces import IAddress
from twisted.logger import LogEvent, formatEvent

# In characters.  A syslog daemon takes lines of 8,192 octets; no field that is meant to be read whole is over 1,000.
LONGEST = 8192
LONGEST_FIELD = 1000
_KEY = re.compile(r"(?<= )(\w[\w.-]*)=")
_QUICK_FORM = re.compile(r"(?:\.\d+f)?")

Text: TypeAlias = Callable[[LogEvent], str]


class Texts:
    """Write events as text."""

    def __init__(self) -> None:
        self._formats: dict[str, Text] = {}

    def of(self, event: LogEvent) -> str:
        """Return an event's line, without what its failure says."""
        try:
            text = self._formats[event["log_format"]](event)
        except Exception:
            text = self._of_a_new_kind(event)
        return text if len(text) <= LONGEST else text[:LONGEST] + "..."

    def _of_a_new_kind(self, event: LogEvent) -> str:
        template = event.get("log_format")
        if isinstance(template, str):
            try:
                write = self._formats[template] = _compiled(template)
                return write(event)
            except Exception:
                pass  # Twisted says in the line itself what is wrong with the format or a field.
        return _slowly(event)


def traceback_of(event: LogEvent) -> str:
    """Return what an event's failure says, in lines that are harmless each; empty where it has none."""
    failure = event.get("log_failure")
    if failure is None:
        return ""
    told = failure.getTraceback()[:LONGEST].rstrip("\n")
    return "\n".join(escaped(one) for one in told.split("\n"))


def _slowly(event: LogEvent) -> str:
    return escaped(formatEvent(_harmless(event))[: LONGEST + 1])


def _harmless(event: LogEvent) -> LogEvent:
    """Return the event with its texts cut and escaped."""
    return {
        name: _cut(value) if isinstance(value, str) and not name.startswith("log_") else value
        for name, value in event.items()
    }


def _cut(text: str) -> str:
    if len(text) <= LONGEST_FIELD and text.isprintable():
        return text
    text = escaped(text[: LONGEST_FIELD + 1])
    return text if len(text) <= LONGEST_FIELD else text[:LONGEST_FIELD] + "..."


def escaped(text: str) -> str:
    """Return `text` with everything that is not printable as Python would write it."""
    if text.isprintable():
        return text
    return "".join([one if one.isprintable() else _code(one) for one in text])


def _code(character: str) -> str:
    if character == "\n":
        return "\\n"
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65_536 else f"\\U{number:08x}"


def _compiled(template: str) -> Text:
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
            and len(text) <= LONGEST_FIELD
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
