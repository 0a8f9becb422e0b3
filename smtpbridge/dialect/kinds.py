"""
The kinds of remarks and refusals: the fixed words that a translation is counted by.

Whoever counts shows a zero for each from the start, so an alert sees the first one.  A test compares the lists with
the places where remarks and refusals are made.
"""

# What the sender's operator ought to mend or know.
WARNINGS = (
    "broken-lines",
    "callback-data-truncated",
    "control-in-name",
    "dkim-key",
    "inline-css",
    "ip-pool",
    "joined-folds",
    "lenient-json",
    "link-marks",
    "list-unsubscribe",
    "own-callback-data",
    "own-notify-url",
    "own-tracking-url",
    "skip-suppression",
    "split-strings",
    "subaccount",
    "too-many-links",
    "unsubscribe-link",
)
# What is for the log only.
NOTES = (
    "envelope-sender",
    "ignored-field",
    "ignored-option",
    "link-attribute",
    "link-name",
    "sink",
    "tags-dropped",
    "unknown-field",
    "unknown-option",
    "untracked-link",
    "words-in-strings",
)
# Why nobody gets a message; an option that the configuration refuses has the name of its warning.
REFUSALS = (
    "address",
    "campaign",
    "copies",
    "differs",
    "dkim-key",
    "inline-css",
    "ip-pool",
    "json",
    "limit",
    "loop",
    "skip-suppression",
    "type",
    "utf-8",
)
