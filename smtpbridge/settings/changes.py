"""
What is different between two configurations, in the words of the file.

`changes` says it for the log and for whoever asked for a reload; `bound` says what cannot be changed while the
process runs.  Numbers, switches, networks and hosts are shown; of everything else only that it has changed, so no
secret can appear.

A field of `Config` that is not known here is bound: it counts after a restart until somebody has thought about it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from smtpbridge.settings.values import Config, Credential, Host, Listener, Upstream

# Of these sections a running process can follow some keys; how many workers there are, it cannot.
_PARTLY = {
    "process": {"max_body_memory_bytes", "max_temporary_bytes", "temporary_folder"},
    "log": {"level"},
    "admin": {"token", "host_names", "endpoint_digest"},
}
# Fields that are called otherwise in the file.
_KEYS = {
    "address": "endpoint",
    "key_pair": "certificate",
    "client_pair": "client_certificate",
    "token": "token_file",
    "endpoint_digest": "endpoint (the files that it names)",
    "defaults": "translation",
}
# Sections whose keys are those of the field.
_SECTIONS = {"queue", "bounces", "logins"}
_NAMES = {"hostname", "server_name"}
_FOLLOWED = {"hostname", "listeners", "credentials", "upstreams", "translation", "notes"} | _SECTIONS | _PARTLY.keys()


def bound(old: Config, new: Config) -> tuple[str, ...]:
    """Return a sentence for each difference that needs a restart."""
    return tuple(_bound(old, new))


def _bound(old: Config, new: Config) -> Iterator[str]:
    before, now = (Counter(one.endpoint for one in config.listeners) for config in (old, new))
    for endpoint in now - before:
        yield f"[[listener]] endpoint: {endpoint} is new, which needs a restart"
    for endpoint in before - now:
        yield f"[[listener]] endpoint: {endpoint} is gone, which needs a restart"
    for section, followed in _PARTLY.items():
        before_it, now_it = getattr(old, section), getattr(new, section)
        if before_it is None or now_it is None:
            yield from (f"{place}: needs a restart" for place in _places(section, before_it, now_it))
            continue
        for name in _different(before_it, now_it):
            if name not in followed:
                yield f"[{section}] {_difference(name, before_it, now_it)}: needs a restart"
    for one in fields(Config):
        if one.name not in _FOLLOWED:
            for place in _places(one.name, getattr(old, one.name), getattr(new, one.name)):
                yield f"{place}: needs a restart"


def in_order(config: Config, endpoints: Sequence[str]) -> Config:
    """Return the same with the listeners in that order, which has each of them once."""
    left = list(config.listeners)
    # Several may have one text, with a port that the system chooses.
    listeners = tuple(left.pop([one.endpoint for one in left].index(endpoint)) for endpoint in endpoints)
    return replace(config, listeners=listeners)


def changes(old: Config, new: Config) -> tuple[str, ...]:
    """Return what is different, a key each; the listeners of both stand in one order."""
    return tuple(_changes(old, new))


def _changes(old: Config, new: Config) -> Iterator[str]:
    if old.hostname != new.hostname:
        yield _difference("hostname", old, new)
    for before, now in zip(old.listeners, new.listeners, strict=True):
        yield from _listener(before, now)
    yield from _credentials(old.credentials, new.credentials)
    yield from _upstreams(old.upstreams, new.upstreams)
    for name in ("translation", *sorted(_SECTIONS), *_PARTLY):
        yield from _places(name, getattr(old, name), getattr(new, name))


def _listener(old: Listener, new: Listener) -> Iterator[str]:
    for name in _different(old, new):
        yield f"[[listener]] {old.endpoint} {_difference(name, old, new)}"


def _credentials(old: Sequence[Credential], new: Sequence[Credential]) -> Iterator[str]:
    gone = [one.username for one in old if one not in new]
    come = [one.username for one in new if one not in old]
    for username in sorted({*gone, *come}):
        yield f"[[credential]] {username}: {_fate(username in gone, username in come)}"


def _upstreams(old: Sequence[Upstream], new: Sequence[Upstream]) -> Iterator[str]:
    before, now = ({one.name: one for one in some} for some in (old, new))
    for name in {**before, **now}:
        if name in before and name in now:
            for key in _different(before[name], now[name]):
                yield f"[upstream.{name}] {_difference(key, before[name], now[name])}"
        else:
            yield f"[upstream.{name}] {_fate(name in before, name in now)}"
    if old[0].name != new[0].name:
        yield f"the default upstream: {old[0].name} -> {new[0].name}"


def _fate(gone: bool, come: bool) -> str:
    return "changed" if gone and come else "removed" if gone else "added"


def _places(section: str, old: Any, new: Any) -> Iterator[str]:
    """Say each key of a section that is different; a section that only one of them has is one."""
    if old == new:
        return
    if not is_dataclass(old) or type(old) is not type(new):
        yield f"[{section}] {_fate(old is not None, new is not None)}"
        return
    for name in _different(old, new):
        if name == "default_upstream":
            continue  # said among the upstreams
        yield f"[{name}]" if name in ("ip_pools", "subaccounts") else f"[{section}] {_difference(name, old, new)}"


def _different(old: Any, new: Any) -> list[str]:
    return [one.name for one in fields(old) if one.compare and getattr(old, one.name) != getattr(new, one.name)]


def _difference(name: str, old: Any, new: Any) -> str:
    before, now = (_shown(name, getattr(one, name)) for one in (old, new))
    key = _KEYS.get(name, name)
    return f"{key} {before} -> {now}" if before and now else key


def _shown(name: str, value: object) -> str:
    """Return a value as text where nothing in it can be a secret, else nothing."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case int() | float():
            return f"{value:.12g}"
        case str() if name in _NAMES and value:
            return value
        case tuple() if value and all(isinstance(one, Host | IPv4Network | IPv6Network) for one in value):
            return " ".join(map(str, value))
        case _:
            return ""
