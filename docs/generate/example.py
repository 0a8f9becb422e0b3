"""
Read etc/smtpbridge.toml as what it is: the one place where the meaning of each key stands.

Theory of operation
-------------------

The file is TOML whose comments have a form.  A rule of dashes begins a part; the
comment before a table's header says what the table is for; a comment directly
above keys explains those keys.  A key behind "# " shows its default, or an
example where "# no default" follows.  `tests/test_config.py` holds keys and
defaults against the code, so what is written from here is true as well.

What must not be known here: any key, and what becomes of it.
"""

import re
from dataclasses import dataclass, field

_RULE = re.compile(r"# -{20,}")
_HEADER = re.compile(r"(?:# )?(\[\[?[\w.]+\]\]?)")
_KEY = re.compile(r"(# )?([a-z]\w*) = (.*?)(  # no default)?")


class StrangeLine(ValueError):
    """A line of the file that is neither comment, nor table, nor key."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the file shows it; `shown` is its default, or an example where it has none."""

    name: str
    shown: str
    has_default: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """Keys that are explained together; `text` holds paragraphs."""

    text: tuple[str, ...]
    keys: tuple[Key, ...]


@dataclass(slots=True)
class Section:
    """A table; `place` is its header as it stands in the file, empty for the top level."""

    place: str
    intro: tuple[str, ...]
    entries: list[Entry] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The table without its brackets."""
        return self.place.strip("[]")


def read(text: str) -> list[Section]:
    """Return the tables of the file in their order, the top level first; raise `StrangeLine`."""
    blocks = [block.splitlines() for block in re.split(r"\n\s*\n", text.strip())]
    # Before the first table the file speaks of itself, and so does the top level's introduction.
    sections = [Section("", ())]
    waiting: list[str] = []
    for block in blocks:
        waiting = _take([line for line in block if not _RULE.fullmatch(line)], waiting, sections)
    return sections


def _take(lines: list[str], waiting: list[str], sections: list[Section]) -> list[str]:
    """Add a block to the sections; return the paragraphs that wait for what they are about."""
    said: list[str] = []
    keys: list[Key] = []
    for line in lines:
        if header := _HEADER.fullmatch(line):
            sections.append(Section(header[1], _paragraphs([*waiting, "", *said])))
            waiting, said = [], []
        elif key := _KEY.fullmatch(line):
            # What stands at the end of a value is there for who edits the file.
            keys.append(Key(key[2], key[3], has_default=not key[4] and bool(key[1])))
        elif line.startswith("#"):
            said.append(line.removeprefix("#").removeprefix(" "))
        else:
            raise StrangeLine(line)
    if keys:
        # Paragraphs that stand apart are about all that follows.
        sections[-1].intro += _paragraphs(waiting)
        sections[-1].entries.append(Entry(_paragraphs(said), tuple(keys)))
        return []
    return [*waiting, "", *said] if said else waiting


def _paragraphs(lines: list[str]) -> tuple[str, ...]:
    joined = "\n".join(lines).strip()
    return tuple(" ".join(part.split()) for part in re.split(r"\n\s*\n", joined) if part.strip())
