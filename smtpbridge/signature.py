"""
A signature over the body of a notification, which Infobip can be told to give: HMAC (RFC 2104) in a header field.

What must not be known here: HTTP, and where the key was read.
"""

import binascii
import hmac
from base64 import b64decode
from dataclasses import dataclass
from enum import Enum

from smtpbridge.secret import Secret


class Algorithm(Enum):
    """Under which hash a body is signed; the values are hashlib's names."""

    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA512 = "sha512"


class Encoding(Enum):
    """How a signature is written."""

    HEX = "hex"
    BASE64 = "base64"


@dataclass(frozen=True, slots=True)
class Signature:
    """Where the signature of a body stands, and how it is made."""

    header: str
    key: Secret
    algorithm: Algorithm = Algorithm.SHA256
    encoding: Encoding = Encoding.HEX

    def holds(self, given: bytes, body: bytes) -> bool:
        """Tell whether `given` is the signature of `body`; "sha256=" before it, as many write it, does not matter."""
        digest = hmac.digest(self.key.reveal(), body, self.algorithm.value)
        plain = given.strip().removeprefix(f"{self.algorithm.value}=".encode())
        try:
            found = bytes.fromhex(plain.decode()) if self.encoding is Encoding.HEX else b64decode(plain, validate=True)
        except (ValueError, binascii.Error):
            return False
        return hmac.compare_digest(found, digest)
