"""
What happened when a host was tried: values, and what the first octets of a port give away.

`probing` makes these, `diagnosis` says what they mean.  No I/O.
"""

from dataclasses import dataclass, field
from enum import Enum

from smtpbridge.smtp.capabilities import NOTHING, Capabilities
from smtpbridge.smtp.client_events import State
from smtpbridge.smtp.replies import Reply


class Name(Enum):
    """What the resolver said of a name."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    NO_ADDRESS = "no address"
    NO_ANSWER = "no answer"


class Way(Enum):
    """What came of a TCP connection."""

    OPEN = "open"
    REFUSED = "connection refused"
    SILENT = "no answer"
    NO_ROUTE = "no route"


class Speaks(Enum):
    """What a port speaks, by the first octets that came from it."""

    NOTHING = "nothing"
    SMTP = "SMTP"
    TLS = "TLS"
    HTTP = "HTTP"
    SSH = "SSH"
    IMAP = "IMAP"
    POP = "POP3"
    OTHER = "something that is not SMTP"


@dataclass(frozen=True, slots=True)
class Knock:
    """One address of a host, and what came of connecting to it; `said` has the system's words where it failed."""

    address: str
    way: Way
    said: str = ""

    @property
    def is_ipv6(self) -> bool:
        """Tell the family."""
        return ":" in self.address


@dataclass(frozen=True, slots=True)
class Talk:
    """
    How a conversation ended: in which state of the session, for which reason, with which reply.

    `silent` tells that it ended because nothing came any more, `speaks` what was heard first, `sender` what MAIL was
    answered where a sender was to be tried.
    """

    state: State
    why: str = ""
    answer: Reply | None = None
    silent: bool = False
    speaks: Speaks = Speaks.NOTHING
    secure: bool = False
    tls_version: str = ""
    offered: Capabilities = NOTHING
    sender: Reply | None = None

    @property
    def is_ready(self) -> bool:
        """Tell whether the host takes mail."""
        return self.state is State.READY and not self.why


@dataclass(frozen=True, slots=True)
class Trial:
    """
    All that was seen of a host.

    `below` is what the port speaks when it is asked in the other way: within TLS where TLS was not expected, in the
    clear where it was; `encrypted` tells that it took the handshake.
    """

    name: Name
    knocks: tuple[Knock, ...] = ()
    talk: Talk | None = None
    below: Speaks = Speaks.NOTHING
    encrypted: bool = False
    resolver: str = field(default="")


def speaks(first: bytes) -> Speaks:
    """Return what a port speaks that began like this."""
    # RFC 5321, 4.2: a code and a blank, a hyphen or nothing.
    if first[:3].isdigit() and first[3:4] in (b" ", b"-", b"\r"):
        return Speaks.SMTP
    return next((found for start, found in _STARTS if first.startswith(start)), Speaks.OTHER)


_STARTS = (
    # An alert and a handshake record of TLS (RFC 8446, 5.1).
    (b"\x15\x03", Speaks.TLS),
    (b"\x16\x03", Speaks.TLS),
    (b"HTTP/", Speaks.HTTP),
    (b"<", Speaks.HTTP),
    (b"SSH-", Speaks.SSH),
    (b"* ", Speaks.IMAP),
    (b"+OK", Speaks.POP),
)
