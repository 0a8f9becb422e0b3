"""
Read `[events]`: where Infobip reports to, how the ledger is kept, and what kinds of events there are.

With this table every message carries a token and the address of the inbox, so the keys of `[translation]` that say
something about either are not for the operator any more: `reporting` puts them into the policy, and refuses those that
the file gives.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from smtpbridge.dialect.bounce_class import BounceClass
from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.policy import CallbackData, Policy
from smtpbridge.secret import Secret
from smtpbridge.settings import checks
from smtpbridge.settings.endpoint import EndpointText, Reach, read_endpoint
from smtpbridge.settings.event_values import Basic, Events
from smtpbridge.settings.surroundings import Surroundings, read_secret
from smtpbridge.settings.targets import header_name, read_targets
from smtpbridge.settings.values import Listener, Network
from smtpbridge.signature import Algorithm, Encoding, Signature
from smtpbridge.toml_table import Table

_URL = "https://events.example.com/infobip"
_ENDPOINT = "tcp:8090:interface=127.0.0.1"
_SECRET_CREDENTIAL = "events.secret"
# Whoever has an address of the inbox could try all shorter ones at leisure, and then make tokens.
_SHORTEST_SECRET = 16
# The path of the inbox comes behind it; Infobip takes 512 octets in all.
_LONGEST_URL = 450
_LEAST_BYTES = 64 * 1024 * 1024
_DIGITS = re.compile(r"[0-9]{1,19}")
_DEFAULT = Events("", "", Secret(b""))
_OPTIONS = EventOptions()


def read_events(top: Table, around: Surroundings, listeners: Sequence[Listener]) -> Events | None:
    """Return what `[events]` says, `None` where there is no such table."""
    given, table = top.has("events"), top.table("events")
    # All of it even where there is no table: so each key is known, and a lone table of targets is told what it lacks.
    public_url, endpoint = table.text("public_url", check=_url_fault), table.text("endpoint", check=_endpoint_fault)
    events = Events(
        public_url=public_url.rstrip("/"),
        endpoint=endpoint,
        secret=_read_secret(table, around) if given else Secret(b""),
        targets=read_targets(table.table("target"), around),
        basic=_read_basic(table, around),
        signature=_read_signature(table, around),
        allow=_read_networks(table),
        max_body_bytes=table.whole("max_body_bytes", _DEFAULT.max_body_bytes, least=65_536),
        max_requests_per_second=table.whole("max_requests_per_second", _DEFAULT.max_requests_per_second),
        max_concurrent=table.whole("max_concurrent", _DEFAULT.max_concurrent),
        keep_days=table.whole("keep_days", _DEFAULT.keep_days, most=3650),
        max_bytes=table.whole("max_bytes", _DEFAULT.max_bytes, least=_LEAST_BYTES),
        message_id_in_reply=table.flag("message_id_in_reply", _DEFAULT.message_id_in_reply),
        options=_read_options(table),
    )
    table.close()
    if not given:
        return None
    for key, example in (("public_url", _URL), ("endpoint", _ENDPOINT)):
        if not table.has(key):
            table.fault(key, f'is missing; write {key} = "{example}"')
    _judge(table, events, around, listeners)
    return events


def reporting(translation: Table, policy: Policy, events: Events | None) -> Policy:
    """Return the policy with what `[events]` wants in every message; refuse what contradicts it."""
    if events is None:
        if policy.callback_data is CallbackData.TOKEN:
            translation.fault("callback_data", '"token" needs [events], which says where it leads; write "json"')
        return policy
    for key in ("notify_url", "tracking_url", "notify_content_type"):
        if translation.has(key):
            translation.fault(key, "and [events] are both given; leave it out: Infobip reports to the inbox")
    if translation.has("callback_data") and policy.callback_data is not CallbackData.TOKEN:
        translation.fault("callback_data", "and [events] are both given; leave it out: events need the token")
    intermediate = policy.intermediate_report
    return replace(
        policy,
        callback_data=CallbackData.TOKEN,
        notify_url=events.inbox_url,
        tracking_url=events.inbox_url,
        notify_content_type="application/json",
        intermediate_report=events.options.delay or None if intermediate is None else intermediate,
    )


def _read_secret(table: Table, around: Surroundings) -> Secret:
    secret = read_secret(table, "secret_file", around, _SECRET_CREDENTIAL)
    if secret is None:
        return Secret(b"")
    if len(secret.reveal()) < _SHORTEST_SECRET:
        table.fault(
            "secret_file",
            f"holds a secret of fewer than {_SHORTEST_SECRET} characters, which could be guessed; make one with: "
            "openssl rand -hex 32",
        )
    return secret


def _read_basic(table: Table, around: Surroundings) -> Basic | None:
    username = table.text("basic_username", check=_basic_fault)
    if not _both(table, "basic_username", "basic_password_file"):
        return None
    password = read_secret(table, "basic_password_file", around)
    return Basic(username, password) if password else None


def _read_signature(table: Table, around: Surroundings) -> Signature | None:
    header = table.text("hmac_header", check=header_name)
    algorithm = table.choice("hmac_algorithm", Algorithm.SHA256)
    encoding = table.choice("hmac_encoding", Encoding.HEX)
    if not _both(table, "hmac_header", "hmac_secret_file"):
        return None
    key = read_secret(table, "hmac_secret_file", around)
    return Signature(header, key, algorithm, encoding) if key else None


def _both(table: Table, one: str, other: str) -> bool:
    """Tell whether both keys are given; add a fault where one of them is."""
    given = table.has(one), table.has(other)
    if given[0] != given[1]:
        table.fault(other if given[0] else one, f"is missing; {one if given[0] else other} needs it")
    return all(given)


def _read_networks(table: Table) -> tuple[Network, ...]:
    networks: list[Network] = []

    def check(text: str) -> str | None:
        found = checks.read_network(text)
        if isinstance(found, str):
            return found
        networks.append(found)
        return None

    table.texts("allow", check=check)
    if table.is_empty("allow"):
        table.fault("allow", "is empty, so nobody could report; leave it out to let any address")
    return tuple(networks)


def _read_options(table: Table) -> EventOptions:
    class_ = table.text("policy_rejection_class", check=_class_fault)
    return EventOptions(
        injection=table.flag("injection", _OPTIONS.injection),
        delay=table.flag("delay", _OPTIONS.delay),
        initial_open=table.flag("initial_open", _OPTIONS.initial_open),
        unsubscription=table.choice("unsubscription", _OPTIONS.unsubscription),
        policy_rejection_class=BounceClass(class_) if class_ else None,
        customer_id=table.text("customer_id", check=_customer_fault),
    )


def _judge(table: Table, events: Events, around: Surroundings, listeners: Sequence[Listener]) -> None:
    """Add what is wrong with, or worth knowing of, the whole."""
    if any(one.endpoint == events.endpoint and not one.address.any_port for one in listeners):
        table.fault("endpoint", f'"{events.endpoint}" is taken by a [[listener]]; write another port')
    address = read_endpoint(events.endpoint or _ENDPOINT)
    if isinstance(address, EndpointText) and address.reach is Reach.ANYBODY and not address.speaks_tls:
        around.notes.append(
            f"{table.place} endpoint: {events.endpoint} may be reached by others without TLS, and the path of the "
            "inbox is a secret; let a web server end TLS in front of it, or write an ssl: endpoint"
        )
    if not events.targets:
        around.notes.append(
            f"{table.place}: no target is configured: events are kept and posted to nobody; write [events.target.NAME]"
        )


def _url_fault(text: str) -> str | None:
    if wrong := checks.url(text):
        return wrong
    parts = urlsplit(text)
    if parts.query or parts.fragment:
        return f'holds more than a path, and the path of the inbox is put behind it; write it as in "{_URL}"'
    if parts.scheme != "https" and not checks.is_loopback(parts.hostname or ""):
        return f'is not https, and what is reported is personal; write it as in "{_URL}"'
    return f"is longer than {_LONGEST_URL} characters" if len(text) > _LONGEST_URL else None


def _endpoint_fault(text: str) -> str | None:
    found = read_endpoint(text)
    return found if isinstance(found, str) else None


def _basic_fault(text: str) -> str | None:
    # RFC 7617, 2: the colon ends the name.
    return "holds a colon, which ends a name in HTTP Basic" if ":" in text else checks.user_name(text)


def _class_fault(text: str) -> str | None:
    known = [one.value for one in BounceClass]
    return None if text in known else f"is no bounce class; write one of {', '.join(known)}"


def _customer_fault(text: str) -> str | None:
    return None if _DIGITS.fullmatch(text) else 'is no number; write it as in "12345"'
