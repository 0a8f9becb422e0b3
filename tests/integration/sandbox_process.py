"""
The sandbox as a program of its own, for the tests.

    python -m tests.integration.sandbox_process FOLDER PORT CERTIFICATE KEY USER PASSWORD [--implicit-tls] [--posts]

It says on which port it listens, and when it is ended by SIGTERM, its counters.
The product's own command shows neither the peak of connections nor how many messages each of them carried.  With
--posts it reports what becomes of messages, forty times as soon as usual.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from OpenSSL.crypto import FILETYPE_PEM
from OpenSSL.SSL import TLS_SERVER_METHOD, Context
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory
from twisted.python.failure import Failure
from twisted.web.client import Agent
from zope.interface import implementer

from smtpbridge.sandbox.folder import StoredMessage
from smtpbridge.sandbox.notifications import what_follows
from smtpbridge.sandbox.postman import Postman
from smtpbridge.sandbox.server import Sandbox

_SPEED = 40.0


@implementer(IOpenSSLContextFactory)
class _FromFiles:
    """TLS with a certificate and a key in PEM files."""

    def __init__(self, certificate: str, key: str) -> None:
        self._context = Context(TLS_SERVER_METHOD)
        self._context.use_certificate_chain_file(certificate)
        self._context.use_privatekey_file(key, FILETYPE_PEM)

    def getContext(self) -> Context:
        return self._context


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until the end."""
    folder, port, certificate, key, user, password, *options = sys.argv[1:]
    postman = Postman(Agent(reactor), reactor, speed=_SPEED)

    def report(message: StoredMessage) -> None:
        postman.take(what_follows(message, lambda: str(uuid4()), _SPEED))

    sandbox = Sandbox(
        folder=Path(folder),
        users={user: password},
        context_factory=_FromFiles(certificate, key),
        clock=reactor,
        ids=lambda: str(uuid4()),
        on_message=report if "--posts" in options else None,
    )

    def listening(bound: IListeningPort) -> None:
        host = bound.getHost()
        assert isinstance(host, IPv4Address)
        _say(f"sandbox listens on port {host.port}")

    def failed(reason: Failure) -> None:
        _say(f"sandbox cannot listen: {reason.getErrorMessage()}")
        reactor.stop()

    endpoint = TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1")
    endpoint.listen(sandbox.factory("--implicit-tls" in options)).addCallbacks(listening, failed)
    reactor.run()
    postman.close()
    _say(f"statistics {json.dumps(asdict(sandbox.stats()) | {'posts': asdict(postman.stats())})}")


if __name__ == "__main__":
    main()
