"""
What a report says, section by section, in words for people: the terminal and the page show the same.

What must not be known here: colours, columns, HTML.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from smtpbridge.commands.audit.report import NOTHING, Example, FieldRow, Report, Row
from smtpbridge.commands.audit.usage import Outcome


class Mood(Enum):
    """Whether something is fine, wants a look, or stops a message; or is neither."""

    GOOD = "good"
    FAIR = "fair"
    BAD = "bad"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a bar."""

    mood: Mood
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what it is, how often, out of which parts, a remark, and examples."""

    name: str
    count: int
    shares: tuple[Share, ...]
    remark: str = ""
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under a title, with a sentence of explanation; bars are measured against `whole`."""

    title: str
    explanation: str
    lines: tuple[Line, ...]
    whole: int


_OUTCOMES = {
    Outcome.MAPS: (Mood.GOOD, "maps"),
    Outcome.PARTLY: (Mood.FAIR, "only in part"),
    Outcome.LOST: (Mood.FAIR, "no counterpart"),
    Outcome.IGNORED: (Mood.PLAIN, "ignored, as by SparkPost"),
    Outcome.REFUSED: (Mood.BAD, "message refused"),
}
_WARNINGS = {
    "lenient-json": "the header is not strict JSON; it was read as SparkPost would",
    "joined-folds": "the header is folded inside a word, and was joined",
    "split-strings": "the header is folded inside names or strings; they hold blanks",
    "control-in-name": "control characters in a display name became spaces",
    "callback-data-truncated": "metadata or tags did not fit into the callback data",
    "ip-pool": "the pool leads to no upstream",
    "inline-css": "CSS was not inlined",
    "skip-suppression": "suppressed recipients stay suppressed",
    "dkim-key": "the provider picks its own key",
    "subaccount": "the subaccount is not configured",
    "list-unsubscribe": "List-Unsubscribe could not be written",
    "link-marks": "SparkPost's marks may be left in the body",
    "too-many-links": "clicks are not tracked: more links than Infobip tracks",
    "unsubscribe-link": "SparkPost's unsubscribe links have no counterpart",
}
_REPLACED = 'becomes the address in From (with envelope_from = "auto")'
_UNREADABLE = "Files that could not be read"
_EXPLAINED = {
    "What would happen": "One verdict for each message.",
    "Messages that would be refused": "The reply that the sender would hear.",
    "Fields and options of X-MSYS-API": "In how many messages, and what becomes of them.",
    "Warnings": "Relayed, but something was left out, replaced or hard to read.",
    "Notes": "Nothing to do; named so that nothing is dropped silently.",
    "Envelope sender and From": "Infobip wants both under one organisational domain.",
    "Unaligned senders": "Domains of Return-Path and of From.",
    "Mail libraries": "By their own word, or by their marks, which is a guess.",
    "Shapes of the header": "How X-MSYS-API lies in the message.",
    "Recipients of a message": "The envelope, as told by To, Cc and Bcc, and all copies.",
    "Size of a message": "As it lies in the file.",
    _UNREADABLE: "They count nowhere else.",
}


def verdict(report: Report) -> str:
    """Return the result in one sentence."""
    totals = report.totals
    if not totals.messages:
        return "No message was found."
    if totals.refused:
        return f"{_messages(totals.refused)} of {totals.messages:,} would be refused."
    if totals.warned:
        return (
            f"No message would be refused; {_messages(totals.warned)} of {totals.messages:,} would come with warnings."
        )
    return f"All {totals.messages:,} messages would be relayed without a warning."


def facts(report: Report) -> list[tuple[str, str]]:
    """Return the first numbers to know, as (what, how many)."""
    totals = report.totals
    found = [
        ("messages", f"{totals.messages:,}"),
        ("files", f"{totals.files:,}"),
        ("size", size_text(totals.octets)),
        ("recipients, copies included", f"{totals.recipients:,}"),
        ("most recipients of a message", f"{totals.most_recipients:,}"),
        ("largest message", size_text(totals.largest)),
        ("largest that is taken", size_text(totals.limit)),
    ]
    if totals.passed_over:
        found.append(("other files passed over", f"{totals.passed_over:,}"))
    if totals.unreadable:
        found.append(("could not be read", f"{totals.unreadable:,}"))
    return found


def sections(report: Report) -> list[Section]:
    """Return what there is to show, in order; sections without rows are left out."""
    found = {
        "What would happen": _verdicts(report),
        "Messages that would be refused": _rows(report.refusals, Mood.BAD),
        "Fields and options of X-MSYS-API": _fields(report.fields),
        "Warnings": _warnings(report.warnings),
        "Notes": _rows(report.notes, Mood.PLAIN),
        "Envelope sender and From": _senders(report),
        "Unaligned senders": _rows(report.unaligned, Mood.FAIR),
        "Mail libraries": _rows(report.libraries, Mood.PLAIN),
        "Shapes of the header": _rows(report.shapes, Mood.PLAIN),
        "Recipients of a message": _ranges(report.recipients),
        "Size of a message": _ranges(report.sizes),
        _UNREADABLE: _rows(report.unreadable, Mood.BAD),
    }
    totals = report.totals
    return [
        Section(title, _EXPLAINED[title], lines, totals.unreadable if title == _UNREADABLE else totals.messages)
        for title, lines in found.items()
        if lines
    ]


def where(example: Example) -> str:
    """Return where an example lies, as text."""
    return f"{example.file}, message {example.number}" if example.number else example.file


def size_text(octets: int) -> str:
    """Return a size in the unit that suits it."""
    size = float(octets)
    for unit in ("octets", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "octets" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def _verdicts(report: Report) -> tuple[Line, ...]:
    totals = report.totals
    return (
        _line("maps", totals.maps, Mood.GOOD, "relayed as it should be"),
        _line("maps with warnings", totals.warned, Mood.FAIR, "relayed, but see below"),
        _line("refused", totals.refused, Mood.BAD, "nobody would get it"),
        _line("without X-MSYS-API", totals.without_header, Mood.PLAIN, "counted above, too"),
    )


def _senders(report: Report) -> tuple[Line, ...]:
    totals = report.totals
    return (
        _line("aligned", totals.aligned, Mood.GOOD, "stays as it is"),
        _line("unaligned", totals.unaligned, Mood.FAIR, _REPLACED),
        _line("null sender <>", totals.null_senders, Mood.FAIR, _REPLACED),
        _line("not known", totals.unclear, Mood.PLAIN, "no Return-Path or no From in the file"),
    )


def _fields(rows: Iterable[FieldRow]) -> tuple[Line, ...]:
    return tuple(_field(row) for row in rows)


def _field(row: FieldRow) -> Line:
    shares = tuple(Share(mood, row.outcomes[one]) for one, (mood, _) in _OUTCOMES.items() if row.outcomes.get(one))
    told = ", ".join(
        text if row.outcomes[one] == row.count else f"{row.outcomes[one]:,} {text}"
        for one, (_, text) in _OUTCOMES.items()
        if row.outcomes.get(one)
    )
    maps = row.outcomes.get(Outcome.MAPS) and row.becomes != NOTHING
    remark = f"{told}: {row.becomes}" if maps else told
    return Line(row.name, row.count, shares, remark, row.examples)


def _warnings(rows: Iterable[Row]) -> tuple[Line, ...]:
    return tuple(
        Line(row.name, row.count, (Share(Mood.FAIR, row.count),), _WARNINGS.get(row.name, ""), row.examples)
        for row in rows
    )


def _rows(rows: Iterable[Row], mood: Mood) -> tuple[Line, ...]:
    return tuple(Line(row.name, row.count, (Share(mood, row.count),), "", row.examples) for row in rows)


def _ranges(rows: Iterable[Row]) -> tuple[Line, ...]:
    return _rows((row for row in rows if row.count), Mood.PLAIN)


def _line(name: str, count: int, mood: Mood, remark: str) -> Line:
    return Line(name, count, (Share(mood, count),) if count else (), remark)


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"
