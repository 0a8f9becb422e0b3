"""
Read and rewrite what SparkPost and Infobip understand inside of texts: attributes of links, and markers.

How it works: regular expressions over octets find start tags and their
attributes as a browser does (HTML Living Standard, 13.2.5), without building a
document, so what is not named leaves octet for octet.  Names and markers are
ASCII; the text around them may be in any charset that extends ASCII.  Comments
are no exception: mail for Outlook keeps links in them.

SparkPost (Template Language, "links"): `data-msys-clicktrack="0"` leaves one
link untracked, `data-msys-unsubscribe="1"` makes it an unsubscribe link,
`data-msys-linkname` names it in events; `[[data-msys-...]]` behind an address
does the same in plain text.  Infobip (email tracking types): an `<a>` with
`clicktracking=off` is not tracked; it has no counterpart for the others.

What must not be known here: MIME, and transfer encodings.
"""

import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto

_PREFIX = b"data-msys-"
# A quote counts only behind an equals sign; a `<` outside of quotes ends nothing and begins another tag.
# Before 3.11.5 a group that is repeated possessively goes on behind the half of it that was found last
# (python/cpython#106052): `(?>...)` stands for `(...)*+`.
_REST_OF_TAG = rb"((?>(?:[^<>\"'=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?|[\"'])*))>"
_TAG = re.compile(rb"<([A-Za-z][^\s/<>]*+)" + _REST_OF_TAG)
_LINK = re.compile(rb"<[Aa](?=[\s/])" + _REST_OF_TAG)
_ATTRIBUTE = re.compile(rb"[\s/]*+([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(\"[^\"]*+\"|'[^']*+'|[^\s>]*+))?")
_MARKER = re.compile(rb"\[\[\s*(data-msys-[a-z]*)[^\[\]]{0,500}\]\]", re.IGNORECASE)
_OPT_OUT = b" clicktracking=off"
_LONG_LINE = re.compile(rb"[^\r\n]{999,}")
_FIRST_BLANK = re.compile(rb"(<[A-Za-z][^\s/<>]*+)[ \t]" + _REST_OF_TAG)


class Mark(Enum):
    """What a sender asked for at one link."""

    UNTRACKED = auto()
    UNSUBSCRIBE = auto()
    NAME = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A text without SparkPost's marks, and how many of each it had."""

    octets: bytes
    marks: Counter[Mark]


def unmarked_html(html: bytes) -> Unmarked:
    """Take SparkPost's attributes off; a link that is not to be tracked gets Infobip's."""
    marks: Counter[Mark] = Counter()

    def rewritten(tag: re.Match[bytes]) -> bytes:
        if _PREFIX not in tag[2].lower():
            return tag[0]
        return b"<%b%b>" % (tag[1], _attributes(tag[2], tag[1].lower() in (b"a", b"area"), marks))

    return Unmarked(_TAG.sub(rewritten, html), marks)


def unmarked_text(text: bytes) -> Unmarked:
    """Take SparkPost's markers out of plain text; Infobip tracks no links there, so nothing takes their place."""
    marks: Counter[Mark] = Counter()

    def removed(marker: re.Match[bytes]) -> bytes:
        marks[_mark(marker[1].lower())] += 1
        return b""

    return Unmarked(_MARKER.sub(removed, text), marks)


def tracked_links(html: bytes) -> int:
    """Return how many links Infobip would track: `<a>` to http or https that are not opted out."""
    return sum(1 for link in _LINK.finditer(html) if _is_tracked(link[1]))


def short_lines(html: bytes) -> bytes | None:
    """Return HTML with lines of at most 998 octets (RFC 5322, 2.1.1), broken within tags, or `None`."""
    if not _LONG_LINE.search(html):
        return html
    broken = _LONG_LINE.sub(lambda line: _FIRST_BLANK.sub(rb"\1\r\n\2>", line[0]), html)
    return None if _LONG_LINE.search(broken) else broken


def _attributes(octets: bytes, is_link: bool, marks: Counter[Mark]) -> bytes:
    """Return the attributes of one tag without SparkPost's."""
    attributes = [(one, one[1].lower()) for one in _ATTRIBUTE.finditer(octets)]
    decided = not is_link or any(name == b"clicktracking" for _, name in attributes)
    kept: list[bytes] = []
    at = 0
    for one, name in attributes:
        if not name.startswith(_PREFIX):
            continue
        kept.append(octets[at : one.start()])
        at = one.end()
        mark = _mark(name)
        if mark is Mark.UNTRACKED and _value(one) != b"0":
            continue  # "1" is what holds anyway
        marks[mark] += 1
        if mark is Mark.UNTRACKED and not decided:
            decided = True
            # Without quotes, as Infobip writes it; so something must end the value.
            kept.append(_OPT_OUT if octets[at : at + 1].isspace() or at == len(octets) else _OPT_OUT + b" ")
    return b"".join(kept) + octets[at:]


def _mark(name: bytes) -> Mark:
    match name:
        case b"data-msys-clicktrack":
            return Mark.UNTRACKED
        case b"data-msys-unsubscribe":
            return Mark.UNSUBSCRIBE
        case b"data-msys-linkname":
            return Mark.NAME
    return Mark.OTHER


def _value(attribute: re.Match[bytes]) -> bytes:
    return (attribute[2] or b"").strip(b"\"' \t\r\n").lower()


def _is_tracked(attributes: bytes) -> bool:
    http = False
    for one in _ATTRIBUTE.finditer(attributes):
        match one[1].lower():
            case b"href":
                http = http or _value(one).startswith((b"http:", b"https:"))
            case b"clicktracking" if _value(one) == b"off":
                return False
    return http
