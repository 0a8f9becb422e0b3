"""
Whether the daemon is ready for mail, and why not: judgement, and nothing but that.

Theory of operation
-------------------

Somebody looks about once a second and says what was `Seen`.  `troubles_of` says what of it
is trouble; `Health` keeps the troubles that count, each with the time at which it began.

Readiness must not flap, because whoever watches it moves traffic by it.  So a trouble of a
kind that comes and goes under load counts only after a while, and is over only after a while
(`_PATIENCE`).  The other kinds are steady where they come from: an upstream is called
unusable by what its dials showed, and stays so until a connection is ready again; a store is
out of order until something was kept.

An upstream that nobody dialled yet is no trouble: nothing is dialled before the first message.
One that is not the default makes the whole not ready only where it refuses our login: that is
the operator's to mend.  Where it cannot be reached, mail for the others still flows, and the
status line says so.

What must not be known here: sockets, reactors, clocks, what a relay is.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

# Words that came from somewhere else (a server, a disk) are cut to this, in characters.
_LONGEST_WHY = 300


class What(Enum):
    """The kinds of trouble; the value is what programs read, and `docs/health.md` has a section for each."""

    STARTING = "starting"
    DRAINING = "draining"
    LOGIN = "login"
    UPSTREAM = "upstream"
    STORE = "store"
    TEMPORARY_FILES = "temporary_files"


@dataclass(frozen=True, slots=True)
class Upstream:
    """What is known of an upstream; `fault` is the last one, in words fit for strangers."""

    name: str
    default: bool
    unreachable: bool = False
    login_refused: bool = False
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What there was to see at one moment; `held_up` counts senders that are not read for want of room."""

    listening: bool
    draining: bool
    store_open: bool
    store_fault: str
    held_up: int
    upstreams: tuple[Upstream, ...]
    ledger_fault: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is in the way of mail; `about` tells two of one kind apart."""

    what: What
    why: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the daemon is not ready; `since` in seconds since the epoch."""

    what: What
    why: str
    since: float


@dataclass(frozen=True, slots=True)
class _Patience:
    """How long a trouble lasts before it counts, and how long it is gone before it is over, in seconds."""

    before: float = 0.0
    behind: float = 0.0


_AT_ONCE = _Patience()
_PATIENCE = {
    # Another process that holds the store for a moment is no sickness: the keeper has tried again by then.
    What.STORE: _Patience(before=6.0),
    # Half a minute in which somebody found no room is no peak any more; senders are cut off far later (`data_seconds`).
    What.TEMPORARY_FILES: _Patience(before=30.0, behind=10.0),
}


def troubles_of(seen: Seen) -> tuple[Trouble, ...]:
    """Return what stands in the way."""
    return tuple(_troubles(seen))


def _troubles(seen: Seen) -> Iterator[Trouble]:
    if seen.draining:
        yield Trouble(What.DRAINING, "the bridge is stopping: it takes no new connections and ends what is under way")
    elif not seen.listening:
        yield Trouble(What.STARTING, "the listeners are not open yet")
    elif not seen.store_open and not seen.store_fault:
        yield Trouble(What.STARTING, "the store is not open yet")
    if seen.store_fault:
        yield Trouble(What.STORE, f"the store is out of order: {seen.store_fault}")
    if seen.ledger_fault:
        yield Trouble(What.STORE, f"the ledger of events is out of order: {seen.ledger_fault}", "ledger")
    if seen.held_up:
        yield Trouble(What.TEMPORARY_FILES, "senders are held up: max_temporary_bytes of messages are under way")
    for one in seen.upstreams:
        if one.login_refused:
            yield Trouble(What.LOGIN, f"upstream {one.name} refuses our login: {one.fault}", one.name)
        elif one.unreachable and one.default:
            yield Trouble(What.UPSTREAM, f"no host of upstream {one.name} can be used: {one.fault}", one.name)


@dataclass(slots=True)
class _Known:
    trouble: Trouble
    since: float
    last_seen: float
    counts: bool = False


class Health:
    """The troubles that count."""

    def __init__(self, now: float) -> None:
        """Be starting, until somebody has looked; `now` is in seconds since the epoch, as every time here."""
        self.reasons: tuple[Reason, ...] = (Reason(What.STARTING, "the bridge is starting", now),)
        self._known: dict[tuple[What, str], _Known] = {}
        self._began = now
        self._looked = False

    @property
    def ready(self) -> bool:
        """Tell whether mail is welcome."""
        return not self.reasons

    @property
    def word(self) -> str:
        """Say in a word how it is, or in a sentence why not."""
        if self.ready:
            return "ready"
        if self.has(What.DRAINING):
            return "stopping"
        if self.has(What.STARTING):
            return "starting"
        return "NOT READY: " + "; ".join(reason.why for reason in self.reasons)

    def has(self, what: What) -> bool:
        """Tell whether there is a trouble of that kind."""
        return any(reason.what is what for reason in self.reasons)

    def look(self, troubles: Sequence[Trouble], now: float) -> None:
        """Take in what is in the way at the moment."""
        present = {(trouble.what, trouble.about) for trouble in troubles}
        for trouble in troubles:
            # Starting begins with the process, not with the first look.
            since = self._began if trouble.what is What.STARTING else now
            known = self._known.setdefault((trouble.what, trouble.about), _Known(trouble, since, now))
            known.trouble, known.last_seen = trouble, now
            # What is there at the first look was never well, so nothing flaps.
            known.counts = known.counts or not self._looked or now - known.since >= _patience(trouble).before
        self._looked = True
        for key, known in list(self._known.items()):
            over = not known.counts or now - known.last_seen >= _patience(known.trouble).behind
            if key not in present and over:
                del self._known[key]
        # In the order of `What`, and by name: the list does not depend on what came first.
        counting = sorted(
            (known for known in self._known.values() if known.counts),
            key=lambda known: (_ORDER[known.trouble.what], known.trouble.about),
        )
        self.reasons = tuple(Reason(one.trouble.what, _words(one.trouble.why), one.since) for one in counting)

    def as_json(self) -> bytes:
        """Return the reasons as a flat list, empty where all is well."""
        shown = [{"what": one.what.value, "why": one.why, "since": _time(one.since)} for one in self.reasons]
        return json.dumps(shown, indent=1).encode("ascii") + b"\n"


_ORDER = {what: place for place, what in enumerate(What)}


def _patience(trouble: Trouble) -> _Patience:
    return _PATIENCE.get(trouble.what, _AT_ONCE)


def _words(text: str) -> str:
    return re.sub(r"[^ -~]", "?", text)[:_LONGEST_WHY]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
