"""
Read `[events.target.NAME]`: to whom events are posted, which of them, and how the bridge says who it is.
"""

import re
from dataclasses import replace
from difflib import get_close_matches
from enum import Enum
from urllib.parse import urlsplit

from smtpbridge.dialect.sparkpost_event import EventType
from smtpbridge.secret import Secret
from smtpbridge.settings import checks
from smtpbridge.settings.event_values import EVERY_TYPE, Basic, EventRoots, HeaderToken, OAuth2, Proof, Target
from smtpbridge.settings.pem import certificates_fault
from smtpbridge.settings.surroundings import Surroundings, read_file, read_secret
from smtpbridge.toml_table import Table, quoted

_EXAMPLE = "https://app.example.com/sparkpost"
# A name becomes part of a credential's name, of log fields and of labels.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# RFC 9110, 5.6.2: a token.
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OUR_HEADERS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent"})
_TYPES = {one.value: one for one in EventType}
_DEFAULT = Target("", "")
_SPARKPOST_HEADER = "X-MessageSystems-Webhook-Token"


class Auth(Enum):
    """How the bridge says who it is, by the word in the file."""

    NONE = "none"
    BASIC = "basic"
    TOKEN = "token"
    OAUTH2 = "oauth2"


# Which keys go with which word.  A secret's key stands last.
_KEYS = {
    Auth.BASIC: ("username", "password_file"),
    Auth.TOKEN: ("header", "token_file"),
    Auth.OAUTH2: ("token_url", "client_id", "scope", "client_secret_file"),
}
_OPTIONAL = frozenset({"header", "scope"})


def read_targets(table: Table, around: Surroundings) -> tuple[Target, ...]:
    """Return all targets, in the order of the file."""
    return tuple(_read_target(name, table.table(name), around) for name in table.names())


def _read_target(name: str, table: Table, around: Surroundings) -> Target:
    if not _NAME.fullmatch(name):
        table.fault("name", f'{quoted(name)} is not usable; write letters, digits, "-" and "_" only')
    url = table.text("url", check=target_url)
    if not table.has("url"):
        table.fault("url", f'is missing; write url = "{_EXAMPLE}"')
    events = table.texts("events", check=_type_fault)
    subaccounts = table.texts("subaccounts", check=_subaccount_fault)
    for key in ("events", "subaccounts"):
        if table.is_empty(key):
            table.fault(key, "is empty, so nothing would be posted; leave it out for all")
    target = Target(
        name=name,
        url=url,
        events=frozenset(_TYPES[one] for one in events if one in _TYPES) or EVERY_TYPE,
        subaccounts=frozenset(subaccounts),
        proof=_read_proof(name, table, around),
        headers=_read_headers(table.table("headers")),
        batch_events=table.whole("batch_events", _DEFAULT.batch_events, most=350),
        batch_seconds=table.seconds("batch_seconds", _DEFAULT.batch_seconds),
        timeout_seconds=table.seconds("timeout_seconds", _DEFAULT.timeout_seconds),
        attempts=table.whole("attempts", _DEFAULT.attempts, most=100),
        hours=table.whole("hours", _DEFAULT.hours, most=720),
        trust_roots=_read_roots(table, around),
    )
    table.close()
    if target.trust_roots and url.startswith("http:"):
        target = replace(target, trust_roots=None)
        table.fault("trust_roots", "is given, and an http: address has no certificate; leave it out")
    return target


def _read_proof(name: str, table: Table, around: Surroundings) -> Proof | None:
    auth = table.choice("auth", Auth.NONE)
    texts = {
        "username": table.text("username", check=checks.user_name),
        "header": table.text("header", _SPARKPOST_HEADER, check=header_name),
        "token_url": table.text("token_url", check=target_url),
        "client_id": table.text("client_id", check=checks.user_name),
        "scope": table.text("scope", check=checks.header_text),
    }
    for other, keys in _KEYS.items():
        for key in keys:
            if table.has(key) and other is not auth:
                table.fault(key, f'and auth = "{auth.value}" are both given; it is for auth = "{other.value}"')
    if auth is Auth.NONE:
        return None
    *needed, secret_key = (key for key in _KEYS[auth] if key not in _OPTIONAL)
    for key in needed:
        if not table.has(key):
            table.fault(key, f'is missing; auth = "{auth.value}" needs it')
    secret = read_secret(table, secret_key, around, f"events.target.{name}") or Secret(b"")
    match auth:
        case Auth.BASIC:
            return Basic(texts["username"], secret)
        case Auth.TOKEN:
            return HeaderToken(texts["header"], secret)
        case Auth.OAUTH2:
            return OAuth2(texts["token_url"], texts["client_id"], secret, texts["scope"])


def _read_headers(table: Table) -> tuple[tuple[str, Secret], ...]:
    headers = []
    for name in table.names():
        if wrong := _own_header_fault(name):
            table.fault(quoted(name), wrong)
        # A value may be a key, so it is not quoted.
        value = table.text(name, check=_value_fault, quote=False)
        headers.append((name, Secret(value.encode("latin-1", "replace"))))
    return tuple(headers)


def _read_roots(table: Table, around: Surroundings) -> EventRoots | None:
    file = read_file(table, "trust_roots", around)
    if file is None:
        return None
    if wrong := certificates_fault(file[1]):
        table.fault("trust_roots", f"the file {wrong}")
    return EventRoots(*file)


def header_name(text: str) -> str | None:
    """The name of an HTTP header."""
    return None if _HEADER.fullmatch(text) else 'is not the name of an HTTP header; write it as in "X-Signature"'


def target_url(text: str) -> str | None:
    """An address that personal data may be sent to."""
    if wrong := checks.url(text):
        return wrong
    parts = urlsplit(text)
    if parts.username or parts.password:
        return 'holds a user name; write auth = "basic", which keeps the password out of logs'
    if parts.scheme != "https" and not checks.is_loopback(parts.hostname or ""):
        return f'is not https, and what is sent there is personal; write it as in "{_EXAMPLE}"'
    return None


def _own_header_fault(name: str) -> str | None:
    if name.lower() in _OUR_HEADERS:
        return "is the bridge's own to say; leave it out"
    return header_name(name)


def _value_fault(text: str) -> str | None:
    return None if text.isascii() and text.isprintable() else "holds characters outside printable ASCII"


def _type_fault(text: str) -> str | None:
    if text in _TYPES:
        return None
    near = get_close_matches(text.lower(), _TYPES, n=1)
    return f'is no event; did you mean "{near[0]}"?' if near else f"is no event; there: {', '.join(_TYPES)}"


def _subaccount_fault(text: str) -> str | None:
    if text.isascii() and text.isdigit():
        return None
    return 'is not the number of a subaccount; write it as in "123", and "0" for the mail of none'
