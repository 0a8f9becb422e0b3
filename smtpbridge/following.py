"""
The verb `trace` of the control socket: follow sessions, live.

Its arguments are a filter (`relay.wanted`).  The first answer says that the daemon follows; then come lines, until the
client hangs up.  Who follows is told by whoever has the sessions: this process, or its workers.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from smtpbridge.ops.conversation import Conversation
from smtpbridge.relay.service import RelayService
from smtpbridge.relay.tracing import Tracing
from smtpbridge.relay.views import Reader, Told
from smtpbridge.relay.wanted import NoFilter, wanted_of

# Begins to tell a reader what a filter wants; what it returns ends that.  Raises `NoFilter`.
Follow: TypeAlias = Callable[[Mapping[str, object], Reader], Callable[[], None]]


def tracing_of(relay: RelayService, reactor: Any, prefix: str = "") -> Tracing:
    """Return who follows the sessions of a relay; their names begin with `prefix`."""
    return Tracing(
        lambda: {door.description: door.gate for door in relay.doors}, lambda: relay.pools, reactor, time.time, prefix
    )


def follow_here(tracing: Tracing) -> Follow:
    """Follow the sessions of this process."""

    def follow(said: Mapping[str, object], reader: Reader) -> Callable[[], None]:
        follower = tracing.follow(wanted_of(said), reader)
        return lambda: tracing.stop(follower)

    return follow


def trace_verb(follow: Follow) -> Callable[[Mapping[str, object], Conversation], None]:
    """Return the verb."""

    def trace(arguments: Mapping[str, object], asked: Conversation) -> None:
        def read(lines: Sequence[Told]) -> int:
            if not asked.has_room:
                return 0
            asked.say_lines(b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines))
            return len(lines)

        try:
            stop = follow(arguments, read)
        except NoFilter as error:
            asked.refuse(str(error))
            return
        asked.when_gone(stop)
        asked.say({"following": True})

    return trace
