"""Which fields leave, and where new ones go, by their names alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.layout import layout_of

NAMES = st.sampled_from(
    [
        b"",
        b"x-msys-api",
        b"x-msys-other",
        b"bcc",
        b"resent-bcc",
        b"x-binding",
        b"from",
        b"date",
        b"x-ib-track",
        b"subject",
    ]
)


def _places(runs: tuple[slice, ...]) -> list[int]:
    return [at for run in runs for at in range(100)[run]]


@given(st.lists(NAMES, max_size=100).map(tuple))
def test_every_field_leaves_once_and_in_order_unless_it_never_leaves(names: tuple[bytes, ...]) -> None:
    layout = layout_of(names)

    leaving = _places((*layout.above, *layout.below))
    assert leaving == sorted(set(leaving))
    staying = {names[at] for at in range(len(names)) if at not in leaving}
    assert staying <= {b"x-msys-api", b"x-msys-other", b"bcc", b"resent-bcc", b"x-binding"}
    assert staying.isdisjoint(names[at] for at in leaving)


def test_new_fields_go_to_the_place_of_the_first_api_field() -> None:
    layout = layout_of((b"from", b"bcc", b"x-msys-api", b"to", b"x-msys-api", b"subject"))

    assert (_places(layout.above), _places(layout.below)) == ([0], [3, 5])


def test_new_fields_go_above_a_line_that_is_no_field() -> None:
    layout = layout_of((b"from", b"", b"x-msys-api", b"to"))

    assert (_places(layout.above), _places(layout.below)) == ([0], [1, 3])


def test_without_such_a_place_new_fields_go_below_all_others() -> None:
    layout = layout_of((b"from", b"to"))

    assert (layout.above, layout.below) == ((slice(0, 2),), ())


@pytest.mark.parametrize("many", [1, 100])
def test_a_header_that_is_too_large_to_be_remembered_is_read_the_same(many: int) -> None:
    names = (b"x-ib-track", b"date", b"message-id", b"list-unsubscribe-post", *[b"received"] * many)

    layout = layout_of(names)

    assert layout.above == (slice(0, len(names)),)
    assert layout.own == {b"x-ib-track"}
    assert layout.dated
    assert layout.identified
    assert layout.unsubscribable


def test_what_is_missing_is_told() -> None:
    layout = layout_of((b"from",))

    assert (layout.dated, layout.identified, layout.unsubscribable) == (False, False, False)
    assert layout.own == frozenset()
