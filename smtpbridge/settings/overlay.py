"""
Keys of the configuration that the environment sets, for containers that have no file or share one.

Theory of operation
-------------------

`SMTPBRIDGE__UPSTREAM__MAIN__REGION=europe` is `region = "europe"` in `[upstream.main]`: the way from the top, in any
case, joined by two underscores.  A number is a place in a list of tables, from 0: `SMTPBRIDGE__LISTENER__0__ENDPOINT`.
The value is read as TOML; what is no TOML is a text, so most texts need no quotes.

A variable counts before what the file says.  The result goes through the same readers as a file, so a key that
does not exist is refused, and with the same words.  A name in the file may have letters that no variable has: it is met
in any case, and "-" as "_".

What must not be known here: the environment of this process, files, what the keys mean.
"""

import tomllib
from collections.abc import Mapping

PREFIX = "SMTPBRIDGE__"
# What repeats in the file as [[name]].
_LISTS = frozenset({"listener", "credential"})


def settings_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that set keys, in the order in which they are to be laid over a file."""
    return {name: environ[name] for name in sorted(environ, key=_order) if name.startswith(PREFIX)}


def lay_over(values: dict[str, object], settings: Mapping[str, str]) -> list[str]:
    """Put what `settings` say into `values`, a parsed file; return the faults, a sentence each."""
    faults = []
    for name, text in settings.items():
        way = _way(name)
        wrong = _put(values, way, _value(text)) if all(way) else f"is no way to a key; write {PREFIX}TABLE__KEY"
        if wrong:
            faults.append(f"${name}: {wrong}")
    return faults


def _way(name: str) -> list[str]:
    return name.removeprefix(PREFIX).lower().split("__")


def _order(name: str) -> list[tuple[int, str]]:
    # Numbers as numbers: place 10 of a list comes behind place 2.
    return [(int(part), "") if _is_place(part) else (0, part) for part in _way(name)]


def _put(values: dict[str, object], way: list[str], value: object) -> str | None:
    """Put `value` where `way` leads; return what is wrong, as the end of a sentence."""
    table, step = values, 0
    while step < len(way) - 1:
        key = _key_of(table, way[step])
        there = table.setdefault(key, [] if key in _LISTS and step == 0 else {})
        step += 1
        if isinstance(there, list):
            found = _entry(there, key, way[step])
            if isinstance(found, str):
                return found
            there, step = found, step + 1
        if not isinstance(there, dict):
            return f"{'.'.join(way[:step])} is no table"
        table = there
    if step >= len(way):
        return f"names a whole table; write {PREFIX}{'__'.join(way).upper()}__KEY"
    table[_key_of(table, way[step])] = value
    return None


def _entry(there: list[object], key: str, place: str) -> object:
    """Return the table at a place of a list, a new one right behind its end, or what is wrong."""
    if not _is_place(place) or int(place) > len(there):
        return f'"{place}" is no place in [[{key}]]; the next new one is {len(there)}'
    if int(place) == len(there):
        there.append({})
    return there[int(place)]


def _is_place(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) <= 6


def _key_of(table: Mapping[str, object], part: str) -> str:
    """Return the key in the table that is meant, else the part itself."""
    return next((key for key in table if key.lower().replace("-", "_") == part), part)


def _value(text: str) -> object:
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    # A text with line ends could be several assignments; then it is a text.
    return found["value"] if len(found) == 1 else text
