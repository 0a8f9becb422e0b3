"""
SMTP replies as values, and reading them from a peer.  No I/O.

Theory of operation
-------------------

A `Reply` is what one side says to a command: a code (RFC 5321, 4.2), often an
enhanced code (RFC 3463), and text of one line or several.  It is also how this
package refuses: whoever must say no builds the reply that the peer will get.

`encode` writes printable ASCII only and never a line over 512 octets
(RFC 5321, 4.5.3.1.5), whatever the text came from.

`ReplyReader` reads a server's replies.  The first line of a reply that does
not fit the grammar, and a reply with too many lines, raise `BadReply`: after
that nobody knows which command an answer belongs to, so the connection is lost.

Nearly always the replies to a batch of commands come in one piece, and are those that
came a thousand times before.  `accepted_in` and `only_in` read such a piece at once; what is
not whole, or has replies of several lines, goes the general way by `feed` and `next`.
"""

import re
from enum import Enum
from functools import lru_cache

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.smtp.lines import Defect, LineReader
from smtpbridge.values import value

# RFC 5321, 4.5.3.1.5, less CRLF.
MAX_LINE = 510
# A server's reply may be longer than the RFC allows; this is where patience ends.
MOST_OCTETS_READ = 4096
MOST_LINES_READ = 128

_LINE = re.compile(rb"([2-5][0-5][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: +|$)", re.ASCII)
_CODE = re.compile(rb"[2-5][0-5][0-9]")
_ENHANCED_WORD = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}")
_LONGEST_ENHANCED = len("5.999.999")
_UNPRINTABLE = re.compile(r"[^ -~]")


class Excess(Enum):
    """The bound that a reply went over."""

    LINE = "octets"
    LINES = "lines"


class BadReply(SmtpbridgeError):
    """What the server sent is no SMTP reply, or one without end; then `excess` tells which bound it went over."""

    def __init__(self, text: str, excess: Excess | None = None) -> None:
        super().__init__(text)
        self.excess = excess


@value
class Reply:
    """A code, an enhanced code (empty: none) and the text's lines."""

    code: int
    enhanced: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The text as one line."""
        return " ".join(self.lines)

    @property
    def is_positive(self) -> bool:
        """2yz: the command was carried out."""
        return 200 <= self.code < 300

    @property
    def is_intermediate(self) -> bool:
        """3yz: go on."""
        return 300 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """4yz: the same may succeed later."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5yz: the same will fail again."""
        return self.code >= 500

    def encode(self) -> bytes:
        """Return the lines for the wire."""
        lead = f"{self.enhanced} " if self.enhanced else ""
        if len(self.lines) == 1:
            line = f"{self.code} {lead}{self.lines[0]}"
            if len(line) > MAX_LINE or not (line.isascii() and line.isprintable()):
                line = printable(line)
            return f"{line}\r\n".encode()
        head = "".join(printable(f"{self.code}-{lead}{line}") + "\r\n" for line in self.lines[:-1])
        last = self.lines[-1] if self.lines else ""
        return (head + printable(f"{self.code} {lead}{last}") + "\r\n").encode("ascii")

    def __str__(self) -> str:
        """Say it in one line, as a log wants it."""
        return printable(" ".join([part for part in (str(self.code), self.enhanced, self.text) if part]))


def reply(code: int, enhanced: str, text: str) -> Reply:
    """Return a reply of one line; `text` may come from anywhere, `encode` makes it harmless."""
    return Reply(code, enhanced, (text,))


def printable(text: str, limit: int = MAX_LINE) -> str:
    """Return `text` as printable ASCII of at most `limit` characters, other characters as question marks."""
    if not (text.isascii() and text.isprintable()):
        text = _UNPRINTABLE.sub("?", text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


class ReplyReader:
    """Turn octets, cut anywhere, into `Reply` values."""

    def __init__(self, max_line: int = MOST_OCTETS_READ, max_lines: int = MOST_LINES_READ) -> None:
        """Begin with the greeting; read lines of up to `max_line` octets, and replies of up to `max_lines` lines."""
        self._lines = LineReader(max_line)
        self._most = max_lines
        self._part: list[str] = []
        self._code = b""
        self._max_line = max_line
        # Whether octets were fed of which `next` has not found the end yet.
        self._waits = False

    def accepted_in(self, octets: bytes) -> tuple[Reply, ...]:
        """
        Return the replies that `octets` consist of, where all are positive and one 354 stands last.

        Return none where it is not as simple as that; then `feed` the octets.
        """
        if self._waits or len(octets) > self._max_line:
            return ()
        return _accepted(octets)

    def only_in(self, octets: bytes) -> Reply | None:
        """Return the reply that `octets` are, `None` as above; it is one of a kind, so it is not kept in mind."""
        end = len(octets) - 1
        if self._waits or end >= self._max_line or octets.find(b"\n") != end or octets[-2:] != b"\r\n":
            return None
        return _reply_of(octets[:-2])

    def feed(self, octets: bytes) -> None:
        """Take what the server sent."""
        self._waits = True
        self._lines.feed(octets)

    def next(self) -> Reply | None:
        """Return the next reply, `None` when none is complete; raise `BadReply`."""
        while (line := self._lines.next()) is not None:
            if isinstance(line, Defect):
                raise self._unreadable(line)
            found = None if self._part else _whole_reply(line)
            if found is not None or (found := self._take(line)) is not None:
                return found
        self._waits = len(self) > 0
        return None

    def __len__(self) -> int:
        """Tell how many octets wait that are no reply yet."""
        return len(self._lines) + len(self._part)

    def _unreadable(self, defect: Defect) -> BadReply:
        if defect is Defect.TOO_LONG:
            return BadReply(f"a reply line is over {self._lines.limit} octets", Excess.LINE)
        return BadReply("a reply line is not ended by CRLF")

    def _take(self, line: bytes) -> Reply | None:
        """Add a line to a reply of several; return it when that is its last one."""
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadReply(f"not an SMTP reply: {printable(line.decode('latin-1'), 80)}")
        code, separator, text = match.groups()
        if self._part and code != self._code:
            raise BadReply(f"a reply changed its code from {self._code.decode()} to {code.decode()}")
        self._part.append((text or b"").decode("utf-8", "backslashreplace"))
        if separator == b"-":
            self._code = code
            if len(self._part) >= self._most:
                raise BadReply(f"a reply has over {self._most} lines", Excess.LINES)
            return None
        lines, self._part = self._part, []
        return _reply_from(int(code), lines)


def _reply_of(line: bytes) -> Reply | None:
    """Return the reply that is this one line, `None` when the line is none or has others behind it."""
    code, _, text = line.partition(b" ")
    word, _, rest = text.partition(b" ")
    known = _status(code, word if len(word) <= _LONGEST_ENHANCED else b"") if len(code) == 3 else None
    if known is None:
        return None
    said = rest.lstrip(b" ") if known[1] else text
    return Reply(known[0], known[1], (said.decode("utf-8", "backslashreplace"),))


@lru_cache(maxsize=512)
def _status(code: bytes, word: bytes) -> tuple[int, str] | None:
    """Return a code, and what stands behind it if that is an enhanced code of the same class; `None` for no code."""
    if _CODE.fullmatch(code) is None:
        return None
    enhanced = word[:1] == code[:1] and _ENHANCED_WORD.fullmatch(word) is not None
    return int(code), word.decode("ascii") if enhanced else ""


# A server says the same few lines all day long; the caches hold at most this many of bounded length.
_whole_reply = lru_cache(maxsize=512)(_reply_of)


@lru_cache(maxsize=256)
def _accepted(octets: bytes) -> tuple[Reply, ...]:
    lines = octets.split(b"\r\n")
    if lines.pop() or octets.count(b"\n") != len(lines):
        return ()
    *found, last = map(_whole_reply, lines or [b""])
    if last is None or last.code != 354:
        return ()
    positive = [one for one in found if one is not None and one.is_positive]
    return (*positive, last) if len(positive) == len(found) else ()


def _reply_from(code: int, lines: list[str]) -> Reply:
    """Take the enhanced code off every line where the first line has one of the reply's own class."""
    match = _ENHANCED.match(lines[0])
    if match is None or int(match[1][0]) != code // 100:
        return Reply(code, "", tuple(lines))
    enhanced = match[1]
    return Reply(code, enhanced, tuple(_without(enhanced, line) for line in lines))


def _without(enhanced: str, line: str) -> str:
    """Take `enhanced` off a line, but not off a longer code that begins alike."""
    match = _ENHANCED.match(line)
    return line[match.end() :] if match is not None and match[1] == enhanced else line
