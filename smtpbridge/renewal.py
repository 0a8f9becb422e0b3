"""
From another configuration to what a relay that runs is to obey: `assembly` for the second time.

What did not change stays the very same object, a pool with its connections above all.  Everything that can fail is done
here, before any of it is in force; `CannotRenew` says in words what was wrong.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint

from smtpbridge.assembly import (
    accounts_of,
    patience_of,
    pool_for,
    reporter_of,
    room_of,
    schedule_of,
)
from smtpbridge.doors import endpoint_for, habits_of, tls_of
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.relay.auth import Accounts
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.renewal import DoorTerms, Renewal
from smtpbridge.relay.service import Door, RelayService
from smtpbridge.relay.tls import ServerTls
from smtpbridge.settings.values import Admin, Config, Listener, Upstream


class CannotRenew(SmtpbridgeError):
    """What is configured cannot be built; what was in force stays so."""


def renewal_for(relay: RelayService, old: Config, new: Config, reactor: Any) -> Renewal:
    """Build what `new` says for a relay that obeys `old`; its listeners are in the same order.  Changes nothing."""
    try:
        return _renewal_for(relay, old, new, reactor)
    except Exception as error:
        # OpenSSL and Twisted each have errors of their own; to the operator all are one.
        raise CannotRenew(f"cannot be built: {type(error).__name__}: {error}") from error


def _renewal_for(relay: RelayService, old: Config, new: Config, reactor: Any) -> Renewal:
    accounts = relay.doors[0].gate.accounts
    if new.credentials != old.credentials:
        accounts = accounts.successor(accounts_of(new))
    return Renewal(
        doors=[
            _door_terms(door, before, listener, new.hostname, accounts, reactor)
            for door, before, listener in zip(relay.doors, old.listeners, new.listeners, strict=True)
        ],
        accounts=accounts,
        pools=_pools(relay, old, new, reactor),
        policy=new.translation,
        reporter=reporter_of(new, relay.epoch),
        schedule=schedule_of(new),
        patience=patience_of(new.logins),
        login_delay=new.logins.delay_seconds,
        room=room_of(new),
    )


def _door_terms(door: Door, old: Listener, new: Listener, hostname: str, accounts: Accounts, reactor: Any) -> DoorTerms:
    habits = habits_of(new, hostname, accounts)
    same = new.key_pair == old.key_pair
    tls = door.gate.tls if same and new.key_pair else tls_of(new)
    own = _own_tls(door.endpoint, new, reactor)
    return DoorTerms(habits, tls) if own is None else DoorTerms(habits, tls, own)


def _own_tls(endpoint: IStreamServerEndpoint | None, new: Listener | Admin, reactor: Any) -> Callable[[], None] | None:
    """Return what lets an endpoint with TLS of its own show what is in its files now; `None` where it has none."""
    if not isinstance(endpoint, SSL4ServerEndpoint):
        return None
    # Twisted reads the files of such an endpoint when it makes one.
    present, fresh = endpoint._sslContextFactory, endpoint_for(new, reactor)
    assert isinstance(present, ServerTls)
    assert isinstance(fresh, SSL4ServerEndpoint)
    assert isinstance(fresh._sslContextFactory, ServerTls)
    following = fresh._sslContextFactory
    return lambda: present.follow(following)


def admin_renewal(endpoint: IStreamServerEndpoint | None, new: Config, reactor: Any) -> Callable[[], None]:
    """Return what puts the files of the admin endpoint in force; its other keys are asked for at each request."""
    try:
        own = None if new.admin is None else _own_tls(endpoint, new.admin, reactor)
    except Exception as error:
        raise CannotRenew(f"[admin] endpoint cannot be built: {type(error).__name__}: {error}") from error
    return own or _nothing


def _nothing() -> None:
    """Do so."""


def _pools(relay: RelayService, old: Config, new: Config, reactor: Any) -> list[Pool]:
    known = {one.name: one for one in old.upstreams} if new.hostname == old.hostname else {}
    running = {pool.name: pool for pool in relay.pools}
    bridge = relay.bridge

    def pool_of(one: Upstream) -> Pool:
        before = running.get(one.name)
        if before is not None and known.get(one.name) == one:
            return before
        pool = pool_for(one, new.hostname, bridge.deadlines, reactor, bridge.tally)
        if before is not None:
            # What an upstream was counted for goes on: a counter that falls looks like a restart.
            pool.traffic = before.traffic
        return pool

    return [pool_of(one) for one in new.upstreams]
