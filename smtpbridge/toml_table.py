"""
Read a parsed TOML table key by key, with types, and collect every fault instead of stopping at the first.

Theory of operation
-------------------

A `Table` wraps one table and knows how a person would find it in the file
(`[upstream.main]`, `[[listener]] #2`).  Each reading method takes a key and a
default, and always returns a value of the right type: the default stands in
for what is absent and for what is wrong, so reading goes on and the operator
sees all faults of a file in one run.  What is wrong is said with the table,
the key, the value found and what would be right.  The value is left out where
the reader says that it may be a secret (`quote=False`).

A key is known once it has been asked for.  `close` refuses the rest, so a
reader must ask for all its keys on every path before it closes the table.

What must not be known here: any key, any file, the meaning of any value.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from typing import TypeVar

_Choice = TypeVar("_Choice", bound=Enum)
_Default = TypeVar("_Default")

# What is wrong with a text, as the end of a sentence, or None where nothing is.
Check = Callable[[str], str | None]

# A value in a fault is there to be recognised, not to be read in full.
_LONGEST_QUOTE = 80
# Some thirty years; what is longer is a slip, and a whole number in TOML may even be too long for a float.
_FOREVER = 1_000_000_000
# Many parts count in 64 bits, and no bound in use is near it.
_LARGEST = 2**63 - 1


class Table:
    """One table of the file; `faults` is shared by all tables of that file."""

    def __init__(self, values: Mapping[str, object], place: str, faults: list[str]) -> None:
        self._values = values
        self._place = place
        self._faults = faults
        self._known: dict[str, None] = {}

    @property
    def known(self) -> tuple[str, ...]:
        """The keys that were asked for so far, in that order."""
        return tuple(self._known)

    @property
    def place(self) -> str:
        """The table as a person finds it in the file; empty for the top level."""
        return self._place

    def names(self) -> tuple[str, ...]:
        """Return the keys that the file gives, in the order of the file."""
        return tuple(self._values)

    def has(self, key: str) -> bool:
        """Tell whether the file gives the key."""
        self._known[key] = None
        return key in self._values

    def is_empty(self, key: str) -> bool:
        """Tell whether the file gives the key with nothing in it: an empty list, table or text."""
        self._known[key] = None
        return self._values.get(key) in ("", [], {})

    def fault(self, key: str, text: str) -> None:
        """Add a fault of this key; `text` says what is wrong and what would be right."""
        self._faults.append(f"{self._place} {key}: {text}".lstrip())

    def text(self, key: str, default: str = "", *, check: Check | None = None, quote: bool = True) -> str:
        """Return a string that is not empty and that `check` has nothing against."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            return self._wrong(key, value if quote else ..., "write text in quotes", default)
        if not value.strip():
            return self._wrong(key, value, "is empty; leave the key out for the default", default)
        return value if self._passes(key, value if quote else ..., check and check(value)) else default

    def texts(self, key: str, default: tuple[str, ...] = (), *, check: Check | None = None) -> tuple[str, ...]:
        """Return a list of strings, which may be empty; an item that `check` speaks against is a fault."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, list):
            return self._wrong(key, value, 'write a list of texts such as ["one", "two"]', default)
        return tuple(item for item in value if self._is_text(key, item, check))

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.optional_flag(key)
        return default if value is None else value

    def optional_flag(self, key: str) -> bool | None:
        """Return true, false, or `None` where the file says nothing."""
        value = self._get(key)
        if value is None or isinstance(value, bool):
            return value
        return self._wrong(key, value, "write true or false, without quotes", None)

    def whole(
        self, key: str, default: int, *, least: int = 1, most: int | None = None, words: Mapping[str, int] | None = None
    ) -> int:
        """Return a whole number from `least` to `most`, both included, or what one of `words` stands for."""
        value = self._get(key)
        if value is None:
            return default
        if words and isinstance(value, str) and value in words:
            return words[value]
        # In Python a truth value is a whole number; in TOML it is not.
        if isinstance(value, bool) or not isinstance(value, int) or value < least or value > (most or _LARGEST):
            if most is None and isinstance(value, int) and value > _LARGEST:
                most = _LARGEST
            bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
            others = "".join(f' or "{word}"' for word in words or ())
            return self._wrong(key, value, f"write a whole number {bounds}{others}", default)
        return value

    def seconds(self, key: str, default: float) -> float:
        """Return a span of time above zero, in seconds."""
        value = self._get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            return self._wrong(key, value, "write a number of seconds above 0", default)
        if value > _FOREVER:
            right = f"write a number of seconds of at most {_FOREVER}, which is some thirty years"
            return self._wrong(key, value, right, default)
        return float(value)

    def choice(self, key: str, default: _Choice, *, among: Sequence[_Choice] = ()) -> _Choice:
        """Return the member of the default's enum that has this text as its value; `among` narrows the choice."""
        value = self._get(key)
        if value is None:
            return default
        offered = {str(member.value): member for member in (among or type(default))}
        if isinstance(value, str) and value in offered:
            return offered[value]
        *first, last = (f'"{text}"' for text in offered)
        right = f"write {', '.join(first)} or {last}" if first else f"write {last}"
        return self._wrong(key, value, right, default)

    def table(self, key: str) -> "Table":
        """Return the table of that name; an absent one is empty."""
        value = self._get(key)
        place = self._place_within(key)
        if value is not None and not isinstance(value, dict):
            value = self._wrong(key, value, f"write a table, {place}", None)
        return Table(value or {}, place, self._faults)

    def tables(self, key: str) -> list["Table"]:
        """Return the tables of a list of tables, `[[key]]`; none where the file has none."""
        value = self._get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            return self._wrong(key, value, f"begin each one with [[{key}]], in two pairs of brackets", [])
        return [Table(item, f"[[{key}]] #{number}", self._faults) for number, item in enumerate(value, 1)]

    def close(self) -> None:
        """Refuse what was not asked for; for each such key the nearest known one is suggested."""
        for key, value in self._values.items():
            if key in self._known:
                continue
            kind = "table" if isinstance(value, dict) or _is_list_of_tables(value) else "key"
            near = get_close_matches(key.lower(), self._known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(self._known)}"
            where = f"{self._place}: " if self._place else ""
            self._faults.append(f"{where}unknown {kind} {quoted(key)}; {hint}")

    def _get(self, key: str) -> object | None:
        self._known[key] = None
        return self._values.get(key)

    def _is_text(self, key: str, item: object, check: Check | None) -> bool:
        """Tell whether an item of a list is a text that `check` has nothing against; add a fault where it is not."""
        if isinstance(item, str):
            return self._passes(key, item, check and check(item))
        self.fault(key, f"{quoted(item)}: write text in quotes")
        return False

    def _passes(self, key: str, value: object, wrong: str | None) -> bool:
        if wrong:
            self.fault(key, f"{quoted(value)} {wrong}")
        return not wrong

    def _place_within(self, key: str) -> str:
        match self._place:
            case "":
                return f"[{_bare(key)}]"
            case place if place.endswith("]"):
                return f"{place[:-1]}.{_bare(key)}]"
            case place:
                return f"{place} {_bare(key)}"

    def _wrong(self, key: str, value: object, right: str, default: _Default) -> _Default:
        joint = " " if right.startswith("is ") else ": "
        self.fault(key, f"{quoted(value)}{joint}{right}")
        return default


def quoted(value: object) -> str:
    """
    Return a value as TOML would show it, cut to what a person needs to recognise it, on one printable line.

    `...` stands for a value that must not be shown.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() > 256:
            return "a number of too many digits"
        case str():
            shown = value.replace("\\", "\\\\").replace('"', '\\"')
        case dict():
            return "a table"
        case list():
            return "a list"
        case types.EllipsisType():
            return "the value (not shown)"
        case _:
            return str(value)
    shown = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in shown)
    return f'"{shown}"' if len(shown) <= _LONGEST_QUOTE else f'"{shown[:_LONGEST_QUOTE]}…"'


def _bare(key: str) -> str:
    """Return a key as TOML writes it: in quotes unless it is bare (letters, digits, dash, underscore)."""
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else quoted(key)


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
