"""
Who may look.

Theory of operation
-------------------

On this machine alone (loopback, a local socket) nobody has to say who they are; but a browser on it runs what strangers
wrote.  A page of theirs can point a name of its own at 127.0.0.1 and read what answers there ("DNS rebinding").
The request then carries that name in its Host field, so names that are not this machine's own are refused, and
so is a request that a browser says another site has made.

Elsewhere there is a token, by `Authorization: Bearer` (Prometheus, curl) or as the password of
`Authorization: Basic` (browsers; any user name).  The Host field does not matter then: what a browser was told for one
name it does not send to another.  It is compared in constant time, and whoever guesses is put off as with the
logins of senders.

What must not be known here: what there is to see.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address

from twisted.logger import Logger
from twisted.web import http
from twisted.web.server import Request

from smtpbridge.relay.guesses import Guesses, Patience, place_of
from smtpbridge.secret import Secret

_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::[0-9]*)?")
# RFC 6585, 4.
_TOO_MANY = 429
# RFC 7617.
_ASK = b'Basic realm="smtpbridge", charset="UTF-8"'
# For `Guesses` all who know the token are one.
_NAME = "admin"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered: a status, a sentence, and a further field of the answer."""

    code: int
    why: str
    field: tuple[bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """Without a `token` only the machine's own names, and `names`, may be in Host."""

    token: Secret | None = None
    names: Collection[str] = ()


class Guard:
    """Judge requests."""

    log = Logger()

    def __init__(self, terms: Callable[[], Terms] = Terms, *, now: Callable[[], float] = lambda: 0.0) -> None:
        """Ask for `terms` at each request, because a reload may change them; `now` is any clock's seconds."""
        self._terms = terms
        self._now = now
        self._guesses = Guesses(Patience())

    def refusal(self, request: Request) -> Refusal | None:
        """Return why not, or `None`."""
        if _made_by_another_site(request):
            return Refusal(http.FORBIDDEN, "A page of another site asked for this.")
        terms = self._terms()
        if terms.token is not None:
            return self._with_token(terms.token, request)
        return self._without_token(request, terms.names)

    def _without_token(self, request: Request, names: Collection[str]) -> Refusal | None:
        said = request.getHeader("host")
        # HTTP/1.0 has none, and no browser speaks that.
        if said is None or _is_own(said) or _bare(said) in map(str.lower, names):
            return None
        return Refusal(
            421,  # Misdirected Request (RFC 9110, 15.5.20)
            "This endpoint answers to localhost, 127.0.0.1 and [::1] only; "
            "for another name write host_names into [admin], or a token_file.",
        )

    def _with_token(self, token: Secret, request: Request) -> Refusal | None:
        given = _given(request.getHeader("authorization") or "")
        if not given:
            return Refusal(http.UNAUTHORIZED, "Say the token of [admin] token_file.", (b"WWW-Authenticate", _ASK))
        client = getattr(request.getClientAddress(), "host", "") or ""
        place, proof = place_of(client), hashlib.sha256(given).digest()
        if (pause := self._guesses.pause(place, _NAME, proof, self._now())) is not None:
            rest = str(int(pause.seconds) + 1).encode()
            return Refusal(_TOO_MANY, "Too many wrong tokens.", (b"Retry-After", rest))
        if hmac.compare_digest(proof, hashlib.sha256(token.reveal()).digest()):
            self._guesses.succeeded(place, _NAME, proof)
            return None
        self._guesses.failed(place, _NAME, proof, self._now())
        self.log.warn("wrong token at the admin endpoint client={client}", client=client or "local")
        return Refusal(http.UNAUTHORIZED, "That is not the token.", (b"WWW-Authenticate", _ASK))


def _made_by_another_site(request: Request) -> bool:
    """Tell whether a browser says so (Fetch Metadata); to follow a link from elsewhere is no such thing."""
    site, mode = request.getHeader("sec-fetch-site"), request.getHeader("sec-fetch-mode")
    return site in ("cross-site", "same-site") and mode != "navigate"


def _bare(host: str) -> str:
    found = _HOST.fullmatch(host.strip())
    return found[1].lower().rstrip(".") if found else ""


def _is_own(host: str) -> bool:
    name = _bare(host)
    try:
        return name == "localhost" or ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _given(field: str) -> bytes:
    """Return the token in an Authorization field, empty where there is none."""
    scheme, _, value = field.strip().partition(" ")
    # What Twisted decoded as ISO 8859-1 or UTF-8 does not matter: a token is ASCII.
    octets = value.strip().encode("utf-8", "surrogateescape")
    match scheme.lower():
        case "bearer":
            return octets
        case "basic":
            try:
                return base64.b64decode(octets, validate=True).partition(b":")[2]
            except binascii.Error:
                return b""
        case _:
            return b""
