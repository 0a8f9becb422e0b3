"""
What went wrong with a post, in a word to count by and in words for the operator.

What the other side chose is cut and made printable.  Its addresses and secrets are not in here.

What must not be known here: what was posted.
"""

from dataclasses import dataclass
from enum import Enum

from OpenSSL import SSL
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    DNSLookupError,
    UnknownHostError,
)
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.python.failure import Failure
from twisted.web._newclient import RequestTransmissionFailed  # named in no public module
from twisted.web.client import ResponseFailed

from smtpbridge.errors import SmtpbridgeError

_LENGTH = 300


class Came(Enum):
    """What came of a post."""

    TAKEN = "taken"
    REFUSED = "refused"
    """The target answered with another status than 2xx."""
    REDIRECTED = "redirected"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    LOST = "lost"
    """The connection ended before the answer did."""
    LOGIN = "login"
    """No token was to be had."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a post; `words` are for the operator, `status` is HTTP's where there was one."""

    came: Came
    words: str
    status: int | None = None


class ProxyRefused(SmtpbridgeError):
    """A proxy did not let us through to the target; the text says what it said."""


def outcome_of(error: BaseException) -> Outcome:
    """Return what the failure of a request means."""
    error = _innermost(error)
    match error:
        case SSL.Error():
            return Outcome(Came.TLS, f"TLS failed: {_cut(str(error) or repr(error))}")
        case ProxyRefused():
            return Outcome(Came.UNREACHABLE, _cut(str(error)))
        case DNSLookupError() | UnknownHostError():
            return Outcome(Came.UNREACHABLE, "the name of its host is not known: look at url and at DNS")
        case Refused():
            return Outcome(Came.UNREACHABLE, "connection refused: is it running, and is the port right?")
        case ConnectTimeout() | ConnectingCancelledError():
            return Outcome(Came.TIMEOUT, "no connection in time: look at url and at the firewall")
        case ConnectError():
            return Outcome(Came.UNREACHABLE, f"no connection: {_cut(str(error))}")
        case _:
            return Outcome(Came.LOST, f"the connection was lost before the answer: {_cut(str(error))}")


def _innermost(error: BaseException) -> BaseException:
    """Return what is below Twisted's wrapping: of several reasons the one about TLS, else the first."""
    while isinstance(error, ResponseFailed | RequestTransmissionFailed) and error.reasons:
        found = [one.value for one in error.reasons if isinstance(one, Failure) and one.value is not None]
        error = next((one for one in found if isinstance(one, SSL.Error)), found[0] if found else ConnectError())
    return error


def _cut(text: str) -> str:
    plain = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return plain if len(plain) <= _LENGTH else f"{plain[:_LENGTH]}..."
