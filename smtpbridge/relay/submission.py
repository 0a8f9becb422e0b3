"""A whole message with all that the relay must know of it, and what a transaction sends."""

from dataclasses import field
from typing import Protocol

from smtpbridge.dialect.policy import UNSAID, Defaults
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace
from smtpbridge.relay.content import Content
from smtpbridge.relay.tallies import ListenerTally
from smtpbridge.values import value


class Sendable(Protocol):
    """A body in wire form, read by position so that several transactions can send it at the same time."""

    @property
    def body_size(self) -> int:
        """All its octets."""

    @property
    def in_memory(self) -> bytes | None:
        """The body, where it is in memory."""

    def read(self, at: int) -> bytes:
        """Return up to 64 KiB from that position on, none at the end."""

    def is_ascii(self) -> bool:
        """Tell whether all of it is 7-bit."""

    def close(self) -> None:
        """Give it back."""


@value
class Submission:
    """
    A message as it came in.

    `id` joins log lines and stands in `Received`; `until` is when its sender must have an answer, in the clock's
    seconds; `subaccount` are the digits of the user name's suffix, empty without one; `defaults` are those of its
    listener and login.  `source` names by whom the queue is to be fair; `queued` asks for the answer once the message
    is stored; `traffic` is where its listener counts.
    """

    id: str
    envelope: Envelope
    content: Content
    eight_bit: bool
    trace: Trace
    subaccount: str
    until: float
    defaults: Defaults = UNSAID
    source: str = ""
    queued: bool = False
    traffic: ListenerTally = field(default_factory=ListenerTally)


@value
class Outgoing:
    """What an attempt sends, and until when it may wait for a connection."""

    id: str
    body: Sendable
    eight_bit: bool
    until: float
