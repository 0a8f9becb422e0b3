"""
The machine, as the readers of a configuration ask about it; and whether its files are other ones by now.
"""

import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from smtpbridge.settings.record import Record

# What tells that a file is another one, or holds something else: device, inode, size, time of the last change.
Stamp: TypeAlias = tuple[int, int, int, int]


class Machine:
    """`Surroundings` over real files and the environment that was handed in."""

    def __init__(self, base: Path, environ: Mapping[str, str]) -> None:
        self.notes: list[str] = []
        self._base = base
        self._environ = environ

    def path(self, text: str) -> Path:
        return self._base / text

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def open_to_all(self, path: Path) -> bool:
        return bool(os.stat(path).st_mode & stat.S_IROTH)

    def is_folder(self, path: Path) -> bool:
        return path.is_dir()

    def variable(self, name: str) -> str | None:
        return self._environ.get(name)

    def hostname(self) -> str:
        return own_name(socket.gethostname(), socket.getfqdn)


class SameMachine(Machine):
    """As it was when the record was made, but for the files: a resolver in trouble must not rename the bridge."""

    def __init__(self, record: Record, environ: Mapping[str, str]) -> None:
        super().__init__(Path(record.base), environ)
        self._record = record

    def hostname(self) -> str:
        return self._record.hostname


def own_name(name: str, ask: Callable[[], str]) -> str:
    """
    Return what a machine that goes by `name` calls itself; `ask` the resolver for its full name.

    The resolver, which may be slow or absent, is asked only where a short name is all there is.  What it says is not
    taken where it is the name that every machine has for itself.
    """
    if "." in name:
        return name
    full = ask()
    return name if full.partition(".")[0].lower() == "localhost" else full


def stamps(record: Record) -> dict[str, Stamp | None]:
    """Return a stamp of each file that the configuration was read from, `None` of one that is not there."""
    return {path: _stamp(path) for path in record.files}


def _stamp(path: str) -> Stamp | None:
    try:
        # Through symbolic links: what they lead to changes when certbot or Kubernetes turns one of them.
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
