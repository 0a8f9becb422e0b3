"""
Say which targets an event is for: each takes some types, and the mail of some subaccounts.

What must not be known here: where a target is, and how it is posted to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from smtpbridge.dialect.sparkpost_event import EventType

NO_SUBACCOUNT = "0"  # SparkPost's name for the account itself


@dataclass(frozen=True, slots=True)
class Listening:
    """One target: what it takes.  No `subaccounts` means all of them; "0" is the mail of none."""

    target: str
    types: frozenset[EventType]
    subaccounts: frozenset[str] = frozenset()

    def wants(self, type_: EventType, subaccount: str) -> bool:
        """Tell whether an event of that type about mail of that subaccount (empty: none) is for this target."""
        return type_ in self.types and (not self.subaccounts or (subaccount or NO_SUBACCOUNT) in self.subaccounts)


def audience(targets: Sequence[Listening], type_: EventType, subaccount: str) -> tuple[str, ...]:
    """Return the names of the targets that an event is for."""
    return tuple([one.target for one in targets if one.wants(type_, subaccount)])
