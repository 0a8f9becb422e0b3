"""
Where a `ClientSession` stands, and what it tells its skin.

The events are what a session cannot do by itself: start TLS, write the data of
a message, close.  `Concluded` is the outcome of a transaction as the server put
it; what that means for a sender is decided elsewhere.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from smtpbridge.smtp.capabilities import Capabilities
from smtpbridge.smtp.replies import Excess, Reply
from smtpbridge.values import value


class State(Enum):
    """Where a connection stands."""

    GREETING = auto()
    HELLO = auto()
    STARTTLS = auto()
    HANDSHAKE = auto()
    SECURE_HELLO = auto()
    AUTH = auto()
    RESPONSES = auto()
    READY = auto()
    ENVELOPE = auto()
    BODY = auto()
    FINAL = auto()
    LONE_DOT = auto()
    CLOSED = auto()

    # Enum's own hash is a Python function, and the table is asked for each reply.
    __hash__ = object.__hash__


class Phase(Enum):
    """How far a transaction came.  Only in `FINAL` may the server have taken the message without saying so."""

    ENVELOPE = "envelope"
    BODY = "body"
    FINAL = "final"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class UpgradeTls:
    """Write what there is to send, start the handshake, call `secured` when the name is verified."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The connection takes mail."""

    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Unusable:
    """
    The connection is to be closed.

    `stage` is where, `why` for the log, `answer` what the server said, if it did, `excess` the bound that a reply went
    over, if that is why.
    """

    stage: State
    why: str
    answer: Reply | None = None
    excess: Excess | None = None


@dataclass(frozen=True, slots=True)
class GoAhead:
    """354: write the data, then what `end_data` returns."""


@value
class Concluded:
    """
    The end of a transaction.

    `mail` and `data` are the answers to MAIL and DATA, `recipients` those to each RCPT in order (`None`: none came),
    `final` is the answer to the final dot or one that came before it.  `unanimous` says that all of them are there and
    none is a refusal, so nobody has to look at each; where it is false that may be so all the same.
    """

    phase: Phase
    mail: Reply | None
    recipients: tuple[Reply | None, ...]
    data: Reply | None
    final: Reply | None
    unanimous: bool = field(default=False, compare=False)

    @property
    def hung_up(self) -> Reply | None:
        """The 421 that the server said before the final dot, if any: it speaks of the connection, not of the mail."""
        if self.unanimous:
            return None
        for answer in (self.mail, *self.recipients, self.data, self.final if self.phase is Phase.BODY else None):
            if answer is not None and answer.code == 421:
                return answer
        return None


Event: TypeAlias = UpgradeTls | Ready | Unusable | GoAhead | Concluded
