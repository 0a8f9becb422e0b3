"""Write docs/configuration.md: every table and key, with what the key takes, its default and its meaning."""

import re
import textwrap
from collections.abc import Iterator, Mapping

from docs.generate.example import Entry, Key, Section

_HEAD = """\
# The configuration, key by key

This page is written from the program: do not edit it. What a key takes is what the program itself says where a value
is wrong; its meaning and default stand in `etc/smtpbridge.toml`, which tests hold against the code. `make reference`
writes the page anew.
"""
# In this order: what is in quotes, a table's header, a name with an underscore, a variable of the environment.
_CODE = re.compile(r'"[^"\s]*"|\[\[?\w+(?:\.\w+)*\]\]?|\$\w+|\b[a-z]+(?:_[a-z0-9]+)+\b')
_PAGE = re.compile(r"\bdocs/([\w-]+)\.md\b")
_SPECIAL = re.compile(r"([\\<>*_\[\]])")


def page(sections: list[Section], accepts: Mapping[tuple[str, str], str]) -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *(line for section in sections for line in _section(section, accepts))])


def _section(section: Section, accepts: Mapping[tuple[str, str], str]) -> Iterator[str]:
    yield f"## `{section.place}`" if section.place else "## The file as a whole"
    yield ""
    # At its top the file speaks of itself first; what it says last is about every key.
    for text in section.intro if section.place else section.intro[-1:]:
        yield from (prose(text), "")
    for entry in section.entries:
        yield from _entry(section.place, entry, accepts)


def _entry(place: str, entry: Entry, accepts: Mapping[tuple[str, str], str]) -> Iterator[str]:
    yield "#### " + ", ".join(f"`{key.name}`" for key in entry.keys)
    yield ""
    for text in entry.text:
        yield from (prose(text), "")
    yield "| key | takes | default |"
    yield "|---|---|---|"
    for key in entry.keys:
        yield f"| `{key.name}` | {accepts[place, key.name]} | {_default(key, accepts[place, key.name])} |"
    yield ""


def _default(key: Key, takes: str) -> str:
    if key.has_default:
        return f"`{key.shown}`"
    return "none" if key.shown in takes else f"none; for example `{key.shown}`"


def prose(text: str) -> str:
    """Return a comment of the file as Markdown: names as code, pages as links, and nothing that Markdown would read."""
    shown, at = [], 0
    for code in _CODE.finditer(text):
        shown += [_plain(text[at : code.start()]), f"`{code[0]}`"]
        at = code.end()
    # No piece of code has a blank in it, so none is cut.
    filled = textwrap.fill("".join([*shown, _plain(text[at:])]), 118, break_long_words=False, break_on_hyphens=False)
    # A number at the beginning of a line would begin a list.
    return re.sub(r"(?m)^(\d+)\.", r"\1\\.", filled)


def _plain(text: str) -> str:
    return _PAGE.sub(r"[\1.md](\1.md)", _SPECIAL.sub(r"\\\1", text))
