"""
The reactor's way from a socket that can be read to its transport, shortened.

Theory of operation
-------------------

Twisted calls each transport in a context of its own: who logs in the old way finds there
which connection is meant. Two dictionaries and six calls are made for that at each event, and
nobody here asks for it: a log line of ours says itself whom it is about.

So one method of the reactor is replaced by one that goes straight to `doRead` where a
socket can be read and nothing else is the matter, which is nearly always. Whatever else there is
(room to write, an end, an error, an exception) goes Twisted's own way, and so does any reactor
other than the one on epoll(7), or one whose insides have other names.
"""

import errno
import sys
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.python import log


def shorten(reactor: object) -> bool:
    """Let `reactor` read without contexts from now on; tell whether it is of the kind that can."""
    if type(reactor) is not EPollReactor:
        return False
    inner: Any = reactor
    try:
        poll, selectables = inner._poller.poll, inner._selectables
        any_way, disconnect = inner._doReadOrWrite, inner._disconnectSelectable
        readable = inner._POLL_IN
    except AttributeError:
        return False  # another Twisted names them otherwise

    def iterate(timeout: float | None) -> None:
        try:
            ready = poll(-1 if timeout is None else timeout, len(selectables))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        for descriptor, event in ready:
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue  # an earlier event of this round has closed it
            if event != readable or selectable.fileno() == -1:
                log.callWithLogger(selectable, any_way, selectable, descriptor, event)
                continue
            in_read = True
            try:
                why = selectable.doRead()
            except BaseException:
                why, in_read = sys.exc_info()[1], False
                log.err()
            if why:
                log.callWithLogger(selectable, disconnect, selectable, why, in_read)

    inner.doPoll = inner.doIteration = iterate
    return True
