"""
What `smtpbridge events` prints: one event as JSON, as some lines of a list, and in full; batches that were given up.

Whatever a sender or a target put into the text, a terminal only shows it.  Lines are made as the events come, so a
long list needs no memory; the widths are therefore fixed.

What must not be known here: the ledger, the clock; `now` is the time.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator

import click

from smtpbridge.commands.moments import shown_moment
from smtpbridge.commands.printing import harmless, shown_path
from smtpbridge.commands.queue_text import span
from smtpbridge.store.ledger import DeadBatch, Delivery, Kept, Standing

_HEAD = f"{'ID':19}  {'Came':20}  {'Event':16}  {'State':9}  Recipient"
_INDENT = " " * 21
_COLOURS = {Standing.WAITING: None, Standing.SENDING: "yellow", Standing.DELIVERED: "green", Standing.DEAD: "red"}
# The worst comes first: that is what an event is called that stands differently at several targets.
_BY_WORRY = (Standing.DEAD, Standing.SENDING, Standing.WAITING, Standing.DELIVERED)
_NOBODY = "nobody"


def as_json(kept: Kept) -> str:
    """Return one line of `list --json`; the event is as it is posted, to the octet."""
    facts = json.dumps(
        {
            "id": kept.id,
            "type": kept.type,
            "at": kept.at,
            "recipient": kept.recipient,
            "subaccount": kept.subaccount,
            "deliveries": [_delivery_as_json(one) for one in kept.deliveries],
        }
    )
    return f'{facts[:-1]}, "event": {kept.octets.decode("utf-8")}}}'


def dead_as_json(batch: DeadBatch) -> str:
    """Return one line of `dead --json`."""
    return json.dumps(
        {
            "id": batch.id,
            "target": batch.target,
            "events": batch.events,
            "attempts": batch.attempts,
            "created_at": batch.created_at,
            "answer": batch.answer,
        }
    )


def table(events: Iterable[Kept], now: float, *, filtered: bool) -> Iterator[str]:
    """Yield the lines of a list; `filtered` tells that there may be more than was asked for."""
    count, standings = 0, Counter[Standing]()
    for kept in events:
        if not count:
            yield click.style(_HEAD, bold=True)
        count += 1
        standings.update(one.standing for one in kept.deliveries)
        yield from _row(kept, now)
    if not count:
        yield "No event matches." if filtered else "There are no events."
        return
    facts = [f"{number:,} {standing.value}" for standing in _BY_WORRY if (number := standings[standing])]
    yield f"-- {_count(count, 'event')}{'; deliveries: ' if facts else ''}{', '.join(facts)}"


def full(kept: Kept, now: float) -> Iterator[str]:
    """Yield everything about one event."""
    yield _fact("Event", click.style(kept.id, bold=True))
    yield _fact("Type", harmless(kept.type))
    yield _fact("Came", f"{shown_moment(kept.at)}, {span(now - kept.at)} ago")
    yield _fact("Recipient", shown_path(kept.recipient))
    if kept.subaccount:
        yield _fact("Subaccount", harmless(kept.subaccount))
    for place, one in enumerate(kept.deliveries):
        yield _fact("" if place else "Targets", f"{harmless(one.target)}: {_standing(one, now)}")
        if one.batch:
            yield _fact("", f"  batch {harmless(one.batch)}")
    if not kept.deliveries:
        yield _fact("Targets", _NOBODY)
    yield ""
    # Nothing in it can act upon a terminal: JSON escapes what does, and the rest is ASCII.
    yield from json.dumps(json.loads(kept.octets), indent=2).splitlines()


def dead(batches: Iterable[DeadBatch], now: float) -> Iterator[str]:
    """Yield the batches that were given up, and what to do about them."""
    events, targets = 0, dict[str, None]()
    for batch in batches:
        events += batch.events
        targets[batch.target] = None
        yield (
            f"{click.style(harmless(batch.target), bold=True)}  {harmless(batch.id)}  "
            f"{_count(batch.events, 'event')}, {span(now - batch.created_at)} old, "
            f"{_count(batch.attempts, 'attempt')}"
        )
        yield f"    {harmless(batch.answer)}"
    if not targets:
        yield "Nothing was given up."
        return
    yield f"-- {_count(events, 'event')} undeliverable.  When the target is mended:"
    for name in targets:
        yield f"   smtpbridge events test {harmless(name)} && smtpbridge events replay --dead --target {harmless(name)}"


def replayed(deliveries: int) -> str:
    """Return what `replay` did."""
    if not deliveries:
        return "Nothing to post again: no delivery that is done with matches."
    return f"{_count(deliveries, 'delivery', 'deliveries')} waiting again; a running daemon looks every few seconds."


def question(deliveries: int) -> str:
    """Return what is asked before so many deliveries are made again."""
    return f"Post {_count(deliveries, 'event')} again? Who has them gets them twice, with the same event_id"


def _row(kept: Kept, now: float) -> Iterator[str]:
    standings = {one.standing for one in kept.deliveries}
    worst = next((one for one in _BY_WORRY if one in standings), None)
    state = f"{worst.value if worst else '-':9}"
    coloured = click.style(state, fg=_COLOURS[worst]) if worst else state
    yield (
        f"{harmless(kept.id):19}  {shown_moment(kept.at):20}  {harmless(kept.type):16}  {coloured}  "
        f"{shown_path(kept.recipient)}"
    )
    for one in kept.deliveries:
        # Who has it needs no word, unless others have not.
        if len(standings) > 1 or one.standing in (Standing.SENDING, Standing.DEAD):
            yield f"{_INDENT}{harmless(one.target)}: {_standing(one, now)}"


def _standing(one: Delivery, now: float) -> str:
    said = f": {harmless(one.answer)}" if one.answer else ""
    match one.standing:
        case Standing.WAITING:
            return "waiting"
        case Standing.DELIVERED:
            return click.style("delivered", fg="green")
        case Standing.DEAD:
            return click.style(f"given up after {_count(one.attempts, 'attempt')}", fg="red") + said
        case Standing.SENDING if not one.attempts:
            return "being posted"
        case Standing.SENDING:
            due = one.next_attempt or now
            when = f"again in {span(due - now)}" if due > now else "due again"
            return click.style(f"not taken {_count(one.attempts, 'time')}, {when}", fg="yellow") + said


def _delivery_as_json(one: Delivery) -> dict[str, object]:
    return {
        "target": one.target,
        "state": one.standing.value,
        "batch": one.batch or None,
        "attempts": one.attempts,
        "next_attempt": one.next_attempt,
        "answer": one.answer,
    }


def _fact(name: str, text: str) -> str:
    return f"{name:12}{text}"


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
