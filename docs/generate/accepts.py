"""
Ask the program itself what each key takes.

Theory of operation
-------------------

A fault of the configuration says what would be right: "write a whole number from
1 to 256".  So every key that etc/smtpbridge.toml shows is given a value that
no key takes (a date), and once more a text, or a list of one, that no key takes, and what the
program answers is what the reference says.  A bound that changes in the code changes here
with it, and a key that the readers do not know has no answer, which is an error.

What must not be known here: any key, and how the readers work.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from docs.generate.example import Section
from smtpbridge.config import ConfigError, loads

_NO_VALUE = "1979-05-27"
_NO_TEXT = r'"\u0007"'
# Where what would be right repeats that text, this stands for it.
_ANY_TEXT = "NAME"
_KINDS = {"text in quotes": "text", 'a list of texts such as ["one", "two"]': "list of texts"}
_SIMPLER = (
    ("true or false, without quotes", "`true` or `false`"),
    ("a whole number of at least ", "whole number, at least "),
    ("a whole number from ", "whole number, "),
    ("a number of seconds above 0", "seconds, above 0"),
)


class Unanswered(LookupError):
    """The program does not say what a key takes, perhaps because it has no such key."""


def accepts(sections: Iterable[Section]) -> Mapping[tuple[str, str], str]:
    """Return what each (place, key) takes, as Markdown."""
    shown = list(sections)
    values = _answers(shown, lambda _: _NO_VALUE)
    lists = {key for key, answer in values.items() if "write a list of " in answer}
    texts = _answers(shown, lambda key: f"[{_NO_TEXT}]" if key in lists else _NO_TEXT)
    keys = [(section.place, key.name) for section in shown for entry in section.entries for key in entry.keys]
    if missing := [f"{place} {name}" for place, name in keys if (place, name) not in values]:
        raise Unanswered(", ".join(missing))
    return {key: _in_words(values[key], texts.get(key, "")) for key in keys}


def _answers(sections: list[Section], value: Callable[[tuple[str, str]], str]) -> dict[tuple[str, str], str]:
    """Return the first fault of each key when all of them have the values that `value` gives."""
    lines: list[str] = []
    for section in sections:
        names = [key.name for entry in section.entries for key in entry.keys]
        lines += [section.place, *(f"{name} = {value((section.place, name))}" for name in names)]
    faults: tuple[str, ...] = ()
    try:
        loads("\n".join(lines), base=Path("/nonexistent"), environ={})
    except ConfigError as error:
        faults = error.faults
    found: dict[tuple[str, str], str] = {}
    for section in sections:
        for name in (key.name for entry in section.entries for key in entry.keys):
            lead = f"{_as_told(section.place)} {name}: ".lstrip()
            if answer := next((fault.removeprefix(lead) for fault in faults if fault.startswith(lead)), None):
                found[section.place, name] = answer
    return found


def _as_told(place: str) -> str:
    """Return a table's header as faults name it: those in a list of tables have a number."""
    if place.startswith("[["):
        return f"{place} #1"
    outer, _, inner = place.strip("[]").partition(".")
    return f"[[{outer}]] #1 {inner}" if outer in ("listener", "credential") else place


def _in_words(value: str, text: str) -> str:
    right = _what_is_right(value)
    kind = _KINDS.get(right)
    if kind is None:
        return _as_markdown(right)
    if "cannot be read" in text:
        return "path of a file"
    refined = _what_is_right(text).replace("\a", _ANY_TEXT)
    if refined.startswith("it as in "):
        return f"{kind} as in {_as_markdown(refined.removeprefix('it as in '))}"
    # "one of its names" would want the rest of the sentence.
    useful = refined.startswith('"') or (re.match("one of [^,]+,", refined) and not refined.startswith("one of its"))
    return _as_markdown(refined) if useful and kind == "text" else kind


def _what_is_right(fault: str) -> str:
    return fault.rpartition("write ")[2] if "write " in fault else ""


def _as_markdown(right: str) -> str:
    if right.startswith("a table, "):
        return "table"
    for long, short in _SIMPLER:
        right = right.replace(long, short)
    right = re.sub(r"\d{4,}", lambda number: f"{int(number[0]):,}", right) if right.startswith("whole") else right
    return re.sub(r'"[^"]*"', lambda quoted: f"`{quoted[0]}`", right)
