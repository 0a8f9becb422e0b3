"""
What the readers of the configuration may ask about the machine, as a contract.

`config` fulfils it with real files and a real environment.  Nobody else here
touches either, so every reader runs in a test without a disk.
"""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Protocol

from smtpbridge.secret import Secret
from smtpbridge.settings.endpoint import EndpointText
from smtpbridge.toml_table import Table, quoted

# In front of the name of a file that systemd hands over (LoadCredential=, systemd.exec(5)) instead of a path.
CREDENTIAL = "credential:"


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
    path = _path(text, around)
    if isinstance(path, str):
        table.fault(key, f"{quoted(text)} {path}")
        return None
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


def _path(text: str, around: Surroundings) -> Path | str:
    """Return the path that a key means, or, as the end of a sentence, why there is none."""
    if not text.startswith(CREDENTIAL):
        return around.path(text)
    name = text.removeprefix(CREDENTIAL)
    if "/" in name or name in ("", ".", ".."):
        return f"names no credential; write {CREDENTIAL}NAME, with the name that LoadCredential= gives it"
    folder = around.variable("CREDENTIALS_DIRECTORY")
    if not folder:
        return (
            "is for the systemd service, and $CREDENTIALS_DIRECTORY is not set here; while the service runs, root can "
            "set it to /run/credentials/smtpbridge.service"
        )
    return around.path(folder) / name


def digest_of(address: EndpointText, around: Surroundings) -> bytes:
    """
    Return what changes when the files of an endpoint do; Twisted reads them itself, and says what is wrong with them.

    A relative path begins where the process was started, so only absolute ones are known here.
    """
    found = sha256()
    paths = [path for path in map(PurePath, address.files) if path.is_absolute()]
    for path in paths:
        with suppress(OSError, ValueError):
            found.update(around.read(around.path(str(path))))
    return found.digest() if paths else b""


def one_line(octets: bytes) -> bytes | str:
    """Return a secret file's content less its last newline, or what is wrong with it, as the end of a sentence."""
    content = octets.removesuffix(b"\n").removesuffix(b"\r")
    if not content.strip():
        return "is empty; it must hold the secret on one line"
    # A NUL ends a field of AUTH PLAIN (RFC 4616, 2); a line end is most often a second secret by mistake.
    if any(octet in content for octet in (b"\n", b"\r", b"\0")):
        return "holds more than one line; it must hold the secret alone"
    return content


def read_secret(table: Table, key: str, around: Surroundings, credential: str = "") -> Secret | None:
    """
    Return the secret in the file that a key names, else in the systemd credential of that name.

    Where it cannot be had a fault says so, and the answer is `None`.
    """
    source, content = "", b""
    if table.has(key):
        file = read_file(table, key, around, private=True)
        if file is None:
            return None
        source, content = str(file[0]), file[1]
    elif credential and (folder := around.variable("CREDENTIALS_DIRECTORY")):
        path = around.path(folder) / credential
        try:
            source, content = str(path), around.read(path)
        except FileNotFoundError:
            pass  # Then it is missing in both places, as the fault below says.
        except OSError as error:
            table.fault(key, f"{quoted(str(path))} cannot be read ({(error.strerror or '').lower()})")
            return None
    if not source:
        otherwise = f", or give the systemd credential {credential}" if credential else ""
        table.fault(key, f"is missing; write {key}{otherwise}")
        return None
    secret = one_line(content)
    if isinstance(secret, str):
        table.fault(key, f"{quoted(source)} {secret}")
        return None
    return Secret(secret)
