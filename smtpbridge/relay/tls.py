"""
TLS contexts: the listener's, and the verifying one towards the provider.

Theory of operation
-------------------

A context is made once, at the start, from PEM that was checked before; a connection
takes it as it is, so a handshake costs its arithmetic and nothing else.  Both
sides speak TLS 1.2 with forward secrecy and authenticated ciphers, or TLS 1.3.  What is
for one side only stands in its function.

Towards the provider the chain is verified by OpenSSL and the name by service-identity,
both inside the handshake: `_verifier` is asked for each certificate of the chain, and
what it raises ends the handshake with an alert and becomes the reason of the lost
connection.  Nothing but `unverified_client` leaves that out, and whoever asks for
that one reads of it in the log at every connection.

No session is resumed.  A ticket is encrypted with a key of the process that gave it, so
with several processes it would mostly be of no use, and one that leaks opens what it
resumed; towards the provider connections are kept anyway.

What must not be known here: SMTP, and where the certificates come from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from OpenSSL import SSL
from OpenSSL.crypto import X509, X509StoreFlags
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLContextFactory,
    IOpenSSLServerConnectionCreator,
)
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger
from zope.interface import implementer

from smtpbridge.relay.tls_words import CertificateRefused, wrong_certificate, wrong_name
from smtpbridge.secret import Secret

# What RFC 9325, 4.2 recommends, and the ECDHE half of Mozilla's "intermediate" (version 5.7).  The other half needs
# parameters for finite fields, and serves no sender that this half does not.  For TLS 1.3 OpenSSL's own are right.
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_OPTIONS = (
    SSL.OP_NO_COMPRESSION
    | SSL.OP_NO_TICKET
    # TLS 1.2: a handshake within a connection costs the one side far more than the other.
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_CIPHER_SERVER_PREFERENCE
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its chain, leaf first, and its key, all PEM."""

    chain: bytes
    key: Secret


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLContextFactory)
class ServerTls:
    """What a listener shakes hands with."""

    def __init__(self, context: SSL.Context) -> None:
        """Begin each connection with `context`."""
        self._context = context

    def follow(self, other: "ServerTls") -> None:
        """Begin connections as `other` does from now on; those that have begun keep what they have."""
        self._context = other._context

    def getContext(self) -> SSL.Context:
        """Return the context, for those parts of Twisted that still ask for one."""
        return self._context

    @property
    def expires(self) -> float:
        """When the certificate that is offered now ends, in seconds since the epoch."""
        offered = SSL.Connection(self._context, None).get_certificate()
        assert offered is not None, "a listener's context has a certificate"
        return offered.to_cryptography().not_valid_after_utc.timestamp()

    def serverConnectionForTLS(self, _: object) -> SSL.Connection:
        """Return what one connection shakes hands with."""
        return SSL.Connection(self._context, None)


@implementer(IOpenSSLClientConnectionCreator)
class ClientTls:
    """What a connection to one server shakes hands with."""

    _log = Logger()

    def __init__(self, context: SSL.Context, name: str, unverified: str = "") -> None:
        """
        Begin each connection with `context`, and tell the server that it is wanted as `name`.

        `unverified` is an upstream whose `context` asks nobody, for the log.
        """
        self._context = context
        self._name = name
        # RFC 6066, 3: an address is no server name.
        self._server_name = b"" if _is_ip(name) else name.encode("ascii")
        self._unverified = unverified

    def clientConnectionForTLS(self, _: object) -> SSL.Connection:
        """Return what one connection shakes hands with."""
        if self._unverified:
            self._log.warn(
                "upstream={upstream} INSECURE: connecting to {name} without asking who answers "
                "(insecure_skip_verification)",
                upstream=self._unverified,
                name=self._name,
            )
        connection = SSL.Connection(self._context, None)
        if self._server_name:
            connection.set_tlsext_host_name(self._server_name)
        return connection


def server_context(chain: bytes, key: Secret) -> ServerTls:
    """Return what a listener offers: a certificate with its chain, leaf first, and its key, all PEM."""
    context = _sound_context()
    _present(context, Identity(chain, key))
    return ServerTls(context)


def server_context_of(options: CertificateOptions) -> ServerTls:
    """Return what offers the certificate of an `ssl:` endpoint, as `server_context` would; Twisted's own takes more."""
    assert options.certificate is not None
    assert options.privateKey is not None
    context = _sound_context()
    # pyOpenSSL wants the objects of cryptography, and Twisted still has the older ones.
    context.use_certificate(options.certificate.to_cryptography())
    for other in options.extraCertChain:
        context.add_extra_chain_cert(other.to_cryptography())
    context.use_privatekey(options.privateKey.to_cryptography_key())  # type: ignore[arg-type]  # a private one
    return ServerTls(context)


def client_options(name: str, roots: bytes | None, identity: Identity | None = None) -> ClientTls:
    """
    Return what verifies a server as `name`, by the PEM certificates in `roots` alone or by the system's.

    With an `identity` the bridge shows who it is (mutual TLS).
    """
    context = _client_context(identity)
    if roots is None:
        context.set_default_verify_paths()
    else:
        store = context.get_cert_store()
        assert store is not None
        for one in load_pem_x509_certificates(roots):
            store.add_cert(X509.from_cryptography(one))
        # Whom the operator names is trusted, whether or not it signed itself (RFC 5280, 6.1.1: a trust anchor).
        store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verifier(name))
    return ClientTls(context, name)


def unverified_client(name: str, upstream: str, identity: Identity | None = None) -> ClientTls:
    """Return what takes whoever answers for the server; each connection is a warning that names the `upstream`."""
    context = _client_context(identity)
    context.set_verify(SSL.VERIFY_NONE, None)
    return ClientTls(context, name, upstream)


def _sound_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    # An idle connection gives its buffers back, some 34 KiB.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(_CIPHERS)
    return context


def _client_context(identity: Identity | None) -> SSL.Context:
    context = _sound_context()
    if identity is not None:
        _present(context, identity)
    return context


def _present(context: SSL.Context, identity: Identity) -> None:
    leaf, *others = load_pem_x509_certificates(identity.chain)
    context.use_certificate(leaf)
    for other in others:
        context.add_extra_chain_cert(other)
    key = load_pem_private_key(identity.key.reveal(), password=None)
    context.use_privatekey(key)  # type: ignore[arg-type]  # one that signs, as it belongs to a certificate


def _verifier(name: str) -> Callable[[SSL.Connection, X509, int, int, int], bool]:
    """Return what OpenSSL asks about each certificate of a chain, the server's own last."""

    def verify(_: SSL.Connection, asked: X509, fault: int, depth: int, well: int) -> bool:
        try:
            certificate = asked.to_cryptography()
            if not well:
                raise CertificateRefused(wrong_certificate(certificate, fault))
            if depth == 0 and not _is_for(certificate, name):
                raise CertificateRefused(wrong_name(certificate, name))
        except CertificateRefused:
            raise
        except Exception as error:
            # What cannot be read is not verified, whatever OpenSSL made of it.
            raise CertificateRefused("it cannot be read") from error
        return True

    return verify


def _is_for(certificate: Certificate, name: str) -> bool:
    """Tell whether the server's own certificate is for that name; one that names nobody is not (RFC 9525, 6.1)."""
    try:
        wanted = IPAddress_ID(name) if _is_ip(name) else DNS_ID(name)
        verify_service_identity(extract_patterns(certificate), [wanted], [])
    except (VerificationError, CertificateError, ValueError):
        # ValueError: the configuration takes names, such as one of digits alone, that no certificate can hold.
        return False
    return True


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
