"""
Reloading as a daemon does it: on SIGHUP, when a command asks by the control socket, when files change.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from smtpbridge.config import load_recorded, reread
from smtpbridge.machine import stamps
from smtpbridge.ops.conversation import Conversation
from smtpbridge.ops.notify import Notices
from smtpbridge.reloading.files import FileWatch
from smtpbridge.reloading.reloads import Apply, Outcome, Reloads
from smtpbridge.settings.record import Record
from smtpbridge.settings.values import Config

T = TypeVar("T")


class Reloader:
    """All that a daemon needs for it."""

    def __init__(
        self,
        path: str,
        config: Config,
        record: Record,
        environ: Mapping[str, str],
        apply: Apply,
        reactor: Any,
        *,
        epoch: Callable[[], float],
        notes: Callable[[Config], Sequence[str]] = lambda config: config.notes,
        notices: Notices | None = None,
        reopen: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Read `path`, an absolute one, again; `notices` tell the service manager.

        `reopen` is done first on SIGHUP: most who rotate a log send that.
        """
        self._path = path
        self._reopen = reopen
        self._reactor = reactor
        self.reloads = Reloads(
            config,
            record,
            read=lambda before: load_recorded(self._path, environ, before),
            reread=lambda before: reread(before, environ),
            apply=apply,
            in_thread=self._in_thread,
            epoch=epoch,
            notes=notes,
            begun=notices.reloading if notices else lambda: None,
            over=notices.reloaded if notices else lambda: None,
        )
        self._files = FileWatch(
            lambda: self._in_thread(lambda: stamps(self.reloads.record)),
            self.reloads.refresh,
            reactor,
            stamps(record),
        )

    def start(self) -> None:
        """Look at the files from now on."""
        self._files.start()

    def stop(self) -> None:
        """The daemon begins to stop."""
        self._files.stop()
        self.reloads.stop()

    def hang_up(self) -> None:
        """SIGHUP."""
        self._reopen()
        self.reloads.ask("SIGHUP")

    def obey(self, _: Mapping[str, object], asked: Conversation) -> None:
        """Answer who asks for a reload at the control socket."""

        def tell(outcome: Outcome) -> None:
            if outcome.well:
                asked.done(file=self._path, changed=outcome.lines)
            else:
                asked.refuse(*outcome.lines)

        self.reloads.ask("control").addCallback(tell)

    def _in_thread(self, call: Callable[[], T]) -> "Deferred[T]":
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)
