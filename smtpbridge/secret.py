"""
What must never be seen: a wrapper that shows nothing of its content by accident.

A secret is wrapped where it is read and opened where it is used, by `reveal`,
which a search for that word finds.  Every other way to turn one into text, in a
log field, a traceback or the repr of a dataclass around it, gives three stars.
"""

import hmac
from dataclasses import dataclass
from typing import NoReturn


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
class SecretHash:
    """
    The SHA-256 digest of a secret, 32 octets.

    Right for what is long and random, as API keys are.  A password that a person made up can be guessed from a
    digest that is quick to compute.
    """

    sha256: bytes

    def __repr__(self) -> str:
        return "SecretHash(sha256:***)"
