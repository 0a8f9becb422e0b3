"""
Read `[admin]`: where operators look.

What is shown there names upstreams, listeners and numbers of messages, to whoever can connect.  So it listens where
only this machine connects.
"""

from collections.abc import Sequence

from smtpbridge.settings.endpoint import EndpointText, Reach, read_endpoint
from smtpbridge.settings.values import Admin, Listener
from smtpbridge.toml_table import Table

_EXAMPLE = "tcp:9225:interface=127.0.0.1"


def read_admin(top: Table, listeners: Sequence[Listener]) -> Admin | None:
    """Return where the figures are to be had, `None` where nowhere."""
    given, table = top.has("admin"), top.table("admin")
    endpoint = table.text("endpoint", check=_fault)
    if given and not table.has("endpoint"):
        table.fault("endpoint", f'is missing; write endpoint = "{_EXAMPLE}"')
    if endpoint and any(one.endpoint == endpoint and not one.address.any_port for one in listeners):
        table.fault("endpoint", f'"{endpoint}" is taken by a [[listener]]; write another port')
    table.close()
    return Admin(endpoint) if endpoint else None


def _fault(text: str) -> str | None:
    match read_endpoint(text):
        case str() as wrong:
            return wrong
        case EndpointText(reach=Reach.LOCAL):
            return None
        case _:
            return f'may be reached by others than this machine, and nobody is asked who they are; write "{_EXAMPLE}"'
