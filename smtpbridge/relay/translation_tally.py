"""
What senders ask for in X-MSYS-API, and what there was to say about it, counted.

What must not be known here: how a message is read, and how figures are called.
"""

from collections import Counter

from smtpbridge.dialect.instructions import NOTHING, Instructions

# In the words of X-MSYS-API, each an attribute of `TranslationTally` and, but for the last, of `Instructions`.
FEATURES = (
    "campaign",
    "metadata",
    "tags",
    "cc",
    "bcc",
    "archive",
    "open_tracking",
    "click_tracking",
    "transactional",
    "skip_suppression",
    "inline_css",
    "ip_pool",
    "dkim_key",
    "subaccount",
)


class TranslationTally:
    """What senders ask for, and what is to say about it."""

    __slots__ = (
        "archive",
        "bcc",
        "campaign",
        "cc",
        "click_tracking",
        "dkim_key",
        "inline_css",
        "ip_pool",
        "metadata",
        "notes",
        "open_tracking",
        "refusals",
        "skip_suppression",
        "subaccount",
        "tags",
        "transactional",
        "warnings",
    )

    def __init__(self) -> None:
        """Begin with nothing."""
        self.warnings: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.campaign = self.metadata = self.tags = self.cc = self.bcc = self.archive = 0
        self.open_tracking = self.click_tracking = self.transactional = self.skip_suppression = 0
        self.inline_css = self.ip_pool = self.dkim_key = self.subaccount = 0

    def uses(self, wishes: Instructions, subaccount: str) -> None:
        """Count what a message asks for: a truth test for each, and an addition for those that it does."""
        if wishes is NOTHING and not subaccount:
            return
        if wishes.campaign:
            self.campaign += 1
        if wishes.metadata:
            self.metadata += 1
        if wishes.tags:
            self.tags += 1
        if wishes.cc:
            self.cc += 1
        if wishes.bcc:
            self.bcc += 1
        if wishes.archive:
            self.archive += 1
        if wishes.open_tracking:
            self.open_tracking += 1
        if wishes.click_tracking:
            self.click_tracking += 1
        if wishes.transactional:
            self.transactional += 1
        if wishes.skip_suppression:
            self.skip_suppression += 1
        if wishes.inline_css:
            self.inline_css += 1
        if wishes.ip_pool:
            self.ip_pool += 1
        if wishes.dkim_key:
            self.dkim_key += 1
        if subaccount:
            self.subaccount += 1
