"""
The AUTH dialogue (RFC 4954) with LOGIN and PLAIN (RFC 4616), both sides.  No I/O.

Theory of operation
-------------------

A server holds an `Exchange` from AUTH until it has a `LoginAttempt` or a reply
that refuses.  Each step gives one of three values: a `Prompt` to write, the
attempt, or the refusal.  A client asks `client_responses` for the lines
that a mechanism wants.

Nothing here knows whether a secret is right, and no `repr` shows one.
"""

import base64
from dataclasses import dataclass

from smtpbridge.smtp.replies import Reply, reply

MECHANISMS = ("LOGIN", "PLAIN")
# RFC 4954, 4: a response line may be this long.
MAX_RESPONSE = 12_288


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """Somebody claims to be `user`."""

    user: str
    secret: str
    mechanism: str

    def __repr__(self) -> str:
        """Leave out the secret."""
        return f"LoginAttempt({self.user!r}, {self.mechanism!r})"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A 334 line to write."""

    line: bytes


# "Username:" and "Password:" in base64, as every server of LOGIN spells them.
_USER = Prompt(b"334 VXNlcm5hbWU6\r\n")
_PASSWORD = Prompt(b"334 UGFzc3dvcmQ6\r\n")
_EMPTY = Prompt(b"334 \r\n")
_NOT_BASE64 = reply(501, "5.5.2", "The response is not base64 of UTF-8")
_NOT_PLAIN = reply(501, "5.5.2", "The response is not one of PLAIN: [identity] NUL user NUL password")
_CANCELLED = reply(501, "5.7.0", "Authentication cancelled")


class Exchange:
    """One AUTH dialogue seen from the server."""

    def __init__(self, mechanism: str) -> None:
        """Begin with one of `MECHANISMS`."""
        self._mechanism = mechanism
        self._user: str | None = None

    def begin(self, initial: str | None) -> Prompt | LoginAttempt | Reply:
        """Take the initial response, `None` when there was none."""
        if initial is None:
            return _USER if self._mechanism == "LOGIN" else _EMPTY
        # "=" stands for a response of no octets (RFC 4954, 4).
        return self.respond(b"" if initial == "=" else initial.encode("latin-1"))

    def respond(self, line: bytes) -> Prompt | LoginAttempt | Reply:
        """Take a response line."""
        if line == b"*":
            return _CANCELLED
        try:
            text = base64.b64decode(line.strip(), validate=True).decode()
        except ValueError:
            return _NOT_BASE64
        if self._mechanism == "PLAIN":
            return self._plain(text)
        if self._user is None:
            self._user = text
            return _PASSWORD
        return LoginAttempt(self._user, text, "LOGIN")

    def _plain(self, text: str) -> LoginAttempt | Reply:
        # RFC 4616, 2: an authorization identity, here without effect; the user; the password.
        parts = text.split("\0")
        if len(parts) != 3 or not parts[1]:
            return _NOT_PLAIN
        return LoginAttempt(parts[1], parts[2], "PLAIN")


def client_responses(mechanism: str, user: str, secret: str) -> tuple[bytes, ...]:
    """Return what a client sends for `mechanism`: the initial response of PLAIN, the two responses of LOGIN."""
    if mechanism == "PLAIN":
        return (base64.b64encode(f"\0{user}\0{secret}".encode("utf-8", "surrogateescape")),)
    return base64.b64encode(user.encode()), base64.b64encode(secret.encode("utf-8", "surrogateescape"))
