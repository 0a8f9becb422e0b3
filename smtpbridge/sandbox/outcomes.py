"""
Refusals on demand: what an address makes the sandbox do.

The real endpoint refuses for reasons that a test cannot bring about.  Here the
local part of an address names what is to happen, and the table `OUTCOMES` is
all there is to it: the code goes by it, `outcome_table` shows it to people.
The case of the name does not matter, and what stands behind a plus is free, so
`refuse+1@example.com` and `refuse+2@example.com` are two refused recipients.

The texts for `refuse` and `bad` are Infobip's own (its SMTP walk-through,
"Command pipelining"); the codes of the others are known only by their class,
because Infobip publishes no table of its 4xx and 5xx replies for SMTP.

What must not be known here: connections, and what a message says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from smtpbridge.smtp.commands import Mail
from smtpbridge.smtp.replies import Reply, reply


class Stage(Enum):
    """When an outcome comes; the value is how people are told."""

    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    BODY = "after 354"
    DOT = "final dot"


class Manner(Enum):
    """What becomes of the connection."""

    STAY = auto()
    HANG_UP = auto()
    CUT = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to an address with this local part; with `Manner.CUT` nobody hears it."""

    local_part: str
    stage: Stage
    code: int
    enhanced: str
    text: str
    manner: Manner = Manner.STAY

    def answer(self, address: str) -> Reply:
        """Return the reply about `address`."""
        return reply(self.code, self.enhanced, self.text.format(address=address))


def _closing(word: str, stage: Stage) -> tuple[Outcome, Outcome]:
    """Return the two ways to lose a connection: with 421 (RFC 5321, 3.8), and without a word."""
    suffix = f".{word}" if word else ""
    text = "Service not available for <{address}>, closing transmission channel"
    return (
        Outcome(f"hangup{suffix}", stage, 421, "4.3.2", text, Manner.HANG_UP),
        Outcome(f"cut{suffix}", stage, 421, "4.3.2", text, Manner.CUT),
    )


OUTCOMES = (
    Outcome("refuse.sender", Stage.MAIL, 550, "5.7.1", "Sender <{address}> not allowed"),
    Outcome("later.sender", Stage.MAIL, 451, "4.7.1", "Sender <{address}> not allowed now, try again later"),
    *_closing("sender", Stage.MAIL),
    Outcome("refuse", Stage.RCPT, 550, "5.7.1", "Recipient <{address}> not allowed"),
    # RFC 3463, 3.2 gives 5.1.7 to senders; Infobip writes it for recipients.
    Outcome("bad", Stage.RCPT, 501, "5.1.7", "Bad recipient address <{address}>"),
    Outcome("later", Stage.RCPT, 450, "4.2.1", "Recipient <{address}> not available now, try again later"),
    *_closing("", Stage.RCPT),
    *_closing("body", Stage.BODY),
    Outcome("reject.data", Stage.DOT, 554, "5.6.0", "Message rejected because of <{address}>"),
    Outcome("defer.data", Stage.DOT, 451, "4.3.0", "Message deferred because of <{address}>, try again later"),
    *_closing("data", Stage.DOT),
)
_BY_NAME = {(outcome.stage, outcome.local_part): outcome for outcome in OUTCOMES}


def provoked(address: str, stage: Stage) -> Outcome | None:
    """Return the outcome that `address` asks for at `stage`, if any."""
    local_part = address.rpartition("@")[0].partition("+")[0].lower()
    return _BY_NAME.get((stage, local_part))


def provoked_by_any(addresses: Iterable[str], stage: Stage) -> tuple[Outcome, str] | None:
    """Return the first outcome that one of `addresses` asks for at `stage`, and that address."""
    for address in addresses:
        if (outcome := provoked(address, stage)) is not None:
            return outcome, address
    return None


def outcome_table() -> str:
    """Return the table for people: address, moment, what happens; one line each."""
    said = {Manner.STAY: "", Manner.HANG_UP: ", then closes"}
    rows = [
        (
            f"{outcome.local_part}@",
            outcome.stage.value,
            "closes without a word"
            if outcome.manner is Manner.CUT
            else f"{outcome.answer('address')}{said[outcome.manner]}",
        )
        for outcome in OUTCOMES
    ]
    return "\n".join(f"{name:<16}{moment:<11}{effect}" for name, moment, effect in rows)


class AddressJudge:
    """
    The opinion on the addresses of one connection, in Infobip's words.

    `last_words` is set once an address asked for the end of the connection; it is what the session was given to
    say, and `silent` tells that not even that is to be said.
    """

    def __init__(self) -> None:
        """Begin with nothing asked for."""
        self.last_words: Reply | None = None
        self.silent = False

    def sender(self, mail: Mail) -> Reply:
        """Answer MAIL.  Everybody may send here, from the null path too: what is wrong shows at the final dot."""
        outcome = provoked(mail.sender, Stage.MAIL)
        if outcome is None:
            return reply(250, "2.1.0", f"Sender <{mail.sender}> OK")
        return self._noted(outcome, mail.sender)

    def recipient(self, address: str, accepted: int) -> Reply:
        """Answer RCPT, however many were `accepted` before: the session itself counts them."""
        outcome = provoked(address, Stage.RCPT)
        if outcome is None:
            return reply(250, "2.1.5", f"Recipient <{address}> OK")
        return self._noted(outcome, address)

    def _noted(self, outcome: Outcome, address: str) -> Reply:
        answer = outcome.answer(address)
        if outcome.manner is not Manner.STAY and self.last_words is None:
            self.last_words, self.silent = answer, outcome.manner is Manner.CUT
        return answer
