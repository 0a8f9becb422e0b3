"""
Where a command that sends finds the bridge: the listener that a configuration names, or an address that was given.

What must not be known here: sockets.
"""

import re
import ssl
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.settings.endpoint import arguments_of
from smtpbridge.settings.values import Config, Listener

_SERVER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+)):([0-9]{1,5})")
_TLS_PORT = 465
_DIALLED = ("tcp", "tcp6", "ssl")


class NoDoor(SmtpbridgeError):
    """There is nothing to connect to."""


class Tls(Enum):
    """How TLS begins; `AUTO` is STARTTLS where it is offered."""

    AUTO = "auto"
    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Door:
    """A host, a port, how TLS begins there, and with what it is verified (without TLS: nothing)."""

    host: str
    port: int
    tls: Tls
    context: ssl.SSLContext | None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def server_door(text: str, tls: Tls | None, roots: str | None, *, insecure: bool) -> Door:
    """Return an address that was given as HOST:PORT; raise `NoDoor`."""
    match = _SERVER.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 65536:
        raise NoDoor(f"{text}: write a host and a port, as in bridge.example.com:587 or [::1]:2525")
    port = int(match[3])
    wanted = tls or (Tls.TLS if port == _TLS_PORT else Tls.AUTO)
    return Door(match[1] or match[2], port, wanted, None if wanted is Tls.NONE else _context(roots, insecure=insecure))


def listener_door(config: Config, tls: Tls | None, *, insecure: bool) -> Door:
    """Return the first listener that this machine can reach, and take its certificate alone; raise `NoDoor`."""
    for listener in config.listeners:
        arguments = arguments_of(listener.endpoint)
        if listener.address.kind not in _DIALLED or listener.address.any_port:
            continue
        host = _reached(listener.address.kind, arguments.get("interface", ""))
        if _wants_proxy_header(listener, host):
            continue
        wanted = tls or _tls_of(listener)
        context = None if wanted is Tls.NONE else _context_for(listener, arguments, insecure=insecure)
        return Door(host, int(arguments["port"]), wanted, context)
    raise NoDoor(
        "no listener of the configuration can be connected to from here (a fixed TCP port without a PROXY header from "
        "this machine); name one with --server HOST:PORT"
    )


def _reached(kind: str, interface: str) -> str:
    """Return where a listener on an interface is reached: who listens everywhere also listens on loopback."""
    if interface in ("", "0.0.0.0", "::"):
        return "::1" if kind == "tcp6" or interface == "::" else "127.0.0.1"
    return "127.0.0.1" if interface == "localhost" else interface


def _wants_proxy_header(listener: Listener, host: str) -> bool:
    # Who connects to an address of this machine comes from that same address.
    return any(ip_address(host) in network for network in listener.proxy_from)


def _tls_of(listener: Listener) -> Tls:
    if listener.address.speaks_tls:
        return Tls.TLS
    return Tls.STARTTLS if listener.key_pair is not None else Tls.NONE


def _context(roots: str | None, *, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=roots)
    except OSError as error:
        raise NoDoor(f"{roots}: cannot be used as trust roots ({error.strerror or error})") from error
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _context_for(listener: Listener, arguments: dict[str, str], *, insecure: bool) -> ssl.SSLContext:
    """Take the listener's own certificate and no other: the configuration says which it is, under whatever name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if insecure:
        context.verify_mode = ssl.CERT_NONE
        return context
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        if listener.key_pair is not None:
            context.load_verify_locations(cadata=_leaf(listener.key_pair.certificate))
        else:
            context.load_verify_locations(cafile=arguments.get("certKey") or arguments.get("privateKey"))
    except (OSError, TypeError) as error:
        raise NoDoor(f"the certificate of {listener.endpoint} cannot be read: {error}") from error
    return context


def _leaf(chain: bytes) -> str:
    """Return the first certificate of a chain."""
    end = "-----END CERTIFICATE-----"
    return chain.decode("ascii", "replace").partition(end)[0] + end + "\n"
