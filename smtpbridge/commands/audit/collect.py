"""
Go over all messages and count what they show.

How it works: `sources` finds, `examine` looks, and here it is counted.  Nothing
of a message stays but a few examples, so memory does not grow with the mail.
Refusals that differ only in what they quote are one row.

What must not be known here: how the result is printed.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import assert_never
from urllib.parse import quote

from smtpbridge.commands.audit.examine import Alignment, Finding, examine
from smtpbridge.commands.audit.report import NOTHING, Example, FieldRow, Report, Tally, Totals
from smtpbridge.commands.audit.sources import PassedOver, Stored, Unreadable, messages
from smtpbridge.commands.audit.usage import Outcome
from smtpbridge.commands.printing import harmless, shown
from smtpbridge.commands.translation import Circumstances
from smtpbridge.dialect.policy import BccStyle, CallbackData, CampaignHome, Policy
from smtpbridge.dialect.sender import organisational_domain
from smtpbridge.mail.addresses import domain_of

WITHOUT_HEADER = "no X-MSYS-API"
_STEP = 500
# What differs from message to message: quoted text behind a field's name, and places and numbers that were counted.
_SPECIFICS = re.compile(
    r"""
    "(?:[^"\\]|\\.)*"
    |(?<='\ )'(?:[^'\\]|\\.)*'
    |(?:(?<=character\ )|(?<=byte\ )|(?<=hold\ )|(?<=there\ ))\d+
    """,
    re.VERBOSE,
)
_KIB, _MIB = 1 << 10, 1 << 20
# The upper end of each range, and its name.
_SIZES = ((10 * _KIB, "to 10 KiB"), (100 * _KIB, "to 100 KiB"), (_MIB, "to 1 MiB"), (10 * _MIB, "to 10 MiB"))
_LARGER, _OVER = "over 10 MiB", "over the limit"
_RECIPIENTS = ((0, "none in the header"), (1, "1"), (10, "2 to 10"), (100, "11 to 100"), (1000, "101 to 1000"))
_MORE = "over 1000"
_CALLBACK = {
    CallbackData.JSON: "X-IB-Callback-Data",
    CallbackData.TOKEN: "kept for events",
    CallbackData.NONE: "",
}


def audit(paths: Iterable[str], around: Circumstances, told: Callable[[int], None]) -> Report:
    """Return what was found below the paths; `told` hears now and then how many messages were looked at."""
    counts = _Counts(around)
    for found in messages(paths, around.listener.max_message_bytes):
        match found:
            case Stored():
                counts.message(found, examine(found.octets, found.size, around))
                if counts.sums["messages"] % _STEP == 0:
                    told(counts.sums["messages"])
            case Unreadable():
                counts.unreadable(found)
            case PassedOver():
                counts.sums["passed_over"] += 1
            case _:
                assert_never(found)
    return counts.report()


class _Counts:
    """What was counted so far."""

    def __init__(self, around: Circumstances) -> None:
        self._around = around
        self.sums: Counter[str] = Counter()
        self._file = ""
        self._most_recipients = self._largest = 0
        self._libraries, self._shapes, self._refusals = Tally(), Tally(), Tally()
        self._warnings, self._notes, self._unaligned = Tally(), Tally(), Tally()
        self._recipients, self._sizes, self._unreadable = Tally(), Tally(), Tally()
        self._fields = Tally()
        self._outcomes: dict[str, Counter[Outcome]] = {}

    def message(self, stored: Stored, finding: Finding) -> None:
        """Count one message."""
        example = partial(_example, stored, finding)
        self.sums["messages"] += 1
        self.sums["octets"] += stored.size
        if stored.file != self._file:
            self._file = stored.file
            self.sums["files"] += 1
        self.sums[finding.alignment.value] += 1
        self._libraries.add(harmless(finding.mailer), example)
        self._shapes.add(finding.shape or WITHOUT_HEADER, example)
        if not finding.shape:
            self.sums["without_header"] += 1
        self._verdict(finding, example)
        self._used(finding, example)
        if finding.alignment is Alignment.UNALIGNED:
            self._unaligned.add(_domains(finding), partial(example, f"{finding.sender} / {finding.author}"))
        self._measures(stored, finding, example)

    def unreadable(self, found: Unreadable) -> None:
        """Count a file that could not be read."""
        self.sums["unreadable"] += 1
        self._unreadable.add(found.reason, partial(_place, found.file))

    def report(self) -> Report:
        """Return all counts."""
        sums = self.sums
        totals = Totals(
            messages=sums["messages"],
            files=sums["files"],
            octets=sums["octets"],
            maps=sums["messages"] - sums["warned"] - sums["refused"],
            warned=sums["warned"],
            refused=sums["refused"],
            without_header=sums["without_header"],
            aligned=sums[Alignment.ALIGNED.value],
            unaligned=sums[Alignment.UNALIGNED.value],
            null_senders=sums[Alignment.NULL.value],
            unclear=sums[Alignment.UNKNOWN.value],
            recipients=sums["recipients"],
            most_recipients=self._most_recipients,
            largest=self._largest,
            limit=self._around.listener.max_message_bytes,
            over_limit=sums["over_limit"],
            passed_over=sums["passed_over"],
            unreadable=sums["unreadable"],
        )
        return Report(
            totals,
            libraries=self._libraries.rows(),
            shapes=self._shapes.rows(),
            fields=self._field_rows(),
            refusals=self._refusals.rows(),
            warnings=self._warnings.rows(),
            notes=self._notes.rows(),
            unaligned=self._unaligned.rows(),
            recipients=tuple(self._recipients.row(name) for name in (*(name for _, name in _RECIPIENTS), _MORE)),
            sizes=tuple(self._sizes.row(name) for name in (*(name for _, name in _SIZES), _LARGER, _OVER)),
            unreadable=self._unreadable.rows(),
        )

    def _verdict(self, finding: Finding, example: "partial[Example]") -> None:
        if finding.refused:
            self.sums["refused"] += 1
            # A reply is printable by what it is.
            self._refusals.add(_SPECIFICS.sub("...", finding.reply), partial(example, finding.reply))
        if finding.warnings:
            self.sums["warned"] += 1
        # Some kinds come more than once for one message.
        for kind, text in {remark.kind: remark.text for remark in finding.warnings}.items():
            self._warnings.add(kind, partial(example, harmless(text)))
        # The texts of notes hold addresses.
        for kind in {remark.kind for remark in finding.notes}:
            self._notes.add(kind, example)

    def _used(self, finding: Finding, example: "partial[Example]") -> None:
        for name, outcome in finding.fields.items():
            counted_as = self._fields.add(
                harmless(name), None if outcome is Outcome.MAPS else partial(example, outcome.value)
            )
            self._outcomes.setdefault(counted_as, Counter())[outcome] += 1

    def _measures(self, stored: Stored, finding: Finding, example: "partial[Example]") -> None:
        self.sums["recipients"] += finding.recipients
        self._most_recipients = max(self._most_recipients, finding.recipients)
        self._largest = max(self._largest, stored.size)
        over = finding.too_big
        self.sums["over_limit"] += over
        self._sizes.add(_OVER if over else _range(stored.size, _SIZES, _LARGER), example)
        if not over:
            self._recipients.add(_range(finding.recipients, _RECIPIENTS, _MORE), example)

    def _field_rows(self) -> tuple[FieldRow, ...]:
        return tuple(
            FieldRow(
                row.name,
                _becomes(row.name, self._around.policy),
                row.count,
                dict(self._outcomes[row.name]),
                row.examples,
            )
            for row in self._fields.rows()
        )


def _example(stored: Stored, finding: Finding, text: str = "") -> Example:
    return _place(stored.file, stored.number, finding.message_id, text)


def _place(path: str, number: int = 0, message_id: str = "", text: str = "") -> Example:
    """Return an example with the path as printable text and as a URI."""
    uri = "file://" + quote(os.fsencode(os.path.abspath(path)))
    return Example(shown(os.fsencode(path)), uri, number, message_id, text)


def _domains(finding: Finding) -> str:
    """Return the organisational domains of envelope sender and From."""
    return " / ".join(harmless(organisational_domain(domain_of(one))) for one in (finding.sender, finding.author))


def _range(value: int, ranges: Iterable[tuple[int, str]], beyond: str) -> str:
    return next((name for most, name in ranges if value <= most), beyond)


def _becomes(name: str, policy: Policy) -> str:
    """Return in a few words what a field becomes under this policy."""
    data = _CALLBACK[policy.callback_data]
    match name:
        case "campaign_id":
            homes = {
                CampaignHome.BULK_ID: "X-IB-Bulk-Id",
                CampaignHome.ENTITY_ID: "X-IB-Entity-Id",
                CampaignHome.APPLICATION_ID: "X-IB-Application-Id",
                CampaignHome.NONE: "",
            }
            return ", ".join(filter(None, (homes[policy.campaign], data))) or NOTHING
        case "metadata" | "tags":
            return data or NOTHING
        case "bcc":
            alone = policy.bcc is BccStyle.INDIVIDUAL
            return "a copy each, with its own Bcc" if alone else "recipients of the same message"
        case _:
            return _ALWAYS.get(name, NOTHING)


_ALWAYS = {
    "cc": "recipients, listed in Cc",
    "archive": "recipients of the same message",
    "options.open_tracking": "X-IB-Track-Opens",
    "options.click_tracking": "X-IB-Track-Clicks",
    "options.transactional": "X-IB-Client-Priority",
    "options.inline_css": "CSS inlined by the bridge",
    "options.ip_pool": "an upstream, by [ip_pools]",
}
