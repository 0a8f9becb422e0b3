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
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

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
