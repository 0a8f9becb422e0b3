"""
Follow the sessions of all workers.

The parent numbers who follows and tells the workers the filter; each worker follows its own sessions and sends lines,
which the parent hands on as they come.  A worker that is started meanwhile is told too.  What a worker's line to its
parent has no room for is dropped there and counted: signs of life and connections go by the same line.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from smtpbridge.relay.tracing import Tracing
from smtpbridge.relay.views import Follower, Reader, Told
from smtpbridge.relay.wanted import NoFilter, wanted_of
from smtpbridge.workers import words
from smtpbridge.workers.words import Nonsense

# Well below what a packet may have, so that there is room beside it.
_MOST_OCTETS = 65_536


class FollowingParent:
    """The parent's side."""

    def __init__(self, tell_all: Callable[[bytes], object]) -> None:
        """`tell_all` sends a packet to every worker."""
        self._tell_all = tell_all
        self._count = 0
        self._said: dict[int, Mapping[str, object]] = {}
        self._readers: dict[int, Reader] = {}

    def follow(self, said: Mapping[str, object], reader: Reader) -> Callable[[], None]:
        """Begin to tell `reader`; return what ends it.  Raise `NoFilter`."""
        wanted_of(said)
        self._count += 1
        number = self._count
        self._said[number], self._readers[number] = said, reader
        self._tell_all(words.packet(words.Kind.FOLLOW, [number, said]))

        def stop() -> None:
            if self._readers.pop(number, None) is not None:
                del self._said[number]
                self._tell_all(words.packet(words.Kind.UNFOLLOW, number))

        return stop

    def packets(self) -> list[bytes]:
        """Return what a worker that has just become ready has to hear."""
        return [words.packet(words.Kind.FOLLOW, [number, said]) for number, said in self._said.items()]

    def heard(self, content: object) -> None:
        """A worker has sent lines; raise `Nonsense`."""
        match content:
            case [int(number), [*lines]] if all(isinstance(one, dict) for one in lines):
                if reader := self._readers.get(number):
                    reader(cast(list[Told], lines))
            case _:
                raise Nonsense("lines of a session that are none")


class FollowingChild:
    """A worker's side."""

    def __init__(self, tracing: Tracing, say: Callable[[bytes], bool]) -> None:
        """Follow by `tracing`; `say` sends a packet, and tells whether there was room."""
        self._tracing = tracing
        self._say = say
        self._followers: dict[int, Follower] = {}

    def follow(self, number: int, said: Mapping[str, object]) -> None:
        """Begin; raise `Nonsense`."""
        if number in self._followers:
            return
        try:
            wanted = wanted_of(said)
        except NoFilter as error:
            raise Nonsense(f"a filter that is none: {error}") from error
        self._followers[number] = self._tracing.follow(wanted, lambda lines: self._pass_on(number, lines))

    def stop(self, number: int) -> None:
        """End."""
        if follower := self._followers.pop(number, None):
            self._tracing.stop(follower)

    def _pass_on(self, number: int, lines: Sequence[Told]) -> int:
        """Send lines in packets; return how many there was room for."""
        taken = 0
        while taken < len(lines):
            count = size = 0
            for line in lines[taken:]:
                size += len(json.dumps(line))
                if size > _MOST_OCTETS and count:
                    break
                count += 1
            if not self._say(words.packet(words.Kind.LINES, [number, lines[taken : taken + count]])):
                break
            taken += count
        return taken
