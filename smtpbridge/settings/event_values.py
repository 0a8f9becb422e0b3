"""
`[events]` as values: where Infobip reports to, and who hears of it.

Each default that the file may leave out stands here, once, with its reason.  No reading, no checking.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TypeAlias

from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.sparkpost_event import EventType
from smtpbridge.dialect.token import inbox_path
from smtpbridge.secret import Secret
from smtpbridge.signature import Signature

EVERY_TYPE = frozenset(EventType)


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP Basic (RFC 7617)."""

    username: str
    password: Secret


@dataclass(frozen=True, slots=True)
class HeaderToken:
    """A header with a fixed value, as SparkPost's `X-MessageSystems-Webhook-Token`; `token` is all of the value."""

    header: str
    token: Secret


@dataclass(frozen=True, slots=True)
class OAuth2:
    """OAuth 2, client credentials (RFC 6749, 4.4)."""

    token_url: str
    client_id: str
    client_secret: Secret
    scope: str = ""


Proof: TypeAlias = Basic | HeaderToken | OAuth2


@dataclass(frozen=True, slots=True)
class EventRoots:
    """The certificates that a target's chain must end in, as PEM, with the path that they came from."""

    path: Path
    certificates: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where events are posted to, as SparkPost's webhooks are.

    An empty `subaccounts` means all of them; "0" in it is the mail of no subaccount.  `headers` are sent as they are,
    and may hold keys.  A batch goes out when it has `batch_events`, or when its oldest event has waited for
    `batch_seconds`; it is tried `attempts` times within `hours`.
    """

    name: str
    url: str
    events: frozenset[EventType] = EVERY_TYPE
    subaccounts: frozenset[str] = frozenset()
    proof: Proof | None = None
    headers: tuple[tuple[str, Secret], ...] = ()
    batch_events: int = 350  # SparkPost's own.
    batch_seconds: float = 10.0  # SparkPost posts about once a minute; who waits for an event waits less here.
    timeout_seconds: float = 10.0  # SparkPost's own.
    attempts: int = 12  # SparkPost tries for eight hours.
    hours: int = 8
    trust_roots: EventRoots | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """
    All of `[events]`.

    `public_url` has no slash at its end.  With an empty `allow` any address may post.  `max_bytes` is the size of the
    ledger, `keep_days` its age.  `message_id_in_reply` asks for SparkPost's id in the 250.
    """

    public_url: str
    endpoint: str
    secret: Secret
    targets: tuple[Target, ...] = ()
    basic: Basic | None = None
    signature: Signature | None = None
    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    max_body_bytes: int = 4 * 1024 * 1024  # A thousand reports with long replies; Infobip names no limit.
    max_requests_per_second: int = 10_000  # More than the ledger takes in; what is refused Infobip sends again.
    max_concurrent: int = 100
    keep_days: int = 60  # An open may come weeks later; SparkPost enriched events for as long.
    max_bytes: int = 8 * 1024**3  # Millions of messages.
    message_id_in_reply: bool = False
    options: EventOptions = field(default=EventOptions())

    @property
    def path(self) -> str:
        """The secret last part of the inbox's address, without a slash."""
        return inbox_path(self.secret.reveal())

    @property
    def inbox_url(self) -> str:
        """Where Infobip is told to post; it holds a secret."""
        return f"{self.public_url}/{self.path}"
