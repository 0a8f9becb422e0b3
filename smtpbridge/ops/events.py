"""
What the status page shows of events: the inbox, and each target.

The values here are filled by whoever knows (`readings.events_seen`); the section is made of them alone.

What must not be known here: the inbox, the outbox and the ledger.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smtpbridge.ops.markup import Html, element, joined
from smtpbridge.ops.tables import table
from smtpbridge.ops.wording import many, moment, number, span


@dataclass(frozen=True, slots=True)
class Kept:
    """What the ledger holds for a target: events in no batch, in batches, the oldest of both, and those given up."""

    waiting: int
    oldest: float | None
    batched: int
    given_up: int


@dataclass(frozen=True, slots=True)
class Posted:
    """
    What was posted to a target since the start: events that it took, and posts that it did not take.

    `failing` of these came last, in a row; `answer` is what came of the last one, empty when it was taken.  The target
    is left alone for `paused` seconds more.
    """

    events: int
    failures: int
    failing: int
    answer: str
    paused: float


@dataclass(frozen=True, slots=True)
class Aim:
    """A target; `posted` is `None` where it is configured no more, `kept` while nobody knows."""

    name: str
    posted: Posted | None
    kept: Kept | None


@dataclass(frozen=True, slots=True)
class EventsSeen:
    """
    Everything about events; times in seconds since the epoch.

    `taken` and `refused` are requests since the start.  `waiting` notifications are still to be translated, `None`
    while nobody knows; the oldest came at `oldest`.  `fault` is the ledger's, empty when it is in order.
    """

    taken: int
    refused: int
    waiting: int | None
    oldest: float | None
    fault: str
    aims: tuple[Aim, ...]


def events(seen: EventsSeen, now: float) -> Html:
    """Return the section."""
    tiles = [
        ("Requests taken (200)", number(seen.taken)),
        ("Requests refused", number(seen.refused)),
        ("To be translated", "-" if seen.waiting is None else number(seen.waiting)),
        ("Oldest of them", _age(seen.oldest, now)),
    ]
    fault = f"The ledger of events cannot be used: {seen.fault}"
    return joined(
        element("h2", "Events"),
        element("p", fault, class_="bad") if seen.fault else None,
        element(
            "dl", [element("div", element("dt", name), element("dd", what)) for name, what in tiles], class_="tiles"
        ),
        _aims(seen, now),
    )


def _aims(seen: EventsSeen, now: float) -> Html:
    heads = [
        ("Target", "t"), ("Events posted", "n"), ("Failed posts", "n"), ("Waiting", "n"), ("Oldest", "n"),
        ("In batches", "n"), ("Given up", "n"), ("How it is", "w"),
    ]  # fmt: skip
    rows = (_row(one, now) for one in seen.aims)
    return table("Webhooks: posts since the start, events in the ledger.", heads, rows, "No target is configured.")


def _row(aim: Aim, now: float) -> Iterator[object]:
    posted, kept = aim.posted, aim.kept
    yield aim.name
    yield "-" if posted is None else number(posted.events)
    yield "-" if posted is None else number(posted.failures)
    yield "-" if kept is None else number(kept.waiting)
    yield "-" if kept is None else _age(kept.oldest, now)
    yield "-" if kept is None else number(kept.batched)
    yield "-" if kept is None else _given_up(kept.given_up)
    yield _how(posted, now)


def _given_up(count: int) -> Html:
    return element("span", number(count), class_="bad" if count else None)


def _how(posted: Posted | None, now: float) -> Html:
    if posted is None:
        return element("span", "Not configured any more: nothing is posted.", class_="warn")
    if not posted.failing:
        return element(
            "span", "Well." if posted.events else "Nothing posted yet.", class_="good" if posted.events else "dim"
        )
    until = f" Paused until {moment(now + posted.paused)}." if posted.paused > 0 else ""
    failing = f"NOT TAKEN: {many(posted.failing, 'post')} in a row.{until} "
    return element("span", element("span", failing, class_="bad"), element("bdi", posted.answer))


def _age(since: float | None, now: float) -> str:
    return "-" if since is None else span(now - since)
