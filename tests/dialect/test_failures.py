"""Infobip's registry against the table: each error and status is something in SparkPost's terms, none too hard."""

from typing import Any

import pytest

from smtpbridge.dialect.bounce_class import HARD, BounceClass
from smtpbridge.dialect.failures import ERRORS, STATUSES, Failure, Kind, find, status_row
from smtpbridge.dialect.notifications import Group, Problem, Status
from tests.dialect.infobip_registry import FORMER, REGISTRY, STATUS_NUMBERS


def found(**problem: Any) -> Failure:
    return find(Problem(**problem), Status(), Group.UNDELIVERABLE)


@pytest.mark.parametrize(("number", "name", "group", "permanent"), REGISTRY)
def test_every_error_of_the_registry_has_its_row(number: int, name: str, group: int, permanent: bool) -> None:
    by_name, by_number = found(name=name), found(id=number, group=group)

    assert (by_name.id, by_name.name, by_name.group, by_name.permanent) == (number, name, group, permanent)
    assert by_number == by_name


@pytest.mark.parametrize(("name", "number"), FORMER.items())
def test_a_name_of_the_past_is_known(name: str, number: int) -> None:
    assert found(name=name).id == number


def test_a_name_is_known_in_any_case() -> None:
    assert found(name="ec_hard_bounce").name == "EC_HARD_BOUNCE"


def test_every_published_status_has_its_row() -> None:
    assert sorted(row.id for row in STATUSES) == sorted(STATUS_NUMBERS)


def test_no_number_and_no_name_is_there_twice() -> None:
    names = [name for row in ERRORS for name in (row.name, *row.former)]

    assert len({row.id for row in ERRORS}) == len(ERRORS)
    assert len(set(names)) == len(names)


def test_the_name_goes_before_the_number() -> None:
    assert found(id=6012, name="EC_SENDER_ADDRESS_INVALID").id == 6029


def test_a_number_of_another_group_is_not_trusted() -> None:
    assert found(id=6012, group=1).bounce_class is BounceClass.GENERIC_BOUNCE
    assert found(id=6012, group=1).kind is Kind.REFUSED


def test_a_hard_number_with_an_unknown_name_is_soft_by_itself() -> None:
    failure = found(id=6012, name="EC_SOMETHING_NEW", group=2)

    assert (failure.bounce_class, failure.by_reply) == (BounceClass.GENERIC_BOUNCE, True)


@pytest.mark.parametrize(
    ("group", "kind", "bounce_class"),
    [
        (1, Kind.REFUSED, BounceClass.GENERIC_BOUNCE),
        (2, Kind.BOUNCE, BounceClass.GENERIC_BOUNCE),
        (3, Kind.BOUNCE, BounceClass.TRANSIENT_FAILURE),
        (77, Kind.BOUNCE, BounceClass.GENERIC_BOUNCE),
    ],
)
def test_an_unknown_error_goes_by_its_group_and_is_soft(group: int, kind: Kind, bounce_class: BounceClass) -> None:
    failure = found(id=4711, name="EC_UNKNOWN", group=group)

    assert (failure.kind, failure.bounce_class) == (kind, bounce_class)


@pytest.mark.parametrize("group", [Group.UNDELIVERABLE, Group.EXPIRED, Group.REJECTED, Group.PENDING])
def test_an_unknown_status_is_soft(group: Group) -> None:
    assert find(None, Status(group=group, id=999, name="NEW"), group).bounce_class not in HARD


def test_a_status_is_known_by_name_or_number() -> None:
    by_name, by_number = status_row(Status(name="expired_expired")), status_row(Status(id=15))

    assert by_name is not None
    assert by_name == by_number


def test_only_a_mailbox_that_is_not_there_is_hard() -> None:
    hard = {row.name for row in ERRORS if row.bounce_class in HARD}

    assert hard == {"EC_INVALID_EMAIL_ADDRESS", "EC_MAILBOX_PERMANENTLY_UNAVAILABLE", "EC_HARD_BOUNCE"}


def test_class_25_is_for_suppressed_recipients_alone() -> None:
    rows = [*ERRORS, *(row.failure for row in STATUSES if row.failure)]

    assert {row.kind for row in rows if row.bounce_class is BounceClass.ADMIN_FAILURE} == {Kind.SUPPRESSED}
    assert {row.bounce_class for row in rows if row.kind is Kind.SUPPRESSED} == {BounceClass.ADMIN_FAILURE}
