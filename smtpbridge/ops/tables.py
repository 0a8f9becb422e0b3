"""The tables of the status page.  Each cell is text that came from somewhere else, so each is set apart (`bdi`)."""

from collections.abc import Iterable, Iterator, Sequence

from smtpbridge.ops.markup import Html, element
from smtpbridge.ops.sight import Crewman, Door, KeptRow, Place, Pool, Row, few
from smtpbridge.ops.wording import days_left, many, moment, number, seconds, span

# A certificate with less than this is coloured; a renewal that works comes a month ahead.
_SOON_DAYS = 21
_NUMBER = "n"
_WIDE = "w"
_MIDDLE = "m"
_TIGHT = "t"


def table(caption: str, heads: Sequence[tuple[str, str]], rows: Iterable[Iterable[object]], none: str) -> Html:
    """Return a table; `heads` are names with the class of their column; without rows it says `none`."""
    lines = [
        element(
            "tr", [element("td", _cell(cell), class_=kind or None) for (_, kind), cell in zip(heads, row, strict=True)]
        )
        for row in rows
    ]
    if not lines:
        return element("p", none, class_="dim")
    names = [element("th", name, class_=kind or None, scope="col") for name, kind in heads]
    inner = element(
        "table", element("caption", caption), element("thead", element("tr", names)), element("tbody", lines)
    )
    # What is wider than a phone scrolls by itself; a region that scrolls must be reached by keyboard.
    return element("div", inner, class_="wide", tabindex=0, role="region", aria_label=caption)


def _cell(cell: object) -> object:
    return element("bdi", cell) if isinstance(cell, str) and not isinstance(cell, Html) else cell


_MESSAGE = (("Time", _TIGHT), ("Id", _TIGHT), ("Sender", _MIDDLE), ("Recipients", _MIDDLE), ("Reply", _WIDE))


def verdicts(rows: Iterable[Row], caption: str) -> Html:
    """Return messages with what was said of them."""
    heads = [*_MESSAGE, ("Via", ""), ("Took", _NUMBER)]
    return table(caption, heads, (_verdict(row) for row in rows), "None yet.")


def _verdict(row: Row) -> Iterator[object]:
    yield from _message(row)
    yield f"{row.via} (from the queue)" if row.queued else row.via
    yield "" if row.seconds is None else seconds(row.seconds)


def refusals(rows: Iterable[Row], caption: str) -> Html:
    """Return messages that the bridge itself refused, with who sent them."""
    heads = [*_MESSAGE, ("Client", _TIGHT)]
    return table(caption, heads, ((*_message(row), row.client or "local") for row in rows), "None.")


def _message(row: Row) -> Iterator[object]:
    yield moment(row.at)[11:19]
    yield row.id or "-"
    yield "-" if row.sender is None else f"<{row.sender}>"
    yield _recipients(row.recipients, row.count)
    yield element("bdi", row.reply, class_={2: "good", 4: "warn"}.get(row.code // 100, "bad"))


def kept(rows: Iterable[KeptRow], now: float) -> Html:
    """Return messages that are in the store."""
    heads = [
        ("Kept since", _TIGHT), ("Message", _TIGHT), ("Kept as", _TIGHT), ("Sender", _MIDDLE),
        ("Recipients left", _MIDDLE), ("State", ""), ("Attempts", _NUMBER), ("Next", ""), ("Last reply", _WIDE),
    ]  # fmt: skip
    cells = (
        (
            moment(row.created_at),
            row.message_id,
            row.id,
            f"<{row.sender}>",
            _recipients(row.recipients, row.count),
            row.state,
            number(row.attempts),
            "-" if row.state == "held" else f"in {span(row.next_attempt - now)}",
            row.last_reply or "-",
        )
        for row in rows
    )
    return table("smtpbridge queue show ID says more.", heads, cells, "Nothing like that is kept.")


def _recipients(addresses: Sequence[str], count: int) -> str:
    shown = few(addresses)
    more = count - len(shown)
    named = " ".join(f"<{one}>" for one in shown)
    if not shown:
        return str(count) if count else "-"
    return f"{named} and {more:,} more" if more > 0 else named


def pools(found: Sequence[Pool]) -> Html:
    """Return the upstreams with their hosts."""
    heads = [
        ("Upstream", _TIGHT), ("Host", _TIGHT), ("Open", _NUMBER), ("Leased", _NUMBER), ("Idle", _NUMBER),
        ("Dialling", _NUMBER), ("Waiting", _NUMBER), ("How it is", _WIDE),
    ]  # fmt: skip
    return table("Connections to the provider.", heads, (row for one in found for row in _pool(one)), "None.")


def _pool(pool: Pool) -> Iterator[Iterable[object]]:
    for at, place in enumerate(pool.places):
        yield (
            pool.name if not at else "",
            place.name,
            number(place.idle + place.leased),
            number(place.leased),
            number(place.idle),
            number(place.dialling),
            number(pool.waiting) if not at else "",
            _how(pool, place, first=not at),
        )


def _how(pool: Pool, place: Place, *, first: bool) -> Html:
    words = [element("span", f"{pool.state.upper()}. ", class_="bad")] if pool.state and first else []
    if place.resting > 0:
        words.append(element("span", f"Left alone for {span(place.resting)} after a failure. ", class_="warn"))
    elif not pool.state:
        words.append(element("span", "Works. " if place.idle or place.leased else "Not dialled. "))
    if first and pool.fault:
        words.append(element("span", "Last fault: ", element("bdi", pool.fault), class_="bad" if pool.state else "dim"))
    if first:
        words.append(element("span", f" Up to {many(pool.most, 'connection')}.", class_="dim"))
    return element("span", words)


def doors(found: Iterable[Door]) -> Html:
    """Return the listeners."""
    rows = ((one.name, number(one.sessions)) for one in found)
    return table("Where senders connect.", [("Listener", ""), ("Sessions", _NUMBER)], rows, "None.")


def certificates(found: Iterable[tuple[str, str, float]], now: float) -> Html:
    """Return certificates: whose, their files, and when they end."""
    rows = ((about, file, moment(ends)[:10], _left(days_left(ends, now))) for about, file, ends in found)
    heads = [("Whose", ""), ("File", ""), ("Ends", ""), ("Days left", _NUMBER)]
    return table("What the bridge shows to others.", heads, rows, "None is configured by file.")


def _left(days: int) -> Html:
    if days < 0:
        return element("span", "EXPIRED", class_="bad")
    return element("span", number(days), class_="warn" if days < _SOON_DAYS else "good")


def crew(found: Iterable[Crewman]) -> Html:
    """Return the workers."""
    heads = [
        ("Worker", _NUMBER), ("State", ""), ("Sessions", _NUMBER), ("Under way", _NUMBER), ("Leased", _NUMBER),
        ("Accepted", _NUMBER), ("Put off", _NUMBER), ("Refused", _NUMBER),
    ]  # fmt: skip
    return table("Since each of them was started.", heads, (_crewman(one) for one in found), "None.")


def _crewman(one: Crewman) -> Iterator[object]:
    sight = one.sight
    yield number(one.number)
    yield one.state if sight is not None else f"{one.state}, no answer"
    if sight is None:
        yield from [""] * 6
        return
    yield number(sight.sessions)
    yield number(sight.under_way)
    yield number(sum(place.leased for pool in sight.pools for place in pool.places))
    yield number(sight.totals.accepted)
    yield number(sight.totals.later)
    yield number(sight.totals.refused)


def configuration(lines: Iterable[str]) -> Html:
    """Return the configuration line by line, folded up."""
    shown = [element("li", element("bdi", line), class_="code") for line in lines]
    return element("details", element("summary", "Show, without secrets"), element("ul", shown))
