"""
Find the end of a message in the octets after 354, and keep dots transparent.  No I/O, no replies.

Theory of operation
-------------------

The data of a message end at CRLF.CRLF and nowhere else (RFC 5321, 4.1.1.4);
whoever lets a bare LF take part in that lets one message smuggle in a second.

The relay passes the data on in the form in which they came, dots doubled, so
nobody here wants lines.  `EndFinder` searches whole blocks for the five closing
octets and holds back only such octets at the end of a block as might begin
them.  Where the stream is cut therefore makes no difference.

While searching it counts what makes data unfit to be passed on as they are:
a CR or LF that stands alone, a line whose leading dot is not doubled, a NUL.
Those are reported with `End`, never earlier: whoever stops reading in
the middle of the data takes the rest of the body for commands.

`whole` is the short way for what most messages are: data that come in one piece and
have no such defect and few dots that begin a line.  A test holds it equal to `EndFinder`.

`canonical` rewrites such data: dots are taken off where the sender's lines
began (RFC 5321, 4.5.2), every lone LF becomes a line end, a CR before a line end is part
of it, any other lone CR becomes a blank (as with Postfix: what was one line to the
sender must not become two, least of all in a header), and dots are put back at each
line of the result.  It is a generator over blocks, so a large
body costs no memory.  `stuff` doubles dots in a text that has none doubled.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smtpbridge.values import value

_END = b"\r\n.\r\n"
# Longest first: what a block may end with that begins the closing octets.
_STARTS_OF_END = tuple(_END[:length] for length in range(len(_END) - 1, 0, -1))
# Longest first: what a block may end with whose meaning hangs on the next octet.
_JOINTS = (b"\r\r\n.", b"\r\n.", b"\r\r\n", b"\r\n", b"\n", b"\r\r", b"\r")
_LINE_ENDS = re.compile(rb"\r?\r\n|\n")
_STRAY = re.compile(rb"\r(?!\n)")
_DOT = ord(".")
# Dots that begin lines, one by one; more are counted at once.
_MOST_LOOKS = 100


@dataclass(frozen=True, slots=True)
class Defects:
    """What keeps data from being passed on as they came."""

    bare_line_ends: bool = False
    single_dots: bool = False
    nul: bool = False

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return self.bare_line_ends or self.single_dots or self.nul


@value
class Block:
    """Octets of the data in wire form: dots doubled, as they came."""

    octets: bytes


@value
class End:
    """The final dot has come.  `rest` is what the peer sent after it."""

    defects: Defects
    rest: bytes


_SOUND = Defects()


def whole(octets: bytes) -> bytes | None:
    """
    Return the data of a message that `octets` are from the first to the last, the final dot taken off.

    `None` says that they are not, or have a defect, or many dots; then an `EndFinder` is to look at them.
    """
    end = len(octets) - len(_END)
    if not octets.endswith(_END) or octets.startswith(b".") or b"\0" in octets:
        return None
    dot = octets.find(b"\r\n.")
    looks = 0
    while dot != end:
        # The next octet tells a doubled dot from the end of the data, and from a defect.
        if looks == _MOST_LOOKS or octets[dot + 3] != _DOT:
            return None
        looks += 1
        dot = octets.find(b"\r\n.", dot + 4)
    data = octets[: end + 2]
    return None if _has_bare_line_end(data) else data


def _has_bare_line_end(data: bytes) -> bool:
    """Tell whether a CR or LF stands alone in data that are not cut within a pair."""
    # To look for single octets and write the data anew costs less than half of looking for pairs.
    return data.replace(b"\r", b"").replace(b"\n", b"\r\n") != data


class EndFinder:
    """Turn octets, cut anywhere, into `Block`s and one `End`."""

    def __init__(self) -> None:
        """Begin before the first line: a dot right there ends an empty message."""
        self._held = b"\r\n"
        # The CRLF of the DATA command serves as the line end before the first line; it is no part of the data.
        self._foreign = True
        self._bare = self._single_dots = self._nul = False

    def feed(self, octets: bytes) -> list[Block | End]:
        """Return what `octets` complete; after `End` the finder is used up."""
        held = self._held + octets if self._held else octets
        # The first dot that begins a line is nearly always the one that ends the data.
        dot = held.find(b"\r\n.")
        at = held.find(_END, dot) if dot >= 0 else -1
        if at >= 0:
            blocks = self._blocks(held[: at + 2], dotted=dot < at)
            return [*blocks, End(self._found(), held[at + 5 :])]
        if not held.endswith(_STARTS_OF_END):
            self._held = b""
            return self._blocks(held, dotted=dot >= 0)
        cut = len(held) - next(len(start) for start in _STARTS_OF_END if held.endswith(start))
        self._held = held[cut:]
        return self._blocks(held[:cut], dotted=dot >= 0)

    def _blocks(self, data: bytes, *, dotted: bool) -> list[Block | End]:
        if not data:
            return []
        # What is held back begins with every CR that may be half of a pair, so a pair is never cut here ...
        if not self._bare:
            self._bare = _has_bare_line_end(data)
        # ... and a CRLF before a dot is held back with it, so the dot and its double are in one block or held.
        if dotted and not self._single_dots:
            self._single_dots = data.count(b"\r\n.") != data.count(b"\r\n..")
        self._nul = self._nul or b"\0" in data
        if self._foreign:
            data, self._foreign = data[2:], False
        return [Block(data)] if data else []

    def _found(self) -> Defects:
        if self._bare or self._single_dots or self._nul:
            return Defects(self._bare, self._single_dots, self._nul)
        return _SOUND


def stuff(octets: bytes) -> bytes:
    """Double the dot of every line that begins with one (RFC 5321, 4.5.2); `octets` begin at a line's start."""
    if octets.startswith(b"."):
        octets = b"." + octets
    return octets.replace(b"\r\n.", b"\r\n..")


def unstuff(octets: bytes) -> bytes:
    """Take the first dot off every line that begins with one; `octets` begin at a line's start."""
    if octets.startswith(b"."):
        octets = octets[1:]
    return octets.replace(b"\r\n.", b"\r\n")


def canonical(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """
    Yield data in wire form anew, from data as a sender gave them, cut anywhere.

    The result holds CR and LF only as pairs, doubles the dot of every line that begins with one, and ends
    with CRLF or is empty.
    """
    # Held back between blocks: a line end, because a dot may follow it, and the dot that is to be taken off, because
    # what follows then begins the line and may be a dot again.  The data begin at a line's start.
    held = b"\r\n"
    foreign = 2
    for block in blocks:
        held += block
        keep = next((len(end) for end in _JOINTS if held.endswith(end)), 0)
        cut = len(held) - keep
        if out := _rewritten(held[:cut])[foreign:]:
            yield out
        foreign = foreign if cut == 0 else 0
        held = held[cut:]
    if out := _rewritten(held)[foreign:]:
        yield out


def _rewritten(data: bytes) -> bytes:
    """Rewrite data in which every dot that begins a line stands behind its line end; they may begin within a line."""
    content = data.replace(b"\r\n.", b"\r\n")
    lines = _STRAY.sub(b" ", _LINE_ENDS.sub(b"\r\n", content))
    return lines.replace(b"\r\n.", b"\r\n..")
