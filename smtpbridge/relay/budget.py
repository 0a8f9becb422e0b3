"""
How much room the messages of this process may take, in memory and in temporary files.

Theory of operation
-------------------

Every `Spool` takes its octets from one `Budget` as they come, and gives them back
when it is discarded, or when the `Content` that was made of it is closed, which is
up to ten minutes later: a message that waits for its verdict counts.

Memory.  Beyond `max_memory` a block goes to the temporary file of its message at
once, however small the message is.  Nobody waits for memory.

Temporary files.  Beyond `max_temporary` a spool is *held up*: its sender is not read,
TCP tells the sender so, and nothing is dropped.  What has been received is always
kept.  A session notices with the block that it has just brought, so the files may
outgrow the limit by one block (64 KiB) for each session, by what moves there from
memory (`max_memory` at the most), by one message for the right of way below, and by
the new form of one that is being written anew: with the defaults, 4,096 sessions and
messages of 20 MiB, by less than 600 MiB.

Who is held up stands in a line, once and as long as its message is neither whole nor
given up, so the line is never longer than there are sessions.  Where room is given
back, as many are called from its head as find room for a block each; a call is no
promise, and who finds the room gone stands at the end again.  Should those who were
called send nothing, each block that anybody else brings, and the end of each of
theirs, calls more.

No deadlock.  Messages that wait for their verdict give their room back by themselves.
Where half-received ones alone hold all of it, nobody would: then the first in the
line has the right of way, and goes on beyond the limit.  It keeps that until its
message is given up or has its verdict, so never more than one message is beyond the
limit for it.  It is read, so its deadlines run: a sender that stalls loses the way
within `data_seconds`, one that is slow by the minimum rate.  Who is held up for
`data_seconds` should be told 421 4.3.1 and cut off (nothing else can be said in the
middle of the data), and its room returns; that is the business of who serves it.

What counts.  The data of a message as they came, in memory or in a file; of a message
in a file also its header, which is read back; and what a translation made anew of a
body.  Of a message that lies in memory, header and body are there once.

What does not count, because something else bounds it:

- the block being read, 64 KiB in all, and what a session keeps of commands and of
  octets that came behind a message: `max_line_bytes`, or 64 KiB with a block, for each;
- lists of blocks: a spool joins small ones, so they cost it less than 32 KiB;
- one message at a time while it is sealed or translated: up to three times its size
  where that is at most `spool_bytes`, else a few times its header;
- the headers that a plan writes: about as much as the message's own, for each message
  under way;
- what a connection to the provider has not sent yet: 64 KiB and a block, the same
  again under TLS, less than 6 MiB for 20 connections; a header is written whole;
- the store's copy of a body of up to 64 KiB that waits for its commit, one for each
  message; a longer one is copied in blocks, at most four at a time;
- what the queue reads back: up to 64 KiB for each connection.

A temporary folder that lies in memory (a tmpfs; /tmp is one in many places) makes
memory of all the files, so an operator should name one on a disk.

What must not be known here: sockets, replies, what a message is.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.logger import Logger

from smtpbridge.relay.tally import Limit

_log = Logger(__name__)

# A thousand messages as large as may stay in memory at all (`spool_bytes`, 256 KiB), or 20,000 ordinary ones; and a
# quarter of the memory of the smallest machines that mail is sent from.
MAX_MEMORY = 268_435_456
# Some four hundred messages of the largest size, which is ten minutes of a provider that takes its time; and little
# enough to be free on any disk.
MAX_TEMPORARY = 8 * 1024**3
# A header of this size always finds room: nearly all have less than a quarter of it, and 4,096 sessions at once need
# 64 MiB for theirs.
ORDINARY_HEADER = 16_384
# What a sender brings at a time.
_BLOCK = 65_536


class Party(Protocol):
    """Somebody who can be held up."""

    def go_on(self) -> None:
        """There is room again, or the right of way; called once for each time that somebody is held up."""


def _uncounted(limit: Limit) -> None:
    """Nobody counts."""


class Budget:
    """
    The room that there is.

    `memory` and `temporary` are octets in use.  For what lies in memory a spool adds and subtracts by itself: the
    ordinary message costs no call.
    """

    def __init__(
        self,
        max_memory: int = MAX_MEMORY,
        max_temporary: int = MAX_TEMPORARY,
        folder: str | None = None,
        reached: Callable[[Limit], None] = _uncounted,
    ) -> None:
        """
        Bound both, in octets; `folder` is for the temporary files, default the system's ($TMPDIR, else /tmp).

        `reached` hears of each message that a bound holds up or sends to its file.
        """
        self.max_memory = max_memory
        self.max_temporary = max_temporary
        self.folder = folder
        self.memory = 0
        self.temporary = 0
        self._reached = reached
        # What of `temporary` belongs to messages that are not whole yet.
        self._unfinished = 0
        self._line: dict[Party, None] = {}
        self._ahead: Party | None = None

    def renew(self, max_memory: int, max_temporary: int, folder: str | None) -> None:
        """Bound by these from now on; a file that was begun stays where it is."""
        self.max_memory = max_memory
        self.max_temporary = max_temporary
        self.folder = folder
        self._call()

    @property
    def waiting(self) -> int:
        """How many are held up."""
        return len(self._line)

    def has_memory_for(self, header: int) -> bool:
        """Tell whether a header of so many octets may be read back from a file."""
        return header <= ORDINARY_HEADER or self.memory + header <= self.max_memory

    def spilled(self) -> None:
        """A message goes to its file for want of memory."""
        self._reached(Limit.MAX_BODY_MEMORY_BYTES)

    def wrote(self, party: Party, octets: int) -> bool:
        """Count what `party` has put into its file; tell whether it is held up now."""
        self.temporary += octets
        self._unfinished += octets
        if self.temporary >= self.max_temporary and party is not self._ahead:
            self._line[party] = None
            self._reached(Limit.MAX_TEMPORARY_BYTES)
        self._call()
        return party in self._line

    def finished(self, party: Party, octets: int) -> None:
        """The message is whole: its file holds so many octets until `give_back`."""
        self._unfinished -= octets
        self._line.pop(party, None)
        self._call()

    def dropped(self, party: Party, octets: int) -> None:
        """The message is given up, and its file, of so many octets, is closed."""
        self._unfinished -= octets
        self._line.pop(party, None)
        self.give_back(party, octets)

    def give_back(self, party: Party, octets: int) -> None:
        """The file of a message that was whole is closed."""
        self.temporary -= octets
        if party is self._ahead:
            self._ahead = None
        self._call()

    def _call(self) -> None:
        if not self._line:
            return
        room = self.max_temporary - self.temporary
        while self._line and room > 0:
            room -= _BLOCK
            self._let_on()
        if self._line and self._ahead is None and self._unfinished >= self.max_temporary:
            self._ahead = next(iter(self._line))
            self._let_on()

    def _let_on(self) -> None:
        party = next(iter(self._line))
        del self._line[party]
        try:
            party.go_on()
        except Exception:
            # Whoever gives room back has no part in what is wrong with another session.
            _log.failure("a session could not go on when there was room again")
