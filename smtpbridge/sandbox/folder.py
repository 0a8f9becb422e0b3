"""
Keep accepted messages as files.

A message grows in a file that no pattern for messages matches, while it comes
in.  When it is accepted, its envelope is written beside it as JSON and both get
their names, the message last: whoever finds an .eml file finds it whole, with
its .json.  The names begin with a number that rises from message to message,
also over several runs in one folder.  All files are for their owner only.

Nothing is flushed to the disk: a stand-in may lose its mail with the machine.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from smtpbridge.sandbox.incoming import Sink


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """
    An accepted message.

    `received_at` is in seconds since 1970; `connection` counts the connections of the sandbox from 1; `size` and
    `header` are of the message with its dots undone; `path` is the .eml file, `None` where none is kept.
    """

    id: str
    sequence: int
    connection: int
    received_at: float
    mail_from: str
    rcpt_to: tuple[str, ...]
    user: str | None
    tls: bool
    size: int
    warnings: tuple[str, ...]
    header: bytes
    path: Path | None = None

    def envelope(self) -> str:
        """Return as JSON what stands beside the message."""
        facts = {
            "id": self.id,
            "sequence": self.sequence,
            "connection": self.connection,
            "received_at": datetime.fromtimestamp(self.received_at, UTC).isoformat(),
            "mail_from": self.mail_from,
            "rcpt_to": self.rcpt_to,
            "user": self.user,
            "tls": self.tls,
            "size": self.size,
            "warnings": self.warnings,
        }
        return json.dumps(facts, indent=2) + "\n"


class Draft:
    """A file that a message grows in; `keep` or `discard` ends it, and `discard` after that does nothing."""

    def __init__(self, folder: Path) -> None:
        """Open it in `folder`."""
        # The system's own call for this: a new file, mode 0600.
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._kept = False

    def write(self, octets: bytes) -> None:
        """Append."""
        self._file.write(octets)

    def keep(self, name: os.PathLike[str]) -> None:
        """Give the file its name."""
        self._file.close()
        self._path.rename(name)
        self._kept = True

    def discard(self) -> None:
        """Remove the file, unless it was kept."""
        if not self._kept:
            # Closing may fail on a full disk, where removing is most wanted.
            try:
                self._file.close()
            finally:
                self._path.unlink(missing_ok=True)


class Folder:
    """The place where messages are kept."""

    def __init__(self, path: os.PathLike[str]) -> None:
        """Use the folder at `path`; make it where it is missing."""
        self._path = Path(path)
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def last_sequence(self) -> int:
        """Return the highest number that a message has here, 0 without one."""
        numbers = (found.name.partition("-")[0] for found in self._path.glob("*.eml"))
        return max((int(number) for number in numbers if number.isascii() and number.isdecimal()), default=0)

    def begin(self) -> Draft:
        """Open a file for a message that is about to come in."""
        return Draft(self._path)

    def place_of(self, sequence: int, message_id: str) -> Path:
        """Return where a message is to be kept."""
        return self._path / f"{sequence:06}-{message_id}.eml"

    def keep(self, draft: Sink, message: StoredMessage) -> None:
        """Put `draft` and the envelope where `message.path` says."""
        assert message.path is not None
        beside = self.begin()
        try:
            beside.write(message.envelope().encode("ascii"))
            beside.keep(message.path.with_suffix(".json"))
        finally:
            beside.discard()
        draft.keep(message.path)
