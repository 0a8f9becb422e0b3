"""
The control socket: by which the console command talks to the daemon that runs.

Theory of operation
-------------------

A socket in the file system, for the daemon's own user and root alone: the file's mode says so,
and each peer is asked who it is as well (SO_PEERCRED, unix(7)), because a folder may lie on a
file system that knows no modes.

What is said there is for `conversation`.  Verbs come in by the constructor, by name; each is called
with the request's object and the `Conversation`, and may answer later.  A verb that fails is said in
the log, and its client is told no more than that.

A file that was left behind by a daemon that was killed is replaced; where another daemon answers
behind it nothing is touched.  Mail does not depend on this socket: where it cannot be opened the log
says so, and the daemon runs without.

What must not be known here: any verb.
"""

import os
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smtpbridge.ops.conversation import Conversation

# An operator or two, and their scripts.
_MOST_CONVERSATIONS = 32
# A client that does not read keeps nobody.
_LAST_WORDS_SECONDS = 1.0
_CREDENTIALS = struct.Struct("3i")
_ROOT = 0

Verb: TypeAlias = Callable[[Mapping[str, object], Conversation], None]


@implementer(IReadDescriptor)
class Control(Service):
    """The socket at `path`, and who talks there."""

    log = Logger()

    def __init__(self, path: str, verbs: Mapping[str, Verb], reactor: Any) -> None:
        """Open nothing yet; `verbs` are what can be asked for."""
        self._path = path
        self._verbs = verbs
        self._reactor = reactor
        self._socket: socket.socket | None = None
        self._node: tuple[int, int] | None = None
        self._conversations: set[Conversation] = set()
        self._when_alone: Callable[[], None] = _nothing

    def startService(self) -> None:
        """Open the socket; a process that was to give root up has done so, and the file is its user's."""
        super().startService()
        try:
            self._socket = self._bound()
        except OSError as error:
            self.log.warn(
                "no control socket at {path}: {why}; smtpbridge trace and whatever else asks the daemon will not find "
                "it, mail is relayed all the same ([process] control names another place)",
                path=self._path,
                why=error.strerror or str(error),
            )
            return
        self._reactor.addReader(self)

    def stopService(self) -> "Deferred[None]":
        """Close it, tell who is there, and let them hear it."""
        super().stopService()
        self._close()
        heard: Deferred[None] = Deferred()
        late = self._reactor.callLater(_LAST_WORDS_SECONDS, lambda: self._when_alone())

        def alone() -> None:
            self._when_alone = _nothing
            if late.active():
                late.cancel()
            heard.callback(None)

        self._when_alone = alone
        for one in list(self._conversations):
            one.refuse("the daemon stops")
        if not self._conversations:
            self._when_alone()
        return heard

    def _close(self) -> None:
        if self._socket is None:
            return
        self._reactor.removeReader(self)
        self._socket.close()
        self._socket = None
        # By now the file may be another daemon's.
        with suppress(OSError):
            if _node(self._path) == self._node:
                os.unlink(self._path)

    def welcome(self, one: Conversation) -> str:
        """Let a client in, or return why not."""
        if len(self._conversations) >= _MOST_CONVERSATIONS:
            return "too many clients at the control socket"
        self._conversations.add(one)
        return ""

    def leave(self, one: Conversation) -> None:
        """A client is gone."""
        self._conversations.discard(one)
        if not self._conversations:
            self._when_alone()

    def obey(self, name: str, arguments: Mapping[str, object], one: Conversation) -> None:
        """Do what a client wants."""
        verb = self._verbs.get(name)
        if verb is None:
            one.refuse(f"this daemon knows no {name!r}; it knows: {', '.join(sorted(self._verbs))}")
            return
        try:
            verb(arguments, one)
        except Exception:
            self.log.failure("what was asked for at the control socket failed verb={verb}", verb=name)
            one.refuse("internal error in the daemon; its log has more")

    # What the reactor calls

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "control"

    def doRead(self) -> None:
        """Somebody connects."""
        assert self._socket is not None
        try:
            client, _ = self._socket.accept()
        except OSError:
            return  # gone already, or no descriptor is free
        # The reactor keeps a descriptor of its own.
        with client:
            if _is_owner(client):
                client.setblocking(False)
                self._reactor.adoptStreamConnection(client.fileno(), socket.AF_UNIX, _One(self, self._reactor))
            else:
                self.log.warn("somebody who is not the daemon's user was turned away at the control socket")

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`: the reactor stops."""

    def _bound(self) -> socket.socket:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        _clear(self._path)
        own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            own.bind(self._path)
            own.listen(_MOST_CONVERSATIONS)
        except OSError:
            own.close()
            raise
        finally:
            os.umask(before)
        own.setblocking(False)
        self._node = _node(self._path)
        return own


class _One(Factory):
    """Make the one conversation of one connection."""

    noisy = False

    def __init__(self, control: Control, reactor: Any) -> None:
        self._control = control
        self._reactor = reactor

    def buildProtocol(self, _: object) -> Conversation:
        """Return it."""
        return Conversation(self._control, self._reactor)


def _nothing() -> None:
    pass


def _clear(path: str) -> None:
    """Remove a socket behind which nobody is; raise `OSError` where somebody is, and where it is no socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        try:
            one.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            # What is no socket refuses as well (connect(2)).
            if not _is_socket(path):
                raise OSError("what is there is no socket") from None
            os.unlink(path)
            return
    raise OSError("another daemon answers there")


def _is_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.lstat(path).st_mode)


def _node(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _is_owner(client: socket.socket) -> bool:
    """Tell whether a peer is this process's own user or root; where the system cannot say, the file's mode must do."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, user, _ = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return user in (_ROOT, os.geteuid())
