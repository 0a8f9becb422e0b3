"""
Of which kind a failed dial is: what an operator has to look at, as one word to count by.

The texts that it goes by are those of the connection and of the libraries below; one that nobody foresaw is a
lost connection.
"""

from enum import Enum

from smtpbridge.relay.standing import OF_LOGINS
from smtpbridge.relay.tls_words import TLS_FAILED, VERIFY_FAILED
from smtpbridge.smtp.replies import Reply


class DialFault(Enum):
    """Why no connection came about; the value is how it is counted."""

    NAME = "name"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    CERTIFICATE = "certificate"
    TLS = "tls"
    LOGIN = "login"
    ANSWER = "answer"
    LOST = "lost"

    # Enum's own hash is a Python function.
    __hash__ = object.__hash__


# The first that fits counts: what TLS says may hold words of the others.
_SIGNS = (
    (VERIFY_FAILED, DialFault.CERTIFICATE),
    (TLS_FAILED, DialFault.TLS),
    ("lookup failed", DialFault.NAME),
    ("looked up", DialFault.NAME),
    ("no answer in time", DialFault.TIMEOUT),
    ("timeout", DialFault.TIMEOUT),
    ("timed out", DialFault.TIMEOUT),
    ("refused", DialFault.REFUSED),
)


def dial_fault(why: str, answer: Reply | None) -> DialFault:
    """Return the kind; `why` is what the connection says, `answer` the reply that was behind it."""
    if answer is not None:
        return DialFault.LOGIN if answer.code in OF_LOGINS else DialFault.ANSWER
    return next((fault for sign, fault in _SIGNS if sign in why), DialFault.LOST)
