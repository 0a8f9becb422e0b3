"""
Cut octets into command or reply lines, bounded.  No I/O, no meaning.

Theory of operation
-------------------

A line ends with CRLF and with nothing else (RFC 5321, 2.3.8).  `LineReader`
looks for LF, because a peer that ends its lines with a bare LF must not wait for an
answer in vain: each such piece comes out as `Defect.BARE_LF`, which its user refuses
and never obeys.  What stands between a bare LF and the next CRLF is of the same line and comes out
as the same defect: whoever gets a LF into somebody's command has not begun a
command of his own.

What is kept is bounded by `limit`.  Of a longer line only the fact is kept;
its octets are dropped as they come, and one `Defect.TOO_LONG` stands for it
once its end has been seen, so the two sides stay in step.

Lines are cut by position, and what was consumed is dropped once per block:
a thousand commands in one block cost a thousand searches, not a thousand copies.
"""

import re
from enum import Enum, auto


class Defect(Enum):
    """What is wrong with a line that cannot be used."""

    TOO_LONG = auto()
    BARE_LF = auto()


class LineReader:
    """Turn octets, cut anywhere, into lines without their CRLF."""

    def __init__(self, limit: int) -> None:
        """Let no line be longer than `limit` octets, CRLF included."""
        self.limit = limit
        self._held = b""
        self._at = 0
        # The line that is read now began with octets that were dropped, the last of them a CR; it has had a bare LF.
        self._overrun = False
        self._dropped_cr = False
        self._torn = False
        # Whether one of the three is so.
        self._odd = False

    def feed(self, octets: bytes) -> None:
        """Take what the peer sent."""
        self._held = self._held[self._at :] + octets
        self._at = 0

    def next(self) -> bytes | Defect | None:
        """Return the next line or what is wrong with it; `None` when no line is complete."""
        held, start = self._held, self._at
        end = held.find(b"\n", start)
        if end > start and held[end - 1] == 13 and end - start < self.limit and not self._odd:
            self._at = end + 1
            return held[start : end - 1]
        if end >= 0:
            return self._odd_line(start, end)
        if len(held) - start >= self.limit:
            self._drop()
        return None

    def _odd_line(self, start: int, end: int) -> bytes | Defect:
        """Return a line that may have something wrong; the next one begins behind its LF."""
        self._at = end + 1
        sound = self._held[end - 1] == 13 if end > start else self._dropped_cr
        torn, self._torn = self._torn, not sound
        overrun = self._overrun or end - start >= self.limit
        self._overrun = self._dropped_cr = False
        self._odd = self._torn
        if overrun:
            return Defect.TOO_LONG
        return self._held[start : end - 1] if sound and not torn else Defect.BARE_LF

    def peek(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Return what `pattern` finds where the next line begins, if that begins a line without defect."""
        return None if self._odd else pattern.match(self._held, self._at)

    def skip(self, found: re.Match[bytes]) -> None:
        """Go on behind what `peek` found, which ends with the end of a line."""
        self._at = found.end()

    def take_rest(self) -> bytes:
        """Return all octets that no line has used yet, and forget them."""
        rest = self._held[self._at :]
        self._held, self._at = b"", 0
        return rest

    def __len__(self) -> int:
        """Tell how many octets wait; what was dropped of an unfinished line counts as one."""
        return len(self._held) - self._at + self._overrun

    def _drop(self) -> None:
        """Drop an unfinished line that is already too long; its LF will still be seen."""
        self._overrun = self._odd = True
        self._dropped_cr = self._held.endswith(b"\r")
        self._held, self._at = b"", 0
