"""Folders and files for what a demo makes: all of them for their owner only."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def passing_folder() -> Iterator[Path]:
    """Give a folder, mode 0700, that is removed with all that is in it."""
    with tempfile.TemporaryDirectory(prefix="smtpbridge-") as folder:
        yield Path(folder)


def lasting_folder() -> Path:
    """Make a folder, mode 0700, that stays."""
    return Path(tempfile.mkdtemp(prefix="smtpbridge-mail-"))


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write new files, mode 0600."""
    for name, content in files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def name_folder(folder: Path, say: Callable[[str], None]) -> None:
    """Say where the mail is, or remove the folder where there is none."""
    if any(folder.iterdir()):
        say(f"The mail is kept in {folder}")
    else:
        folder.rmdir()
