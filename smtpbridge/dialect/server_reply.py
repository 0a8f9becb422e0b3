"""
Read what the receiving server said: its code, its enhanced code (RFC 3463), and the bounce class that they amount to.

How it works: the enhanced code decides where it is one that says something about the recipient, the message or the way;
only then do words count, and of those only such as are not also used for anything else.  `mailbox unavailable` is not
among them: it is the text of RFC 5321, 4.2.3 for every 550, and servers say it to spam.  What is not recognised has no
class, and the caller keeps the one that it has.

A reply of the 4yz kind never gives a hard class, whatever its words.

What must not be known here: what Infobip made of the reply.
"""

import re
from dataclasses import dataclass

from smtpbridge.dialect.bounce_class import BounceClass

# Some write `smtp;` in front (RFC 3464, 2.3.6), and `#` before the enhanced code.
_CODE = re.compile(r"\W*(?:smtp;\s*)?([245])([0-9]{2})\b(?:[ -]+#?([245])\.([0-9]{1,3})\.([0-9]{1,3})\b)?", re.ASCII)
_NO_SUCH_MAILBOX = re.compile(
    r"no such (?:user|recipient|mailbox|account)|user (?:unknown|not found|does not exist|doesn'?t exist)"
    r"|unknown user|(?:recipient|account|mailbox) (?:not found|unknown|does not exist)|no mailbox here",
    re.IGNORECASE,
)
_FULL = re.compile(r"over ?quota|quota exceeded|exceeded (?:its |the )?(?:storage )?quota|mailbox (?:is )?full", re.I)
_LISTED = re.compile(r"spamhaus|spamcop|barracuda|\bsorbs\b|dnsbl|\brbl\b|black ?list|block ?list|reputation", re.I)
_SPAM = re.compile(r"\b(?:spam|virus|malware|phishing)", re.I)
_ATTACHMENT = re.compile(r"attachment", re.I)
_RELAY = re.compile(r"\brelay", re.I)

# RFC 3463, 3: subject and detail.  5.1.0, 5.1.7, 5.1.8 speak of the sender, 5.2.1 of a mailbox that may come back.
_BY_ENHANCED = {
    (1, 1): BounceClass.INVALID_RECIPIENT,
    (1, 2): BounceClass.DNS_FAILURE,
    (1, 3): BounceClass.INVALID_RECIPIENT,
    (1, 10): BounceClass.DNS_FAILURE,
    (2, 2): BounceClass.MAILBOX_FULL,
    (2, 3): BounceClass.TOO_LARGE,
    (3, 4): BounceClass.TOO_LARGE,
    (4, 3): BounceClass.DNS_FAILURE,
    (4, 4): BounceClass.DNS_FAILURE,
    (4, 7): BounceClass.TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class ServerReply:
    """A reply as read.  `code` is its three digits or empty; `bounce_class` is None where it tells none."""

    code: str = ""
    bounce_class: BounceClass | None = None

    @property
    def is_positive(self) -> bool:
        """Tell whether the server took the message."""
        return self.code.startswith("2")

    @property
    def is_temporary(self) -> bool:
        """Tell whether the server asked for another attempt."""
        return self.code.startswith("4")

    @property
    def is_permanent(self) -> bool:
        """Tell whether the server asked for none."""
        return self.code.startswith("5")


def read(text: str) -> ServerReply:
    """Return what a server's reply says; one that is none says nothing."""
    match = _CODE.match(text)
    if match is None:
        return ServerReply()
    first, rest, klass, subject, detail = match.groups()
    enhanced = (int(subject), int(detail)) if klass == first else None
    if first == "2":
        return ServerReply(first + rest)
    found = _temporary(enhanced, text) if first == "4" else _permanent(first + rest, enhanced, text)
    return ServerReply(first + rest, found)


def _temporary(enhanced: tuple[int, int] | None, text: str) -> BounceClass:
    """Return a soft class: mailbox full, DNS, timeout, or one of the two for everything else."""
    found = _BY_ENHANCED.get(enhanced) if enhanced else None
    if found is not None and found is not BounceClass.INVALID_RECIPIENT:
        return found
    if _FULL.search(text):
        return BounceClass.MAILBOX_FULL
    # Of the mailbox (X.1, X.2) or of the way, the system and its policy (X.3 to X.7).
    return BounceClass.TRANSIENT_FAILURE if enhanced and enhanced[0] > 2 else BounceClass.SOFT_BOUNCE


def _permanent(code: str, enhanced: tuple[int, int] | None, text: str) -> BounceClass | None:
    found = _BY_ENHANCED.get(enhanced) if enhanced else None
    if found is not None:
        return found
    if enhanced and enhanced[0] in (6, 7):
        return _policy(text)
    if code == "552" or _FULL.search(text):
        return BounceClass.MAILBOX_FULL if _FULL.search(text) else BounceClass.TOO_LARGE
    if _LISTED.search(text) or _SPAM.search(text):
        return _policy(text)
    says_nothing_else = (enhanced is None or enhanced[1] == 0) and "sender" not in text.lower()
    return BounceClass.INVALID_RECIPIENT if says_nothing_else and _NO_SUCH_MAILBOX.search(text) else None


def _policy(text: str) -> BounceClass:
    """Return which kind of block it is."""
    if _LISTED.search(text):
        return BounceClass.SPAM_BLOCK
    if _SPAM.search(text):
        return BounceClass.SPAM_CONTENT
    if _ATTACHMENT.search(text):
        return BounceClass.PROHIBITED_ATTACHMENT
    return BounceClass.RELAYING_DENIED if _RELAY.search(text) else BounceClass.MAIL_BLOCK
