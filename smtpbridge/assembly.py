"""
From a configuration to the objects of the relay.

`tap` assembles the whole of it; `cli check` only a pool, to see whether the
provider can be reached.  What an object is told are plain arguments: nothing
below knows that there is a configuration file.
"""

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, SSL4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint
from twisted.internet.threads import deferToThreadPool

from smtpbridge.dialect.sender import organisational_domain
from smtpbridge.relay.auth import Account, Accounts
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.budget import Budget
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
from smtpbridge.relay.reports import Reporter, Route
from smtpbridge.relay.resends import Resends
from smtpbridge.relay.runner import QueueRunner
from smtpbridge.relay.schedule import Schedule
from smtpbridge.relay.service import CannotListen, Door, RelayService
from smtpbridge.relay.site import Habits
from smtpbridge.relay.tally import Tally
from smtpbridge.relay.tls import (
    ClientTls,
    Identity,
    client_options,
    server_context,
    server_context_of,
    unverified_client,
)
from smtpbridge.relay.upstream import Patience
from smtpbridge.settings.endpoint import Reach
from smtpbridge.settings.values import (
    AuthMode,
    Config,
    LineEndings,
    Listener,
    LoginLimits,
    Mode,
    ProxyTls,
    Security,
    Upstream,
)
from smtpbridge.smtp.events import Terms
from smtpbridge.store.sqlite import SqliteStore

# Connections that the kernel keeps until they are accepted.  With Twisted's 50 a crowd of senders that come back
# together, after a restart or a fault of the network, is turned away in part; the kernel cuts it to its own limit.
_BACKLOG = ":backlog=1024"


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
    room = config.process
    folder = str(room.temporary_folder) if room.temporary_folder else None
    budget = Budget(room.max_body_memory_bytes, room.max_temporary_bytes, folder, tally.reached)
    pools = {one.name: pool_for(one, config.hostname, deadlines, reactor, tally) for one in config.upstreams}
    keeper = _keeper_for(config, deadlines, new_id, reactor, epoch, steps)
    keeping = _keeping_for(config, pools, deadlines, new_id, keeper, reactor)
    bridge = Bridge(pools, config.translation, deadlines, keeping, tally=tally)
    accounts = Accounts(
        Account(one.username, one.secret, one.defaults, Rates(one.max_messages_per_minute))
        for one in config.credentials
    )
    logins = _logins(config.logins, deadlines, reactor, tally)
    doors = []
    for listener in config.listeners:
        tls = server_context(listener.key_pair.certificate, listener.key_pair.key) if listener.key_pair else None
        gate = Gate(
            _habits(listener, config.hostname, accounts),
            accounts,
            bridge,
            deadlines,
            new_id=new_id,
            epoch=epoch,
            tls=tls,
            local=listener.address.reach is Reach.LOCAL,
            tally=tally,
            budget=budget,
            logins=logins,
        )
        doors.append(Door(listener.endpoint, endpoint_of(listener), gate))
    return RelayService(doors, list(pools.values()), bridge, reactor, config.notes, keeping, budget)


def _logins(said: LoginLimits, deadlines: Deadlines, reactor: Any, tally: Tally) -> Logins:
    patience = GuessPatience(said.max_failed_logins, said.window_seconds, said.longest_pause_seconds)

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
) -> Keeper:
    folder = config.store.path
    return Keeper(lambda: SqliteStore(folder, new_id, steps=steps), reactor, deadlines, epoch)


def _keeping_for(
    config: Config,
    pools: Mapping[str, Pool],
    deadlines: Deadlines,
    new_id: Callable[[], str],
    keeper: Keeper,
    reactor: Any,
) -> Keeping:
    """Build what takes messages over; the store is opened when the service starts."""
    lives = config.queue
    schedule = Schedule(lives.first_retry_seconds, lives.longest_retry_seconds, lives.lifetime_seconds)
    bounces = config.bounces
    route = Route(bounces.upstream, bounces.envelope_from, bounces.header_from) if bounces else None
    reporter = Reporter(config.hostname, route, lives.lifetime_seconds, keeper.epoch)
    owner = f"{config.hostname} {new_id()}"
    runner = QueueRunner(keeper, pools, deadlines, reporter, schedule, reactor, owner=owner, chance=random.random)
    return Keeping(keeper, runner, reporter, Resends(keeper), schedule)


def pool_for(
    upstream: Upstream, hello_name: str, deadlines: Deadlines, reactor: IReactorTime, tally: Tally | None = None
) -> Pool:
    """Build the pool of one upstream; nothing is dialled yet."""
    wait = upstream.deadlines
    hosts = [
        Host(
            label=str(host),
            endpoint=HostnameEndpoint(reactor, host.name, host.port, timeout=wait.connect),
            tls=_client_tls(upstream, host.name),
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


def _client_tls(upstream: Upstream, host: str) -> ClientTls:
    name = upstream.server_name or host
    pair = upstream.client_pair
    identity = Identity(pair.certificate, pair.key) if pair else None
    if upstream.insecure_skip_verification:
        return unverified_client(name, upstream.name, identity)
    return client_options(name, upstream.trust_roots.certificates if upstream.trust_roots else None, identity)


def endpoint_for(listener: Listener, reactor: Any) -> IStreamServerEndpoint:
    """Return the endpoint that the operator wrote; raise `CannotListen` for a socket that was not passed."""
    try:
        queue = _BACKLOG if listener.address.takes_backlog else ""
        endpoint: IStreamServerEndpoint = serverFromString(reactor, listener.endpoint + queue)
    except (KeyError, IndexError) as error:
        # How Twisted puts it for "systemd:", whose sockets come with the process.
        raise CannotListen(
            f"cannot listen at {listener.endpoint}: no such socket was passed to this process; let systemd start it by "
            "its socket unit (etc/smtpbridge.socket)"
        ) from error
    if isinstance(endpoint, SSL4ServerEndpoint):
        # Twisted gives an "ssl:" endpoint a context that takes more ciphers than ours, and no public way to change it.
        endpoint._sslContextFactory = server_context_of(endpoint._sslContextFactory)
    return endpoint


def _habits(listener: Listener, hostname: str, accounts: Accounts) -> Habits:
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
