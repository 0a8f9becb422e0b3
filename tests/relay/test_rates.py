"""How often somebody may do something in a minute."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.rates import Rates, network_of

# A clock's seconds, as `time.monotonic` and `time.time` give them.
NOW = 1_790_000_000.25


def allowed(rates: Rates, key: str, now: float, tries: int) -> int:
    return sum(rates.take(key, now) for _ in range(tries))


@given(st.integers(1, 10_000), st.floats(0, 2e9))
def test_a_minutes_worth_may_come_at_once_and_no_more(per_minute: int, now: float) -> None:
    assert allowed(Rates(per_minute), "a", now, per_minute + 5) == per_minute


@pytest.mark.parametrize("per_minute", [1, 7, 60, 600])
def test_what_was_used_comes_back_with_the_time(per_minute: int) -> None:
    rates = Rates(per_minute)
    allowed(rates, "a", NOW, per_minute)

    assert not rates.take("a", NOW + 59 / per_minute)
    assert rates.take("a", NOW + 60.1 / per_minute)
    assert allowed(rates, "a", NOW + 30 + 60.1 / per_minute, per_minute) == per_minute // 2
    assert allowed(rates, "a", NOW + 1000, per_minute + 5) == per_minute


@given(st.integers(1, 30), st.lists(st.floats(0, 20), max_size=150))
def test_in_no_stretch_of_time_are_more_allowed_than_a_minutes_worth_and_what_that_time_is_due(
    per_minute: int, pauses: list[float]
) -> None:
    rates, now, taken = Rates(per_minute), NOW, []
    for pause in pauses:
        now += pause
        if rates.take("a", now):
            taken.append(now)

    for first, begin in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first + 1 <= per_minute * (1 + (end - begin) / 60) + 0.01


@given(st.integers(1, 1000), st.integers(1, 500))
def test_who_keeps_to_the_rate_is_never_refused(per_minute: int, takes: int) -> None:
    rates = Rates(per_minute)

    assert all(rates.take("a", NOW + number * 60 / per_minute) for number in range(takes))


def test_a_refusal_costs_nothing_so_trying_on_does_not_shut_anybody_out() -> None:
    rates = Rates(2)
    allowed(rates, "a", NOW, 2)

    assert allowed(rates, "a", NOW + 10, 1000) == 0
    assert rates.take("a", NOW + 30.1)


def test_each_key_has_a_rate_of_its_own() -> None:
    rates = Rates(3)

    assert allowed(rates, "a", NOW, 10) == 3
    assert allowed(rates, "b", NOW, 10) == 3


@pytest.mark.parametrize("per_minute", [0, None])
def test_without_a_limit_all_is_allowed_and_nothing_kept(per_minute: int | None) -> None:
    rates = Rates(per_minute)

    assert allowed(rates, "a", NOW, 5000) == 5000
    assert len(rates) == 0


def test_a_clock_that_is_set_back_puts_nothing_back_and_shuts_nobody_out() -> None:
    rates = Rates(5)
    allowed(rates, "a", NOW, 5)

    assert not rates.take("a", NOW - 3600)
    assert allowed(rates, "a", NOW - 3600 + 60.1, 10) == 5


@given(st.lists(st.integers(0, 200), max_size=300), st.integers(1, 20))
def test_the_table_never_holds_more_keys_than_it_may(keys: list[int], most: int) -> None:
    rates = Rates(1, most)
    for number, key in enumerate(keys):
        rates.take(str(key), NOW + number)
        assert len(rates) <= most


def test_the_key_that_was_not_heard_of_for_the_longest_time_is_forgotten_first() -> None:
    rates = Rates(1, most_keys=2)
    rates.take("old", NOW)
    rates.take("refused", NOW)
    assert not rates.take("old", NOW)
    assert not rates.take("refused", NOW)
    assert not rates.take("old", NOW)

    rates.take("new", NOW)

    assert not rates.take("old", NOW)
    assert rates.take("refused", NOW)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("no:address", "no:address"),
        ("App", "App"),
    ],
)
def test_an_ipv6_address_counts_as_its_network_and_everything_else_as_it_is(address: str, key: str) -> None:
    assert network_of(address) == key


@given(st.integers(1 << 32, (1 << 64) - 1), st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_all_addresses_of_one_network_share_a_key(network: int, one: int, other: int) -> None:
    keys = {network_of(str(IPv6Address(network << 64 | host))) for host in (one, other)}

    assert keys == {f"{IPv6Address(network << 64)}/64"}
