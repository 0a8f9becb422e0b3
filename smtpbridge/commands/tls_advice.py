"""
What to do where TLS towards a host failed.

`relay.tls_words` says what failed, in a sentence; here a word of that sentence leads to
what an operator can do.
"""

from collections.abc import Callable

from smtpbridge.commands.finding import Verdict, What
from smtpbridge.relay.tls_words import TLS_FAILED, VERIFY_FAILED
from smtpbridge.settings.values import Host, Security, Upstream


def is_about_tls(why: str) -> bool:
    """Tell whether a connection ended for a reason of TLS."""
    return why.startswith(TLS_FAILED)


def tls_verdict(why: str, upstream: Upstream, host: Host) -> Verdict:
    """Return what is wrong and what an operator can do about it."""
    lowered = why.lower()
    for words, what, say in _ADVICE:
        if any(word in lowered for word in words):
            return Verdict(what, why, say(upstream, host))
    return Verdict(What.TLS_FAILED, why, _unknown(upstream, host))


def _wrong_name(upstream: Upstream, host: Host) -> str:
    wanted = upstream.server_name or host.name
    return (
        f'The certificate is not for "{wanted}": correct the name in hosts, or write in server_name '
        "the name that the certificate has.  If neither is wrong, somebody stands in between."
    )


def _unknown_authority(upstream: Upstream, _: Host) -> str:
    source = f"the file {upstream.trust_roots.path}" if upstream.trust_roots else "this system's authorities"
    return (
        f"The certificate cannot be traced to {source}: name the right authority in trust_roots, or install the "
        "system's certificates (ca-certificates).  A proxy that looks into TLS shows itself in this way too."
    )


def _expired(_: Upstream, host: Host) -> str:
    return (
        f"The certificate has run out: tell whoever runs {host}.  If others are not troubled, look at the clock here "
        "(timedatectl), which then is ahead."
    )


def _too_early(_: Upstream, host: Host) -> str:
    return (
        "By the clock here the certificate is not valid yet: look at the clock (timedatectl), which most often is "
        f"behind; if it is right, tell whoever runs {host}."
    )


def _bad_certificate(_: Upstream, host: Host) -> str:
    return f"The certificate is not fit for use: tell whoever runs {host}, and look whether somebody stands in between."


def _client_certificate(upstream: Upstream, _: Host) -> str:
    if upstream.client_pair is None:
        return "The host wants to know who connects: write client_certificate and client_key."
    return f"The host does not take {upstream.client_pair.certificate_path}: look at who issued it and until when."


def _old_tls(_: Upstream, host: Host) -> str:
    return f"Whoever runs {host} must offer TLS 1.2 or newer with ECDHE and AES-GCM or ChaCha20: docs/tls.md."


def _unknown(upstream: Upstream, host: Host) -> str:
    if upstream.security is Security.TLS:
        return f'TLS does not begin at once on port {host.port}: security = "starttls" fits ports 587, 2525 and 25.'
    return "TLS did not come about behind STARTTLS: something in between may break it; try from another network."


# The first line with a word that the fault has counts.
_ADVICE: tuple[tuple[tuple[str, ...], What, Callable[[Upstream, Host], str]], ...] = (
    ((f"{VERIFY_FAILED}: it is not for",), What.CERTIFICATE_NAME, _wrong_name),
    (("not trusted here", "signed by itself"), What.CERTIFICATE_AUTHORITY, _unknown_authority),
    (("is not valid before",), What.CERTIFICATE_NOT_YET_VALID, _too_early),
    (("expired at",), What.CERTIFICATE_EXPIRED, _expired),
    ((VERIFY_FAILED,), What.CERTIFICATE_BAD, _bad_certificate),
    (("the client certificate", "a client certificate: look"), What.CLIENT_CERTIFICATE, _client_certificate),
    (("neither tls 1.2", "no cipher in common"), What.TLS_TOO_OLD, _old_tls),
)
