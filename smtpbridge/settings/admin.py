"""
Read `[admin]`: where operators look.

What is shown there names senders, recipients, upstreams and numbers of messages, to whoever can connect.  So it listens
where only this machine connects, or asks for a token.
"""

from collections.abc import Sequence

from smtpbridge.secret import Secret
from smtpbridge.settings import checks
from smtpbridge.settings.endpoint import EndpointText, Reach, read_endpoint
from smtpbridge.settings.surroundings import Surroundings, digest_of, one_line, read_file
from smtpbridge.settings.values import Admin, Listener
from smtpbridge.toml_table import Table

_EXAMPLE = "tcp:9225:interface=127.0.0.1"
# In octets: what nobody guesses, even where many may try.
_SHORTEST_TOKEN = 16
_MAKE = "make one with: openssl rand -hex 24"


def read_admin(top: Table, listeners: Sequence[Listener], around: Surroundings) -> Admin | None:
    """Return where operators look, `None` where nowhere."""
    given, table = top.has("admin"), top.table("admin")
    endpoint = table.text("endpoint", check=_fault)
    token = _read_token(table, around)
    names = table.texts("host_names", check=checks.host_name)
    if given and not table.has("endpoint"):
        table.fault("endpoint", f'is missing; write endpoint = "{_EXAMPLE}"')
    if endpoint and any(one.endpoint == endpoint and not one.address.any_port for one in listeners):
        table.fault("endpoint", f'"{endpoint}" is taken by a [[listener]]; write another port')
    address = read_endpoint(endpoint) if endpoint else None
    if isinstance(address, EndpointText) and address.reach is not Reach.LOCAL:
        _look_at_reach(table, endpoint, address, around)
    table.close()
    if not isinstance(address, EndpointText):
        return None
    return Admin(endpoint, address, token, names, digest_of(address, around))


def read_admin_place(top: Table) -> Admin | None:
    """Return only where it is, for whoever asks what is told to everybody and may not be able to read the token."""
    endpoint = top.table("admin").text("endpoint", check=_fault)
    address = read_endpoint(endpoint) if endpoint else None
    return Admin(endpoint, address) if isinstance(address, EndpointText) else None


def _look_at_reach(table: Table, endpoint: str, address: EndpointText, around: Surroundings) -> None:
    """Others than this machine may connect."""
    if not table.has("token_file"):
        table.fault(
            "endpoint",
            f'"{endpoint}" may be reached by others than this machine, and nobody is asked who they are; '
            f'write "{_EXAMPLE}", or a token_file',
        )
    elif not address.speaks_tls:
        around.notes.append(
            f"[admin] endpoint: {endpoint} has no TLS, so the token goes over the network for everybody to read; write "
            'it as in "ssl:9225:privateKey=privkey.pem:certKey=fullchain.pem"'
        )


def _read_token(table: Table, around: Surroundings) -> Secret | None:
    file = read_file(table, "token_file", around, private=True)
    if file is None:
        return None
    content = one_line(file[1])
    if isinstance(content, str):
        table.fault("token_file", f'"{file[0]}" {content}')
        return None
    if len(content) < _SHORTEST_TOKEN or not content.isascii() or b" " in content:
        table.fault(
            "token_file", f'"{file[0]}" must hold at least {_SHORTEST_TOKEN} ASCII characters without a blank; {_MAKE}'
        )
        return None
    return Secret(content)


def _fault(text: str) -> str | None:
    found = read_endpoint(text)
    return found if isinstance(found, str) else None
