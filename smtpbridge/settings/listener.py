"""
Read `[[listener]]`, and refuse a listener that strangers could relay through.

A listener that others than this machine reach needs a reason to trust them:
a written list of networks, or AUTH under TLS.  The default of `allow` names
this machine alone, so it is no such reason: whoever opens a listener to a
network has to say to whom.
"""

from smtpbridge.settings import checks
from smtpbridge.settings.credential import read_own_defaults
from smtpbridge.settings.endpoint import EndpointText, Reach, read_endpoint
from smtpbridge.settings.pem import read_key_pair
from smtpbridge.settings.surroundings import Surroundings, digest_of
from smtpbridge.settings.values import (
    LOOPBACK,
    PROVIDER_MESSAGE_BYTES,
    ROOM_FOR_OUR_HEADERS,
    AuthMode,
    Listener,
    Mode,
    Network,
    ProxyTls,
)
from smtpbridge.toml_table import Table

_EXAMPLE = "tcp:2525:interface=127.0.0.1"
_DEFAULT = Listener(_EXAMPLE, EndpointText("tcp", Reach.LOCAL))


def read_listener(table: Table, around: Surroundings, *, credentials: bool, pools: tuple[str, ...]) -> Listener:
    """Return one listener; `credentials` tells whether the file has any for senders, `pools` are its pools."""
    endpoint = table.text("endpoint", check=_endpoint_fault)
    if not table.has("endpoint"):
        table.fault("endpoint", f'is missing; write endpoint = "{_EXAMPLE}"')
    address = read_endpoint(endpoint or _EXAMPLE)
    assert isinstance(address, EndpointText)
    listener = Listener(
        endpoint=endpoint,
        address=address,
        allow=_read_networks(table, "allow", LOOPBACK),
        proxy_from=_read_networks(table, "proxy_from", _DEFAULT.proxy_from),
        proxy_seconds=table.seconds("proxy_seconds", _DEFAULT.proxy_seconds),
        proxy_tls=table.choice("proxy_tls", _DEFAULT.proxy_tls),
        key_pair=read_key_pair(table, around, "certificate", "key", "STARTTLS"),
        auth=table.choice("auth", _DEFAULT.auth),
        mode=table.choice("mode", _DEFAULT.mode),
        line_endings=table.choice("line_endings", _DEFAULT.line_endings),
        idle_seconds=table.seconds("idle_seconds", _DEFAULT.idle_seconds),
        handshake_seconds=table.seconds("handshake_seconds", _DEFAULT.handshake_seconds),
        data_seconds=table.seconds("data_seconds", _DEFAULT.data_seconds),
        min_rate_bytes=table.whole("min_rate_bytes", _DEFAULT.min_rate_bytes),
        verdict_seconds=table.seconds("verdict_seconds", _DEFAULT.verdict_seconds),
        max_sessions=table.whole("max_sessions", _DEFAULT.max_sessions),
        max_sessions_per_address=table.whole("max_sessions_per_address", _DEFAULT.max_sessions_per_address),
        max_connections_per_minute=table.whole(
            "max_connections_per_minute", _DEFAULT.max_connections_per_minute, least=0
        ),
        max_messages_per_minute=table.whole("max_messages_per_minute", _DEFAULT.max_messages_per_minute, least=0),
        max_message_bytes=table.whole("max_message_bytes", _DEFAULT.max_message_bytes, least=1024),
        max_recipients=table.whole("max_recipients", _DEFAULT.max_recipients),
        # RFC 5321, 4.5.3.1.4: a command line may have 512 octets.
        max_line_bytes=table.whole("max_line_bytes", _DEFAULT.max_line_bytes, least=512, most=1_048_576),
        max_header_bytes=table.whole("max_header_bytes", _DEFAULT.max_header_bytes, least=1024),
        max_header_fields=table.whole("max_header_fields", _DEFAULT.max_header_fields, least=100),
        max_bad_commands=table.whole("max_bad_commands", _DEFAULT.max_bad_commands),
        max_idle_commands=table.whole("max_idle_commands", _DEFAULT.max_idle_commands),
        spool_bytes=table.whole("spool_bytes", _DEFAULT.spool_bytes),
        defaults=read_own_defaults(table, pools),
        endpoint_digest=digest_of(address, around),
    )
    table.close()
    if endpoint:
        _judge(table, listener, around, credentials=credentials, trusts_by_list=table.has("allow"))
    return listener


def _endpoint_fault(text: str) -> str | None:
    found = read_endpoint(text)
    return found if isinstance(found, str) else None


def _read_networks(table: Table, key: str, default: tuple[Network, ...]) -> tuple[Network, ...]:
    networks: list[Network] = []

    def check(text: str) -> str | None:
        found = checks.read_network(text)
        if isinstance(found, str):
            return found
        networks.append(found)
        return None

    table.texts(key, check=check)
    return tuple(networks) if table.has(key) else default


def _judge(table: Table, listener: Listener, around: Surroundings, *, credentials: bool, trusts_by_list: bool) -> None:
    """Add what is wrong with, or worth knowing of, a listener as a whole."""
    own_tls = listener.address.speaks_tls
    # AUTH needs TLS in every session; behind a balancer that ends TLS, its word is what counts for that.
    secured = own_tls or table.has("certificate") or _names_balancers(table)
    offers = credentials and listener.auth is not AuthMode.OFF
    if own_tls and table.has("certificate"):
        table.fault("certificate", "is not for this endpoint, which speaks TLS with a certificate of its own")
    _judge_balancers(table, listener)
    if listener.auth is AuthMode.REQUIRED and not credentials:
        table.fault("auth", '"required" needs a [[credential]] for the senders to present')
    # What is written and wrong has a fault of its own; the list counts as meant.
    trusts_nobody = table.is_empty("allow")
    trusted = trusts_by_list and not trusts_nobody
    if listener.address.reach is Reach.ANYBODY and not trusted and not (offers and secured):
        table.fault(
            "endpoint",
            f'"{listener.endpoint}" may be reached by anybody, and nothing says who may relay; write allow = '
            '["NETWORK"], or certificate and key with a [[credential]], or listen on interface=127.0.0.1',
        )
    elif trusts_nobody and not (offers and secured):
        table.fault("allow", 'is empty and there is no AUTH under TLS, so nobody could send; write allow = ["NETWORK"]')
    _note(table, listener, around)


def _names_balancers(table: Table) -> bool:
    # What is written and wrong has a fault of its own; it counts as meant.
    return table.has("proxy_from") and not table.is_empty("proxy_from")


def _judge_balancers(table: Table, listener: Listener) -> None:
    """Add what keeps the header of a balancer from being read."""
    if listener.address.speaks_tls and listener.proxy_from:
        table.fault(
            "proxy_from",
            "does not go with this endpoint, which speaks TLS from the first octet, where a balancer sends its header "
            'in the clear; write a tcp: endpoint, with certificate and key, or with proxy_tls = "always" where the '
            "balancer ends TLS",
        )
    elif listener.address.kind == "unix" and listener.proxy_from:
        table.fault(
            "proxy_from",
            f'names networks, and who connects to "{listener.endpoint}" has no address; write a tcp: endpoint',
        )
    if listener.proxy_tls is ProxyTls.ALWAYS and not _names_balancers(table):
        table.fault("proxy_tls", '"always" is about balancers, and there are none; write proxy_from = ["NETWORK"]')


def _note_balancers(table: Table, listener: Listener, around: Surroundings) -> None:
    wide = [str(network) for network in listener.proxy_from if network.prefixlen == 0]
    if wide and listener.address.reach is Reach.ANYBODY:
        around.notes.append(
            f"{table.place} proxy_from: OPEN RELAY: {', '.join(wide)} lets everybody who reaches {listener.endpoint} "
            "claim any address, also one in allow; name the balancers' own addresses"
        )
        return
    both = [str(one) for one in listener.proxy_from if any(one.overlaps(other) for other in listener.allow)]
    if both and listener.auth is not AuthMode.REQUIRED:
        around.notes.append(
            f"{table.place} allow: holds balancers of proxy_from ({', '.join(both)}), so a connection that a balancer "
            "makes for itself, or whose client it cannot name, may relay without AUTH; allow is about the clients' "
            "addresses"
        )


def _note(table: Table, listener: Listener, around: Surroundings) -> None:
    _note_balancers(table, listener, around)
    if listener.mode is Mode.QUEUE:
        around.notes.append(
            f'{table.place} mode: "queue": at {listener.endpoint} a sender hears 250 as soon as its message is on the '
            "disk of the bridge; what the provider says comes later, and only as a bounce"
        )
    wide = [str(network) for network in listener.allow if network.prefixlen == 0]
    if wide and listener.address.reach is Reach.ANYBODY and listener.auth is not AuthMode.REQUIRED:
        around.notes.append(
            f"{table.place} allow: OPEN RELAY: {', '.join(wide)} lets everybody who reaches {listener.endpoint} send "
            "mail in your name without AUTH"
        )
    if listener.max_message_bytes > PROVIDER_MESSAGE_BYTES - ROOM_FOR_OUR_HEADERS:
        around.notes.append(
            f"{table.place} max_message_bytes: Infobip takes {PROVIDER_MESSAGE_BYTES:,} octets with what the bridge "
            "adds; a larger message is refused there, after the transfer"
        )
