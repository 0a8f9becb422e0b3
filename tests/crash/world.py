"""
A sink, a daemon that dies and is started again on the same store, senders that try again, and the oracle.

How it works: every life of the daemon has a host name of its own, so the sink
knows from whom a message came.  Each life's clock is a lease ahead of the one
before, so what the dead had leased is due at once and no test waits for it.

When a daemon is dead, the store tells what it had leased: of these alone
nobody knows whether the provider has them.  The `faults` are then

- what was answered 250 and neither arrived, nor is kept, nor was reported;
- what arrived twice under one id of the bridge, unless the life of the earlier
  arrival ended while that id was leased, or the sink had cut the connection;
- what arrived under more ids than its sender has reason for: the one that was
  answered 250, and those whose answer it did not hear.
"""

import json
import multiprocessing
import shutil
import signal
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import BinaryIO

from smtpbridge.store.database import DATABASE
from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import Filter, Kept, State
from tests.crash import daemon
from tests.crash.sink import Arrival, Sink, running
from tests.integration.rig import PATIENCE, Papers, eventually
from tests.overheard import EVERYTHING

# More than the lease of a parcel, less than anything else that is kept.
_AHEAD_SECONDS = 200.0

# Starting a process looks after all others too, and two threads that find the same one dead disagree about its status.
_BOOKKEEPING = threading.RLock()

_CONFIG = """
hostname = "life{life}.example.com"

[[listener]]
endpoint = "tcp:0:interface=127.0.0.1"
mode = "{mode}"

[upstream.main]
hosts = ["127.0.0.1:{port}"]
security = "tls"
trust_roots = "{authority}"
username = "App"
password_file = "{password}"

[bounces]
from = "mailer-daemon@example.com"

[queue]
first_retry_seconds = 0.1
longest_retry_seconds = 0.2

[store]
path = "{store}"
"""


class Mode(Enum):
    """When senders hear 250."""

    QUEUE = "queue"
    PROXY = "proxy"


class Told(Enum):
    """What a sender knows of one sending."""

    ACCEPTED = auto()
    NOT_ACCEPTED = auto()
    UNSURE = auto()


@dataclass(frozen=True, slots=True)
class Message:
    """What a sender sends; its name is its subject, and part of each recipient."""

    name: str
    recipients: tuple[str, ...]
    blind: tuple[str, ...] = ()
    size: int = 100

    @property
    def everybody(self) -> tuple[str, ...]:
        """Return all who are to get it."""
        return self.recipients + self.blind

    @property
    def data(self) -> bytes:
        """Return header and body in wire form, with the final dot."""
        api = json.dumps({"bcc": self.blind})
        head = f"From: shop@example.com\r\nTo: x@example.net\r\nX-MSYS-API: {api}\r\nSubject: {self.name}\r\n\r\n"
        return head.encode() + b"0123456789abcdef\r\n" * (self.size // 18 + 1) + b".\r\n"


class Line:
    """A sender's connection; whatever breaks is an `OSError`."""

    def __init__(self, channel: socket.socket, lines: BinaryIO) -> None:
        self._channel = channel
        self._lines = lines

    def hear(self) -> bytes:
        """Return the last line of the next reply."""
        line = self._lines.readline()
        while line[3:4] == b"-":
            line = self._lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the daemon is gone")
        return line

    def say(self, command: str) -> bytes:
        """Say it and return the reply."""
        self._channel.sendall(command.encode() + b"\r\n")
        return self.hear()

    def send(self, message: Message) -> Told:
        """Send one message."""
        data_begun = False
        try:
            self.say("MAIL FROM:<shop@example.com>")
            for recipient in message.recipients:
                self.say(f"RCPT TO:<{recipient}>")
            if not self.say("DATA").startswith(b"354"):
                return Told.NOT_ACCEPTED
            data_begun = True
            self._channel.sendall(message.data)
            answer = self.hear()
        except OSError:
            return Told.UNSURE if data_begun else Told.NOT_ACCEPTED
        match answer[:1]:
            case b"2":
                return Told.ACCEPTED
            case b"4":
                # It may have been taken in part, or taken and not answered.
                return Told.UNSURE
            case _:
                return Told.NOT_ACCEPTED


@contextmanager
def connected(port: int) -> Iterator[Line]:
    """Connect and say EHLO; raise `OSError`."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as channel, channel.makefile("rb") as lines:
        line = Line(channel, lines)
        line.hear()
        line.say("EHLO client.example.com")
        yield line


@dataclass(slots=True)
class Book:
    """What the senders were told."""

    accepted: dict[str, Message] = field(default_factory=dict)
    unsure: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, message: Message, told: Told) -> bool:
        """Write it down; tell whether the sender is done with the message."""
        with self._lock:
            if told is Told.ACCEPTED:
                self.accepted[message.name] = message
            elif told is Told.UNSURE:
                self.unsure[message.name] += 1
        return told is Told.ACCEPTED


class World:
    """All that a crash needs."""

    def __init__(self, folder: Path, papers: Papers, sink: Sink, mode: Mode, context: ForkServerContext) -> None:
        """Keep the store and the logs in `folder`."""
        self.sink = sink
        self.book = Book()
        # 0, where nobody listens, while the daemon is dead.
        self.port = 0
        self.is_up = threading.Event()
        self.log = folder / "daemon.log"
        self.store = folder / "store"
        self._folder = folder
        self._papers = papers
        self._mode = mode
        self._context = context
        self._life = 0
        self._process: ForkServerProcess | None = None
        # By life: the ids that it had leased when it died.
        self._leased: dict[int, frozenset[str]] = {}

    # The daemon

    def start(self, death: daemon.Death | None = None) -> None:
        """Begin the next life; it may be over when this returns."""
        self._life += 1
        EVERYTHING.begins(self.log)
        config = self._folder / f"life{self._life}.toml"
        config.write_text(
            _CONFIG.format(
                life=self._life,
                mode=self._mode.value,
                port=self.sink.port,
                authority=self._papers.authority,
                password=self._papers.provider_secret,
                store=self.store,
            )
        )
        life = daemon.Life(config, self._life * _AHEAD_SECONDS, self.log, death)
        here, there = self._context.Pipe(duplex=False)
        with _BOOKKEEPING:
            self._process = self._context.Process(target=daemon.run, args=(life, there), daemon=True)
            self._process.start()
        there.close()
        with here:
            try:
                assert here.poll(PATIENCE), self.log.read_text()
                self.port = here.recv()
                self.is_up.set()
            except EOFError:
                eventually(lambda: self.is_dead, "the death of a daemon that says no port")

    @property
    def pid(self) -> int:
        """Return the id of the daemon's process."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_dead(self) -> bool:
        """Tell whether the daemon has died, of nothing but SIGKILL."""
        status = self._status()
        assert status in (None, -signal.SIGKILL), self.log.read_text()
        return status is not None

    def kill(self) -> None:
        """Kill the daemon unless it is dead, and look what it had leased."""
        if self._process is None:
            return
        self.is_up.clear()
        self._process.kill()
        self._has_ended(self._process)

    def stop(self) -> bool:
        """End the daemon in good order; tell whether it lived to its end."""
        assert self._process is not None
        self.is_up.clear()
        self._process.terminate()
        return self._has_ended(self._process) == 0

    def _has_ended(self, process: ForkServerProcess) -> int:
        eventually(lambda: self._status() is not None, "the end of the daemon")
        status = self._status()
        assert status in (0, -signal.SIGKILL), self.log.read_text()
        with _BOOKKEEPING:
            process.close()
        self._process, self.port = None, 0
        self._leased[self._life] = self._leased_now()
        return status

    def _leased_now(self) -> frozenset[str]:
        """Look in a copy of the store: whatever has to be mended in it is for the next daemon to mend."""
        if not (self.store).exists():
            return frozenset()
        copy = shutil.copytree(self.store, self._folder / "copy")
        try:
            return frozenset(kept.parcel.message_id for kept in _kept(copy, Filter(state=State.LEASED)))
        finally:
            shutil.rmtree(copy)

    def _status(self) -> int | None:
        with _BOOKKEEPING:
            return None if self._process is None else self._process.exitcode

    def kept(self) -> list[Kept]:
        """Return what lies in the store."""
        return _kept(self.store, Filter())

    # The senders

    def send_all(self, messages: list[Message]) -> list[Message]:
        """Send messages on one connection; return those that have to be sent again."""
        left = list(messages)
        try:
            with connected(self.port) as line:
                while left and self.book.note(left[0], line.send(left[0])):
                    left.pop(0)
                line.say("QUIT")
        except OSError:
            pass
        return left

    # The oracle

    def settle(self) -> None:
        """Wait until everything is delivered but what waits for an operator; or until the daemon is dead."""
        eventually(
            lambda: self.is_dead or all(not kept.parcel.certain and not kept.owner for kept in self.kept()),
            "an empty queue",
        )

    def faults(self) -> list[str]:
        """Compare what senders were told with what arrived."""
        return [*self._missing(), *self._twice_under_one_id(), *self._under_too_many_ids()]

    def has_happened(self) -> int:
        """Count what senders were told and what arrived."""
        return len(self.book.accepted) + len(self.sink.arrivals)

    def duplicates(self) -> Counter[str]:
        """Count the arrivals beyond the first of each message at each recipient, by their reason."""
        found = Counter[str]()
        for one, _ in self._pairs():
            found["of a kill" if one.answered else "the sink cut the connection"] += 1
        all_of_them = len(self.sink.arrivals) - len({(one.name, one.recipient) for one in self.sink.arrivals})
        found["its sender heard no answer"] = all_of_them - found.total()
        return found

    def _missing(self) -> Iterator[str]:
        there = {(one.name, one.recipient) for one in self.sink.arrivals}
        kept = {recipient for one in self.kept() for recipient in one.parcel.recipients}
        for message in self.book.accepted.values():
            for recipient in message.everybody:
                if (message.name, recipient) not in there and recipient not in kept | self.sink.reported:
                    yield f"{message.name} for {recipient} was answered 250 and is missing"

    def _twice_under_one_id(self) -> Iterator[str]:
        for one, other in self._pairs():
            unknown = one.life < other.life and one.bridge_id in self._leased[one.life]
            if one.answered and not unknown:
                yield f"{one.name} came to {one.recipient} in life {one.life} and again in {other.life}"

    def _pairs(self) -> Iterator[tuple[Arrival, Arrival]]:
        """Yield what came twice to a recipient under one id."""
        by_id = defaultdict[tuple[str, str], list[Arrival]](list)
        for one in self.sink.arrivals:
            by_id[one.bridge_id, one.recipient].append(one)
        for arrivals in by_id.values():
            yield from pairwise(sorted(arrivals, key=lambda arrival: arrival.life))

    def _under_too_many_ids(self) -> Iterator[str]:
        ids = defaultdict[tuple[str, str], set[str]](set)
        for one in self.sink.arrivals:
            ids[one.name, one.recipient].add(one.bridge_id)
        for (name, recipient), found in ids.items():
            reasons = self.book.unsure[name] + (name in self.book.accepted)
            if len(found) > reasons:
                yield f"{name} came to {recipient} under {len(found)} ids for {reasons} sendings"


@contextmanager
def world(folder: Path, papers: Papers, mode: Mode) -> Iterator[World]:
    """Set up a world in `folder`; nothing of it is left running."""
    folder.mkdir()
    with running(papers) as sink:
        made = World(folder, papers, sink, mode, _context())
        try:
            yield made
        finally:
            made.kill()
            EVERYTHING.ends(made.log)


def _context() -> ForkServerContext:
    """Return the way to start a daemon without importing it each time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([daemon.__name__])
    return context


def _kept(folder: Path, wanted: Filter) -> list[Kept]:
    # A store is not made by looking for it.
    if not (folder / DATABASE).exists():
        return []
    store = SqliteStore(folder, _no_ids)
    try:
        return list(store.list(wanted))
    finally:
        store.close()


def _no_ids() -> str:
    raise AssertionError("a store that is only read makes no ids")
