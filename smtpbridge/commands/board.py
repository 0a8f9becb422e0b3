"""
What `smtpbridge top` shows: from two sights to lines, at a given width.

Rates and quantiles are those between the two; with one sight there are only totals.  A figure that the bridge
does not have is left out with its line, so an older or a newer one can be looked at too.  Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smtpbridge.commands.sight import Sight

_CLASSES = (("accepted", "2xx"), ("put off", "4xx"), ("refused", "5xx"))
_UNITS = ((1024.0**3, "G"), (1024.0**2, "M"), (1024.0, "k"))
_QUANTILES = (0.5, 0.95, 0.99)
_TIMES = (("verdict", "smtpbridge_verdict_seconds"), ("upstream", "smtpbridge_upstream_transaction_seconds"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, and a colour for all of it where it should be noticed."""

    text: str
    colour: str = ""
    bold: bool = False


def board(place: str, before: Sight | None, now: Sight, width: int) -> list[Line]:
    """Return the lines; none is longer than `width`."""
    if before is not None and _restarted(before, now):
        before = None
    parts = (
        [*_head(place, now)],
        [*_messages(before, now), *_latency(before, now)],
        [*_now(now)],
        [*_upstreams(before, now)],
        [*_troubles(before, now)],
    )
    # An empty line between those that have something to say.
    lines = [line for part in parts if part for line in (*part, Line(""))][:-1]
    return [Line(_cut(one.text, width), one.colour, one.bold) for one in lines]


def _head(place: str, now: Sight) -> Iterator[Line]:
    version = next((labels.get("version", "") for labels, _ in now.samples.get("smtpbridge_build_info", ())), "")
    yield Line(f"smtpbridge {version}".rstrip() + f"  at {place}", bold=True)
    if now.total("smtpbridge_ready"):
        yield Line("ready", "green", bold=True)
    for reason in now.reasons:
        yield Line(f"NOT READY since {reason.since}: {reason.why}", "red", bold=True)
    workers = now.by("smtpbridge_workers", "state")
    if workers:
        told = ", ".join(f"{count:.0f} {state}" for state, count in workers.items() if count)
        yield Line(f"workers: {told}")


def _messages(before: Sight | None, now: Sight) -> Iterator[Line]:
    name = "smtpbridge_messages_total"
    if name in now.samples or "smtpbridge_verdict_seconds_count" in now.samples:
        yield Line(f"{'messages':<12}{'a second':>12}{'in all':>16}", bold=True)
        for word, kind in _CLASSES:
            total = now.total(name, **{"class": kind}) or 0.0
            rate = _rate(before, now, name, **{"class": kind})
            noticed = kind != "2xx" and bool(rate)
            yield Line(f"{word:<12}{_shown(rate):>12}{total:>16,.0f}", "yellow" if noticed else "")
    octets = _rate(before, now, "smtpbridge_message_bytes_total")
    if octets is not None:
        yield Line(f"{'octets':<12}{_size(octets):>12}")
    logins = now.by("smtpbridge_logins_total", "outcome")
    if logins:
        told = ", ".join(f"{count:,.0f} {outcome}" for outcome, count in logins.items())
        yield Line(f"logins      {told}")


def _latency(before: Sight | None, now: Sight) -> Iterator[Line]:
    for word, name in (
        ("verdict", "smtpbridge_verdict_seconds"),
        ("upstream", "smtpbridge_upstream_transaction_seconds"),
    ):
        counts = _new(before.buckets(name) if before else {}, now.buckets(name))
        if counts:
            told = "  ".join(f"p{quantile * 100:g} {_time(quantile_of(counts, quantile))}" for quantile in _QUANTILES)
            yield Line(f"{word + ' time':<14}{told}")


def _now(now: Sight) -> Iterator[Line]:
    sessions = now.by("smtpbridge_sessions", "listener")
    under_way = now.total("smtpbridge_messages_under_way") or 0.0
    yield Line(f"sessions {sum(sessions.values()):,.0f}   messages under way {under_way:,.0f}")
    if len(sessions) > 1:
        yield from (Line(f"  {count:>7,.0f}  {listener}") for listener, count in sessions.items())
    held = now.total("smtpbridge_held_up") or 0.0
    memory, files = now.total("smtpbridge_body_memory_bytes"), now.total("smtpbridge_temporary_bytes")
    if memory is not None and files is not None:
        told = f"   HELD UP {held:,.0f}" if held else ""
        yield Line(f"room     memory {_size(memory)}   temporary files {_size(files)}{told}", "yellow" if held else "")
    depth = now.total("smtpbridge_queue_depth")
    if depth is not None:
        oldest = now.total("smtpbridge_queue_oldest_seconds") or 0.0
        waiting = now.total("smtpbridge_queue_held") or 0.0
        age = f"   oldest {_time(oldest)}" if depth else ""
        yield Line(f"queue    {depth:,.0f}   held {waiting:,.0f}{age}", "yellow" if waiting else "")


def _upstreams(before: Sight | None, now: Sight) -> Iterator[Line]:
    names = now.by("smtpbridge_upstream_connections", "upstream")
    if names:
        head = f"{'upstream':<16}{'leased':>8}{'idle':>6}{'dial':>6}{'of':>6}{'waiting':>9}{'sent/s':>9}"
        yield Line(head, bold=True)
    for name in names:
        counts = [
            now.total("smtpbridge_upstream_connections", upstream=name, state=state) or 0.0
            for state in ("leased", "idle", "dialling")
        ]
        most = now.total("smtpbridge_upstream_max_connections", upstream=name)
        waiting = now.total("smtpbridge_upstream_waiting", upstream=name) or 0.0
        sent = _rate(before, now, "smtpbridge_upstream_transactions_total", upstream=name)
        leased, idle, dialling = (f"{count:,.0f}" for count in counts)
        bad = now.total("smtpbridge_upstream_unusable", upstream=name)
        yield Line(
            f"{_cut(name, 15):<16}{leased:>8}{idle:>6}{dialling:>6}{'-' if most is None else f'{most:,.0f}':>6}"
            f"{waiting:>9,.0f}{_shown(sent):>9}{'  CANNOT BE USED' if bad else ''}",
            "red" if bad else "yellow" if waiting else "",
        )


def _troubles(before: Sight | None, now: Sight) -> Iterator[Line]:
    """Show what went wrong meanwhile: bounds that were reached, dials that failed, headers that were refused."""
    found: list[Line] = []
    for word, name, label in (
        ("limit", "smtpbridge_limit_reached_total", "limit"),
        ("dial failed", "smtpbridge_upstream_dial_failures_total", "kind"),
        ("header refused", "smtpbridge_translation_refusals_total", "kind"),
        ("command refused", "smtpbridge_refused_commands_total", "class"),
        ("store", "smtpbridge_store_faults_total", ""),
    ):
        earlier = before.by(name, label) if before else {}
        for value, count in now.by(name, label).items():
            grown = count - earlier.get(value, 0.0) if before else count
            if grown > 0:
                since = "" if before else " since the start"
                found.append(Line(f"{word:<16}{value:<32}{grown:>8,.0f}{since}", "yellow"))
    if found:
        yield Line("latest trouble", bold=True)
        yield from found


def quantile_of(counts: dict[float, float], quantile: float) -> float:
    """Return a quantile from cumulative counts by upper bound, as Prometheus reckons it: even within a bucket."""
    bounds = sorted(counts)
    wanted = quantile * counts[bounds[-1]]
    low, below = 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= wanted:
            if bound == float("inf") or counts[bound] == below:
                return low
            return low + (bound - low) * (wanted - below) / (counts[bound] - below)
        low, below = bound, counts[bound]
    return low


def _new(earlier: dict[float, float], counts: dict[float, float]) -> dict[float, float]:
    """Return what came between; nothing where nothing came."""
    grown = {bound: count - earlier.get(bound, 0.0) for bound, count in counts.items()}
    return grown if grown and max(grown.values()) > 0 else {}


def _restarted(before: Sight, now: Sight) -> bool:
    """Tell whether a counter went back: it began anew, and the difference would mean nothing."""
    return any(
        value < (before.total(name) or 0.0)
        for name in now.samples
        if name.endswith("_total") and (value := now.total(name)) is not None
    )


def _rate(before: Sight | None, now: Sight, name: str, **labels: str) -> float | None:
    if before is None or now.at <= before.at:
        return None
    new = now.total(name, **labels)
    return None if new is None else (new - (before.total(name, **labels) or 0.0)) / (now.at - before.at)


def _shown(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:,.1f}"


def _size(octets: float) -> str:
    for unit, letter in _UNITS:
        if octets >= unit:
            return f"{octets / unit:,.1f} {letter}B"
    return f"{octets:,.0f} B"


def _time(seconds: float) -> str:
    if seconds < 1.0:
        return f"{seconds * 1000:,.0f} ms"
    if seconds < 120.0:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200.0 else f"{seconds / 3600:,.1f} h"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
