"""
What a `ServerSession` is told once, and what it tells its skin.

`Terms` are the listener's conditions.  The events are what a session cannot
do by itself: decide about a login, start TLS, take a message, close.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from smtpbridge.smtp.commands import Mail
from smtpbridge.smtp.data import Block, Defects
from smtpbridge.smtp.replies import Reply
from smtpbridge.smtp.sasl import LoginAttempt
from smtpbridge.values import value


class Judge(Protocol):
    """An opinion from outside on the addresses of a transaction; a positive reply, or none, lets the address in."""

    def sender(self, mail: Mail) -> Reply | None:
        """Answer MAIL."""

    def recipient(self, address: str, accepted: int) -> Reply | None:
        """Answer RCPT; `accepted` recipients have been let in before."""


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What a listener offers and how much it bears with.

    Sizes are in octets.  `trusted` tells that the peer may relay without AUTH and may AUTH without TLS;
    `auth_offered` that there is anybody who could log in; `auth_required` that everybody must.  `keywords` replaces
    the extensions named after EHLO.  Without a `judge` every address is let in.
    """

    hostname: str
    trusted: bool = False
    starttls: bool = False
    auth_offered: bool = False
    auth_required: bool = False
    max_message: int = 20_905_984
    max_recipients: int = 1000
    max_line: int = 2048
    max_bad_commands: int = 20
    max_idle_commands: int = 100
    keywords: tuple[str, ...] | None = None
    judge: Judge | None = None


@dataclass(frozen=True, slots=True)
class UpgradeTls:
    """Write what there is to send, start the handshake, call `secured`."""


@value
class MessageBegins:
    """The envelope is complete; the data follow as one `MessageWhole`, or as `Block`s up to `MessageEnds`."""

    sender: str
    recipients: tuple[str, ...]
    eight_bit: bool


@value
class MessageEnds:
    """The data are complete; answer with `conclude`."""

    defects: Defects


@value
class MessageWhole:
    """The data, in wire form, have come in one piece and without defect; answer with `conclude`."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class MessageDropped:
    """The data went over the limit and will be refused at their end; forget what came of them."""


@dataclass(frozen=True, slots=True)
class Close:
    """Write what there is to send and close; `reason` is for the log."""

    reason: str


Event: TypeAlias = (
    LoginAttempt | UpgradeTls | MessageBegins | Block | MessageEnds | MessageWhole | MessageDropped | Close
)
