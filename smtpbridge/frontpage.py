"""
From a configuration to the admin endpoint with its status page, for one process and for the parent of several alike.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from cryptography import x509
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import ILogObserver

from smtpbridge import __version__
from smtpbridge.ops.admin import AdminService, Shown
from smtpbridge.ops.board import Board, Source
from smtpbridge.ops.events import EventsSeen
from smtpbridge.ops.guard import Guard, Terms
from smtpbridge.ops.health import Health
from smtpbridge.ops.page import Certificate, Facts
from smtpbridge.settings.text import describe
from smtpbridge.settings.values import Admin, Config, KeyPair


def admin_service(
    config: Callable[[], Config],
    admin: Admin,
    endpoint: IStreamServerEndpoint,
    metrics: Shown,
    source: Source,
    health: Health,
    reactor: Any,
    hears: ILogObserver | None = None,
    events: Callable[[], EventsSeen] | None = None,
) -> AdminService:
    """
    Build what answers at `endpoint`, which `admin` describes; nothing is bound yet.

    `config` gives the configuration that is in force; `hears` is told what is logged while the endpoint is up;
    `events` gives what there is to show of events, if there are any.
    """
    facts = Facts(
        version=__version__,
        hostname=config().hostname,
        started=time.time(),
        configuration=lambda: describe(config()),
        certificates=lambda: tuple(_certificates(config())),
        events=events,
    )
    return AdminService(
        admin.endpoint,
        endpoint,
        metrics,
        reactor,
        health,
        Board(facts, source, health, reactor, time.time),
        Guard(lambda: _terms(config().admin or admin), now=reactor.seconds),
        hears,
    )


def _terms(admin: Admin) -> Terms:
    return Terms(admin.token, admin.host_names)


def _certificates(config: Config) -> Iterator[Certificate]:
    for listener in config.listeners:
        if listener.key_pair is not None:
            yield _certificate(f"listener {listener.endpoint}", listener.key_pair)
    for upstream in config.upstreams:
        if upstream.client_pair is not None:
            yield _certificate(f"client of upstream {upstream.name}", upstream.client_pair)


def _certificate(about: str, pair: KeyPair) -> Certificate:
    # The first one is the bridge's own; `settings.pem` has looked at it.
    own = x509.load_pem_x509_certificate(pair.certificate)
    return Certificate(about, str(pair.certificate_path), own.not_valid_after_utc.timestamp())
