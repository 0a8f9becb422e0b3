"""Read `[store]`: where what must survive is kept."""

from pathlib import Path

from smtpbridge.settings.surroundings import Surroundings
from smtpbridge.settings.values import Store
from smtpbridge.toml_table import Table


def read_store(table: Table, around: Surroundings) -> Store:
    """Return the folder: the one that is written, that of the service, or the default."""
    written = table.text("path")
    table.close()
    if written:
        return Store(around.path(written))
    # systemd sets it for a unit with StateDirectory=; several folders are joined by colons.
    state = around.variable("STATE_DIRECTORY")
    return Store(Path(state.split(":")[0])) if state else Store()
