"""
What the names of a header's fields say about a message, whatever stands in the fields.

How it works: a program that sends mail writes the same names in the same order
into each message, so the names are gone through once for each order met, and
the answer is kept: which fields leave, where new ones go between them, and
where those stand that are read.

What must not be known here: what stands in a field.
"""

from dataclasses import dataclass

API = b"x-msys-api"

_NEVER_LEAVE = frozenset((b"bcc", b"resent-bcc", b"x-binding"))
# What is kept stays below two mebibytes, whoever sends.
_MOST_FIELDS = 64
_MOST_OCTETS = 2_048
_MOST_KNOWN = 256


@dataclass(frozen=True, slots=True)
class Layout:
    """
    Which fields leave, counted from 0, above and below the place for new ones: in runs, of which there is usually one.

    `api`, `authors`, `types` and `encodings` are where X-MSYS-API, From, Content-Type and Content-Transfer-Encoding
    stand, and `hops` is how many Received there are.  `own` are the names of the sender's own `X-IB-*` fields; `dated`,
    `identified` and `unsubscribable` tell whether Date, Message-ID, and List-Unsubscribe or its companion are there.
    """

    above: tuple[slice, ...]
    below: tuple[slice, ...]
    api: tuple[int, ...]
    authors: tuple[int, ...]
    types: tuple[int, ...]
    encodings: tuple[int, ...]
    hops: int
    own: frozenset[bytes]
    dated: bool
    identified: bool
    unsubscribable: bool


def layout_of(names: tuple[bytes, ...]) -> Layout:
    """Return the layout of a header with these lower-case names (empty: a line that is no field)."""
    known = _known.get(names)
    if known is not None:
        return known
    layout = _layout(names)
    if len(names) <= _MOST_FIELDS and len(b"".join(names)) <= _MOST_OCTETS:
        if len(_known) >= _MOST_KNOWN:
            # The oldest goes.
            del _known[next(iter(_known))]
        _known[names] = layout
    return layout


def _runs(places: list[int]) -> tuple[slice, ...]:
    """Return places in rising order as slices."""
    runs: list[slice] = []
    for at in places:
        if runs and runs[-1].stop == at:
            runs[-1] = slice(runs[-1].start, at + 1)
        else:
            runs.append(slice(at, at + 1))
    return tuple(runs)


def _places(names: tuple[bytes, ...], wanted: bytes) -> tuple[int, ...]:
    return tuple([at for at, name in enumerate(names) if name == wanted])


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
        above=_runs(leaving[:place]),
        below=() if place is None else _runs(leaving[place:]),
        api=_places(names, API),
        authors=_places(names, b"from"),
        types=_places(names, b"content-type"),
        encodings=_places(names, b"content-transfer-encoding"),
        hops=names.count(b"received"),
        own=frozenset([name for name in names if name.startswith(b"x-ib-")]),
        dated=b"date" in names,
        identified=b"message-id" in names,
        unsubscribable=b"list-unsubscribe" in names or b"list-unsubscribe-post" in names,
    )


_known: dict[tuple[bytes, ...], Layout] = {}
