"""
Write campaign, tags and metadata as the JSON that `X-IB-Callback-Data` carries.

How it works: compact ASCII JSON with the members that the sender gave, so that
what comes back in Infobip's reports can be put into SparkPost's events.  Where
its reader saw that no text in it needs an escape, no text is looked through.

The usual message fits on one line.  A longer text is folded between JSON
tokens, where white space means nothing.  A cut after a closing quote and a
comma is found by searching back from the end of the line: a quote whose left
neighbour is neither a backslash nor a character that may stand before an
opening quote closes its string.  Only where there is no such place are the
tokens looked at one by one.

What is over the limit, or holds a token that no line can take, loses members:
see `_cut_down`.

What must not be known here: the header's name and the rest of the message.
"""

import re
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii as quote

from smtpbridge.dialect.instructions import Instructions, Json
from smtpbridge.dialect.jsontext import write
from smtpbridge.values import value

# RFC 5322, 2.1.1: a line has at most 998 octets; a continuation spends one of them on its blank.
_LONGEST_TOKEN = 997
# Lines are kept shorter than they must be, so that a relay behind us can add to them.
_LINE = 900
_TOKEN = re.compile(r'"[^"\\]*+(?>(?:\\.[^"\\]*+)*)"|[\[\]{},:]|[^\[\]{},:"]++')
_NOT_BEFORE_A_CLOSING_QUOTE = "\\[,:{"


@value
class CallbackText:
    """The lines of the JSON text, to be joined by folds, and how much was left out of it."""

    lines: tuple[str, ...]
    tags_left_out: int = 0
    members_left_out: int = 0

    @property
    def truncated(self) -> bool:
        """Tell whether anything is missing."""
        return bool(self.tags_left_out or self.members_left_out)


def callback_text(instructions: Instructions, limit: int, column: int) -> CallbackText | None:
    """
    Return the JSON text, of at most `limit` octets once its folds are blanks; None when there is nothing to tell.

    `column` is where the first line starts.  The campaign is never left out, even where it is over the limit alone.
    """
    text = _plain(instructions) if instructions.plain else _whole(instructions)
    if text == "{}":
        return None
    if len(text) <= min(limit, _LINE - column):
        return CallbackText((text,))
    if len(text) <= limit:
        lines = _fold(text, column)
        if lines and _size(lines) <= limit:
            return CallbackText(lines)
    return _cut_down(instructions, limit, column)


def _plain(instructions: Instructions) -> str:
    """Return what `_whole` does for what is plain (see `Instructions`)."""
    parts: list[str] = []
    if instructions.campaign is not None:
        parts.append(f'"campaign_id":"{instructions.campaign}"')
    if tags := instructions.tags:
        parts.append('"tags":["' + '","'.join(tags) + '"]')
    elif tags is not None:
        parts.append('"tags":[]')
    if instructions.metadata is not None:
        members = [
            f'"{name}":"{member}"' if type(member) is str else f'"{name}":{write(member)}'
            for name, member in instructions.metadata.items()
        ]
        parts.append('"metadata":{' + ",".join(members) + "}")
    return "{" + ",".join(parts) + "}"


def _whole(instructions: Instructions) -> str:
    """Return the text with everything in it."""
    parts: list[str] = []
    if instructions.campaign is not None:
        parts.append(f'"campaign_id":{quote(instructions.campaign)}')
    if instructions.tags is not None:
        parts.append(f'"tags":[{",".join(map(quote, instructions.tags))}]')
    if instructions.metadata is not None:
        parts.append(f'"metadata":{write(instructions.metadata)}')
    return "{" + ",".join(parts) + "}"


def _cut_down(instructions: Instructions, limit: int, column: int) -> CallbackText:
    """
    Leave out what does not fit: members of metadata, the last first, then tags, the last first.

    A member or tag with a token too long for any line goes first, wherever it stands.
    """
    tags, metadata = instructions.tags, instructions.metadata
    kept_tags = [text for text in map(write, tags or ()) if _fits_lines(text)]
    kept_members = [text for text in _members(metadata or {}) if _fits_lines(text)]
    while True:
        gone = len(tags or ()) - len(kept_tags), len(metadata or ()) - len(kept_members)
        text = _joined(instructions, kept_tags, kept_members, truncated=gone != (0, 0))
        # Folds count as well; they are only looked at once the text itself is short enough.
        excess = len(text) - limit if len(text) > limit else _size(_fold(text, column)) - limit
        if excess <= 0 or not (kept_tags or kept_members):
            return CallbackText(_fold(text, column), *gone)
        _shorten(kept_tags, _shorten(kept_members, excess))


def _members(metadata: dict[str, Json]) -> Iterator[str]:
    for name, member in metadata.items():
        yield f"{write(name)}:{write(member)}"


def _joined(instructions: Instructions, tags: list[str], members: list[str], *, truncated: bool) -> str:
    parts: list[str] = []
    if instructions.campaign is not None:
        parts.append(f'"campaign_id":{write(instructions.campaign)}')
    if instructions.tags is not None:
        parts.append(f'"tags":[{",".join(tags)}]')
    if instructions.metadata is not None:
        parts.append(f'"metadata":{{{",".join(members)}}}')
    if truncated:
        parts.append('"truncated":true')
    return "{" + ",".join(parts) + "}"


def _shorten(items: list[str], excess: int) -> int:
    """Take items off the end until `excess` characters are gone; return how many still have to go."""
    while items and excess > 0:
        excess -= len(items.pop()) + bool(items)
    return max(excess, 0)


def _fits_lines(text: str) -> bool:
    return len(text) <= _LONGEST_TOKEN or all(len(token) <= _LONGEST_TOKEN for token in _TOKEN.findall(text))


def _size(lines: tuple[str, ...]) -> int:
    """Return the length of the text as its reader sees it: every fold is one blank."""
    return sum(map(len, lines)) + len(lines) - 1


def _fold(text: str, column: int) -> tuple[str, ...]:
    """Cut the text between tokens into lines, the first starting at `column`; none if a token is too long."""
    lines: list[str] = []
    start, room = 0, _LINE - column
    while len(text) - start > room:
        cut = _cut_behind_string(text, start, start + room) or _cut_behind_token(text, start, start + room)
        if not cut:
            return ()
        lines.append(text[start:cut])
        start, room = cut, _LINE - 1
    if start < len(text):
        lines.append(text[start:])
    return tuple(lines)


def _cut_behind_string(text: str, start: int, end: int) -> int:
    at = text.rfind('",', start, end)
    while at > start:
        if text[at - 1] not in _NOT_BEFORE_A_CLOSING_QUOTE:
            return at + 2
        at = text.rfind('",', start, at)
    return 0


def _cut_behind_token(text: str, start: int, end: int) -> int:
    """Return the last end of a token up to `end`, or the end of a first token that needs the whole line."""
    cut = 0
    for token in _TOKEN.finditer(text, start):
        if token.end() > end:
            long_enough = not cut and token.end() - start <= _LONGEST_TOKEN
            return token.end() if long_enough else cut
        cut = token.end()
    return cut
