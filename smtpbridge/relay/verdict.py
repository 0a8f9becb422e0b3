"""
What became of each recipient, and what the sender hears.  Pure functions over replies.

Theory of operation
-------------------

`outcome_of` reads one finished transaction: for each recipient it was taken, or
refused with these words, or nobody knows, because the final dot went out
and no reply came back (RFC 1047).

`verdict` joins the outcomes of a message's transactions to the one reply that its
sender gets (design: the promise):

    everything taken            the first transaction's own 250
    nothing taken               upstream's refusal in its own words; any 4xx makes it one to retry
    nobody knows about some     451: the sender retries, a double is better than a loss
    some taken, some not        451, because nothing here could keep the rest yet

Refusals that speak of the connection and not of the mail (421; authentication
demanded although the bridge logs in) never reach the sender as 5xx.
"""

from dataclasses import dataclass
from enum import Enum

from smtpbridge.smtp.client import Concluded, Phase
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.values import value

# 421: the connection ends.  530, 534, 535, 538: who the bridge is (RFC 4954, 6), which is no fault of the sender.
_ABOUT_THE_CONNECTION = frozenset({421, 530, 534, 535, 538})
_UNKNOWN = reply(451, "4.4.2", "The connection was lost behind the final dot; the outcome is unknown")
_LOST = reply(451, "4.4.2", "The connection to the provider was lost")


@dataclass(frozen=True, slots=True)
class Refused:
    """A recipient and what was said about it."""

    address: str
    answer: Reply


class Stage(Enum):
    """Where a transaction was decided: a refusal at the first two is about the provider, not about the message."""

    CONNECTION = "connection"
    MAIL = "mail"
    RECIPIENTS = "recipients"
    DATA = "data"


@value
class Outcome:
    """One transaction: who was taken, who was refused, of whom nobody knows; `answer` is the reply behind it all."""

    taken: tuple[str, ...]
    refused: tuple[Refused, ...]
    unknown: tuple[str, ...]
    answer: Reply
    stage: Stage = Stage.DATA

    @property
    def is_whole(self) -> bool:
        """Tell whether everybody was taken."""
        return not self.refused and not self.unknown

    @property
    def is_about_the_provider(self) -> bool:
        """Tell whether another message would have fared the same just now."""
        return self.stage is Stage.CONNECTION or (self.stage is Stage.MAIL and not final_refusal(self.answer))


def outcome_of(recipients: tuple[str, ...], end: Concluded) -> Outcome:
    """Say what became of `recipients`, in their order, in the transaction that ended so."""
    if end.unanimous and end.final is not None:
        return Outcome(recipients, (), (), end.final)
    if end.mail is None or not end.mail.is_positive:
        stage = Stage.CONNECTION if end.mail is None else Stage.MAIL
        return _all_refused(recipients, end.mail or _LOST, stage)
    refused = []
    let_in = []
    for address, answer in zip(recipients, end.recipients, strict=True):
        if answer is not None and answer.is_positive:
            let_in.append(address)
        else:
            refused.append(Refused(address, answer or _LOST))
    if not let_in:
        return Outcome((), tuple(refused), (), worst([one.answer for one in refused]), Stage.RECIPIENTS)
    if end.phase is Phase.FINAL:
        return Outcome((), tuple(refused), tuple(let_in), _UNKNOWN)
    final = end.final or (end.data if end.data is not None and end.data.code >= 400 else None) or _LOST
    if final.is_positive:
        return Outcome(tuple(let_in), tuple(refused), (), final)
    said = {one.address: one.answer for one in refused} | dict.fromkeys(let_in, final)
    return Outcome((), tuple(Refused(address, said[address]) for address in recipients), (), final)


def not_sent(recipients: tuple[str, ...], answer: Reply) -> Outcome:
    """Return the outcome of a transaction that did not come about."""
    return _all_refused(recipients, answer, Stage.CONNECTION)


def verdict(outcomes: list[Outcome]) -> Reply:
    """Return the reply to the message's sender; `outcomes` are in the order of the plan, at least one."""
    if all(outcome.is_whole for outcome in outcomes):
        return outcomes[0].answer
    taken = [address for outcome in outcomes for address in outcome.taken]
    refused = [one for outcome in outcomes for one in outcome.refused]
    unknown = [address for outcome in outcomes for address in outcome.unknown]
    if not taken and not unknown:
        return for_sender(worst([one.answer for one in refused]))
    if not refused:
        return _UNKNOWN
    some = refused[0]
    return reply(
        451,
        "4.3.0",
        f"{len(refused)} of {len(taken) + len(refused) + len(unknown)} recipients were not taken, for instance "
        f"<{some.address}>: {some.answer}",
    )


def worst(answers: list[Reply]) -> Reply:
    """Return the refusal that stands for all: the first to be retried if there is one, else the first."""
    return next((answer for answer in answers if not final_refusal(answer)), answers[0])


def final_refusal(answer: Reply) -> bool:
    """Tell whether retrying is pointless."""
    return answer.is_permanent and answer.code not in _ABOUT_THE_CONNECTION


def for_sender(answer: Reply) -> Reply:
    """Return a refusal as the sender may hear it: one about the connection becomes 451 with the same words."""
    if answer.code not in _ABOUT_THE_CONNECTION and (answer.is_transient or answer.is_permanent):
        return answer
    # Anything that is no refusal where one was due (RFC 5321, 4.3.2) counts as a fault of the next hop.
    enhanced = f"4{answer.enhanced[1:]}" if answer.enhanced else "4.3.0"
    return Reply(451, enhanced, answer.lines)


def _all_refused(recipients: tuple[str, ...], answer: Reply, stage: Stage) -> Outcome:
    return Outcome((), tuple(Refused(address, answer) for address in recipients), (), answer, stage)
