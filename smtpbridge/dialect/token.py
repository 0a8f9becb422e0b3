"""
Write and read the token by which a notification leads back to its message: `X-IB-Callback-Data` while events are on.

How it works: the token proper is 16 octets, the key under which the ledger has the message: 4 that grow with time, so
that what comes together lies together in the ledger's index, and 12 random ones.  As text it is followed by a code
(keyed BLAKE2s of 14 octets; RFC 7693) under a key that nobody else has, so that what was made up or damaged is told
from what was given out without asking the ledger.  The first octets of the code hide the time.  Both together are 40
characters of base64 for URLs (RFC 4648, 5): no white space, nothing to fold, and nothing about the message.

The key, and the last part of the inbox's address, come from the one secret of the configuration by different labels:
who knows the address, as Infobip does, learns nothing of the key.

What must not be known here: chance, where the secret is kept, and what a token leads to.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import blake2s

OCTETS = 16
CHANCE = 12
"""How many octets of a token are random."""
TEXT_LENGTH = 40
SAMPLE = TEXT_LENGTH * "0"
"""What stands for a token where none is given out."""
_TIME = OCTETS - CHANCE
_A_SECOND = 32  # the time goes round in four years
_CODE_OCTETS = 14
_KEY_LABEL = b"smtpbridge events: key of tokens"
_PATH_LABEL = b"smtpbridge events: path of the inbox"
_PATH_OCTETS = 24


class Tokens:
    """The two directions, under one key."""

    def __init__(self, secret: bytes) -> None:
        """Derive the key from the secret of the configuration."""
        # A copy of it costs a quarter of an HMAC, and there is one for each message.
        self._keyed = blake2s(key=_derived(secret, _KEY_LABEL), digest_size=_CODE_OCTETS)

    def write(self, token: bytes) -> str:
        """Return the text of a token of 16 octets."""
        code = self._code(token)
        return urlsafe_b64encode(_hidden(token, code) + code).decode("ascii")

    def read(self, text: str) -> bytes | None:
        """Return the token, `None` for any text that `write` has not given."""
        text = text.strip()
        if len(text) != TEXT_LENGTH or not text.isascii():
            return None
        try:
            octets = urlsafe_b64decode(text)
        except Base64Error:
            return None
        code = octets[OCTETS:]
        token = _hidden(octets[:OCTETS], code)
        return token if hmac.compare_digest(code, self._code(token)) else None

    def _code(self, token: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(token)
        return keyed.digest()


def token_of(at: float, chance: bytes) -> bytes:
    """Return the token of a message that came `at` (seconds); `chance` is twelve random octets."""
    return (int(at * _A_SECOND) & 0xFFFFFFFF).to_bytes(_TIME, "big") + chance


def _hidden(token: bytes, code: bytes) -> bytes:
    """Return the token with its time hidden, or shown again."""
    time = int.from_bytes(token[:_TIME], "big") ^ int.from_bytes(code[:_TIME], "big")
    return time.to_bytes(_TIME, "big") + token[_TIME:]


def inbox_path(secret: bytes) -> str:
    """Return the last part of the inbox's address, without a slash: whoever knows it may post."""
    return urlsafe_b64encode(_derived(secret, _PATH_LABEL)[:_PATH_OCTETS]).decode("ascii")


def _derived(secret: bytes, label: bytes) -> bytes:
    return hmac.digest(secret, label, "sha256")
