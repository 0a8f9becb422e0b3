"""
Say a configuration in lines, for the log at start and for `smtpbridge check`.

Only what decides where mail goes and who may send it.  Secrets cannot appear:
they are wrapped, and this module never opens one.
"""

from collections.abc import Iterator
from typing import assert_never

from smtpbridge.settings.event_values import EVERY_TYPE, Basic, Events, HeaderToken, OAuth2, Proof, Target
from smtpbridge.settings.values import (
    Admin,
    AuthMode,
    Bounces,
    Config,
    Credential,
    LineEndings,
    Listener,
    LoginLimits,
    Process,
    ProxyTls,
    Queue,
    Upstream,
)


def describe(config: Config) -> list[str]:
    """Return the configuration as lines of text without any secret."""
    policy = config.translation
    return [
        f"hostname {config.hostname}",
        *(_listener(one, bool(config.credentials)) for one in config.listeners),
        *(_credential(one) for one in config.credentials),
        *([_logins(config.logins)] if config.credentials else []),
        *(_upstream(one, first=one is config.upstreams[0]) for one in config.upstreams),
        f"store {config.store.path}",
        _queue(config.queue),
        _admin(config.admin) if config.admin else "status page and figures: none (no [admin])",
        _bounces(config.bounces),
        (
            f"translation: bcc {policy.bcc.value}, envelope sender {policy.envelope_from}, "
            f"campaign {policy.campaign.value}, callback data {policy.callback_data.value}, "
            f"{len(policy.ip_pools)} IP pools, {len(policy.subaccounts)} subaccounts"
        ),
        *_events(config.events),
        _process(config.process),
    ]


def _listener(one: Listener, credentials: bool) -> str:
    return f"listener {one.endpoint}: {', '.join(_listener_facts(one, credentials))}"


def _listener_facts(one: Listener, credentials: bool) -> Iterator[str]:
    if one.address.speaks_tls:
        yield "TLS from the first octet"
    else:
        yield f"STARTTLS with {one.key_pair.certificate_path}" if one.key_pair else "no STARTTLS"
    if credentials or one.auth is AuthMode.OFF:
        yield f"AUTH {one.auth.value}"
    else:
        yield "no AUTH (no [[credential]])"
    if one.proxy_from:
        ends = "which end TLS" if one.proxy_tls is ProxyTls.ALWAYS else "TLS where the header says so"
        yield f"a PROXY header from {' '.join(map(str, one.proxy_from))}, {ends}"
    networks = " ".join(map(str, one.allow))
    if one.auth is not AuthMode.REQUIRED:
        yield f"relays for {networks or 'nobody'} without AUTH"
    elif not one.address.speaks_tls:
        yield f"takes AUTH without TLS from {networks or 'nobody'}"
    yield f"mode {one.mode.value}"
    yield f"messages up to {one.max_message_bytes:,} octets"
    yield "a bare CR or LF is refused" if one.line_endings is LineEndings.REJECT else "a bare CR or LF is written anew"
    yield f"up to {one.max_sessions:,} sessions, {one.max_sessions_per_address:,} of one address"
    yield from _rates(one.max_connections_per_minute, "connections", "an address")
    yield from _rates(one.max_messages_per_minute, "messages", "an address")


def _credential(one: Credential) -> str:
    rates = "".join(f", {rate}" for rate in _rates(one.max_messages_per_minute, "messages", "whoever presents it"))
    return f"credential {one.username}, secret kept as {one.secret.kind}{rates}"


def _rates(most: int, what: str, whose: str) -> Iterator[str]:
    if most:
        yield f"{most:,} {what} a minute of {whose}"


def _process(one: Process) -> str:
    folder = one.temporary_folder or "the system's folder"
    return (
        f"workers {one.workers}: in all of them messages under way take up to {one.max_body_memory_bytes:,} octets of "
        f"memory and {one.max_temporary_bytes:,} of temporary files in {folder}"
    )


def _logins(one: LoginLimits) -> str:
    return (
        f"logins: {one.max_failed_logins} failures of an address within {one.window_seconds:g} seconds bring a pause "
        f"of up to {one.longest_pause_seconds:g} seconds; a refusal comes after {one.delay_seconds:g}"
    )


def _upstream(one: Upstream, *, first: bool) -> str:
    roots = one.trust_roots.path if one.trust_roots else "the system's"
    verified = f"certificate for {one.server_name or 'the dialled host'} under {roots} roots"
    if one.insecure_skip_verification:
        verified = "INSECURE: certificate NOT VERIFIED"
    shown = f", client certificate {one.client_pair.certificate_path}" if one.client_pair else ""
    name = f"{one.name} (default)" if first else one.name
    return (
        f"upstream {name}: {', '.join(map(str, one.hosts))} by {one.security.value}, "
        f"{verified}{shown}, user {one.username}, "
        f"password {one.password}, up to {one.max_connections} connections"
    )


def _queue(one: Queue) -> str:
    return (
        f"queue: tried again after {one.first_retry_seconds:g} to {one.longest_retry_seconds:g} seconds, "
        f"given up after {one.lifetime_seconds:g}"
    )


def _admin(one: Admin) -> str:
    who = "whoever has the token" if one.token is not None else "this machine alone"
    names = f", also by the name {' '.join(one.host_names)}" if one.host_names else ""
    return f"status page and figures at {one.endpoint}, for {who}{names}"


def _bounces(one: Bounces | None) -> str:
    if one is None:
        return "bounces: none, only error lines in the log"
    return f"bounces: from {one.header_from}, envelope sender <{one.envelope_from}>, by upstream {one.upstream}"


def _events(one: Events | None) -> Iterator[str]:
    if one is None:
        yield "events: none (no [events])"
        return
    guards = ["a secret path"]
    if one.basic:
        guards.append(f"HTTP Basic as {one.basic.username}")
    if one.signature:
        guards.append(f"HMAC-{one.signature.algorithm.value} in {one.signature.header}")
    if one.allow:
        guards.append(" ".join(map(str, one.allow)))
    yield f"events: inbox at {one.endpoint}, {one.public_url}/***, guarded by {', '.join(guards)}"
    yield f"events: kept for {one.keep_days} days in up to {one.max_bytes:,} octets"
    yield from map(_target, one.targets)


def _target(one: Target) -> str:
    kinds = "all events" if one.events == EVERY_TYPE else " ".join(sorted(kind.value for kind in one.events))
    mail = f" of subaccounts {' '.join(sorted(one.subaccounts))}" if one.subaccounts else ""
    # What stands behind the question mark may be a key.
    url = one.url.partition("?")[0]
    return (
        f"target {one.name}: {url}, {kinds}{mail}, auth {_auth(one.proof)}, batches of {one.batch_events} within "
        f"{one.batch_seconds:g} seconds, {one.attempts} attempts in {one.hours} hours"
    )


def _auth(proof: Proof | None) -> str:
    """Return the word of the configuration for it."""
    match proof:
        case None:
            return "none"
        case Basic():
            return "basic"
        case HeaderToken():
            return "token"
        case OAuth2():
            return "oauth2"
        case _:
            assert_never(proof)
