"""
Keep the data of one message while it is on its way through.

Theory of operation
-------------------

`Spool` takes blocks in wire form.  Up to a threshold, and while the process has
memory for them (`budget`), they stay in memory; beyond it they go to a temporary
file that has no name and is its owner's alone, so memory does not grow with the mail
and a killed process leaves nothing behind.  A disk that cannot take them is
remembered and told at the end, because the data must be read to their end whatever
happens.  Where the temporary files of all messages together reach their limit, the
spool is held up: what it is given it keeps, but its sender should not be read.

`seal` makes a `content.Content` of it: the header block as plain octets, and the body
still in wire form.  Data that are not canonical are written anew first
(`smtp.data.canonical`), which is the only time anybody goes over them twice.
"""

import os
import tempfile
from collections.abc import Callable, Iterator

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.mail.headers import end_of_header
from smtpbridge.relay.budget import Budget
from smtpbridge.relay.content import CHUNK, Content
from smtpbridge.smtp.data import Defects, canonical, unstuff

# So many small blocks are joined: each costs some fifty octets beside its own, and an octet may come alone.
_SMALL = 256


class HeaderTooLong(SmtpbridgeError):
    """The header block is over the limit."""


class NoSpace(SmtpbridgeError):
    """The message could not be kept, for want of room or by a fault of the disk."""


def _nobody() -> None:
    """Nobody has to hear that there is room again."""


class Spool:
    """
    Take the blocks of one message.

    `held_up` tells that the temporary files of all messages are at their limit: the sender should not be read until
    `when_room` was called.
    """

    def __init__(self, threshold: int, budget: Budget | None = None, when_room: Callable[[], None] = _nobody) -> None:
        """Keep up to `threshold` octets in memory; without a budget there is room for one message of any usual size."""
        self._threshold = threshold
        self._budget = budget if budget is not None else Budget()
        self._when_room = when_room
        self._blocks: list[bytes] = []
        self._joined = 0
        self._file: int | None = None
        # Octets that are counted: in memory, and in the file.
        self._held = self._filed = 0
        self._failed: OSError | None = None
        self.size = 0
        self.held_up = False

    def write(self, block: bytes) -> None:
        """Keep a block; never fails."""
        size = len(block)
        self.size += size
        if self._failed is not None:
            return
        self._blocks.append(block)
        if self._file is None:
            budget = self._budget
            self._held += size
            budget.memory += size
            if self.size <= self._threshold and budget.memory <= budget.max_memory:
                if len(self._blocks) - self._joined >= _SMALL:
                    self._join()
                return
            if self.size <= self._threshold:
                budget.spilled()
        try:
            self._flush()
        except OSError as error:
            self._failed = error
            self.discard()

    def go_on(self) -> None:
        """There is room again; called by the budget."""
        if self.held_up:
            self.held_up = False
            self._when_room()

    def discard(self) -> None:
        """Forget everything."""
        self._blocks = []
        self.held_up = False
        self._budget.memory -= self._held
        self._held = 0
        if self._file is not None:
            os.close(self._file)
            self._file = None
            filed, self._filed = self._filed, 0
            self._budget.dropped(self, filed)

    def seal(self, defects: Defects, max_header: int) -> Content:
        """Return what was kept, canonical; raise `NoSpace` or `HeaderTooLong`, and then nothing is kept."""
        try:
            if self._failed is not None:
                raise self._failed
            if defects.bare_line_ends or defects.single_dots:
                self._write_anew()
            return self._content(max_header)
        except OSError as error:
            self.discard()
            folder = self._budget.folder or "the system's temporary folder"
            raise NoSpace(f"the message could not be kept in {folder} (temporary_folder): {error}") from error
        except BaseException:
            self.discard()
            raise

    def _join(self) -> None:
        """Join the blocks that came since the last time."""
        self._blocks[self._joined :] = [b"".join(self._blocks[self._joined :])]
        self._joined += 1

    def _flush(self) -> None:
        if self._file is None:
            with tempfile.TemporaryFile(dir=self._budget.folder, buffering=0) as nameless:
                self._file = os.dup(nameless.fileno())
        octets = b"".join(self._blocks)
        self._blocks = []
        rest = memoryview(octets)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._budget.memory -= self._held
        self._held = 0
        self._filed += len(octets)
        self.held_up = self._budget.wrote(self, len(octets))

    def _write_anew(self) -> None:
        """Replace what was kept by its canonical form."""
        anew = Spool(self._threshold, self._budget)
        try:
            for block in canonical(self._all()):
                anew.write(block)
            if anew._failed is not None:
                raise anew._failed
            # The budget goes on with this one, which may have the right of way.
            self._blocks, anew._blocks = anew._blocks, self._blocks
            self._file, anew._file = anew._file, self._file
            self._held, anew._held = anew._held, self._held
            self._filed, anew._filed = anew._filed, self._filed
            self.size = anew.size
        finally:
            anew.discard()
            # It may stand in the line though its file is ours now, and it has none itself.
            self._budget.dropped(anew, 0)
        if self._file is None:
            # Without a file it has nothing to wait for.
            self.held_up = False
            self._budget.dropped(self, 0)

    def _all(self) -> Iterator[bytes]:
        if self._file is None:
            yield from self._blocks
            return
        at = 0
        while chunk := os.pread(self._file, CHUNK, at):
            yield chunk
            at += len(chunk)

    def _content(self, max_header: int) -> Content:
        if self._file is not None:
            return self._content_of_file(self._file, max_header)
        data = self._blocks[0] if len(self._blocks) == 1 else b"".join(self._blocks)
        header, start = end_of_header(data)
        if header > max_header:
            raise HeaderTooLong
        body = data[start:]
        content = Content(unstuff(data[:header]), self.size, len(body), body, _budget=self._budget, _held=self._held)
        self._held = 0
        return content

    def _content_of_file(self, file: int, max_header: int) -> Content:
        data = os.pread(file, CHUNK, 0)
        if b"\r\n\r\n" not in data and len(data) < self.size:
            # Nearly every header ends in the first chunk.  One that does not is read once, up to the limit and what
            # shows that it is over it: reading on by chunks would copy the first ones again and again.
            data = os.pread(file, max_header + 4, 0)
        header, start = end_of_header(data)
        if header > max_header:
            raise HeaderTooLong
        if not self._budget.has_memory_for(header):
            raise NoSpace(f"the header of {header:,} octets finds no room in max_body_memory_bytes")
        octets = unstuff(data[:header])
        content = Content(
            octets,
            self.size,
            self.size - start,
            _file=file,
            _start=start,
            _budget=self._budget,
            _held=len(octets),
            _party=self,
        )
        # Nothing below can fail: the file belongs to the content now.
        self._budget.memory += len(octets)
        self._file = None
        self.held_up = False
        filed, self._filed = self._filed, 0
        self._budget.finished(self, filed)
        return content
