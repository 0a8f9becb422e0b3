"""
Say a configuration in lines, for the log at start and for `smtpbridge check`.

Only what decides where mail goes and who may send it.  Secrets cannot appear:
they are wrapped, and this module never opens one.
"""

from collections.abc import Iterator

from smtpbridge.settings.values import AuthMode, Bounces, Config, Listener, LoginLimits, ProxyTls, Queue, Upstream


def describe(config: Config) -> list[str]:
    """Return the configuration as lines of text without any secret."""
    policy = config.translation
    return [
        f"hostname {config.hostname}",
        *(_listener(one, bool(config.credentials)) for one in config.listeners),
        *(f"credential {one.username}, secret kept as {one.secret.kind}" for one in config.credentials),
        *([_logins(config.logins)] if config.credentials else []),
        *(_upstream(one, first=one is config.upstreams[0]) for one in config.upstreams),
        f"store {config.store.path}",
        _queue(config.queue),
        f"figures at {config.admin.endpoint}, path /metrics" if config.admin else "figures: none (no [admin])",
        _bounces(config.bounces),
        (
            f"translation: bcc {policy.bcc.value}, envelope sender {policy.envelope_from}, "
            f"campaign {policy.campaign.value}, callback data {policy.callback_data.value}, "
            f"{len(policy.ip_pools)} IP pools, {len(policy.subaccounts)} subaccounts"
        ),
        f"workers {config.process.workers}",
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
        ends = ", which end TLS" if one.proxy_tls is ProxyTls.ALWAYS else ""
        yield f"a PROXY header from {' '.join(map(str, one.proxy_from))}{ends}"
    networks = " ".join(map(str, one.allow))
    if one.auth is not AuthMode.REQUIRED:
        yield f"relays for {networks or 'nobody'} without AUTH"
    elif not one.address.speaks_tls:
        yield f"takes AUTH without TLS from {networks or 'nobody'}"
    yield f"mode {one.mode.value}"
    yield f"messages up to {one.max_message_bytes:,} octets"


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


def _bounces(one: Bounces | None) -> str:
    if one is None:
        return "bounces: none, only error lines in the log"
    return f"bounces: from {one.header_from}, envelope sender <{one.envelope_from}>, by upstream {one.upstream}"
