"""TLS for tests: what a server shows, and connections that trust who signed it."""

import trustme
from twisted.internet import reactor
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

from smtpbridge.events.agents import Connections, ProxyFor
from smtpbridge.relay.tls import ServerTls, client_options, server_context
from smtpbridge.secret import Secret


def shown(ca: trustme.CA, name: str = "localhost") -> ServerTls:
    """Return what a server of that name shows."""
    issued = ca.issue_cert(name)
    chain = b"".join(one.bytes() for one in issued.cert_chain_pems)
    return server_context(chain, Secret(issued.private_key_pem.bytes()))


def trusting(ca: trustme.CA, proxy_for: ProxyFor = lambda _: None) -> Connections:
    """Return connections that trust what `ca` has signed."""
    roots = ca.cert_pem.bytes()

    def tls_for(host: str) -> IOpenSSLClientConnectionCreator:
        return client_options(host, roots)

    return Connections(reactor, tls_for, proxy_for)
