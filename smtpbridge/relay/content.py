"""
The data of a message, whole: what transactions send, at the same time and each at its own pace.

Theory of operation
-------------------

A `Content` is made by `spool`: the header block as plain octets, and the body in wire
form, in memory or in a temporary file.  It is read with positions, never with a shared
one, so several upstream transactions can send the same body at the same time.

Where the translation changes a body, `Content.reworked` is the content with the
new one.  What is in a file stays there: such a content reads the old octets
through the first one, which keeps the file.  The first one also accounts for what is
new (`budget`), and gives it back when it is closed.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import assert_never

from smtpbridge.dialect.plan import Kept, New, Piece
from smtpbridge.relay.budget import Budget, Party

# One TLS write; also what is read from a file at a time.
CHUNK = 65_536


@dataclass(slots=True)
class Content:
    """
    One message: `header` is CRLF lines without the empty line and without doubled dots; the body is in wire form.

    `size` is the octets of the whole data as they came.  `close` gives back the file, and all that was counted.
    """

    header: bytes
    size: int
    body_size: int
    _memory: bytes = b""
    _file: int | None = None
    _start: int = 0
    # What is counted in memory, and who is known to the budget by the file; whoever was made of another content counts
    # there.
    _budget: Budget | None = None
    _held: int = 0
    _party: Party | None = None
    _root: "Content | None" = None

    @property
    def in_memory(self) -> bytes | None:
        """The body, where it is in memory."""
        return self._memory if self._file is None else None

    def read(self, at: int) -> bytes:
        """Return up to `CHUNK` octets of the body from that position on, none at its end."""
        if self._file is None:
            return self._memory[at : at + CHUNK]
        return os.pread(self._file, min(CHUNK, self.body_size - at), self._start + at)

    def body(self) -> "bytes | _Span":
        """Return the body as something to look at: it has a length and gives slices, and is not copied for it."""
        return self._memory if self._file is None else _Span(self)

    def reworked(self, pieces: tuple[Piece, ...]) -> "Content":
        """Return this content with a body of these pieces; this one stays open, and is to be closed in its stead."""
        if self._file is not None:
            return self._pieced(pieces)
        body = b"".join([one.octets if isinstance(one, New) else self._memory[one.start : one.end] for one in pieces])
        self._count(len(body))
        return Content(self.header, self.size, len(body), body, _root=self._root or self)

    def span(self, start: int, end: int) -> bytes:
        """Return the octets [start, end) of the body."""
        if self._file is None:
            return self._memory[start:end]
        return os.pread(self._file, max(0, min(end, self.body_size) - start), self._start + start)

    def is_ascii(self) -> bool:
        """Tell whether header and body are 7-bit."""
        return self.header.isascii() and all(chunk.isascii() for chunk in self._chunks())

    def close(self) -> None:
        """Give back the temporary file and what was counted."""
        budget, self._budget = self._budget, None
        if budget is not None:
            budget.memory -= self._held
        if self._file is not None and self._file >= 0:
            os.close(self._file)
            # The number may soon be another message's file: whoever reads on must fail.
            self._file = -1
            if budget is not None and self._party is not None:
                budget.give_back(self._party, self.size)

    def _count(self, octets: int) -> None:
        """Count what is held in memory beside the first content, until that is closed."""
        first = self._root or self
        if first._budget is not None:
            first._held += octets
            first._budget.memory += octets

    def _pieced(self, pieces: tuple[Piece, ...]) -> "Content":
        self._count(sum(len(one.octets) for one in pieces if isinstance(one, New)))
        return _Pieced(self, pieces)

    def _chunks(self) -> Iterator[bytes]:
        for at in range(0, self.body_size, CHUNK):
            yield self.read(at)


class _Span:
    """The body of a content that lies in a file, to be looked at in slices."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def __len__(self) -> int:
        return self._content.body_size

    def __getitem__(self, where: slice, /) -> bytes:
        start, end, _ = where.indices(self._content.body_size)
        return self._content.span(start, end)


class _Pieced(Content):
    """A content over another one's file, with some of its octets replaced."""

    __slots__ = ("_ends", "_pieces", "_under")

    def __init__(self, under: Content, pieces: tuple[Piece, ...]) -> None:
        lengths = [one.end - one.start if isinstance(one, Kept) else len(one.octets) for one in pieces]
        self._under = under
        self._pieces = pieces
        self._ends = list(accumulate(lengths))
        super().__init__(under.header, under.size, sum(lengths), _root=under._root or under)

    @property
    def in_memory(self) -> bytes | None:
        return None

    def read(self, at: int) -> bytes:
        return self.span(at, at + CHUNK)

    def body(self) -> _Span:
        return _Span(self)

    def reworked(self, pieces: tuple[Piece, ...]) -> Content:
        return self._pieced(pieces)

    def span(self, start: int, end: int) -> bytes:
        found: list[bytes] = []
        place = bisect_right(self._ends, start)
        while start < min(end, self.body_size):
            piece = self._pieces[place]
            stop = min(end, self._ends[place])
            begins = self._ends[place - 1] if place else 0
            match piece:
                case Kept():
                    found.append(self._under.span(piece.start + start - begins, piece.start + stop - begins))
                case New():
                    found.append(piece.octets[start - begins : stop - begins])
                case _:
                    assert_never(piece)
            start = max(start, stop)
            place += 1
        return b"".join(found)

    def close(self) -> None:
        """Leave the file to the content that has it."""
