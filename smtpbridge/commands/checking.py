"""
`smtpbridge check --connect`: can each host of each upstream be used?

Every host gets a pool of its own, made as the daemon makes its pools, and one
connection is asked for: that dials, verifies TLS and logs in, or tells why not.
The hosts are tried side by side.  A pool tells a fault in the words of whoever met
it; `advice` adds what an operator can do, by words that these texts have.

No listener is bound.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred, gatherResults

from smtpbridge.assembly import pool_for
from smtpbridge.commands.running import Reactor
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.upstream import UpstreamConnection
from smtpbridge.settings.values import Config, Host, Security, Upstream
from smtpbridge.smtp.replies import Reply

# Long enough for a slow name server and a handshake; nobody waits for the five minutes of RFC 5321, 4.5.3.2 here.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at one host; `advice` is empty where all is well."""

    upstream: str
    host: str
    text: str
    advice: str = ""

    @property
    def usable(self) -> bool:
        """Tell whether mail can be sent there."""
        return not self.advice

    def lines(self) -> list[str]:
        """Return it for people."""
        lead = f"upstream {self.upstream}, {self.host}: "
        return [f"{lead}{self.text}"] if self.usable else [f"{lead}{self.text}", f"  {self.advice}"]


async def connect_to_all(config: Config, reactor: Reactor, patience: float = PATIENCE_SECONDS) -> list[Finding]:
    """Try every host of every upstream, and return what was found, in the order of the configuration."""
    deadlines = Deadlines(reactor)
    trials = [
        Deferred.fromCoroutine(_try(upstream, host, config.hostname, deadlines, reactor, patience))
        for upstream in config.upstreams
        for host in upstream.hosts
    ]
    found: list[Finding] = await gatherResults(trials, consumeErrors=True)
    return found


async def _try(
    upstream: Upstream, host: Host, hostname: str, deadlines: Deadlines, reactor: Reactor, patience: float
) -> Finding:
    pool = pool_for(replace(upstream, hosts=(host,)), hostname, deadlines, reactor)
    answered: Deferred[Finding] = Deferred()
    pool.ask(_Visitor(pool, upstream, host, answered.callback), deadlines.now() + patience)
    try:
        return await answered
    finally:
        await pool.close()


class _Visitor:
    """Ask for a connection, look at it, give it back."""

    def __init__(self, pool: Pool, upstream: Upstream, host: Host, tell: Callable[[Finding], None]) -> None:
        self._pool = pool
        self._upstream = upstream
        self._host = host
        self._tell = tell

    def granted(self, connection: UpstreamConnection) -> None:
        doubt = "INSECURE, the certificate was not verified: " if self._upstream.insecure_skip_verification else ""
        text = f"{doubt}ready for mail: {_offer(connection)}"
        self._pool.give_back(connection)
        self._tell(Finding(self._upstream.name, str(self._host), text))

    def refused(self, answer: Reply) -> None:
        fault = self._pool.fault.removeprefix(f"{self._host}: ") or "does not answer in time"
        found = Finding(self._upstream.name, str(self._host), fault, advice(fault, self._upstream, self._host))
        self._tell(found)


def advice(fault: str, upstream: Upstream, host: Host) -> str:
    """Return what an operator can do about a fault, as sentences."""
    lowered = fault.lower()
    for words, say in _ADVICE:
        if any(word in lowered for word in words):
            return say(upstream, host)
    return "Nothing was sent.  What the host said stands above."


def _offer(connection: UpstreamConnection) -> str:
    offered = connection.session.capabilities
    words = [connection.tls_version, "logged in"]
    words += ["PIPELINING"] if offered.pipelining else []
    words += ["8BITMIME"] if offered.eight_bit else []
    if offered.size is not None:
        words.append(f"SIZE {offered.size:,}" if offered.size else "SIZE without a limit")
    if offered.mechanisms:
        words.append(f"AUTH {' '.join(sorted(offered.mechanisms))}")
    return ", ".join(words)


def _no_name(_: Upstream, host: Host) -> str:
    return f'The name "{host.name}" is not known to DNS: correct hosts or region, or look at the resolver here.'


def _nobody(_: Upstream, host: Host) -> str:
    return f"Nobody listens on port {host.port} there: correct the port in hosts, or look for a firewall that refuses."


def _no_way(_: Upstream, host: Host) -> str:
    return f"There is no way to {host}: look at the routes and at a firewall on the way; many networks bar port 25."


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
        "system's certificates (ca-certificates)."
    )


def _wrong_time(_: Upstream, host: Host) -> str:
    return f"By the clock here the certificate is not valid now: look at the clock, or tell whoever runs {host}."


def _bad_certificate(_: Upstream, host: Host) -> str:
    return f"The certificate is not fit for use: tell whoever runs {host}, and look whether somebody stands in between."


def _client_certificate(upstream: Upstream, _: Host) -> str:
    if upstream.client_pair is None:
        return "The host wants to know who connects: write client_certificate and client_key."
    return f"The host does not take {upstream.client_pair.certificate_path}: look at who issued it and until when."


def _old_tls(_: Upstream, host: Host) -> str:
    return f"Whoever runs {host} must offer TLS 1.2 or newer with ECDHE and AES-GCM or ChaCha20: docs/tls.md."


def _no_login(upstream: Upstream, _: Host) -> str:
    return (
        f'The provider does not know "{upstream.username}" with this password: for an API key of Infobip the '
        "username is App and the password is the key."
    )


def _no_tls(upstream: Upstream, host: Host) -> str:
    if upstream.security is Security.TLS:
        return f'TLS does not begin at once on port {host.port}: security = "starttls" fits ports 587, 2525 and 25.'
    return f'There is no STARTTLS on port {host.port}: security = "tls" fits port 465; without TLS nothing is sent.'


def _silent(upstream: Upstream, host: Host) -> str:
    other = "starttls" if upstream.security is Security.TLS else "tls"
    return f'The host is silent: a firewall may swallow port {host.port}, or the port wants security = "{other}".'


# The first line with a word that the fault has counts.
_ADVICE: tuple[tuple[tuple[str, ...], Callable[[Upstream, Host], str]], ...] = (
    (("the login was refused", "auth was refused"), _no_login),
    (("certificate verify failed: it is not for",), _wrong_name),
    (("not trusted here", "signed by itself"), _unknown_authority),
    (("is not valid before", "expired at"), _wrong_time),
    (("certificate verify failed",), _bad_certificate),
    (("the client certificate", "a client certificate: look"), _client_certificate),
    (("neither tls 1.2", "no cipher in common"), _old_tls),
    (
        ("does not offer starttls", "starttls was refused", "not tls", "within the handshake", "not an smtp reply"),
        _no_tls,
    ),
    (("dns lookup failed", "no results for hostname"), _no_name),
    (("connection was refused", "connection refused"), _nobody),
    (("no route", "unreachable"), _no_way),
    (("in time", "timeout", "timed out"), _silent),
)
