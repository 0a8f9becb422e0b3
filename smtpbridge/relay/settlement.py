"""
What follows from the outcomes of a message's transactions.  A pure function: the verdict, and what is to be kept.

Theory of operation
-------------------

In proxy mode a sender hears one reply, and the outcomes behind it may differ.
`settle` decides, by this table (docs/verdicts.md has it for operators):

    taken   not taken          a store       the sender hears             kept
    -----   ----------------   -----------   --------------------------   --------------------------------
    all     nobody             either        the first transaction's 250  nothing
    nobody  refused            either        upstream's class and words   nothing
    nobody  nobody knows       either        451                          nothing
    some    refused for now    there         250 once it is durable       those, to be tried again
    some    refused for good   there         250 once it is durable       those, tried once more, then reported
    some    nobody knows       there         250 once it is durable       those, held: not tried again
    some    anything           none, fails   451                          nothing; the log names both groups

What nobody knows about is not tried again by itself, because it may have been
taken; it is held, reported, and an operator may release it.

`Leftover` is one transaction's part of what is to be kept.
"""

from dataclasses import dataclass
from enum import Enum

from smtpbridge.relay.verdict import Outcome, Refused, final_refusal, verdict
from smtpbridge.smtp.replies import Reply
from smtpbridge.values import value


class Fate(Enum):
    """What is to become of recipients that the bridge took over."""

    RETRY = "retry"
    REPORT = "report"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Recipients of the transaction at `place` of the plan that share a fate, each with what was said."""

    place: int
    fate: Fate
    recipients: tuple[Refused, ...]


@value
class Settlement:
    """`answer` may be said once every leftover is durable; `otherwise` is said where that cannot be."""

    answer: Reply
    leftovers: tuple[Leftover, ...]
    otherwise: Reply


def settle(outcomes: list[Outcome]) -> Settlement:
    """Decide about a message; `outcomes` are in the order of its plan, at least one."""
    plain = verdict(outcomes)
    if plain.is_positive:
        return Settlement(plain, (), plain)
    accepted = next((outcome.answer for outcome in outcomes if outcome.taken), None)
    if accepted is None:
        return Settlement(plain, (), plain)
    leftovers = [leftover for place, outcome in enumerate(outcomes) for leftover in leftovers_of(place, outcome)]
    return Settlement(accepted, tuple(leftovers), plain)


def leftovers_of(place: int, outcome: Outcome) -> list[Leftover]:
    """Sort what one transaction left over by fate."""
    sorted_by_fate = {
        Fate.RETRY: tuple(one for one in outcome.refused if not final_refusal(one.answer)),
        Fate.REPORT: tuple(one for one in outcome.refused if final_refusal(one.answer)),
        Fate.HOLD: tuple(Refused(address, outcome.answer) for address in outcome.unknown),
    }
    return [Leftover(place, fate, recipients) for fate, recipients in sorted_by_fate.items() if recipients]
