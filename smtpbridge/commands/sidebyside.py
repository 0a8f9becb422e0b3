"""
Show a message before and after, side by side, as `diff -y` shows two files.

The fields of both headers are aligned by their octets.  A line that is on one
side only is marked `<` (gone) or `>` (new); fields of one name that differ stand
beside each other, marked `|`.  Of the further transactions only what differs
from the first one is shown.

No terminal is touched here: the width comes in, and colours are those of
`click.style`, which `click.echo` takes out where nobody would see them.
"""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum
from itertools import zip_longest
from typing import TypeAlias

import click

from smtpbridge.commands.printing import shown_field, shown_path
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope

_NARROWEST, _WIDEST = 60, 200
_Key: TypeAlias = Callable[[str], str]


class Change(Enum):
    """What became of a line; the value is its mark between the columns."""

    KEPT = " "
    CHANGED = "|"
    GONE = "<"
    NEW = ">"


_COLOURS = {Change.KEPT: None, Change.CHANGED: "yellow", Change.GONE: "red", Change.NEW: "green"}


@dataclass(frozen=True, slots=True)
class Mail:
    """One side: envelope and header, under a title."""

    title: str
    envelope: Envelope
    header: HeaderBlock


@dataclass(frozen=True, slots=True)
class Row:
    """One line on the left, one on the right, and what lies between them."""

    change: Change
    left: str = ""
    right: str = ""


def side_by_side(before: Mail, after: Sequence[Mail], width: int) -> list[str]:
    """Return lines for a terminal of that width: the first of `after` in full, of the others what differs from it."""
    column = (min(max(width, _NARROWEST), _WIDEST) - 3) // 2
    first, *others = after or [Mail("goes nowhere", Envelope("", ()), HeaderBlock((), ()))]
    titles = Row(Change.KEPT, before.title, first.title)
    lines = [click.style(line, bold=True) for line in _laid_out(titles, column)]
    lines.append("-" * (2 * column + 3))
    for row in rows(before, first) if after else _gone(before):
        lines += [click.style(line, fg=_COLOURS[row.change]) for line in _laid_out(row, column)]
    for other in others:
        lines += ["", click.style(other.title, bold=True), *_what_differs(first, other, column)]
    return lines


def rows(before: Mail, after: Mail) -> Iterator[Row]:
    """Go over the envelope and then the fields of both, aligned."""
    yield _paired(f"MAIL FROM {shown_path(before.envelope.sender)}", f"MAIL FROM {shown_path(after.envelope.sender)}")
    yield from _aligned(_recipients(before), _recipients(after), _by_whole)
    yield Row(Change.KEPT)
    yield from _aligned([*map(shown_field, before.header.fields)], [*map(shown_field, after.header.fields)], _by_name)


def _gone(before: Mail) -> Iterator[Row]:
    for row in rows(before, before):
        yield Row(Change.GONE if row.left else Change.KEPT, row.left)


def _what_differs(first: Mail, other: Mail, column: int) -> Iterator[str]:
    for row in rows(first, other):
        if row.change is Change.KEPT:
            continue
        for mark, text in (("-", row.left), ("+", row.right)):
            if text:
                for line in _wrapped(text, 2 * column + 1):
                    yield click.style(f"{mark} {line}", fg="red" if mark == "-" else "green")


def _recipients(mail: Mail) -> list[str]:
    return [f"RCPT TO {shown_path(address)}" for address in mail.envelope.recipients]


def _paired(left: str, right: str) -> Row:
    return Row(Change.KEPT if left == right else Change.CHANGED, left, right)


def _by_whole(line: str) -> str:
    return line


def _by_name(line: str) -> str:
    name, colon, _ = line.partition(":")
    return name.strip().lower() if colon else line


def _aligned(left: list[str], right: list[str], key: _Key) -> Iterator[Row]:
    for tag, start, end, other_start, other_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from (Row(Change.KEPT, line, line) for line in left[start:end])
        else:
            yield from _replaced(left[start:end], right[other_start:other_end], key)


def _replaced(left: list[str], right: list[str], key: _Key) -> Iterator[Row]:
    """Pair lines with the same key, each once; the others are gone, or new."""
    unpaired = list(right)
    for line in left:
        partner = next((other for other in unpaired if key(other) == key(line)), None)
        if partner is None:
            yield Row(Change.GONE, left=line)
        else:
            unpaired.remove(partner)
            yield _paired(line, partner)
    yield from (Row(Change.NEW, right=line) for line in unpaired)


def _laid_out(row: Row, column: int) -> Iterator[str]:
    pairs = zip_longest(_wrapped(row.left, column), _wrapped(row.right, column), fillvalue="")
    for left, right in pairs:
        yield f"{left:<{column}} {row.change.value} {right}".rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False) or [""]
