"""docs/events.md against the code: the page shows the mapping table as it is, and every word to count by."""

from enum import Enum
from pathlib import Path

import pytest

from smtpbridge.dialect.bounce_class import BounceClass
from smtpbridge.dialect.event_options import Unsubscription
from smtpbridge.dialect.events import Silence
from smtpbridge.dialect.failures import ERRORS, STATUSES, UNKNOWN, Failure, Kind
from smtpbridge.dialect.notifications import Group, Tracked
from smtpbridge.dialect.sparkpost_event import EventType

PAGE = (Path(__file__).parent.parent / "docs" / "events.md").read_text("utf-8")


def rows(title: str) -> list[str]:
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def becomes(failure: Failure) -> str:
    """Return the cells that say what a failure becomes."""
    type_ = "`policy_rejection`" if failure.kind is Kind.REFUSED else "`bounce`"
    found = failure.bounce_class
    name = found.name.replace("_", " ").lower().replace("dns", "DNS").replace("rcpt", "RCPT")
    suppressed = ", suppressed" if failure.kind is Kind.SUPPRESSED else ""
    return f"{type_}{suppressed} | {found.value} {name} | {'yes' if failure.by_reply else ''}"


def error_row(failure: Failure) -> str:
    names = " ".join([f"`{failure.name}`", *(f"(`{name}`)" for name in failure.former)])
    return f"| {failure.id} | {names} | {failure.meaning} | {becomes(failure)} |"


def status_rows() -> list[str]:
    return [
        f"| {row.id} | `{row.name}` | {row.failure.meaning} | {becomes(row.failure)} |"
        for row in STATUSES
        if row.failure
    ]


def unknown_row(group: int) -> str:
    return f"| {group} | {UNKNOWN[group].meaning} | {becomes(UNKNOWN[group])} |"


def test_the_page_shows_the_table_of_errors() -> None:
    assert rows("Errors") == [error_row(failure) for failure in ERRORS]


def test_the_page_shows_the_table_of_statuses() -> None:
    assert rows("Statuses without an error") == status_rows()


def test_the_page_shows_what_an_unknown_error_becomes() -> None:
    assert rows("Errors that are not in the table") == [unknown_row(group) for group in UNKNOWN]


@pytest.mark.parametrize("kind", [Silence, EventType, Tracked, Group, Unsubscription])
def test_the_page_has_every_word(kind: type[Enum]) -> None:
    words = [one.name if kind is Group else str(one.value) for one in kind]

    assert [word for word in words if f"`{word}`" not in PAGE] == []


def test_the_page_names_every_class_that_is_written() -> None:
    shown = rows("Bounce classes")

    assert [row.split("|")[1].strip() for row in shown] == [one.value for one in BounceClass]
