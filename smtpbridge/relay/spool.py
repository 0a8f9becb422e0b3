"""
Keep the data of one message while it is on its way through.

Theory of operation
-------------------

`Spool` takes blocks in wire form.  Up to a threshold they stay in memory;
beyond it they go to a temporary file that has no name, so memory does not grow
with the mail and a killed process leaves nothing behind.  A disk that cannot take
them is remembered and told at the end, because the data must be read to
their end whatever happens.

`seal` makes a `Content` of it: the header block as plain octets, and the body
still in wire form.  Data that are not canonical are written anew first
(`smtp.data.canonical`), which is the only time anybody goes over them twice.

`Content` is read with positions, never with a shared one, so several upstream
transactions can send the same body at the same time.

Where the translation changes a body, `Content.reworked` is the content with the
new one.  What is in a file stays there: such a content reads the old octets
through the first one, which keeps the file.
"""

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import assert_never

from smtpbridge.dialect.plan import Kept, New, Piece
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.mail.headers import end_of_header
from smtpbridge.smtp.data import Defects, canonical, unstuff

# One TLS write; also what is read from a file at a time.
CHUNK = 65_536


class HeaderTooLong(SmtpbridgeError):
    """The header block is over the limit."""


class NoSpace(SmtpbridgeError):
    """The temporary file could not be written."""


@dataclass(slots=True)
class Content:
    """
    One message: `header` is CRLF lines without the empty line and without doubled dots; the body is in wire form.

    `size` is the octets of the whole data as they came.  `close` gives the file back.
    """

    header: bytes
    size: int
    body_size: int
    _memory: bytes = b""
    _file: int | None = None
    _start: int = 0

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
            return _Pieced(self, pieces)
        body = b"".join([one.octets if isinstance(one, New) else self._memory[one.start : one.end] for one in pieces])
        return Content(self.header, self.size, len(body), body)

    def span(self, start: int, end: int) -> bytes:
        """Return the octets [start, end) of the body."""
        if self._file is None:
            return self._memory[start:end]
        return os.pread(self._file, max(0, min(end, self.body_size) - start), self._start + start)

    def is_ascii(self) -> bool:
        """Tell whether header and body are 7-bit."""
        return self.header.isascii() and all(chunk.isascii() for chunk in self._chunks())

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None and self._file >= 0:
            os.close(self._file)
            # The number may soon be another message's file: whoever reads on must fail.
            self._file = -1

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
        super().__init__(under.header, under.size, sum(lengths))

    @property
    def in_memory(self) -> bytes | None:
        return None

    def read(self, at: int) -> bytes:
        return self.span(at, at + CHUNK)

    def body(self) -> _Span:
        return _Span(self)

    def reworked(self, pieces: tuple[Piece, ...]) -> Content:
        return _Pieced(self, pieces)

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


class Spool:
    """Take the blocks of one message."""

    def __init__(self, threshold: int, folder: str | None = None) -> None:
        """Keep up to `threshold` octets in memory; `folder` is for the temporary file, default the system's."""
        self._threshold = threshold
        self._folder = folder
        self._blocks: list[bytes] = []
        self._file: int | None = None
        self._failed: OSError | None = None
        self.size = 0

    def write(self, block: bytes) -> None:
        """Keep a block; never fails."""
        self.size += len(block)
        if self._failed is not None:
            return
        self._blocks.append(block)
        if self._file is not None or self.size > self._threshold:
            try:
                self._flush()
            except OSError as error:
                self._failed = error
                self.discard()

    def discard(self) -> None:
        """Forget everything."""
        self._blocks = []
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def seal(self, defects: Defects, max_header: int) -> Content:
        """Return what was kept, canonical; raise `NoSpace` or `HeaderTooLong`, and then nothing is kept."""
        try:
            if self._failed is not None:
                raise NoSpace(f"the message could not be kept: {self._failed}") from self._failed
            if defects.bare_line_ends or defects.single_dots:
                return self._rewritten().seal(Defects(), max_header)
            return self._content(max_header)
        except SmtpbridgeError:
            self.discard()
            raise

    def _flush(self) -> None:
        if self._file is None:
            with tempfile.TemporaryFile(dir=self._folder, buffering=0) as nameless:
                self._file = os.dup(nameless.fileno())
        data = memoryview(b"".join(self._blocks))
        self._blocks = []
        while data:
            data = data[os.write(self._file, data) :]

    def _rewritten(self) -> "Spool":
        anew = Spool(self._threshold, self._folder)
        for block in canonical(self._all()):
            anew.write(block)
        self.discard()
        return anew

    def _all(self) -> Iterator[bytes]:
        if self._file is None:
            yield from self._blocks
            return
        at = 0
        while chunk := os.pread(self._file, CHUNK, at):
            yield chunk
            at += len(chunk)

    def _content(self, max_header: int) -> Content:
        if self._file is None:
            data = self._blocks[0] if len(self._blocks) == 1 else b"".join(self._blocks)
            header, start = end_of_header(data)
            if header > max_header:
                raise HeaderTooLong
            body = data[start:]
            return Content(unstuff(data[:header]), self.size, len(body), body)
        data = self._beginning(max_header)
        header, start = end_of_header(data)
        if header > max_header:
            raise HeaderTooLong
        file, self._file = self._file, None
        return Content(unstuff(data[:header]), self.size, self.size - start, _file=file, _start=start)

    def _beginning(self, max_header: int) -> bytes:
        """Return octets from the file up to the end of the header, or a little more than the limit."""
        data = b""
        for chunk in self._all():
            overlap = data[-3:]
            data += chunk
            if len(data) > max_header + 4 or b"\r\n\r\n" in overlap + chunk:
                break
        return data
