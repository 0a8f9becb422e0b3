"""
Read `[process] control`: the socket by which commands talk to the daemon.

Without it the socket lies in the folder of the store: it is the daemon's own, and a command that is given the same
configuration finds it there, whatever the daemon's environment was.
"""

from pathlib import Path

from smtpbridge.settings.surroundings import Surroundings
from smtpbridge.toml_table import Table

_NAME = "control"
# The kernel's room for the address of such a socket (unix(7)).
_LONGEST = 107


def read_control(table: Table, store: Path, around: Surroundings) -> Path | None:
    """Return the place of the socket, `None` for none ("off")."""
    written = table.text("control")
    if written == "off":
        return None
    path = around.path(written) if written else store / _NAME
    if written and len(str(path).encode()) > _LONGEST:
        table.fault("control", f"is a path of over {_LONGEST} octets, which no socket can have; write a shorter one")
    return path
