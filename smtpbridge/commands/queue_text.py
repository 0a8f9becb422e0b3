"""
What `smtpbridge queue` prints: one parcel as JSON, as some lines of a list, and in full.

Whatever a message or a provider put into the text, a terminal only shows it.
Lines are made as the parcels come, so a long list needs no memory; the widths are
therefore fixed.

What must not be known here: the store, the clock; `now` is the time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from smtpbridge.commands.parcels import Changed, is_certain
from smtpbridge.commands.printing import harmless, shown, shown_path
from smtpbridge.store.values import TRANSACTIONAL, Kept, State

_MOST_RECIPIENTS = 3
_HEAD = f"{'ID':21}  {'State':6} {'Size':>10} {'Age':>4} {'Tries':>5} {'Next':>6}  Sender"
_INDENT = " " * 23
_COLOURS = {State.QUEUED: None, State.HELD: "yellow", State.LEASED: "green"}
_UNCERTAIN = "an attempt may have been taken: sent again, it may arrive twice"
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "m"))
_PREFIXES = ("", "k", "M", "G", "T")


def as_json(kept: Kept) -> dict[str, object]:
    """Return what `list --json` prints: the keys of the contract first."""
    parcel = kept.parcel
    return {
        "id": kept.id,
        "sender": parcel.original_sender,
        "recipients": list(parcel.recipients),
        "state": kept.state.value,
        "attempts": kept.attempts,
        "next_attempt": kept.next_attempt,
        "last_reply": parcel.last_reply,
        "message_id": parcel.message_id,
        "upstream": parcel.upstream,
        "mail_from": parcel.sender,
        "source": parcel.source,
        "transactional": parcel.priority == TRANSACTIONAL,
        "certain": is_certain(kept),
        "created_at": kept.created_at,
        "expires_at": parcel.expires_at,
        "size": size_of(kept),
    }


@dataclass(slots=True)
class Totals:
    """What a list held, counted while it is printed."""

    parcels: int = 0
    recipients: int = 0
    octets: int = 0
    held: int = 0
    leased: int = 0
    uncertain: int = 0
    oldest: float | None = None

    def count(self, kept: Kept) -> None:
        """Add one parcel."""
        self.parcels += 1
        self.recipients += len(kept.parcel.recipients)
        self.octets += size_of(kept)
        self.held += kept.state is State.HELD
        self.leased += kept.state is State.LEASED
        self.uncertain += not is_certain(kept)
        self.oldest = kept.created_at if self.oldest is None else min(self.oldest, kept.created_at)

    def line(self, now: float) -> str:
        """Return the last line of a list that was not empty."""
        facts = [_count(self.parcels, "parcel"), _count(self.recipients, "recipient"), f"{amount(self.octets)}B"]
        facts += [f"{self.held:,} held"] if self.held else []
        facts += [f"{self.leased:,} being sent"] if self.leased else []
        facts += [f"{self.uncertain:,} perhaps taken already"] if self.uncertain else []
        facts += [f"oldest {span(now - self.oldest)}"] if self.oldest is not None else []
        return f"-- {', '.join(facts)}"


def table(parcels: Iterable[Kept], now: float, *, filtered: bool) -> Iterator[str]:
    """Yield the lines of a list; `filtered` tells that there may be more than was asked for."""
    totals = Totals()
    for kept in parcels:
        if not totals.parcels:
            yield click.style(_HEAD, bold=True)
        totals.count(kept)
        yield from _row(kept, now)
    if totals.parcels:
        yield totals.line(now)
    else:
        yield "Nothing in the queue matches." if filtered else "The queue is empty."


def full(kept: Kept, now: float) -> Iterator[str]:
    """Yield everything about one parcel but its body."""
    parcel = kept.parcel
    yield _fact("Parcel", click.style(kept.id, bold=True))
    yield _fact("Message", harmless(parcel.message_id))
    yield _fact("State", f"{click.style(kept.state.value, fg=_COLOURS[kept.state])}, {_next_in_words(kept, now)}")
    yield _fact("Sender", shown_path(parcel.original_sender))
    if parcel.sender != parcel.original_sender:
        yield _fact("MAIL FROM", shown_path(parcel.sender))
    for place, recipient in enumerate(parcel.recipients):
        yield _fact("" if place else "Recipients", shown_path(recipient))
    yield _fact("Upstream", harmless(parcel.upstream))
    yield _fact("Source", f"{harmless(parcel.source)}{', transactional' * (parcel.priority == TRANSACTIONAL)}")
    yield _fact("Taken over", f"{_moment(kept.created_at)}, {span(now - kept.created_at)} ago")
    yield _fact("Given up", _moment(parcel.expires_at))
    yield _fact("Size", f"{size_of(kept):,} octets{', 8-bit' * parcel.eight_bit}")
    if not is_certain(kept):
        yield _fact("Caution", click.style(_UNCERTAIN, fg="red"))
    yield from _attempts(kept)
    yield ""
    yield from shown_header(parcel.header)


def lost(kept: Kept) -> str:
    """Return one line for a person who is to agree that a parcel is dropped."""
    sent = ", being sent right now: it may still arrive" if kept.state is State.LEASED else ""
    return f"{kept.id}  {shown_path(kept.parcel.original_sender)} to {_some(kept.parcel.recipients)}{sent}"


def released(changed: Changed) -> Iterator[str]:
    """Yield what `retry` did."""
    waiting = changed.parcels - changed.leased
    yield f"{_count(waiting, 'parcel')} due now; a running daemon looks every few seconds."
    if changed.leased:
        yield f"{_count(changed.leased, 'parcel')} being sent already."
    if changed.uncertain:
        yield f"{_count(changed.uncertain, 'parcel')} may have been taken already, and may arrive twice."
    if changed.expired:
        yield f"{_count(changed.expired, 'parcel')} past the lifetime: given up and reported, not sent."
    yield from _gone(changed)


def done(changed: Changed, what: str) -> Iterator[str]:
    """Yield what `hold` or `drop` did; `what` is a participle."""
    yield f"{_count(changed.parcels, 'parcel')} {what}."
    if changed.leased:
        yield f"{_count(changed.leased, 'parcel')} being sent right now: that attempt goes on."
    yield from _gone(changed)


def size_of(kept: Kept) -> int:
    """Return the octets of header, empty line and body."""
    return len(kept.parcel.header) + 2 + kept.body_size


def span(seconds: float) -> str:
    """Return a span of time in its largest whole unit; one that is not above zero is none."""
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{int(seconds // unit)}{name}"
    return f"{max(0, int(seconds))}s"


def amount(octets: int) -> str:
    """Return a number of octets in thousands, to three digits or so."""
    value, place = float(octets), 0
    while value >= 999.5 and place < len(_PREFIXES) - 1:
        value, place = value / 1000, place + 1
    return f"{value:.0f} {_PREFIXES[place]}" if not place or value >= 99.95 else f"{value:.1f} {_PREFIXES[place]}"


def shown_header(header: bytes) -> Iterator[str]:
    """Yield the lines of a header block as they are folded."""
    for line in header.removesuffix(b"\r\n").split(b"\r\n"):
        # A tab is how many fold; escaped it would only hide that.
        yield shown(line.replace(b"\t", b"    "))


def _row(kept: Kept, now: float) -> Iterator[str]:
    parcel = kept.parcel
    state = click.style(f"{kept.state.value:6}", fg=_COLOURS[kept.state])
    yield (
        f"{kept.id:21}  {state} {size_of(kept):>10,} {span(now - kept.created_at):>4} {kept.attempts:>5} "
        f"{_next(kept, now):>6}  {shown_path(parcel.original_sender)}"
    )
    yield f"{_INDENT}to {_some(parcel.recipients)}"
    if parcel.last_reply:
        yield _INDENT + click.style(harmless(parcel.last_reply), dim=True)
    if not is_certain(kept):
        yield _INDENT + click.style(_UNCERTAIN, fg="red")


def _attempts(kept: Kept) -> Iterator[str]:
    interrupted = f", {kept.interruptions} more interrupted by a crash" if kept.interruptions else ""
    yield _fact("Attempts", f"{kept.attempts}{interrupted}")
    if len(kept.history) < kept.attempts:
        yield _fact("", f"(the last {len(kept.history)} of them)")
    for one in kept.history:
        yield f"  {_moment(one.at)}  {harmless(one.host) or 'no host'}, {harmless(one.phase)}: {harmless(one.reply)}"
    if not kept.history and kept.parcel.last_reply:
        yield f"  before it was taken over: {harmless(kept.parcel.last_reply)}"


def _next(kept: Kept, now: float) -> str:
    match kept.state:
        case State.HELD:
            return "-"
        case State.LEASED if kept.next_attempt > now:
            return "now"
        case _:
            return span(kept.next_attempt - now) if kept.next_attempt > now else "due"


def _next_in_words(kept: Kept, now: float) -> str:
    match kept.state:
        case State.HELD:
            return "until it is released by: smtpbridge queue retry"
        case State.LEASED if kept.next_attempt > now:
            return f"being sent; due again at {_moment(kept.next_attempt)} if the daemon dies"
        case State.LEASED:
            return "due again: the process that was sending it is gone"
        case _ if kept.next_attempt > now:
            return f"next attempt in {span(kept.next_attempt - now)}, at {_moment(kept.next_attempt)}"
        case _:
            return f"due since {_moment(kept.next_attempt)}"


def _moment(at: float) -> str:
    # What was entered as "never" is no date of any calendar.
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"


def _some(recipients: tuple[str, ...]) -> str:
    shown_ones = [shown_path(one) for one in recipients[:_MOST_RECIPIENTS]]
    if len(recipients) > _MOST_RECIPIENTS:
        shown_ones.append(f"{len(recipients) - _MOST_RECIPIENTS:,} more")
    return ", ".join(shown_ones)


def _fact(name: str, text: str) -> str:
    return f"{name:12}{text}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _gone(changed: Changed) -> Iterator[str]:
    if changed.gone:
        yield f"{_count(changed.gone, 'parcel')} gone meanwhile: delivered, given up or dropped."
