"""What the log says of a certificate that was exchanged: whose it is, how long it lasts, and which one it is."""

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from smtpbridge.settings.values import Config, KeyPair

_DAY = 86_400
# Octets of the fingerprint: enough to tell the certificates of one machine apart.
_SHORT = 8


@dataclass(frozen=True, slots=True)
class NewCertificate:
    """The certificate that is shown at `place` now: whole days left, and the beginning of its SHA-256 fingerprint."""

    place: str
    days: int
    fingerprint: str


def new_certificates(old: Config, new: Config, now: float) -> list[NewCertificate]:
    """Return those that are other ones; `now` is in seconds since the epoch."""
    known = {place: pair.certificate for place, pair in _pairs(old)}
    return [_facts(place, pair.certificate, now) for place, pair in _pairs(new) if known.get(place) != pair.certificate]


def _pairs(config: Config) -> Iterator[tuple[str, KeyPair]]:
    for number, listener in enumerate(config.listeners):
        # Several may have one text, with a port that the system chooses.
        if listener.key_pair is not None:
            yield f"[[listener]] {number + 1} {listener.endpoint}", listener.key_pair
    for upstream in config.upstreams:
        if upstream.client_pair is not None:
            yield f"[upstream.{upstream.name}]", upstream.client_pair


def _facts(place: str, chain: bytes, now: float) -> NewCertificate:
    own = x509.load_pem_x509_certificates(chain)[0]
    days = int((own.not_valid_after_utc.timestamp() - now) // _DAY)
    return NewCertificate(place, days, own.fingerprint(SHA256())[:_SHORT].hex(":"))
