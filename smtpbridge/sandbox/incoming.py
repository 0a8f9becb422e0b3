"""
One message on its way in: its header is kept for the verdict, all of it goes to the draft.

The blocks come in wire form.  `EndFinder` never ends a block within CRLF and a
dot, so the dots can be undone block by block (RFC 5321, 4.5.2): behind each
CRLF, and at the very beginning.  Memory holds the header and one block,
however long the message is.

What must not be known here: files, connections, and what a header means.
"""

import os
from typing import Protocol

from smtpbridge.mail.headers import HeaderBlock, end_of_header

# More header than this is not looked at; the bridge itself takes no more from its senders.
_HEADER_MOST = 4 * 1024 * 1024
_EMPTY_LINE = b"\r\n\r\n"


class Sink(Protocol):
    """Where the octets of a message go."""

    def write(self, octets: bytes) -> None:
        """Append."""

    def keep(self, name: os.PathLike[str]) -> None:
        """Put what was written under its name."""

    def discard(self) -> None:
        """Forget all of it, unless it was kept."""


class Incoming:
    """The data of one transaction; `in_header` tells that the empty line behind the header has not come yet."""

    def __init__(self, sender: str, recipients: tuple[str, ...], sink: Sink | None) -> None:
        """Begin before the first line; without a `sink` only the header is kept."""
        self.sender = sender
        self.recipients = recipients
        self.size = 0
        self.sink = sink
        self._begun = False
        self._head = bytearray()
        self.in_header = True

    def take(self, wire: bytes) -> None:
        """Take the next block."""
        plain = wire.replace(b"\r\n.", b"\r\n") if b"\n." in wire else wire
        if not self._begun:
            self._begun = True
            plain = plain.removeprefix(b".")
        self.size += len(plain)
        if self.in_header:
            self._look_for_body(plain)
        if self.sink is not None:
            self.sink.write(plain)

    def header(self) -> HeaderBlock:
        """Return the fields of the message, as far as it has come."""
        head = bytes(self._head)
        length, _ = end_of_header(head)
        return HeaderBlock.parse(head[:length])

    def discard(self) -> None:
        """Forget what came."""
        if self.sink is not None:
            self.sink.discard()

    def _look_for_body(self, plain: bytes) -> None:
        # The empty line may lie across the joint.
        start = max(0, len(self._head) - len(_EMPTY_LINE) + 1)
        self._head += plain
        at = self._head.find(_EMPTY_LINE, start)
        if at >= 0:
            del self._head[at + len(_EMPTY_LINE) :]
        self.in_header = at < 0 and len(self._head) < _HEADER_MOST
