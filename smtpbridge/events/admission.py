"""
Who may post to the inbox, and how much at once.

Theory of operation
-------------------

The address of the inbox ends in a secret, and who knows it is taken for Infobip.  Basic, a signature over the body and
the networks of the sender can be asked for besides.  Whatever is secret is compared in constant time.  Any path that
ends in the secret counts, so it makes no difference whether a proxy in front passes the rest of the path on.

Who does not know the path hears 404 whatever else is wrong, and so learns nothing.  Before that only the network is
looked at.

What is said about the content of a notification is said later and elsewhere: Infobip repeats whatever it gets another
answer to than 200, for days, and a report does not get better by that.

What must not be known here: HTTP's wire, and what a notification says.
"""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from smtpbridge.events.tallies import Taken
from smtpbridge.secret import Secret
from smtpbridge.signature import Signature

Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Login:
    """The one user of HTTP Basic (RFC 7617)."""

    username: str
    password: Secret

    def written(self) -> Secret:
        """Return the value of a field `Authorization` that says so."""
        return Secret(b"Basic " + b64encode(self.username.encode() + b":" + self.password.reveal()))

    def holds(self, given: bytes) -> bool:
        """Tell whether a field `Authorization` says so."""
        scheme, _, credentials = given.strip().partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            found = b64decode(credentials.strip(), validate=True)
        except (ValueError, binascii.Error):
            return False
        return hmac.compare_digest(found, self.username.encode() + b":" + self.password.reveal())


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What the inbox asks for.

    `path` is the secret last part of its address.  With an empty `allow` any address may post.  `max_rate` is in
    requests a second, 0 for any number; `max_at_once` requests, of `max_held` octets together, are taken in at a time.
    """

    path: Secret
    login: Login | None = None
    signature: Signature | None = None
    allow: tuple[Network, ...] = ()
    max_body: int = 4 * 1024 * 1024
    max_rate: int = 0
    max_at_once: int = 100
    max_held: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as it matters: `address` is the peer's, empty where it has none; names are in lower case."""

    method: bytes
    path: bytes
    address: str
    headers: Mapping[str, bytes] = field(default_factory=dict)


class Admission:
    """Decide about requests, one after another."""

    def __init__(self, terms: Terms, now: Callable[[], float]) -> None:
        """Let in by `terms`; `now` is in seconds, by any clock that only goes forward."""
        self.terms = terms
        self.at_once = 0
        self.held = 0
        self._now = now
        self._tokens = float(terms.max_rate)
        self._filled_at = now()

    def wanted(self, asked: Asked) -> Taken:
        """Return `TAKEN`, or why a request is not, whatever it holds."""
        terms = self.terms
        if terms.allow and not _is_in(asked.address, terms.allow):
            return Taken.FORBIDDEN_ADDRESS
        if not hmac.compare_digest(asked.path.rsplit(b"/", 1)[-1], terms.path.reveal()):
            return Taken.UNKNOWN_PATH
        if asked.method != b"POST":
            return Taken.NOT_POST
        if not self._in_rate():
            return Taken.TOO_FAST
        if terms.login is not None and not terms.login.holds(asked.headers.get("authorization", b"")):
            return Taken.BAD_LOGIN
        if asked.headers.get("content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
            return Taken.ENCODED
        return Taken.TAKEN

    def signed(self, asked: Asked, body: bytes) -> bool:
        """Tell whether a body has the signature that it must have, if it must have one."""
        signature = self.terms.signature
        return signature is None or signature.holds(asked.headers.get(signature.header.lower(), b""), body)

    def _in_rate(self) -> bool:
        """Take one of the requests of this second, if there is one left."""
        rate = self.terms.max_rate
        if not rate:
            return True
        now = self._now()
        self._tokens = min(float(rate), self._tokens + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
