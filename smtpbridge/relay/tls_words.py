"""
What went wrong with TLS towards a server, in words for the operator.

OpenSSL gives a number for a certificate and a terse reason for a handshake; here
each becomes a sentence that says what exactly is wrong and which key of
`[upstream.NAME]` to look at.  What the other side chose, such as the names
in its certificate, is encoded and cut.
"""

from cryptography.x509 import Certificate, DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName
from OpenSSL import SSL

from smtpbridge.smtp.replies import printable

# How the two kinds of a lost connection begin.
TLS_FAILED, LOST = "TLS failed: ", "connection lost: "
# Before each text about a certificate; as OpenSSL says it, so that a search for that finds this.
VERIFY_FAILED = "certificate verify failed"
# What a name of the other side may take of a log line, and how many names of a certificate are shown.
_NAME_LENGTH = 100
_NAMES_SHOWN = 4


class CertificateRefused(SSL.Error):
    """The server's certificate does not hold; the text says why."""

    def __init__(self, why: str) -> None:
        # In the form of OpenSSL's own: Twisted looks for the reason of a lost connection in there.
        super().__init__([("smtpbridge", "", f"{VERIFY_FAILED}: {why}")])

    def __str__(self) -> str:
        return reasons(self)


def wrong_certificate(certificate: Certificate, fault: int) -> str:
    """Return what is wrong with a certificate of a chain, by OpenSSL's number for it (X509_V_ERR_*)."""
    subject = _shown(certificate.subject.rfc4514_string())
    issuer = _shown(certificate.issuer.rfc4514_string())
    match fault:
        case 2 | 20 | 21:
            return (
                f"its issuer {issuer} is not trusted here: look at trust_roots; or the server leaves out an "
                "intermediate certificate"
            )
        case 9:
            return f"{subject} is not valid before {certificate.not_valid_before_utc}: look at the clock here"
        case 10:
            return f"{subject} expired at {certificate.not_valid_after_utc}: the server's to renew, or the clock here"
        case 18:
            return f"{subject} is signed by itself: if it is the right one, name it in trust_roots"
        case 19:
            return f"its chain ends in {subject}, which is not trusted here: look at trust_roots"
    return f"{subject}: {_FAULTS.get(fault, f'OpenSSL calls it X509_V_ERR {fault}')}"


def wrong_name(certificate: Certificate, wanted: str) -> str:
    """Return that a certificate is not for the wanted name, and for which ones it is."""
    try:
        found = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return f'it is not for "{wanted}" but names no host at all: a subject without subjectAltName does not count'
    names = [*found.get_values_for_type(DNSName), *map(str, found.get_values_for_type(IPAddress))]
    shown = ", ".join(map(_shown, names[:_NAMES_SHOWN])) or "no host"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f'it is not for "{wanted}" but for {shown}{more}: look at hosts and server_name'


def handshake_fault(error: SSL.Error) -> str:
    """Return why a handshake failed, and in parentheses the words of OpenSSL."""
    said = reasons(error)
    if isinstance(error, CertificateRefused):
        return said
    lowered = said.lower()
    return next((f"{plain} ({said})" for words, plain in _REASONS if any(word in lowered for word in words)), said)


def loss(error: BaseException | None, *, within_handshake: bool) -> str:
    """Return why a connection was lost, as a sentence that begins with what failed."""
    if isinstance(error, SSL.Error):
        return f"{TLS_FAILED}{handshake_fault(error)}"
    if within_handshake:
        return f"{TLS_FAILED}the server hung up within the handshake: look at security and at the port"
    return f"{LOST}{error if error is not None else 'closed'}"


def reasons(error: SSL.Error) -> str:
    """Return OpenSSL's reasons without the names of its parts."""
    queue = error.args[0] if error.args else None
    if not isinstance(queue, list):
        return str(error.args[-1]) if error.args else "no reason given"
    return "; ".join(str(entry[-1]) for entry in queue) or "no reason given"


def _shown(name: str) -> str:
    return f'"{printable(name, _NAME_LENGTH)}"'


_FAULTS = {
    7: "its signature is wrong",
    22: "its chain is too long",
    25: "its chain is longer than an authority in it allows",
    26: "it is not made for a server",
    34: "it holds a critical extension that is not known here",
    47: "an authority in its chain may not sign for this name",
    48: "an authority in its chain may not sign for this name",
    66: "its key is too short",
    67: "an authority in its chain has a key that is too short",
    68: "an authority in its chain signed with a weak digest",
    79: "its chain holds a certificate that is no authority's",
}

# The first line with words that OpenSSL used counts.
_REASONS = (
    (("certificate required",), "the server wants a client certificate: look at client_certificate and client_key"),
    (
        ("alert unknown ca", "alert bad certificate", "alert certificate", "alert unsupported certificate"),
        "the server refuses the client certificate: look at client_certificate",
    ),
    (("alert access denied",), "the server knows the client certificate and refuses it: look at client_certificate"),
    (
        ("protocol version", "unsupported protocol", "version too low"),
        "the server speaks neither TLS 1.2 nor TLS 1.3, and nothing less is spoken here",
    ),
    (("unrecognized name",), "the server has no certificate for the name: look at hosts and server_name"),
    (
        ("handshake failure", "no shared cipher", "insufficient security"),
        "the two sides have no cipher in common, or the server wants a client certificate",
    ),
    (
        ("wrong version number", "packet length too long", "http request", "record layer failure"),
        "what came is not TLS: look at security and at the port",
    ),
    (("dh key too small", "ee key too small", "bad ecpoint"), "the server's key is too weak"),
)
