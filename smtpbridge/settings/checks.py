"""
Questions to one text of the configuration.

Each returns what is wrong, as the end of a sentence that begins with the text,
or `None` (a reader: the value) where nothing is.
"""

import re
from ipaddress import IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from smtpbridge.settings.values import Host, Network

# RFC 1123, 2.1, and the underscore that container networks put into names; 255 octets in all (RFC 5321, 4.5.3.1.2).
_NAME = re.compile(
    r"(?=.{1,255}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_PRINTABLE = re.compile(r"[ -~]+")
_GRAPHIC = re.compile(r"[!-~]+")
# The dot-string of RFC 5321, 4.1.2, 64 octets at most (4.5.3.1.1).
_LOCAL_PART = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*)):([0-9]{1,5})")
_UNSUBSCRIBE = re.compile(r"<(?:https?://|mailto:)[^<>\s]+>(?:, ?<(?:https?://|mailto:)[^<>\s]+>)*")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}|[{}]")


def host_name(text: str) -> str | None:
    """A host name or an IP address."""
    if _NAME.fullmatch(text) or _is_ip(text):
        return None
    if not text.isascii():
        return "is not ASCII; write an internationalised name in its xn-- form"
    return 'is not a host name; write it as in "bridge.example.com"'


def read_host(text: str) -> Host | str:
    """Return the host and port, or what is wrong."""
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        return _no_port(text)
    name, port = match[1] or match[2], int(match[3])
    if wrong := host_name(name):
        return wrong
    if match[1] and ":" not in name:
        return f'has brackets, which only an IPv6 address takes; write "{name}:{port}"'
    if not 0 < port < 65536:
        return f"has the port {port}; write a number from 1 to 65535"
    return Host(name, port)


def _no_port(text: str) -> str:
    bare = text.removeprefix("[").removesuffix("]")
    if _is_ip(bare) and ":" in bare:
        return f'has no port; write "[{bare}]:587"'
    if host_name(text) is None:
        return f'has no port; write "{text}:587"'
    return 'is not a host and a port; write it as in "smtp-api.infobip.com:587"'


def read_network(text: str) -> Network | str:
    """Return the network, or what is wrong."""
    try:
        network = ip_network(text)
    except ValueError:
        pass
    else:
        return _mapped_fault(network) or network
    try:
        wide = ip_network(text, strict=False)
    except ValueError:
        return 'is not a network; write it as in "10.0.0.0/8" or "192.0.2.7"'
    return f'has bits set behind its prefix; write "{wide}", or the address alone'


def _mapped_fault(network: Network) -> str | None:
    """What is wrong with a network that holds IPv4-mapped addresses (RFC 4291, 2.5.5.2) and others too."""
    if not isinstance(network, IPv6Network) or not 0 < network.prefixlen < 96 or not network.supernet_of(_MAPPED):
        return None
    return (
        "holds the IPv4-mapped addresses ::ffff:0:0/96, which count as IPv4 and would not be let in by it; write the "
        'IPv4 networks that you mean, as in "10.0.0.0/8", and the IPv6 networks without them'
    )


def address(text: str) -> str | None:
    """A mail address without a name."""
    local, at, domain = text.rpartition("@")
    if at and _LOCAL_PART.fullmatch(local) and _NAME.fullmatch(domain):
        return None
    return "is not an address"


def url(text: str) -> str | None:
    """A web address: ASCII, no blanks, with a host."""
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname)
    except ValueError:
        named = False
    if named and parts.scheme in ("http", "https") and _GRAPHIC.fullmatch(text):
        return None
    return 'is not a web address; write it as in "https://example.com/reports"'


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address."""
    return host.lower() == "localhost" or (_is_ip(host) and ip_address(host).is_loopback)


def unsubscribe_template(text: str) -> str | None:
    """The value of List-Unsubscribe (RFC 2369, 3.2) with `{recipient}` where the address goes."""
    if not _UNSUBSCRIBE.fullmatch(text) or not text.isascii() or not text.isprintable():
        return 'is not in angle brackets as the field wants it; write it as in "<https://example.com/u/{recipient}>"'
    strange = [found for found in _PLACEHOLDER.findall(text) if found != "{recipient}"]
    return f"holds {strange[0]}; only {{recipient}} is filled in" if strange else None


def header_text(text: str) -> str | None:
    """A short text that goes into a header as it stands."""
    if not _PRINTABLE.fullmatch(text):
        return "holds characters outside printable ASCII, which its header cannot carry"
    # Infobip's limit for the parameter of the same name in its HTTP interface.
    return "is longer than 255 characters" if len(text) > 255 else None


def upstream(text: str, upstreams: tuple[str, ...]) -> str | None:
    """The name of one of the upstreams."""
    if text in upstreams:
        return None
    there = ", ".join(f'"{name}"' for name in upstreams) or "none is configured"
    return f"is not the name of an upstream; there: {there}"


def user_name(text: str) -> str | None:
    """A user name of AUTH: no control characters (RFC 4616, 2 gives NUL a meaning)."""
    return None if text.isprintable() else "holds a control character"


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
