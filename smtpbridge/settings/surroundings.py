"""
What the readers of the configuration may ask about the machine, as a contract.

`config` fulfils it with real files and a real environment.  Nobody else here
touches either, so every reader runs in a test without a disk.
"""

from pathlib import Path
from typing import Protocol

from smtpbridge.toml_table import Table, quoted


class Surroundings(Protocol):
    """Files, environment and host name; `notes` collects sentences for the log at start."""

    notes: list[str]

    def path(self, text: str) -> Path:
        """Return the path that the file means: a relative one begins at the folder of the configuration file."""
        ...

    def read(self, path: Path) -> bytes:
        """Return a file's octets, or raise `OSError`."""
        ...

    def open_to_all(self, path: Path) -> bool:
        """Tell whether every user of the machine can read the file."""
        ...

    def is_folder(self, path: Path) -> bool:
        """Tell whether there is a folder."""
        ...

    def variable(self, name: str) -> str | None:
        """Return a variable of the environment."""
        ...

    def hostname(self) -> str:
        """Return the machine's own name, with its domain where it knows one."""
        ...


def read_file(table: Table, key: str, around: Surroundings, *, private: bool = False) -> tuple[Path, bytes] | None:
    """
    Return the file that a key names, and its octets; `None` where the key is absent or the file cannot be read.

    A `private` file that everybody can read is a note, not a fault: in a container it may be the only way.
    """
    text = table.text(key)
    if not text:
        return None
    path = around.path(text)
    try:
        octets = around.read(path)
        exposed = private and around.open_to_all(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path.
        reason = getattr(error, "strerror", None) or "not a path"
        table.fault(key, f"{quoted(str(path))} cannot be read ({reason.lower()})")
        return None
    if exposed:
        around.notes.append(f"{table.place} {key}: every user of this machine can read {path}; run: chmod 600 {path}")
    return path, octets


def one_line(octets: bytes) -> bytes | str:
    """Return a secret file's content less its last newline, or what is wrong with it, as the end of a sentence."""
    content = octets.removesuffix(b"\n").removesuffix(b"\r")
    if not content.strip():
        return "is empty; it must hold the secret on one line"
    # A NUL ends a field of AUTH PLAIN (RFC 4616, 2); a line end is most often a second secret by mistake.
    if any(octet in content for octet in (b"\n", b"\r", b"\0")):
        return "holds more than one line; it must hold the secret alone"
    return content
