"""
Read `[[listener]]` and `[[credential]]`, and refuse a listener that strangers could relay through.

A listener that others than this machine reach needs a reason to trust them:
a written list of networks, or AUTH under TLS.  The default of `allow` names
this machine alone, so it is no such reason: whoever opens a listener to a
network has to say to whom.
"""

import re

from smtpbridge.dialect.policy import Defaults
from smtpbridge.secret import Secret, SecretHash
from smtpbridge.settings import checks
from smtpbridge.settings.endpoint import EndpointText, Reach, read_endpoint
from smtpbridge.settings.pem import certificates_fault, key_fault, pair_fault
from smtpbridge.settings.surroundings import Surroundings, one_line, read_file
from smtpbridge.settings.translation import read_defaults
from smtpbridge.settings.values import (
    LOOPBACK,
    PROVIDER_MESSAGE_BYTES,
    ROOM_FOR_OUR_HEADERS,
    AuthMode,
    Credential,
    KeyPair,
    Listener,
    Mode,
    Network,
)
from smtpbridge.toml_table import Table

_EXAMPLE = "tcp:2525:interface=127.0.0.1"
_SECRET_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")
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
        allow=_read_allow(table),
        key_pair=_read_key_pair(table, around),
        auth=table.choice("auth", _DEFAULT.auth),
        mode=table.choice("mode", _DEFAULT.mode),
        line_endings=table.choice("line_endings", _DEFAULT.line_endings),
        idle_seconds=table.seconds("idle_seconds", _DEFAULT.idle_seconds),
        data_seconds=table.seconds("data_seconds", _DEFAULT.data_seconds),
        verdict_seconds=table.seconds("verdict_seconds", _DEFAULT.verdict_seconds),
        max_sessions=table.whole("max_sessions", _DEFAULT.max_sessions),
        max_sessions_per_address=table.whole("max_sessions_per_address", _DEFAULT.max_sessions_per_address),
        max_message_bytes=table.whole("max_message_bytes", _DEFAULT.max_message_bytes, least=1024),
        max_recipients=table.whole("max_recipients", _DEFAULT.max_recipients),
        # RFC 5321, 4.5.3.1.4: a command line may have 512 octets.
        max_line_bytes=table.whole("max_line_bytes", _DEFAULT.max_line_bytes, least=512, most=1_048_576),
        max_header_bytes=table.whole("max_header_bytes", _DEFAULT.max_header_bytes, least=1024),
        max_bad_commands=table.whole("max_bad_commands", _DEFAULT.max_bad_commands),
        spool_bytes=table.whole("spool_bytes", _DEFAULT.spool_bytes),
        defaults=_read_defaults(table, pools),
    )
    table.close()
    if endpoint:
        _judge(table, listener, around, credentials=credentials, trusts_by_list=table.has("allow"))
    return listener


def read_credential(table: Table, around: Surroundings, pools: tuple[str, ...]) -> Credential | None:
    """Return one credential, or `None` where its secret cannot be had; `pools` are those of the file."""
    username = table.text("username", check=checks.user_name)
    if not table.has("username"):
        table.fault("username", 'is missing; SparkPost\'s senders present "SMTP_Injection"')
    digest = table.text("secret_hash", check=_secret_hash_fault, quote=False)
    given = table.has("secret_hash"), table.has("secret_file")
    file = read_file(table, "secret_file", around, private=True)
    defaults = _read_defaults(table, pools)
    table.close()
    if all(given) or not any(given):
        wrong = "and secret_hash are both given" if all(given) else "is missing"
        table.fault("secret_file", f"{wrong}; write one of secret_file and secret_hash")
        return None
    if digest and (match := _SECRET_HASH.fullmatch(digest)):
        return Credential(username, SecretHash(bytes.fromhex(match[1])), defaults)
    content = one_line(file[1]) if file else None
    if isinstance(content, str):
        table.fault("secret_file", f'"{file[0] if file else ""}" {content}')
    return Credential(username, Secret(content), defaults) if isinstance(content, bytes) else None


def _read_defaults(table: Table, pools: tuple[str, ...]) -> Defaults:
    own = table.table("translation")
    defaults = read_defaults(own, pools)
    own.close()
    return defaults


def _endpoint_fault(text: str) -> str | None:
    found = read_endpoint(text)
    return found if isinstance(found, str) else None


def _secret_hash_fault(text: str) -> str | None:
    if _SECRET_HASH.fullmatch(text):
        return None
    return "is not a hash; write \"sha256:\" and what this prints: printf %s 'SECRET' | sha256sum | cut -d' ' -f1"


def _read_allow(table: Table) -> tuple[Network, ...]:
    networks: list[Network] = []

    def check(text: str) -> str | None:
        found = checks.read_network(text)
        if isinstance(found, str):
            return found
        networks.append(found)
        return None

    table.texts("allow", check=check)
    return tuple(networks) if table.has("allow") else LOOPBACK


def _read_key_pair(table: Table, around: Surroundings) -> KeyPair | None:
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if table.has(one) and not table.has(other):
            table.fault(other, f"is missing; {one} is given, and STARTTLS needs both or none")
    certificate = read_file(table, "certificate", around)
    key = read_file(table, "key", around, private=True)
    faults = {
        "certificate": certificate and certificates_fault(certificate[1]),
        "key": key and key_fault(key[1]),
    }
    if certificate and key and not any(faults.values()):
        faults["key"] = pair_fault(certificate[1], key[1])
    for name, wrong in faults.items():
        if wrong:
            table.fault(name, f"the file {wrong}")
    if certificate is None or key is None:
        return None
    return KeyPair(certificate[0], key[0], certificate[1], Secret(key[1]))


def _judge(table: Table, listener: Listener, around: Surroundings, *, credentials: bool, trusts_by_list: bool) -> None:
    """Add what is wrong with, or worth knowing of, a listener as a whole."""
    own_tls = listener.address.speaks_tls
    secured = own_tls or table.has("certificate")
    offers = credentials and listener.auth is not AuthMode.OFF
    if own_tls and table.has("certificate"):
        table.fault("certificate", "is not for this endpoint, which speaks TLS with a certificate of its own")
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


def _note(table: Table, listener: Listener, around: Surroundings) -> None:
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
