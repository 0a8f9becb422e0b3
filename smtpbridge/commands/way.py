"""
How a command reaches the admin endpoint of this machine: where the configuration says, or where a URL does.

It speaks HTTP/1.1 over TCP, TLS or a local socket, one question a connection.  What is asked, and what the answer
means, is for the commands.
"""

import http.client
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from smtpbridge.errors import SmtpbridgeError
from smtpbridge.settings.endpoint import arguments_of
from smtpbridge.settings.values import Admin

# Whoever listens everywhere also listens on loopback.
_ANYWHERE = {"": "127.0.0.1", "localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
# All figures of many workers are a megabyte; who answers more than this is somebody else.
_MOST_OCTETS = 8 * 1024 * 1024


class NoWay(SmtpbridgeError):
    """Nothing says where the admin endpoint is to be reached."""


@dataclass(frozen=True, slots=True)
class Way:
    """A `host` and a `port`, or the `path` of a local socket; with a `context` over TLS."""

    host: str = ""
    port: int = 0
    path: str = ""
    context: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")

    def get(self, page: str, seconds: float, token: str = "") -> tuple[int, bytes]:
        """Return the status and the text of a page; raise `OSError` or `http.client.HTTPException`."""
        connection = self._connection(seconds)
        try:
            connection.request("GET", page, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read(_MOST_OCTETS)
        finally:
            connection.close()

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        if self.path:
            return _Local(self.path, seconds)
        if self.context is not None:
            return http.client.HTTPSConnection(self.host, self.port, timeout=seconds, context=self.context)
        return http.client.HTTPConnection(self.host, self.port, timeout=seconds)


class _Local(http.client.HTTPConnection):
    """HTTP over a local socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path
        self._seconds = seconds

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._seconds)
        self.sock.connect(self._path)


def way_to(admin: Admin) -> Way:
    """
    Return how the endpoint of a configuration is reached; raise `NoWay` for one that does not say it.

    Over TLS its own certificate counts, under whatever name, and no other: it may be made for another name than the
    loopback address.
    """
    arguments = arguments_of(admin.endpoint)
    if "address" in arguments:
        return Way(path=arguments["address"])
    if "port" not in arguments or admin.address.any_port:
        raise NoWay(f"[admin] endpoint {admin.endpoint} does not say at which port it is")
    interface = arguments.get("interface", "")
    if admin.address.kind == "tcp6" and not interface:
        interface = "::"
    context = _context_for(admin, arguments) if admin.address.speaks_tls else None
    return Way(_ANYWHERE.get(interface, interface), int(arguments["port"]), context=context)


def _context_for(admin: Admin, arguments: dict[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=arguments.get("certKey") or arguments.get("privateKey"))
    except (OSError, TypeError) as error:
        raise NoWay(f"the certificate of [admin] endpoint {admin.endpoint} cannot be read: {error}") from error
    return context


def way_at(url: str) -> Way:
    """Return how a URL is reached, or `unix:PATH`; raise `NoWay` for what is neither."""
    if url.startswith("unix:"):
        return Way(path=url.removeprefix("unix:"))
    try:
        parts = urlsplit(url)
        tls = {"http": False, "https": True}[parts.scheme]
        if not parts.hostname:
            raise ValueError
        port = parts.port or (443 if tls else 80)
    except (KeyError, ValueError) as error:
        raise NoWay(f"{url}: write it as in http://127.0.0.1:9225 or unix:/run/smtpbridge/admin.sock") from error
    return Way(parts.hostname, port, context=ssl.create_default_context() if tls else None)
