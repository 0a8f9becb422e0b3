"""
What the names of a header's fields say about a message, whatever stands in the fields.

How it works: a program that sends mail writes the same names in the same order
into each message, so the names are gone through once for each order met, and
the answer is kept: which fields leave, and where new ones go between them.

What must not be known here: what stands in a field.
"""

from dataclasses import dataclass
from functools import lru_cache

API = b"x-msys-api"

_NEVER_LEAVE = frozenset((b"bcc", b"resent-bcc", b"x-binding"))
# What is kept stays below two mebibytes, whoever sends.
_MOST_FIELDS = 64
_MOST_OCTETS = 2_048


@dataclass(frozen=True, slots=True)
class Layout:
    """
    Which fields leave, counted from 0, above and below the place for new ones.

    `own` are the names of the sender's own `X-IB-*` fields; `dated`, `identified` and `unsubscribable` tell whether
    Date, Message-ID, and List-Unsubscribe or its companion are there.
    """

    above: tuple[int, ...]
    below: tuple[int, ...]
    own: frozenset[bytes]
    dated: bool
    identified: bool
    unsubscribable: bool


def layout_of(names: tuple[bytes, ...]) -> Layout:
    """Return the layout of a header with these lower-case names (empty: a line that is no field)."""
    if len(names) <= _MOST_FIELDS and len(b"".join(names)) <= _MOST_OCTETS:
        return _known_layout(names)
    return _layout(names)


def _layout(names: tuple[bytes, ...]) -> Layout:
    leaving: list[int] = []
    place: int | None = None
    for at, name in enumerate(names):
        # New fields go to the place of the first X-MSYS-API, and above a line that ends the header for many readers.
        if place is None and (name == API or not name):
            place = len(leaving)
        if name not in _NEVER_LEAVE and not name.startswith(b"x-msys-"):
            leaving.append(at)
    return Layout(
        above=tuple(leaving[:place]),
        below=() if place is None else tuple(leaving[place:]),
        own=frozenset([name for name in names if name.startswith(b"x-ib-")]),
        dated=b"date" in names,
        identified=b"message-id" in names,
        unsubscribable=b"list-unsubscribe" in names or b"list-unsubscribe-post" in names,
    )


_known_layout = lru_cache(maxsize=256)(_layout)
