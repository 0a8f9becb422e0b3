"""
Post notifications as Infobip does: when their time has come, again where nobody takes them, and not for ever.

Theory of operation
-------------------

A notification waits for its time, then for one of the few places at which posts are made, then for an answer.  2xx is
taken; anything else, or no answer in time, is tried again as Infobip documents it: a minute, and a minute times the
square of the number of the retry.  After twenty retries it is given up.

What waits is bounded: beyond that a new notification is dropped with a warning, so that a stand-in to which nobody
listens does not eat the machine.  Nothing is kept on disk: what waits is lost with the stand-in.

Redirections are not followed, and of an answer only the status counts.

What must not be known here: what a notification says.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Cooperator
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer, RequestGenerationFailed, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from smtpbridge.sandbox.notifications import Notification

RETRIES = 20
_MINUTE = 60.0
_ANSWER_SECONDS = 30.0
_LATE = f"no answer within {_ANSWER_SECONDS:g} seconds"
_MOST_WAITING = 10_000
_AT_ONCE = 20
_HEADERS = Headers({"Content-Type": ["application/json"], "User-Agent": ["smtpbridge sandbox"]})


@dataclass(frozen=True, slots=True)
class Posts:
    """What has happened so far: posts that were taken, that were not, and notifications that are gone or wait."""

    taken: int = 0
    refused: int = 0
    given_up: int = 0
    dropped: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _Letter:
    notification: Notification
    retries: int = 0


def retry_seconds(number: int) -> float:
    """Return how long Infobip waits before a retry; they are counted from 0."""
    return _MINUTE + _MINUTE * number * number


class Postman:
    """Posts until it is closed; `on_post` hears of each attempt in words."""

    _log = Logger(namespace="smtpbridge.sandbox")

    def __init__(
        self,
        agent: IAgent,
        clock: IReactorTime,
        *,
        speed: float = 1.0,
        most_waiting: int = _MOST_WAITING,
        on_post: Callable[[str], None] | None = None,
    ) -> None:
        """Post by `agent`; with `speed` 2 retries come twice as soon."""
        self._client = HTTPClient(agent)
        self._clock = clock
        # The one that comes by default belongs to the reactor of the process.
        self._cooperator = Cooperator(scheduler=partial(clock.callLater, 0))
        self._speed = speed
        self._most_waiting = most_waiting
        self._on_post = on_post
        self._sleeping: set[IDelayedCall] = set()
        self._ready: deque[_Letter] = deque()
        self._posting: set[Deferred[None]] = set()
        self._closed = False
        self._posts = Posts()

    def take(self, notifications: Iterable[Notification]) -> None:
        """Take what is to be posted; each waits for its own time."""
        for one in notifications:
            if self._waiting() >= self._most_waiting:
                self._count(dropped=1)
                self._log.warn("the sandbox dropped a notification: {most} wait already", most=self._most_waiting)
            else:
                self._sleep(one.after, _Letter(one))

    def stats(self) -> Posts:
        """Return the counters as they stand now."""
        return replace(self._posts, waiting=self._waiting())

    def close(self) -> None:
        """Forget what waits, and call off what is being posted."""
        self._closed = True
        for call in self._sleeping:
            call.cancel()
        self._sleeping.clear()
        self._ready.clear()
        for post in tuple(self._posting):
            post.cancel()
        self._cooperator.stop()

    def _waiting(self) -> int:
        return len(self._sleeping) + len(self._ready) + len(self._posting)

    def _sleep(self, seconds: float, letter: _Letter) -> None:
        def wake() -> None:
            self._sleeping.discard(call)
            self._ready.append(letter)
            self._begin()

        call = self._clock.callLater(seconds, wake)
        self._sleeping.add(call)

    def _begin(self) -> None:
        while self._ready and len(self._posting) < _AT_ONCE:
            letter = self._ready.popleft()
            post = Deferred.fromCoroutine(self._post(letter))
            self._posting.add(post)
            post.addBoth(self._settled, post)

    def _settled(self, result: object, post: Deferred[None]) -> None:
        self._posting.discard(post)
        if isinstance(result, Failure) and not result.check(CancelledError):
            self._log.failure("the sandbox could not post a notification", failure=result)
        if not self._closed:
            self._begin()

    async def _post(self, letter: _Letter) -> None:
        status, words = await self._answer(letter.notification)
        self._tell(letter.notification, words)
        if 200 <= status < 300:
            self._count(taken=1)
            return
        self._count(refused=1)
        if letter.retries == RETRIES:
            self._count(given_up=1)
            self._log.warn("the sandbox gave a notification up: {text}", text=letter.notification.text)
            return
        wait = retry_seconds(letter.retries) / self._speed
        self._sleep(wait, replace(letter, retries=letter.retries + 1))

    async def _answer(self, notification: Notification) -> tuple[int, str]:
        """Return the status, 0 for none, and words for people."""
        late = False

        def too_late() -> None:
            nonlocal late
            late = True
            asked.cancel()

        asked = Deferred.fromCoroutine(self._ask(notification))
        deadline = self._clock.callLater(_ANSWER_SECONDS, too_late)
        try:
            status = await asked
        except CancelledError:
            if not late:
                raise
            return 0, _LATE
        except Exception as error:
            # Twisted and treq have many ways to say that a request failed, and each means another try.
            return 0, _LATE if late else _words(error)
        finally:
            if deadline.active():
                deadline.cancel()
        return status, f"HTTP {status}"

    async def _ask(self, notification: Notification) -> int:
        # Without a timeout of its own treq asks its reactor for nothing.
        unused: Any = self._clock
        response = await self._client.post(
            notification.url,
            data=FileBodyProducer(BytesIO(notification.body), self._cooperator),
            headers=_HEADERS.copy(),
            allow_redirects=False,
            unbuffered=True,
            reactor=unused,
        )
        await treq.collect(response, lambda _: None)
        status: int = response.code
        return status

    def _tell(self, notification: Notification, words: str) -> None:
        self._log.info("the sandbox posted {text}: {words}", text=notification.text, words=words)
        if self._on_post is not None:
            self._on_post(f"{notification.text}: {words}")

    def _count(self, *, taken: int = 0, refused: int = 0, given_up: int = 0, dropped: int = 0) -> None:
        posts = self._posts
        self._posts = Posts(
            posts.taken + taken, posts.refused + refused, posts.given_up + given_up, posts.dropped + dropped
        )


def _words(error: Exception) -> str:
    """Return why a request failed; Twisted wraps some reasons."""
    if isinstance(error, (ResponseFailed, RequestGenerationFailed)) and error.reasons:
        return _words(error.reasons[0].value)
    return str(error) or type(error).__name__
