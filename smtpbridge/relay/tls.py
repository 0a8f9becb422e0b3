"""
TLS contexts: the listener's, and the verifying one towards the provider.

TLS 1.2 is the least on both sides.  Towards the provider Twisted's client options
verify the chain and, with service-identity, the name; there is no switch here to leave
that out.
"""

import re

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)

from smtpbridge.secret import Secret

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def server_context(chain: bytes, key: Secret) -> CertificateOptions:
    """Return what a listener offers: a certificate with its chain, leaf first, and its key, all PEM."""
    # pyOpenSSL wants the objects of cryptography; Twisted passes them through, but is annotated for the older ones.
    leaf, *others = load_pem_x509_certificates(chain)
    return CertificateOptions(
        privateKey=load_pem_private_key(key.reveal(), password=None),  # type: ignore[arg-type]
        certificate=leaf,  # type: ignore[arg-type]
        extraCertChain=others,  # type: ignore[arg-type]
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )


def client_options(name: str, roots: bytes | None) -> IOpenSSLClientConnectionCreator:
    """Return what verifies a server as `name`, by the PEM certificates in `roots` or by the system's."""
    trust = (
        platformTrust()
        if roots is None
        else trustRootFromCertificates([Certificate.loadPEM(pem) for pem in _CERTIFICATE.findall(roots)])
    )
    options: IOpenSSLClientConnectionCreator = optionsForClientTLS(
        name, trustRoot=trust, extraCertificateOptions={"raiseMinimumTo": TLSVersion.TLSv1_2}
    )
    return options
