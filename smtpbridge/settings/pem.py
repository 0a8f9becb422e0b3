"""
Read a certificate with its key, and tell what is wrong with a PEM file before a connection does.

A certificate without its key, or a key in the certificate's place, otherwise
shows as a failed handshake hours after the start.
"""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from smtpbridge.secret import Secret
from smtpbridge.settings.surroundings import Surroundings, read_file
from smtpbridge.settings.values import KeyPair
from smtpbridge.toml_table import Table


def read_key_pair(
    table: Table, around: Surroundings, certificate_key: str, key_key: str, purpose: str
) -> KeyPair | None:
    """Return the certificate and the key that two keys of the table name; `purpose` needs both or none of them."""
    for one, other in ((certificate_key, key_key), (key_key, certificate_key)):
        if table.has(one) and not table.has(other):
            table.fault(other, f"is missing; {one} is given, and {purpose} needs both or none")
    certificate = read_file(table, certificate_key, around)
    key = read_file(table, key_key, around, private=True)
    faults = {
        certificate_key: certificate and certificates_fault(certificate[1]),
        key_key: key and key_fault(key[1]),
    }
    if certificate and key and not any(faults.values()):
        faults[key_key] = pair_fault(certificate[1], key[1])
    for name, wrong in faults.items():
        if wrong:
            table.fault(name, f"the file {wrong}")
    if certificate is None or key is None:
        return None
    return KeyPair(certificate[0], key[0], certificate[1], Secret(key[1]))


def certificates_fault(pem: bytes) -> str | None:
    """Return what is wrong with a file that must hold certificates, as the end of a sentence."""
    return None if _certificates(pem) else "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"


def key_fault(pem: bytes) -> str | None:
    """Return what is wrong with a file that must hold a private key without a passphrase."""
    if isinstance(found := _key(pem), str):
        return found
    return None


def pair_fault(certificate_pem: bytes, key_pem: bytes) -> str | None:
    """Return what is wrong between a chain and a key that are right by themselves: the key must fit the first one."""
    chain, key = _certificates(certificate_pem), _key(key_pem)
    if not chain or isinstance(key, str) or _spki(key.public_key()) == _spki(chain[0].public_key()):
        return None
    return "does not belong to the first certificate of the chain; the server's own certificate comes first"


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _key(pem: bytes) -> PrivateKeyTypes | str:
    try:
        return load_pem_private_key(pem, None)
    except TypeError:
        return "is protected by a passphrase; write it without: openssl pkey -in KEY -out NEWKEY"
    except Exception:
        # The library raises errors of its own for odd keys beside ValueError; to the operator all are one.
        return "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
