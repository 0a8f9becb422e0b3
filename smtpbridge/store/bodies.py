"""
Long bodies as files beside the database, and how a body is read back.

Theory of operation
-------------------

A file is written under a temporary name, synced, renamed, and its folder is
synced, all before the row that names it is committed.  So a row never leads to
a file that is not whole.  What a crash leaves is a file without a row.

Such a file must be told from one whose row another process is about to commit.
The writer therefore keeps a lock (flock) on its file until the commit is over,
and the lock ends with the process, however that ends.  Who finds a file without
a row while holding the database's write lock, and gets the file's lock too, may
remove the file.

A file whose data could not be synced is removed and never used again: the
system may have dropped what it could not write, and a second fsync would say
that all is well.
"""

import fcntl
import os
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from smtpbridge.store.database import sync_folder
from smtpbridge.store.errors import CommitFailed, StoreError, store_error
from smtpbridge.store.values import Body

# What is read at a time: one TLS write.
CHUNK = 65_536

_UNFINISHED = ".part"


@dataclass(frozen=True, slots=True)
class BodyInMemory:
    """A body that came out of the database whole."""

    in_memory: bytes

    @property
    def size(self) -> int:
        """All octets of the body."""
        return len(self.in_memory)

    def read(self, at: int) -> bytes:
        """Return up to `CHUNK` octets from that position on, none at the end."""
        return self.in_memory[at : at + CHUNK]

    def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class BodyInFile:
    """A body in an open file."""

    size: int
    _descriptor: int
    in_memory: None = field(default=None, init=False)

    def read(self, at: int) -> bytes:
        """Return up to `CHUNK` octets from that position on, none at the end; raise `StoreError`."""
        wanted = min(CHUNK, self.size - at)
        if wanted <= 0:
            return b""
        try:
            octets = os.pread(self._descriptor, wanted, at)
        except OSError as error:
            raise store_error("a body could not be read", error) from error
        if not octets:
            raise StoreError(f"a body ends after {at} of {self.size} octets")
        return octets

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            # The number may soon be another file's: whoever reads on must fail.
            self._descriptor = -1


def octets_of(body: Body) -> bytes:
    """Return a whole body; raise `StoreError` when it is not as long as announced."""
    octets = b"".join(body.blocks)
    _check_size(len(octets), body.size)
    return octets


class BodyFiles:
    """The folder of long bodies."""

    def __init__(self, folder: Path, steps: Callable[[str], None]) -> None:
        """Keep files in `folder`, which is made when it is first needed; `steps` hears of each step before it."""
        self._folder = folder
        self._steps = steps

    @contextmanager
    def written(self, name: str, body: Body) -> Iterator[None]:
        """
        Write a body durably under that name, and guard it until the block is left; raise `OSError`, `StoreError`.

        A block that fails takes the file along.  Only after `CommitFailed` it stays: should its row turn up after a
        crash, it must find its body; else the file is removed as an orphan.
        """
        unfinished, path = self._folder / (name + _UNFINISHED), self._folder / name
        descriptor = self._create(unfinished)
        try:
            self._fill(descriptor, body)
            self._steps("body-rename")
            os.rename(unfinished, path)
            self._steps("dir-fsync")
            sync_folder(self._folder)
            yield
        except CommitFailed:
            raise
        except BaseException:
            _remove(unfinished)
            _remove(path)
            raise
        finally:
            os.close(descriptor)

    def open(self, name: str, size: int) -> BodyInFile:
        """Open a body for reading; raise `OSError`."""
        return BodyInFile(size, os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC))

    def remove(self, name: str) -> None:
        """Remove a body whose row is gone.  What cannot be removed now is an orphan, removed later."""
        _remove(self._folder / name)

    def remove_orphans(self, named: Container[str]) -> int:
        """
        Remove every file that is not `named` and not guarded, and return how many; raise `OSError`.

        The caller holds the database's write lock, and `named` are the files in its rows: no row can come meanwhile.
        """
        removed = 0
        try:
            entries = os.scandir(self._folder)
        except FileNotFoundError:
            return 0
        with entries:
            for entry in entries:
                if entry.name not in named and _is_unguarded(entry.path):
                    os.unlink(entry.path)
                    removed += 1
        return removed

    def _create(self, path: Path) -> int:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        while True:
            try:
                descriptor = os.open(path, flags, 0o600)
            except FileNotFoundError:
                # Not with its parents: a store that has vanished must not be made anew.
                self._folder.mkdir(mode=0o700, exist_ok=True)
                sync_folder(self._folder.parent)
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Between the two calls it may have been taken for an orphan.
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)

    def _fill(self, descriptor: int, body: Body) -> None:
        self._steps("body-write")
        written = 0
        for block in body.blocks:
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            written += len(block)
        _check_size(written, body.size)
        self._steps("body-fsync")
        os.fsync(descriptor)


def _check_size(found: int, announced: int) -> None:
    if found != announced:
        raise StoreError(f"a body has {found} octets where {announced} were announced")


def _is_unguarded(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # Nobody will miss the space so much that the caller's own outcome should change.
        pass
