"""
What must never be seen: a wrapper that shows nothing of its content by accident, and hashes that stand for secrets.

A secret is wrapped where it is read and opened where it is used, by `reveal`,
which a search for that word finds.  Every other way to turn one into text, in a
log field, a traceback or the repr of a dataclass around it, gives three stars.

Where a secret is only compared, its hash is enough.  There are three kinds:

- `Sha256Hash` and `KeyedHash` take a microsecond, so whoever steals one can try
  billions of secrets.  They are for keys that are long and random, where that
  does not help.  The key of a `KeyedHash` makes two hashes of one secret differ.
- `ScryptHash` (RFC 7914) takes a tenth of a second and megabytes, for each trial.
  It is for passwords that people make up.

`read_hash` and `written` are the two directions of the form that stands in a
configuration.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import ClassVar, NoReturn, TypeAlias

# What one scrypt may cost here: memory for two at a time is the daemon's to give, and a refusal must come in time.
MOST_SCRYPT_OCTETS = 128 * 1024 * 1024
_MOST_SCRYPT_WORK = 1 << 22
# Less than this is quick enough to be guessed: RFC 7914 was written with N = 16,384 and r = 8 for logins in mind.
_LEAST_SCRYPT_WORK = 1 << 17

_HEX_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")
_KEYED_HASH = re.compile(r"hmac-sha256:((?:[0-9a-fA-F]{2}){16,64}):([0-9a-fA-F]{64})")
# The PHC string format, as passlib and others write it: base64 without padding.
_PHC_SCRYPT = re.compile(
    r"\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]{0,3}),p=([1-9][0-9]{0,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)


class Secret:
    """Octets that print as `***`; two are equal when their octets are, compared in constant time."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def reveal(self) -> bytes:
        """Return the octets.  Do not keep them longer than the call that needs them."""
        return self._octets

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        return hash(self._octets)

    def __reduce__(self) -> NoReturn:
        # A pickle or a deep copy sent elsewhere would hold the octets in the clear.
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class Sha256Hash:
    """The plain SHA-256 digest of a secret, 32 octets."""

    kind: ClassVar[str] = "sha256"
    digest: bytes

    def of(self, secret: bytes) -> bytes:
        """Return the digest that `secret` would have."""
        return hashlib.sha256(secret).digest()

    def written(self) -> str:
        """Return the text for a configuration."""
        return f"{self.kind}:{self.digest.hex()}"

    def __repr__(self) -> str:
        return "Sha256Hash(***)"


@dataclass(frozen=True, slots=True)
class KeyedHash:
    """HMAC-SHA-256 (RFC 2104) of a secret under a random key, 32 octets."""

    kind: ClassVar[str] = "hmac-sha256"
    key: bytes
    digest: bytes

    @classmethod
    def make(cls, secret: bytes, key: bytes) -> "KeyedHash":
        """Hash `secret` under `key`, which should be 32 random octets."""
        return cls(key, hmac.digest(key, secret, "sha256"))

    def of(self, secret: bytes) -> bytes:
        """Return the digest that `secret` would have."""
        return hmac.digest(self.key, secret, "sha256")

    def written(self) -> str:
        """Return the text for a configuration."""
        return f"{self.kind}:{self.key.hex()}:{self.digest.hex()}"

    def __repr__(self) -> str:
        return "KeyedHash(***)"


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """The parameters of scrypt (RFC 7914, 2): N is 2 to the power of `ln`."""

    ln: int
    r: int
    p: int

    @property
    def octets(self) -> int:
        """The memory that one takes, with what is needed around the large table."""
        return 128 * self.r * ((1 << self.ln) + self.p + 2)

    def fault(self) -> str | None:
        """Return what is wrong with the cost, as the end of a sentence."""
        table = 128 * self.r << self.ln
        work = self.r * self.p << self.ln
        if table > MOST_SCRYPT_OCTETS:
            return f"takes {table >> 20} MiB for one login; 128 MiB is the most (ln=17 with r=8)"
        if work > _MOST_SCRYPT_WORK:
            return "takes seconds for one login; with r=8, ln=15 and p=16, or ln=17 and p=4, are the most"
        if work < _LEAST_SCRYPT_WORK:
            return "is too quick to protect a password; ln=14, r=8, p=1 is the least"
        # RFC 7914, 6: N is less than 2 to the power of 16 r.
        return f"has r={self.r}, with which ln is less than {16 * self.r}" if self.ln >= 16 * self.r else None


# 32 MiB and about a quarter of a second: memory counts more than time against machines built for guessing.
USUAL_COST = ScryptCost(ln=15, r=8, p=3)


@dataclass(frozen=True, slots=True)
class ScryptHash:
    """scrypt (RFC 7914) of a secret."""

    kind: ClassVar[str] = "scrypt"
    cost: ScryptCost
    salt: bytes
    digest: bytes

    @classmethod
    def make(cls, secret: bytes, salt: bytes, cost: ScryptCost = USUAL_COST) -> "ScryptHash":
        """Hash `secret` with `salt`, which should be 16 random octets.  Slow, which is its purpose."""
        bare = cls(cost, salt, bytes(32))
        return cls(cost, salt, bare.of(secret))

    def of(self, secret: bytes) -> bytes:
        """Return the digest that `secret` would have.  Slow; other threads run meanwhile."""
        cost = self.cost
        return hashlib.scrypt(
            secret, salt=self.salt, n=1 << cost.ln, r=cost.r, p=cost.p, maxmem=cost.octets, dklen=len(self.digest)
        )

    def written(self) -> str:
        """Return the text for a configuration."""
        cost = self.cost
        return f"${self.kind}$ln={cost.ln},r={cost.r},p={cost.p}${_bare_base64(self.salt)}${_bare_base64(self.digest)}"

    def __repr__(self) -> str:
        return "ScryptHash(***)"


QuickHash: TypeAlias = Sha256Hash | KeyedHash
SecretHash: TypeAlias = Sha256Hash | KeyedHash | ScryptHash


def fits(known: SecretHash, secret: bytes) -> bool:
    """Tell whether `secret` has that hash; the comparison takes the same time whatever differs."""
    return hmac.compare_digest(known.digest, known.of(secret))


def read_hash(text: str) -> SecretHash | str:
    """Return the hash that stands in a configuration, or what is wrong with it, as the end of a sentence."""
    if match := _HEX_HASH.fullmatch(text):
        return Sha256Hash(bytes.fromhex(match[1]))
    if match := _KEYED_HASH.fullmatch(text):
        return KeyedHash(bytes.fromhex(match[1]), bytes.fromhex(match[2]))
    if match := _PHC_SCRYPT.fullmatch(text):
        cost = ScryptCost(int(match[1]), int(match[2]), int(match[3]))
        salt, digest = _from_bare_base64(match[4]), _from_bare_base64(match[5])
        if not 8 <= len(salt) <= 64 or not 16 <= len(digest) <= 64:
            return "is cut off: scrypt has a salt of 8 to 64 octets here, and a digest of 16 to 64"
        return cost.fault() or ScryptHash(cost, salt, digest)
    return 'is not a hash that is known here; let "smtpbridge hash" write it'


def _bare_base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii").rstrip("=")


def _from_bare_base64(text: str) -> bytes:
    """Return the octets; of a text that no octets have, none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""
