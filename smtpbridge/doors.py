"""
From a `[[listener]]`, and from `[admin]`, to where connections come in, the TLS that they begin with, and how their
senders are treated.
"""

from typing import Any

from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

from smtpbridge.relay.auth import Accounts
from smtpbridge.relay.service import CannotListen
from smtpbridge.relay.site import Habits
from smtpbridge.relay.tls import ServerTls, server_context, server_context_of
from smtpbridge.settings.values import Admin, AuthMode, LineEndings, Listener, Mode, ProxyTls
from smtpbridge.smtp.events import Terms

# Connections that the kernel keeps until they are accepted.  With Twisted's 50 a crowd of senders that come back
# together, after a restart or a fault of the network, is turned away in part; the kernel cuts it to its own limit.
_BACKLOG = ":backlog=1024"


def endpoint_for(listener: Listener | Admin, reactor: Any) -> IStreamServerEndpoint:
    """Return the endpoint of a table; raise `CannotListen`."""
    return endpoint_at(listener.endpoint, listener.address.takes_backlog, reactor)


def endpoint_at(text: str, takes_backlog: bool, reactor: Any) -> IStreamServerEndpoint:
    """Return the endpoint that the operator wrote; raise `CannotListen` for a socket that was not passed."""
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text + (_BACKLOG if takes_backlog else ""))
    except (KeyError, IndexError) as error:
        # How Twisted puts it for "systemd:", whose sockets come with the process.
        raise CannotListen(
            f"cannot listen at {text}: no such socket was passed to this process; let systemd start it by "
            "its socket unit (etc/smtpbridge.socket)"
        ) from error
    if isinstance(endpoint, SSL4ServerEndpoint):
        # Twisted gives an "ssl:" endpoint a context that takes more ciphers than ours, and no public way to change it.
        endpoint._sslContextFactory = server_context_of(endpoint._sslContextFactory)
    return endpoint


def tls_of(listener: Listener) -> ServerTls | None:
    """Return what STARTTLS of a listener shakes hands with, where it is offered."""
    pair = listener.key_pair
    return server_context(pair.certificate, pair.key) if pair else None


def habits_of(listener: Listener, hostname: str, accounts: Accounts) -> Habits:
    """Return how a listener treats its senders."""
    terms = Terms(
        hostname=hostname,
        starttls=listener.key_pair is not None,
        auth_offered=listener.auth is not AuthMode.OFF and bool(accounts),
        auth_required=listener.auth is AuthMode.REQUIRED,
        max_message=listener.max_message_bytes,
        max_recipients=listener.max_recipients,
        max_line=listener.max_line_bytes,
        max_bad_commands=listener.max_bad_commands,
        max_idle_commands=listener.max_idle_commands,
    )
    return Habits(
        terms=terms,
        allow=listener.allow,
        proxy_from=listener.proxy_from,
        proxy=listener.proxy_seconds,
        proxy_tls_always=listener.proxy_tls is ProxyTls.ALWAYS,
        reject_bare=listener.line_endings is LineEndings.REJECT,
        idle=listener.idle_seconds,
        handshake=listener.handshake_seconds,
        data=listener.data_seconds,
        min_rate=listener.min_rate_bytes,
        verdict=listener.verdict_seconds,
        max_sessions=listener.max_sessions,
        max_sessions_per_address=listener.max_sessions_per_address,
        max_connections_per_minute=listener.max_connections_per_minute,
        max_messages_per_minute=listener.max_messages_per_minute,
        max_header=listener.max_header_bytes,
        max_fields=listener.max_header_fields,
        spool=listener.spool_bytes,
        queue=listener.mode is Mode.QUEUE,
        defaults=listener.defaults,
    )
