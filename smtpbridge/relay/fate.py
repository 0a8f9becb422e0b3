"""
What is to become of a parcel after an attempt: who is given up, who is tried again.  Pure.

As Postfix does: what is too old is tried once more, and given up when that was no success.
"""

from dataclasses import dataclass

from smtpbridge.relay.verdict import Outcome, Refused, final_refusal


@dataclass(frozen=True, slots=True)
class Fate:
    """Whom the bridge gives up: refused, or `unknown`, perhaps taken; `later` refused for now, and all who `remain`."""

    lost: tuple[Refused, ...]
    unknown: tuple[Refused, ...]
    later: tuple[str, ...]
    remain: tuple[str, ...]


def fate_of(outcome: Outcome, *, expired: bool) -> Fate:
    """Decide by what was answered, and by whether the parcel's time is over."""
    lost = tuple(one for one in outcome.refused if expired or final_refusal(one.answer))
    if expired:
        return Fate(lost, tuple(Refused(address, outcome.answer) for address in outcome.unknown), (), ())
    later = tuple(one.address for one in outcome.refused if not final_refusal(one.answer))
    return Fate(lost, (), later, (*later, *outcome.unknown))
