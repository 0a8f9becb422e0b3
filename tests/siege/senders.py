"""
Ordinary senders: each keeps a connection, or makes a new one under TLS for each message, and takes the time.

They run in a process of their own, so that who besieges does not slow them down.  Every
message has a number of its own in its subject.
"""

import base64
import multiprocessing
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from tests.integration.rig import SENDER_SECRET, SENDER_USER

_PATIENCE = 60.0
_CALL = smtplib.SMTP


@dataclass(slots=True)
class Sent:
    """What one sender did: the seconds that each accepted message took, the numbers of those, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Way:
    """How a sender sends: `every` so many seconds; a `large` message has an X-MSYS-API of nearly a mebibyte."""

    name: str
    every: float
    tls: bool = False
    large: bool = False


class Senders:
    """The senders, from outside."""

    def __init__(self, pipe: "Connection[object, object]") -> None:
        """Talk to them by `pipe`."""
        self._pipe = pipe

    def sent(self) -> dict[str, Sent]:
        """Return, by the name of each way, what was sent since the last call."""
        self._pipe.send("sent")
        return self._received()

    def stop(self) -> dict[str, Sent]:
        """Let each finish its message and close; return what was sent since the last call."""
        self._pipe.send("stop")
        return self._received()

    def _received(self) -> dict[str, Sent]:
        found = self._pipe.recv()
        assert isinstance(found, dict)
        return found


@contextmanager
def senders(port: int, authority: Path, ways: tuple[Way, ...]) -> Iterator[Senders]:
    """Run them."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_live, args=(there, port, authority, ways), daemon=True)
    process.start()
    # Then the end of the process is the end of the pipe.
    there.close()
    try:
        yield Senders(here)
    finally:
        process.kill()
        process.join()


def _live(pipe: "Connection[object, object]", port: int, authority: Path, ways: tuple[Way, ...]) -> None:
    stop = threading.Event()
    found = {way.name: Sent() for way in ways}
    lock = threading.Lock()
    threads = [threading.Thread(target=_send, args=(way, port, authority, found, lock, stop)) for way in ways]
    for thread in threads:
        thread.start()
    while True:
        if pipe.recv() == "stop":
            stop.set()
            for thread in threads:
                thread.join()
        with lock:
            last = dict(found)
            found.update({way.name: Sent() for way in ways})
        pipe.send(last)


def _send(
    way: Way, port: int, authority: Path, found: dict[str, Sent], lock: threading.Lock, stop: threading.Event
) -> None:
    """Send until the end; a sender that is cut off connects anew."""
    trust = ssl.create_default_context(cafile=str(authority))
    connect = partial(_connect, port, trust if way.tls else None)
    kept: smtplib.SMTP | None = None
    number, due = 0, time.monotonic()
    while not stop.wait(max(0.0, due - time.monotonic())):
        due = max(due + way.every, time.monotonic())
        number += 1
        name = f"{way.name}-{number}"
        started = time.monotonic()
        try:
            kept = kept or connect()
            _one(kept, _message(name, large=way.large))
            took = time.monotonic() - started
            with lock:
                found[way.name].seconds.append(took)
                found[way.name].accepted.append(name)
        except (smtplib.SMTPException, OSError) as error:
            with lock:
                found[way.name].faults.append(f"{name}: {error!r}")
            _close(kept)
            kept = None
        if way.tls:
            _close(kept)
            kept = None
    _close(kept)


def _connect(port: int, trust: ssl.SSLContext | None) -> smtplib.SMTP:
    smtp = _CALL("localhost", port, "sender.example.com", _PATIENCE, source_address=("127.0.0.1", 0))
    smtp.ehlo()
    if trust is not None:
        smtp.starttls(context=trust)
        smtp.login(SENDER_USER, SENDER_SECRET)
    return smtp


def _close(smtp: smtplib.SMTP | None) -> None:
    if smtp is not None:
        try:
            smtp.quit()
        except (smtplib.SMTPException, OSError):
            smtp.close()


def _one(smtp: smtplib.SMTP, message: bytes) -> None:
    smtp.sendmail("shop@example.com", ["ann@example.net"], message)


_LINE = b"0123456789abcdef" * 4 + b"\r\n"
_LARGE = base64.b64encode(bytes(range(256)) * 3000)


def _message(name: str, *, large: bool) -> bytes:
    """Return a message of 2 KB, or with an X-MSYS-API of nearly a mebibyte."""
    filler = b',\r\n "d": "' + b'",\r\n "d": "'.join(_LARGE[at : at + 900] for at in range(0, 1_000_000, 900)) + b'"'
    metadata = b'{"id": "%b"%b}' % (name.encode(), filler if large else b"")
    head = b"From: shop@example.com\r\nTo: ann@example.net\r\nSubject: %b\r\n" % name.encode()
    api = b'X-MSYS-API: {"campaign_id": "siege", "metadata": %b}\r\n' % metadata
    return head + api + b"\r\n" + _LINE * 28
