"""
SparkPost's bounce classes.

1, undetermined, is not among them: Mailtrain stops writing to a recipient after it, as if it were hard.  What cannot be
determined is 40, which means the same and is soft for everybody.

What must not be known here: what Infobip says.
"""

from enum import Enum


class BounceClass(Enum):
    """The classes that the bridge writes, by SparkPost's names."""

    INVALID_RECIPIENT = "10"
    SOFT_BOUNCE = "20"
    DNS_FAILURE = "21"
    MAILBOX_FULL = "22"
    TOO_LARGE = "23"
    TIMEOUT = "24"
    ADMIN_FAILURE = "25"
    NO_RCPT = "30"
    GENERIC_BOUNCE = "40"
    MAIL_BLOCK = "50"
    SPAM_BLOCK = "51"
    SPAM_CONTENT = "52"
    PROHIBITED_ATTACHMENT = "53"
    RELAYING_DENIED = "54"
    TRANSIENT_FAILURE = "70"


# Every consumer stops writing to a recipient after one of these.
HARD = frozenset({BounceClass.INVALID_RECIPIENT, BounceClass.NO_RCPT})
