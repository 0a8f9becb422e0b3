"""
Run the reactor for one piece of work.

A signal (SIGINT, SIGTERM, SIGHUP) cancels the work, and the reactor waits until its
clean-up is through: a command that is interrupted leaves nothing behind.
"""

import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

if TYPE_CHECKING:
    # The only name that Twisted has for what every reactor can do.
    from twisted.internet import _IReactorCommon

Reactor: TypeAlias = "_IReactorCommon"

T = TypeVar("T")


def run(work: Callable[[Reactor], Coroutine[Deferred[Any], Any, T]]) -> T | None:
    """
    Return what `work` returns, or raise what it raises; `None` when a signal ended it.

    A command has one piece of work: a reactor runs once in a process.
    """
    from twisted.internet import reactor

    results: list[T] = []
    failures: list[Failure] = []
    over: Deferred[None] = Deferred()

    def begin() -> None:
        task = Deferred.fromCoroutine(work(reactor))
        reactor.addSystemEventTrigger("before", "shutdown", interrupt, task)
        task.addCallbacks(results.append, failures.append)
        task.addBoth(end)

    def interrupt(task: Deferred[None]) -> Deferred[None]:
        task.cancel()
        return over

    def end(_: object) -> None:
        over.callback(None)
        try:
            reactor.stop()
        except ReactorNotRunning:
            pass  # A signal has stopped it, and it waits for us.

    reactor.callWhenRunning(begin)
    # A terminal that goes ends the work in order too: what it started would else stay behind.
    _end_on_hangup(reactor)
    reactor.run()
    for failure in failures:
        if not failure.check(CancelledError):
            failure.raiseException()
    return results[0] if results else None


def _end_on_hangup(reactor: Any) -> None:
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reactor.stop))
