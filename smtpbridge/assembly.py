"""
From a configuration to the objects of the relay.

`tap` assembles the whole of it; `check --connect` only takes the TLS of an upstream,
to see whether the provider can be reached.  What an object is told are plain arguments: nothing
below knows that there is a configuration file.
"""

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, SSL4ServerEndpoint
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.internet.threads import deferToThreadPool

from smtpbridge.correlating import correlation_for
from smtpbridge.dialect.sender import organisational_domain
from smtpbridge.doors import endpoint_for, habits_of, tls_of
from smtpbridge.relay.auth import Account, Accounts
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.budget import Budget
from smtpbridge.relay.correlation import Correlation
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.guesses import Patience as GuessPatience
from smtpbridge.relay.ids import message_ids
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.keeping import Keeping
from smtpbridge.relay.leases import Limits
from smtpbridge.relay.listener import Gate
from smtpbridge.relay.logins import Logins
from smtpbridge.relay.pool import Host, Login, Pool
from smtpbridge.relay.rates import Rates
from smtpbridge.relay.renewal import Room
from smtpbridge.relay.reports import Reporter, Route
from smtpbridge.relay.resends import Resends
from smtpbridge.relay.runner import QueueRunner
from smtpbridge.relay.schedule import Schedule
from smtpbridge.relay.service import Door, RelayService
from smtpbridge.relay.tallies import QueueTally
from smtpbridge.relay.tally import Tally
from smtpbridge.relay.tls import (
    ClientTls,
    Identity,
    client_options,
    unverified_client,
)
from smtpbridge.relay.upstream import Patience
from smtpbridge.settings.endpoint import Reach
from smtpbridge.settings.values import (
    Config,
    Listener,
    LoginLimits,
    Security,
    Upstream,
)
from smtpbridge.store.sqlite import SqliteStore


def _no_step(_name: str) -> None:
    pass


def relay_service(
    config: Config,
    reactor: IReactorTime,
    *,
    epoch: Callable[[], float] = time.time,
    steps: Callable[[str], None] = _no_step,
    endpoint_of: Callable[[Listener], IStreamServerEndpoint] | None = None,
) -> RelayService:
    """
    Build everything that relays mail; nothing is opened yet.

    `epoch` is the time of day.  `steps` hears of each step of the store (see `SqliteStore`).  `endpoint_of` says where
    a listener's connections come from, where that is not its own port.
    """
    endpoint_of = endpoint_of or (lambda listener: endpoint_for(listener, reactor))
    # The public suffix list takes a moment to read; the first message should not wait for it.
    organisational_domain("example.com")
    deadlines = Deadlines(reactor)
    new_id = message_ids(epoch, os.getpid())
    tally = Tally()
    room = room_of(config)
    budget = Budget(room.memory, room.temporary, room.folder, tally.reached)
    pools = {one.name: pool_for(one, config.hostname, deadlines, reactor, tally) for one in config.upstreams}
    keeper = _keeper_for(config, deadlines, new_id, reactor, epoch, steps, tally.queue)
    correlation = correlation_for(config, deadlines, new_id, reactor, epoch)
    keeping = _keeping_for(config, pools, deadlines, new_id, keeper, reactor, correlation)
    bridge = Bridge(pools, config.translation, deadlines, keeping, tally=tally, correlation=correlation)
    accounts = Accounts(accounts_of(config))
    logins = _logins(config.logins, deadlines, reactor, tally)
    doors = []
    for listener in config.listeners:
        gate = Gate(
            habits_of(listener, config.hostname, accounts),
            accounts,
            bridge,
            deadlines,
            new_id=new_id,
            epoch=epoch,
            tls=tls_of(listener),
            local=listener.address.reach is Reach.LOCAL,
            tally=tally,
            budget=budget,
            logins=logins,
        )
        endpoint = endpoint_of(listener)
        implicit = endpoint._sslContextFactory if isinstance(endpoint, SSL4ServerEndpoint) else None
        doors.append(Door(listener.endpoint, endpoint, gate, implicit))
    return RelayService(doors, list(pools.values()), bridge, reactor, config.notes, keeping, budget, correlation)


def room_of(config: Config) -> Room:
    """Return how much messages may take."""
    room = config.process
    folder = str(room.temporary_folder) if room.temporary_folder else None
    return Room(room.max_body_memory_bytes, room.max_temporary_bytes, folder)


def accounts_of(config: Config) -> list[Account]:
    """Return who can log in."""
    return [
        Account(one.username, one.secret, one.defaults, Rates(one.max_messages_per_minute))
        for one in config.credentials
    ]


def patience_of(said: LoginLimits) -> GuessPatience:
    """Return how often logins may fail."""
    return GuessPatience(said.max_failed_logins, said.window_seconds, said.longest_pause_seconds)


def _logins(said: LoginLimits, deadlines: Deadlines, reactor: Any, tally: Tally) -> Logins:
    patience = patience_of(said)

    def in_thread(look: Callable[[], Account | None]) -> "Deferred[Account | None]":
        return deferToThreadPool(reactor, reactor.getThreadPool(), look)

    return Logins(deadlines, in_thread, patience=patience, delay=said.delay_seconds, tally=tally)


def _keeper_for(
    config: Config,
    deadlines: Deadlines,
    new_id: Callable[[], str],
    reactor: Any,
    epoch: Callable[[], float],
    steps: Callable[[str], None],
    tally: QueueTally,
) -> Keeper:
    folder = config.store.path

    def step(name: str) -> None:
        steps(name)
        tally.step(name)

    return Keeper(lambda: SqliteStore(folder, new_id, steps=step), reactor, deadlines, epoch, tally)


def _keeping_for(
    config: Config,
    pools: Mapping[str, Pool],
    deadlines: Deadlines,
    new_id: Callable[[], str],
    keeper: Keeper,
    reactor: Any,
    correlation: Correlation | None,
) -> Keeping:
    """Build what takes messages over; the store is opened when the service starts."""
    schedule, reporter = schedule_of(config), reporter_of(config, keeper.epoch)
    owner = f"{config.hostname} {new_id()}"
    runner = QueueRunner(
        keeper,
        pools,
        deadlines,
        reporter,
        schedule,
        reactor,
        owner=owner,
        chance=random.random,
        correlation=correlation,
    )
    return Keeping(keeper, runner, reporter, Resends(keeper), schedule)


def schedule_of(config: Config) -> Schedule:
    """Return when parcels are tried again."""
    lives = config.queue
    return Schedule(lives.first_retry_seconds, lives.longest_retry_seconds, lives.lifetime_seconds)


def reporter_of(config: Config, epoch: Callable[[], float]) -> Reporter:
    """Return who tells senders of recipients that were given up."""
    bounces = config.bounces
    route = Route(bounces.upstream, bounces.envelope_from, bounces.header_from) if bounces else None
    return Reporter(config.hostname, route, config.queue.lifetime_seconds, epoch)


def pool_for(
    upstream: Upstream, hello_name: str, deadlines: Deadlines, reactor: IReactorTime, tally: Tally | None = None
) -> Pool:
    """Build the pool of one upstream; nothing is dialled yet."""
    wait = upstream.deadlines
    hosts = [
        Host(
            label=str(host),
            endpoint=HostnameEndpoint(reactor, host.name, host.port, timeout=wait.connect),
            tls=client_tls(upstream, host.name),
        )
        for host in upstream.hosts
    ]
    return Pool(
        upstream.name,
        hosts,
        Limits(
            hosts=len(hosts),
            max_connections=upstream.max_connections,
            max_messages=upstream.max_messages,
            max_age=upstream.max_age_seconds,
            max_idle=upstream.idle_seconds,
            max_waiters=upstream.max_waiters,
        ),
        deadlines,
        hello_name=hello_name,
        implicit_tls=upstream.security is Security.TLS,
        login=Login(upstream.username, upstream.password),
        patience=Patience(
            connect=wait.connect,
            tls=wait.tls,
            greeting=wait.greeting,
            command=wait.command,
            data=wait.data,
            block=wait.block,
            final=wait.final,
            min_rate=upstream.min_rate_bytes,
            max_reply_line=upstream.max_reply_line_bytes,
            max_reply_lines=upstream.max_reply_lines,
        ),
        max_wait=upstream.wait_seconds,
        tally=tally,
    )


def client_tls(upstream: Upstream, host: str) -> ClientTls:
    """Return what a connection to one host of an upstream shakes hands with."""
    name = upstream.server_name or host
    pair = upstream.client_pair
    identity = Identity(pair.certificate, pair.key) if pair else None
    if upstream.insecure_skip_verification:
        return unverified_client(name, upstream.name, identity)
    return client_options(name, upstream.trust_roots.certificates if upstream.trust_roots else None, identity)
