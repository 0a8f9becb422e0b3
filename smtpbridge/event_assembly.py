"""
From a configuration to the objects of the events: the inbox, the translation, the outboxes.

`tap` builds all of it, in the process that relays or, of several, in the parent; `smtpbridge events test` only what
posts to one target.  Without `[events]` none of this is imported.
"""

import random
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed leaves it out

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

from smtpbridge.correlating import listening_of
from smtpbridge.dialect import sent
from smtpbridge.dialect.token import Tokens
from smtpbridge.doors import endpoint_at
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.events import admission, target
from smtpbridge.events.agents import Connections, Proxy, ProxyFor
from smtpbridge.events.gathering import Gathering
from smtpbridge.events.housekeeping import Bounds, Housekeeping
from smtpbridge.events.inbox import Inbox
from smtpbridge.events.ledger_access import LedgerAccess
from smtpbridge.events.outbox import Outbox
from smtpbridge.events.poster import Poster
from smtpbridge.events.schedule import Attempts
from smtpbridge.events.service import EventsService
from smtpbridge.events.translation import Reader, Reading, Translator
from smtpbridge.relay.tls import client_options
from smtpbridge.secret import Secret
from smtpbridge.settings.endpoint import EndpointText, read_endpoint
from smtpbridge.settings.event_values import Basic, Events, HeaderToken, OAuth2, Target
from smtpbridge.settings.values import Config
from smtpbridge.store.ledger_sqlite import SqliteLedger

# Bodies that are taken in at a time, together: as many of the largest size.
_BODIES = 16
_HTTP_PORT = 80
# With so many requests at a time the inbox has its hands full.
_BUSY = 8


class WrongProxy(SmtpbridgeError):
    """The environment names a proxy that cannot be used."""


def _no_step(_name: str) -> None:
    pass


def events_service(
    config: Config,
    said: Events,
    reactor: Any,
    environ: Mapping[str, str],
    *,
    epoch: Callable[[], float] = time.time,
    chance: Callable[[], float] = random.random,
    steps: Callable[[str], None] = _no_step,
) -> EventsService:
    """
    Build everything about events on the HTTP side; nothing is opened yet.

    `environ` is where proxies are named; `steps` hears of each step of the ledger (see `SqliteLedger`).  Raises
    `CannotListen` and `WrongProxy`.
    """
    access = LedgerAccess(lambda: SqliteLedger(config.store.path, lambda: str(uuid.uuid4()), steps=steps), reactor)
    proxy_for = proxies(environ)
    outboxes = [
        Outbox(aim(one), poster_for(one, reactor, proxy_for), access, reactor, epoch=epoch, chance=chance)
        for one in said.targets
    ]

    def wake_outboxes() -> None:
        for outbox in outboxes:
            outbox.wake()

    gate = admission.Admission(_terms(said), reactor.seconds)
    reading = Reading(Tokens(said.secret.reveal()).read, sent.read, said.options, tuple(listening_of(said)))
    reader = Reader(reading, epoch)
    translator = Translator(reader, access, reactor, done=wake_outboxes, busy=lambda: gate.at_once >= _BUSY)
    inbox = Inbox(
        gate,
        Gathering(access, epoch).keep,
        reactor,
        kept=translator.wake,
        not_kept=access.has_failed,
    )
    housekeeping = Housekeeping(access, Bounds(said.keep_days, said.max_bytes), reactor, epoch)
    where = read_endpoint(said.endpoint)
    takes_backlog = isinstance(where, EndpointText) and where.takes_backlog
    endpoint = endpoint_at(said.endpoint, takes_backlog, reactor)
    return EventsService(said.endpoint, endpoint, inbox, translator, outboxes, housekeeping, access, reactor)


def poster_for(said: Target, reactor: Any, proxy_for: ProxyFor) -> Poster:
    """Build what posts to one target."""
    roots = said.trust_roots.certificates if said.trust_roots else None

    def tls_for(host: str) -> IOpenSSLClientConnectionCreator:
        return client_options(host, roots)

    return Poster(aim(said), Connections(reactor, tls_for, proxy_for), reactor)


def aim(said: Target) -> target.Target:
    """Return a target as the outbox knows it."""
    headers = list(said.headers)
    oauth: target.OAuth2 | None = None
    match said.proof:
        case Basic(username, password):
            headers.append(("Authorization", admission.Login(username, password).written()))
        case HeaderToken(name, token):
            headers.append((name, token))
        case OAuth2(token_url, client_id, client_secret, scope):
            oauth = target.OAuth2(token_url, client_id, client_secret, scope)
        case None:
            pass
    return target.Target(
        name=said.name,
        url=said.url,
        headers=tuple(headers),
        oauth=oauth,
        batch_events=said.batch_events,
        batch_seconds=said.batch_seconds,
        timeout_seconds=said.timeout_seconds,
        attempts=Attempts(said.attempts, said.hours * 3600.0),
    )


def proxies(environ: Mapping[str, str]) -> ProxyFor:
    """
    Return which proxy leads to a host, by the variables that every program heeds.

    https_proxy counts, then all_proxy, both in capitals too; no_proxy names hosts and domains that need none.
    """
    name, text = next(
        ((one, environ[one]) for one in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY") if environ.get(one)),
        ("", ""),
    )
    if not text:
        return lambda _: None
    proxy = _read_proxy(name, text)
    without = {"no": environ.get("no_proxy") or environ.get("NO_PROXY") or ""}
    return lambda host: None if proxy_bypass_environment(host, without) else proxy


def _read_proxy(name: str, text: str) -> Proxy:
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        host, port = parts.hostname, parts.port or _HTTP_PORT
    except ValueError:
        host, port = None, 0
    if parts.scheme != "http" or not host:
        # Not the text itself: there may be a password in it.
        raise WrongProxy(f"${name} cannot be used to post events: write http://HOST:PORT of a proxy that takes CONNECT")
    login = None
    if parts.username is not None:
        login = Secret(f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode())
    return Proxy(host, port, login)


def _terms(said: Events) -> admission.Terms:
    login = None
    if said.basic is not None:
        login = admission.Login(said.basic.username, said.basic.password)
    return admission.Terms(
        path=Secret(said.path.encode("ascii")),
        login=login,
        signature=said.signature,
        allow=said.allow,
        max_body=said.max_body_bytes,
        max_rate=said.max_requests_per_second,
        max_at_once=said.max_concurrent,
        max_held=_BODIES * said.max_body_bytes,
    )
