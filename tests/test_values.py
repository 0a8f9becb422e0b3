"""What a `value` promises; that its fields are read-only is for mypy to say."""

import pytest

from smtpbridge.values import value


@value
class Point:
    x: int
    y: int = 0


def test_values_with_the_same_fields_are_equal_and_have_one_hash() -> None:
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)
    assert len({Point(1), Point(1, 0), Point(2)}) == 2


def test_a_value_has_its_fields_and_no_others() -> None:
    point = Point(1)

    assert not hasattr(point, "__dict__")
    with pytest.raises(AttributeError):
        point.z = 3  # type: ignore[attr-defined]  # this is the promise


def test_the_type_checker_refuses_to_change_a_field() -> None:
    point = Point(1)

    # The promise is in this line: mypy complains of a comment that it does not need.
    point.x = 2  # type: ignore[misc]

    assert point == Point(2)
