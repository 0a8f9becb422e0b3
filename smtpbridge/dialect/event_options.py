"""
What an operator may choose about SparkPost's events.

What must not be known here: the configuration file.
"""

from dataclasses import dataclass
from enum import Enum

from smtpbridge.dialect.bounce_class import BounceClass
from smtpbridge.dialect.sparkpost_event import Account


class Unsubscription(Enum):
    """Which event an unsubscription becomes: Infobip does not say whether it was by link or by header field."""

    LINK = "link_unsubscribe"
    LIST = "list_unsubscribe"


@dataclass(frozen=True, slots=True)
class EventOptions:
    """
    The switches, with the defaults that suit most.

    `policy_rejection_class` is written into every policy_rejection instead of the table's; SparkPost wrote 25.
    """

    injection: bool = True
    delay: bool = True
    initial_open: bool = False
    unsubscription: Unsubscription = Unsubscription.LINK
    policy_rejection_class: BounceClass | None = None
    customer_id: str = ""

    @property
    def account(self) -> Account:
        """Return what is the same for all events."""
        return Account(self.customer_id, self.initial_open)
