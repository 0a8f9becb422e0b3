"""
Find the messages in files: single ones, mbox, Maildir, and folders of all of them.

Theory of operation
-------------------

A folder is gone through in the order of its names, so two runs give the same
examples.  What is a message is told by the file's place and name (below `cur`
or `new`, `.eml`, a number as MH has it) and an mbox by its first five octets;
other files in a folder are passed over, and a file that was named by the caller
is always read.

An mbox is looked through in blocks for the lines that begin a message; then
each message is read by itself.  So neither a large mbox nor a large mail is ever
in memory as a whole: of a message over the limit only the beginning is read.

What cannot be read is a value like the others, and the walk goes on.  What must
not be known here: what stands in a message.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

_BLOCK = 1 << 20
# What is read of a message that is too large to be sent: its header, nearly always.
_BEGINNING = 1 << 18
# RFC 4155: a line that begins so, behind an empty line, begins a message; one that is content has a `>` before it.
_FROM_LINE = b"\nFrom "
_LONGEST_FROM_LINE = 1024
# Some writers do not mark content.  A line without the time of day is content.
_TIMED = re.compile(rb"From [^\n]*\d:\d\d")
_MAILDIR_FOLDERS = ("cur", "new")
_MAIL_NAMES = (".eml", ".mbox", ".mbx")


@dataclass(frozen=True, slots=True)
class Stored:
    """
    One message: the file, its place in an mbox (from 1; 0 where the file is the message), and its size in octets.

    `octets` are all of it, or its beginning where the size is over the limit.
    """

    file: str
    number: int
    size: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file or folder that could not be read."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file in a folder that is no mail."""

    file: str


Found: TypeAlias = Stored | Unreadable | PassedOver


def messages(paths: Iterable[str], most: int) -> Iterator[Found]:
    """Yield what is found below `paths`; of messages of more than `most` octets only the beginning is read."""
    for path in paths:
        yield from _in_folder(path, most) if os.path.isdir(path) else _in_file(path, most, named=True)


def _in_folder(folder: str, most: int) -> Iterator[Found]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing)
    except OSError as error:
        yield Unreadable(folder, _reason(error))
        return
    for name, is_folder in entries:
        path = os.path.join(folder, name)
        if is_folder:
            yield from _in_folder(path, most)
        else:
            yield from _in_file(path, most, named=False)


def _in_file(path: str, most: int, *, named: bool) -> Iterator[Found]:
    try:
        # Without O_NONBLOCK a named pipe would hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        yield Unreadable(path, _reason(error))
        return
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            yield Unreadable(path, "not a regular file") if named else PassedOver(path)
        else:
            yield from _in_open_file(path, descriptor, status.st_size, most, named=named)
    except OSError as error:
        yield Unreadable(path, _reason(error))
    finally:
        os.close(descriptor)


def _in_open_file(path: str, descriptor: int, size: int, most: int, *, named: bool) -> Iterator[Found]:
    folder, name = os.path.split(path)
    in_maildir = os.path.basename(folder) in _MAILDIR_FOLDERS
    # A single message may have the line of an mbox on top; what stands below it is one message all the same.
    single = in_maildir or name.lower().endswith(".eml")
    if not single and os.pread(descriptor, 5, 0) == _FROM_LINE[1:]:
        yield from _in_mbox(path, descriptor, size, most)
    elif not (named or single or name.isdecimal() or name.lower().endswith(_MAIL_NAMES)):
        yield PassedOver(path)
    elif size == 0:
        yield Unreadable(path, "empty")
    else:
        yield Stored(path, 0, size, os.pread(descriptor, size if size <= most else _BEGINNING, 0))


def _in_mbox(path: str, descriptor: int, size: int, most: int) -> Iterator[Stored]:
    start = 0
    for number, following in enumerate(_starts(descriptor, size), 1):
        length = following - start
        octets = os.pread(descriptor, length if length <= most + _LONGEST_FROM_LINE else _BEGINNING, start)
        content = octets.find(b"\n") + 1 or len(octets)
        yield Stored(path, number, length - content, _without_separator(octets[content:]))
        start = following


def _starts(descriptor: int, size: int) -> Iterator[int]:
    """Yield where each message but the first one begins, and at last the end of the file."""
    at, held = 0, b""
    while block := os.pread(descriptor, _BLOCK, at):
        data = held + block
        # What is held is the beginning of a match that a block may have cut, and two octets before it.
        found = data.find(_FROM_LINE, max(0, len(held) - len(_FROM_LINE) + 1))
        while found >= 0:
            start = at - len(held) + found + 1
            before = data[max(found - 2, 0) : found]
            if before.endswith((b"\n", b"\n\r")) and _TIMED.match(os.pread(descriptor, _LONGEST_FROM_LINE, start)):
                yield start
            found = data.find(_FROM_LINE, found + 1)
        at += len(block)
        held = data[-(len(_FROM_LINE) + 1) :]
    yield size


def _without_separator(octets: bytes) -> bytes:
    """Take off the empty line that an mbox puts behind a message."""
    for separator in (b"\r\n\r\n", b"\n\n"):
        if octets.endswith(separator):
            return octets[: -len(separator) // 2]
    return octets


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
