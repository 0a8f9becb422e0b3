"""
What a configuration was read from, so that another process can read the very same one.

A worker that is started an hour later, perhaps as a user who may not read the secrets, must serve
by what its parent read, whatever is in the files by now.  `Recording` writes down
every answer of the surroundings, `Recorded` gives the same answers again.
"""

import base64
from dataclasses import dataclass, field
from pathlib import Path

from smtpbridge.settings.surroundings import Surroundings


@dataclass(slots=True, repr=False)
class Record:
    """
    The answers, by question; `files` in base64.  What is left out of it could not be read.

    `settings` are the variables of the environment that set keys.  Under `key`, in hexadecimal, secrets of files are
    hashed: whoever reads the record gets equal values for equal secrets.

    It holds secrets, so it does not show itself.
    """

    text: str
    base: str
    key: str
    settings: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    exposed: dict[str, bool] = field(default_factory=dict)
    folders: dict[str, bool] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)
    hostname: str = ""


class Recording:
    """`Surroundings` that write down what others answer."""

    def __init__(self, record: Record, around: Surroundings) -> None:
        """Ask `around`, and write it into `record`."""
        self.notes: list[str] = around.notes
        self._record = record
        self._around = around

    def path(self, text: str) -> Path:
        """See `Surroundings`."""
        return self._around.path(text)

    def read(self, path: Path) -> bytes:
        """See `Surroundings`."""
        octets = self._around.read(path)
        self._record.files[str(path)] = base64.b64encode(octets).decode("ascii")
        return octets

    def open_to_all(self, path: Path) -> bool:
        """See `Surroundings`."""
        exposed = self._record.exposed[str(path)] = self._around.open_to_all(path)
        return exposed

    def is_folder(self, path: Path) -> bool:
        """See `Surroundings`."""
        there = self._record.folders[str(path)] = self._around.is_folder(path)
        return there

    def variable(self, name: str) -> str | None:
        """See `Surroundings`."""
        value = self._record.variables[name] = self._around.variable(name)
        return value

    def hostname(self) -> str:
        """See `Surroundings`."""
        name = self._record.hostname = self._around.hostname()
        return name


class Recorded:
    """`Surroundings` out of a record."""

    def __init__(self, record: Record) -> None:
        """Answer from `record`."""
        self.notes: list[str] = []
        self._record = record

    def path(self, text: str) -> Path:
        """See `Surroundings`."""
        return Path(self._record.base) / text

    def read(self, path: Path) -> bytes:
        """See `Surroundings`."""
        octets = self._record.files.get(str(path))
        if octets is None:
            raise FileNotFoundError(0, "was not read before", str(path))
        return base64.b64decode(octets)

    def open_to_all(self, path: Path) -> bool:
        """See `Surroundings`."""
        return self._record.exposed.get(str(path), False)

    def is_folder(self, path: Path) -> bool:
        """See `Surroundings`."""
        return self._record.folders.get(str(path), False)

    def variable(self, name: str) -> str | None:
        """See `Surroundings`."""
        return self._record.variables.get(name)

    def hostname(self) -> str:
        """See `Surroundings`."""
        return self._record.hostname
