"""
The status page as HTML: sections, each for itself, and the whole around them.

A section is a function from what is known to `Html`; the stream sends those that have changed.  What a
section says in colour it says in words too.  Nothing here asks anybody for anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smtpbridge.ops.events import EventsSeen, events
from smtpbridge.ops.health import Health
from smtpbridge.ops.history import Point
from smtpbridge.ops.looks import SCRIPT, STYLE
from smtpbridge.ops.markup import Html, element, joined
from smtpbridge.ops.plots import Line, plot
from smtpbridge.ops.sight import Found, Whole
from smtpbridge.ops.tables import (
    certificates,
    configuration,
    crew,
    doors,
    kept,
    pools,
    refusals,
    verdicts,
)
from smtpbridge.ops.wording import moment, number, rate, seconds, size, span

# For browsers without scripts.
_RELOAD_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that the bridge shows to others; `ends` in seconds since the epoch."""

    about: str
    file: str
    ends: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not come from the relay; `started` in seconds since the epoch.  Without events `events` is `None`."""

    version: str
    hostname: str
    started: float
    configuration: Callable[[], Sequence[str]]
    certificates: Callable[[], Sequence[Certificate]]
    events: Callable[[], EventsSeen] | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """All that a page shows, as of `now`, in seconds since the epoch."""

    now: float
    whole: Whole
    health: Health
    points: Sequence[Point]
    latest: Point | None


def sections(facts: Facts, known: Known) -> dict[str, Html]:
    """Return every section by its id, in the order of the page."""
    whole = known.whole
    return {
        "state": _state(facts, known),
        "figures": _figures(known),
        "plots": _plots(known),
        "upstreams": joined(element("h2", "Upstreams"), pools(whole.sight.pools)),
        "queue": _queue(known),
        "events": events(facts.events(), known.now) if facts.events is not None else Html(""),
        "verdicts": joined(
            element("h2", "Last verdicts"), verdicts(whole.sight.verdicts, "The newest first; times are UTC.")
        ),
        "refused": joined(
            element("h2", "Refused by the bridge itself"),
            refusals(whole.sight.faults, "X-MSYS-API headers and messages with a fault, and what was wrong."),
        ),
        "listeners": joined(element("h2", "Listeners"), doors(whole.sight.doors)),
        "certificates": joined(element("h2", "Certificates"), _certificates(facts, known)),
        "workers": joined(element("h2", "Workers"), crew(whole.crew)) if whole.crew else Html(""),
        "configuration": joined(element("h2", "Configuration in force"), configuration(facts.configuration())),
    }


def page(facts: Facts, known: Known) -> Html:
    """Return the whole page."""
    parts = [element("section", inner, id=name) for name, inner in sections(facts, known).items()]
    reload = element("noscript", element("meta", http_equiv="refresh", content=_RELOAD_SECONDS))
    live = element(
        "p",
        element("span", id="live", class_="dim"),
        " ",
        element("button", "Pause", id="pause", type="button", aria_pressed="false", hidden=True),
        class_="live",
    )
    return _document(facts, "status", joined(live, parts), element("script", SCRIPT), reload)


def search_page(facts: Facts, words: str, found: Found | None, now: float) -> Html:
    """Return what a search found; without `found` nothing was asked yet."""
    if found is None:
        return _document(facts, "search", element("p", "Write a message id, a sender or a recipient."), words=words)
    inner = joined(
        element("p", f"Looked for {words!r}.", role="status"),
        [element("p", fault, class_="bad") for fault in found.faults],
        element("h2", "Kept in the queue"),
        kept(found.kept, now),
        element("h2", "Recent verdicts"),
        verdicts(found.verdicts, "The newest first; times are UTC."),
    )
    return _document(facts, "search", inner, words=words)


def _document(
    facts: Facts, title: str, inner: Html, script: Html | None = None, head: Html | None = None, words: str = ""
) -> Html:
    links = [element("a", name, href=f"./{path}") for name, path in _LINKS]
    search = element(
        "form",
        element("label", "Search ", element("input", type="search", name="q", value=words, maxlength=300)),
        " ",
        element("button", "Find", type="submit"),
        action="search",
        method="get",
        role="search",
    )
    return joined(
        Html("<!DOCTYPE html>\n"),
        element(
            "html",
            element(
                "head",
                element("meta", charset="utf-8"),
                element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                element("title", f"{facts.hostname}: smtpbridge {title}"),
                element("link", rel="icon", href="icon.svg", type="image/svg+xml"),
                element("style", STYLE),
                head,
            ),
            element(
                "body",
                element("header", element("h1", "smtpbridge at ", facts.hostname), element("nav", links), search),
                element("main", inner),
                script,
            ),
            lang="en",
        ),
    )


_LINKS = (("Status", ""), ("Search", "search"), ("Metrics", "metrics"), ("Readiness", "readyz"), ("Help", "help"))


def _state(facts: Facts, known: Known) -> Html:
    health, uptime = known.health, span(known.now - facts.started)
    word = "Mail flows" if health.ready else "NOT READY"
    reasons = [element("li", f"{one.why} (since {moment(one.since)})") for one in health.reasons]
    return joined(
        element("p", word, class_=f"word {'good' if health.ready else 'bad'}", role="status"),
        element("ul", reasons) if reasons else None,
        element("p", f"Version {facts.version}, up for {uptime}, as of {moment(known.now)}", class_="dim"),
    )


def _figures(known: Known) -> Html:
    sight, latest = known.whole.sight, known.latest
    totals = sight.totals
    tiles = [
        ("Accepted now", rate(latest.accepted) if latest else "-"),
        ("Refused or put off now", rate(latest.refused) if latest else "-"),
        ("Median to verdict", _seconds(latest.median if latest else None)),
        ("99 % within", _seconds(latest.slow if latest else None)),
        ("Accepted (2yz)", number(totals.accepted)),
        ("Told to retry (4yz)", number(totals.later)),
        ("Refused (5yz)", number(totals.refused)),
        ("Delivered from the queue", number(totals.delivered)),
        ("Sessions", number(sight.sessions)),
        ("Messages under way", number(sight.under_way)),
        ("Bodies in memory", size(sight.memory)),
        ("Bodies in files", size(sight.temporary)),
    ]
    if sight.held_up:
        tiles.append(("Senders held up", number(sight.held_up)))
    return joined(
        element("h2", "Messages"),
        element(
            "dl", [element("div", element("dt", name), element("dd", what)) for name, what in tiles], class_="tiles"
        ),
    )


def _plots(known: Known) -> Html:
    flow = [Line("accepted", lambda point: point.accepted), Line("refused or put off", lambda point: point.refused)]
    times = [Line("median", lambda point: point.median), Line("99 %", lambda point: point.slow)]
    return element(
        "div",
        plot("Messages a second", known.points, flow, rate),
        plot("Time to the verdict", known.points, times, seconds),
        class_="plots",
    )


def _queue(known: Known) -> Html:
    queue, fault = known.whole.sight.queue, known.whole.sight.queue_fault
    if queue is None:
        said = (
            element("p", f"The store is out of order: {fault}", class_="bad")
            if fault
            else element("p", "Not known yet.")
        )
        return joined(element("h2", "Queue"), said)
    tiles = [
        ("Kept", number(queue.depth)),
        ("Held", number(queue.held)),
        ("Oldest", span(known.now - queue.oldest) if queue.oldest is not None else "-"),
        ("Bodies", size(queue.octets)),
    ]
    return joined(
        element("h2", "Queue"),
        element(
            "dl", [element("div", element("dt", name), element("dd", what)) for name, what in tiles], class_="tiles"
        ),
    )


def _certificates(facts: Facts, known: Known) -> Html:
    found = facts.certificates()
    return certificates([(one.about, one.file, one.ends) for one in found], known.now)


def _seconds(value: float | None) -> str:
    return "-" if value is None else seconds(value)
