r"""
Take a Twisted server endpoint string apart, as far as the configuration must understand it.

The grammar (`twisted.internet.endpoints.serverFromString`): a kind, then
arguments, all joined by colons; an argument with `=` has a name; a backslash
takes the next character literally, so an IPv6 address is written `\:\:1`.

Twisted itself reads the string again at start, with a reactor.  This reading
answers two questions before that: would it be understood, and who can reach
it.  What a third-party kind of endpoint listens on cannot be known, so it
counts as reachable by anybody.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from ipaddress import ip_address

_PART = re.compile(r"(?:[^:\\]|\\.)*", re.DOTALL)
_NAMED = re.compile(r"((?:[^=\\]|\\.)*)=(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

# By kind: the names of the positional arguments in order, and the further ones.
_KINDS: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "tcp": (("port", "interface", "backlog"), frozenset()),
    "tcp6": (("port", "backlog", "interface"), frozenset()),
    "ssl": (
        ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog"),
        frozenset({"extraCertChain", "dhParameters"}),
    ),
    "tls": (("path", "port", "backlog", "interface"), frozenset()),
    "unix": (("address", "mode", "backlog", "lockfile"), frozenset()),
    "systemd": (("domain", "index", "name"), frozenset()),
}
_TLS_KINDS = frozenset({"ssl", "tls"})
_FILES = ("certKey", "privateKey", "extraCertChain")
_NEEDED = {
    "tcp": "port",
    "tcp6": "port",
    "ssl": "port",
    "tls": "path",
    "unix": "address",
    "systemd": "domain",
}
# Doubled, as a TOML text in double quotes wants its backslashes.
_COLONS = "in an IPv6 address write each colon as \\\\:"


class Reach(Enum):
    """Who can connect: this machine only, or possibly anybody."""

    LOCAL = "local"
    ANYBODY = "anybody"


@dataclass(frozen=True, slots=True)
class EndpointText:
    """
    What the configuration must know of an endpoint.

    `speaks_tls` tells that TLS begins with the first octet, by the endpoint's own certificate; `any_port` that the
    system chooses a free port; `takes_backlog` that the length of its queue could be said and is not.  `files` are what
    its own TLS is read from.
    """

    kind: str
    reach: Reach
    speaks_tls: bool = False
    any_port: bool = False
    takes_backlog: bool = False
    files: tuple[str, ...] = ()


def read_endpoint(text: str) -> EndpointText | str:
    """Return the endpoint, or what is wrong with the string, as the end of a sentence that begins with it."""
    parts = _split(text)
    if parts is None:
        return 'ends in a backslash; write it as in "tcp:2525:interface=127.0.0.1"'
    kind = _literal(parts[0])
    if kind not in _KINDS:
        return _read_unknown_kind(kind)
    arguments = _name_arguments(kind, parts[1:])
    if isinstance(arguments, str):
        return arguments
    wrong = _fault_of(kind, arguments)
    if wrong:
        return wrong
    any_port = "port" in arguments and int(arguments["port"]) == 0
    takes_backlog = "backlog" in _KINDS[kind][0] and "backlog" not in arguments
    files = tuple(arguments[one] for one in _FILES if arguments.get(one)) if kind == "ssl" else ()
    return EndpointText(kind, _reach(kind, arguments), kind in _TLS_KINDS, any_port, takes_backlog, files)


def arguments_of(text: str) -> dict[str, str]:
    """Return the arguments of an endpoint that `read_endpoint` has understood, by their names."""
    kind, *parts = _split(text) or [""]
    found = _name_arguments(_literal(kind), parts) if _literal(kind) in _KINDS else {}
    return {} if isinstance(found, str) else found


def _split(text: str) -> list[str] | None:
    parts, at = [], 0
    while match := _PART.match(text, at):
        parts.append(match[0])
        if match.end() == len(text):
            return parts
        if text[match.end()] != ":":
            return None
        at = match.end() + 1
    return None


def _literal(part: str) -> str:
    return _ESCAPE.sub(r"\1", part)


def _read_unknown_kind(kind: str) -> EndpointText | str:
    if kind in ("haproxy", "stdio"):
        return f'is of the kind "{kind}", which smtpbridge does not listen on; write "tcp:PORT:interface=ADDRESS"'
    near = get_close_matches(kind.lower(), _KINDS, n=1, cutoff=0.5)
    if not near and re.fullmatch(r"[A-Za-z][A-Za-z0-9_.+-]*", kind):
        return EndpointText(kind, Reach.ANYBODY)
    hint = f'did you mean "{near[0]}:"?' if near else 'write it as in "tcp:2525:interface=127.0.0.1"'
    return f"does not begin with a kind of endpoint; {hint}"


def _name_arguments(kind: str, parts: list[str]) -> dict[str, str] | str:
    positional, further = _KINDS[kind]
    arguments: dict[str, str] = {}
    free = iter(positional)
    for part in parts:
        named = _NAMED.fullmatch(part)
        name = _literal(named[1]) if named else next(free, "")
        if not name:
            return f"has more arguments than its kind takes; {_COLONS}"
        if name not in positional and name not in further:
            return f'has an unknown argument "{name}"; {kind}: takes {", ".join([*positional, *sorted(further)])}'
        if name in arguments:
            return f'gives "{name}" twice; {_COLONS}'
        arguments[name] = _literal(named[2] if named else part)
    return arguments


def _fault_of(kind: str, arguments: dict[str, str]) -> str | None:
    needed = _NEEDED[kind]
    if not arguments.get(needed):
        return f'has no {needed}; write "{kind}:{needed.upper()}"'
    port = arguments.get("port", "443")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        return f'has the port "{port}"; write a number from 0 to 65535'
    if kind == "systemd" and ("index" in arguments) == ("name" in arguments):
        return 'names no socket; write "systemd:domain=INET:index=0" or "systemd:domain=INET:name=NAME"'
    interface = arguments.get("interface", "")
    if interface not in ("", "localhost") and not _is_ip(interface):
        return f'has the interface "{interface}"; write an IP address, each colon in it as \\\\:'
    return None


def _reach(kind: str, arguments: dict[str, str]) -> Reach:
    if kind == "unix":
        return Reach.LOCAL
    interface = arguments.get("interface", "")
    if interface == "localhost" or (_is_ip(interface) and ip_address(interface).is_loopback):
        return Reach.LOCAL
    return Reach.ANYBODY


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
