"""Names for messages."""

import re
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.ids import message_ids


def test_a_name_is_capital_hexadecimal_digits_of_one_length() -> None:
    new = message_ids(lambda: 1_700_000_000.123456, 4711)

    assert re.fullmatch(r"[0-9A-F]{21}", new())


def test_names_sort_by_time() -> None:
    ticks = count(1_700_000_000, 7)
    new = message_ids(lambda: next(ticks) * 0.001, 1)
    names = [new() for _ in range(1000)]

    assert names == sorted(names)


def test_a_clock_that_stands_still_makes_no_name_twice() -> None:
    new = message_ids(lambda: 1_700_000_000.0, 1)

    assert len({new() for _ in range(65_536)}) == 65_536


@given(st.lists(st.floats(0, 4e9), min_size=2, max_size=50))
def test_a_clock_that_jumps_makes_no_name_twice(times: list[float]) -> None:
    clock = iter(times)
    new = message_ids(lambda: next(clock), 1)
    names = [new() for _ in times]

    assert len(set(names)) == len(names)


def test_two_processes_at_one_time_make_different_names() -> None:
    assert message_ids(lambda: 1.0, 1)() != message_ids(lambda: 1.0, 2)()
