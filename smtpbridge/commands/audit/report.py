"""
The result of an audit as values, and as JSON.

Everything is counted; of each thing that is counted a few examples are kept, so
the size of a report does not grow with the mail.  Texts are printable.

What must not be known here: how a report is printed, and how it came about.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from smtpbridge.commands.audit.usage import Outcome

MOST_EXAMPLES = 5
MOST_ROWS = 1000
OTHERS = "(others)"
NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Example:
    """
    One message: the file, its place in an mbox (0: the file is the message), its Message-ID, what is to be said.

    `uri` leads to the file on the machine of the audit, also where its name is not printable.
    """

    file: str
    uri: str
    number: int
    message_id: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Something that was seen, how often, and where."""

    name: str
    count: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field or option of `X-MSYS-API`: what it becomes, in how many messages it is used, and with which outcome."""

    name: str
    becomes: str
    count: int
    outcomes: dict[Outcome, int]
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all messages; `unclear` are messages without a Return-Path or a From that can be read."""

    messages: int
    files: int
    octets: int
    maps: int
    warned: int
    refused: int
    without_header: int
    aligned: int
    unaligned: int
    null_senders: int
    unclear: int
    recipients: int
    most_recipients: int
    largest: int
    limit: int
    over_limit: int
    passed_over: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found.  Rows stand in the order of their counts, ranges in their own."""

    totals: Totals
    libraries: tuple[Row, ...]
    shapes: tuple[Row, ...]
    fields: tuple[FieldRow, ...]
    refusals: tuple[Row, ...]
    warnings: tuple[Row, ...]
    notes: tuple[Row, ...]
    unaligned: tuple[Row, ...]
    recipients: tuple[Row, ...]
    sizes: tuple[Row, ...]
    unreadable: tuple[Row, ...]

    @property
    def refused(self) -> bool:
        """Tell whether any message would be refused."""
        return self.totals.refused > 0

    def as_json(self) -> dict[str, object]:
        """Return what `--json` prints; docs/audit.md explains the keys."""
        found: dict[str, object] = {"totals": asdict(self.totals)}
        for name in ("libraries", "shapes", "refusals", "warnings", "notes", "unaligned", "recipients", "sizes"):
            found[name] = [asdict(row) for row in getattr(self, name)]
        found["unreadable"] = [asdict(row) for row in self.unreadable]
        found["fields"] = [_field_as_json(row) for row in self.fields]
        return found


class Tally:
    """Count by name; the first examples of each name stay.  Names beyond a bound are counted together."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[Example]] = {}

    def add(self, name: str, example: Callable[[], Example] | None = None) -> str:
        """Count one more, and return the name that it is counted under; `example` is called where one is wanted."""
        if name not in self._counts:
            name = name if len(self._counts) < MOST_ROWS else OTHERS
            self._counts.setdefault(name, 0)
            self._examples.setdefault(name, [])
        self._counts[name] += 1
        examples = self._examples[name]
        if example is not None and len(examples) < MOST_EXAMPLES:
            examples.append(example())
        return name

    def rows(self) -> tuple[Row, ...]:
        """Return what was counted, the most frequent first."""
        order = sorted(self._counts, key=lambda name: (-self._counts[name], name))
        return tuple(self.row(name) for name in order)

    def row(self, name: str) -> Row:
        """Return what was counted under a name, which may be nothing."""
        return Row(name, self._counts.get(name, 0), tuple(self._examples.get(name, ())))


def _field_as_json(row: FieldRow) -> dict[str, object]:
    counts = {outcome.value: row.outcomes.get(outcome, 0) for outcome in Outcome}
    examples = [asdict(example) for example in row.examples]
    return {"name": row.name, "becomes": row.becomes, "count": row.count, **counts, "examples": examples}
