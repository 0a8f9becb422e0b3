"""
A target of events, as values: where it is, how to be let in, and how much to post at once.

What must not be known here: the configuration file.
"""

from dataclasses import dataclass, field

from smtpbridge.events.schedule import Attempts
from smtpbridge.secret import Secret

MOST_EVENTS = 350
"""What SparkPost puts into a batch at most."""


@dataclass(frozen=True, slots=True)
class OAuth2:
    """Who we are to the server that gives tokens: client credentials (RFC 6749, 4.4)."""

    token_url: str
    client_id: str
    client_secret: Secret
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where events are posted to.

    `headers` go with every post, those that let us in as well.  A batch has up to `batch_events`, and goes when it has
    them or when the oldest has waited for `batch_seconds`; a post may take `timeout_seconds`, from the name of the host
    to the end of the answer.
    """

    name: str
    url: str
    headers: tuple[tuple[str, Secret], ...] = ()
    oauth: OAuth2 | None = None
    batch_events: int = MOST_EVENTS
    batch_seconds: float = 10.0
    timeout_seconds: float = 10.0
    attempts: Attempts = field(default=Attempts())
