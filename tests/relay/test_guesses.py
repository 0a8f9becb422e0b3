"""Who is put off after failed logins, for how long, and who never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.guesses import FIRST_PAUSE, Guesses, Patience, Pause, Whose, place_of

PATIENCE = Patience(most=3, window=100.0, longest=200.0)
OURS, THEIRS, USER = "192.0.2.1", "203.0.113.9", "smtp_injection"
RIGHT = b"right"


def wrong(number: int) -> bytes:
    return b"wrong %d" % number


def fail(guesses: Guesses, times: int, now: float, address: str = THEIRS, user: str = USER) -> None:
    for number in range(times):
        guesses.failed(address, user, wrong(number), now)


def pause(guesses: Guesses, now: float, address: str = THEIRS, proof: bytes = b"new", user: str = USER) -> Pause | None:
    return guesses.pause(address, user, proof, now)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_an_address_is_one_of_ipv4_or_a_64_of_ipv6(address: str, place: str) -> None:
    assert place_of(address) == place


def test_an_address_is_put_off_when_it_has_failed_too_often_and_no_other_is() -> None:
    guesses = Guesses(PATIENCE)

    fail(guesses, 2, 0.0)
    assert pause(guesses, 0.0) is None
    fail(guesses, 1, 0.0)

    assert pause(guesses, 0.0) == Pause(Whose.ADDRESS, FIRST_PAUSE)
    assert pause(guesses, 0.0, user="other") == Pause(Whose.ADDRESS, FIRST_PAUSE)
    assert pause(guesses, 0.0, address=OURS) is None
    assert pause(guesses, FIRST_PAUSE) is None


def test_each_pause_is_twice_as_long_up_to_the_longest_and_peace_ends_that() -> None:
    guesses, now, spans = Guesses(PATIENCE), 0.0, []
    for _ in range(5):
        fail(guesses, 3, now)
        found = pause(guesses, now)
        assert found is not None
        spans.append(found.seconds)
        now += found.seconds

    assert spans == [30.0, 60.0, 120.0, 200.0, 200.0]
    fail(guesses, 3, now + PATIENCE.window + 1)
    assert pause(guesses, now + PATIENCE.window + 1) == Pause(Whose.ADDRESS, 30.0)


def test_failures_that_are_a_window_apart_are_not_too_many() -> None:
    guesses = Guesses(PATIENCE)
    for number in range(20):
        guesses.failed(THEIRS, USER, wrong(number), number * PATIENCE.window / 2 * 1.01)

    assert pause(guesses, 20 * PATIENCE.window / 2) is None


def test_a_secret_that_was_right_from_an_address_goes_on_while_the_address_is_put_off() -> None:
    guesses = Guesses(PATIENCE)
    guesses.succeeded(THEIRS, USER, RIGHT)
    fail(guesses, 3, 0.0)

    assert pause(guesses, 0.0, proof=RIGHT) is None
    assert pause(guesses, 0.0, proof=b"a guess") is not None
    fail(guesses, 3, 0.0, address=OURS)
    assert pause(guesses, 0.0, address=OURS, proof=RIGHT) is not None, "it was right from elsewhere"


def test_a_success_forgives_nothing() -> None:
    guesses = Guesses(PATIENCE)
    fail(guesses, 2, 0.0)
    guesses.succeeded(THEIRS, "mine", b"mine")
    fail(guesses, 1, 0.0)

    assert pause(guesses, 0.0) is not None


def spread(guesses: Guesses, number: int, now: float = 0.0, *, proof: bytes | None = None) -> None:
    """Guess from so many addresses, once each."""
    for one in range(number):
        guesses.failed(f"198.51.100.{one}", USER, proof or wrong(one), now)


def test_a_flood_of_guesses_at_a_name_puts_off_whoever_never_got_in_with_it_and_nobody_else() -> None:
    guesses = Guesses(PATIENCE)
    guesses.succeeded(OURS, USER, RIGHT)
    spread(guesses, 29)
    assert pause(guesses, 0.0) is None
    spread(guesses, 30)

    assert pause(guesses, 0.0) == Pause(Whose.USER, FIRST_PAUSE)
    assert pause(guesses, 0.0, user="other") is None
    assert pause(guesses, 0.0, address=OURS) is None, "a new secret from an address that is known"
    assert guesses.pause("192.0.2.77", USER, RIGHT, 0.0, trusted=True) is None


def test_one_wrong_secret_counts_once_for_a_name_however_many_present_it() -> None:
    guesses = Guesses(PATIENCE)
    spread(guesses, 200, proof=b"the old key")

    assert pause(guesses, 0.0) is None


def test_a_peer_without_address_has_no_pause_of_its_own() -> None:
    guesses = Guesses(PATIENCE)
    fail(guesses, 10, 0.0, address="")

    assert pause(guesses, 0.0, address="") is None
    assert all(guesses.begin("", wrong(number)) for number in range(10))


def test_no_more_than_so_many_different_attempts_of_an_address_are_under_way() -> None:
    guesses = Guesses(PATIENCE)

    assert [guesses.begin(THEIRS, wrong(number)) for number in range(4)] == [True, True, True, False]
    assert guesses.begin(THEIRS, wrong(0)), "the same again is no further guess"
    assert guesses.begin(OURS, wrong(9))
    guesses.end(THEIRS, wrong(0))
    assert not guesses.begin(THEIRS, wrong(3)), "one of the two is still under way"
    guesses.end(THEIRS, wrong(0))
    assert guesses.begin(THEIRS, wrong(3))


def test_what_has_ended_leaves_nothing_behind() -> None:
    guesses = Guesses(PATIENCE)
    for number in (0, 1, 2, 2):
        guesses.begin(THEIRS, wrong(number))
    for number in (2, 1, 0, 2):
        guesses.end(THEIRS, wrong(number))

    assert len(guesses) == 0


def test_a_flood_of_addresses_and_names_does_not_grow_the_tables() -> None:
    guesses = Guesses(PATIENCE, addresses=50, names=20, proven=30)
    for number in range(2000):
        guesses.failed(f"2001:db8:{number:x}::/64", f"user {number}", wrong(number), 0.0)
        guesses.succeeded(f"2001:db8:{number:x}::/64", f"user {number}", wrong(number))

    assert len(guesses) == 50 + 20 + 30 + 30


def test_names_that_are_long_and_begin_alike_share_one_count() -> None:
    guesses = Guesses(PATIENCE)
    for number in range(30):
        guesses.failed(f"198.51.100.{number}", "x" * 5000 + str(number), wrong(number), 0.0)

    assert pause(guesses, 0.0, user="x" * 9000) is not None


@given(st.lists(st.tuples(st.floats(0.0, 500.0), st.booleans()), max_size=200), st.integers(1, 5))
def test_however_an_address_guesses_it_gets_no_more_looks_than_its_patience_allows(
    steps: list[tuple[float, bool]], most: int
) -> None:
    guesses, now, looks = Guesses(Patience(most, 100.0, 200.0)), 0.0, []
    for number, (seconds, gets_in) in enumerate(steps):
        now += seconds
        if pause(guesses, now, proof=wrong(number), user=f"user {number}") is None:
            looks.append(now)
            guesses.failed(THEIRS, f"user {number}", wrong(number), now)
            if gets_in:
                guesses.succeeded(THEIRS, "an account of its own", b"own")

    # Between two pauses there may be as many as make the next one, and a window that was begun before adds its own.
    for begin in looks:
        assert sum(begin <= one < begin + FIRST_PAUSE for one in looks) < 2 * most + 1


def test_another_patience_forgives_nothing_and_counts_on() -> None:
    guesses = Guesses(Patience(most=3))
    for _ in range(3):
        guesses.failed("192.0.2.1", "shop", b"x", 0.0)
    guesses.failed("192.0.2.2", "shop", b"x", 0.0)
    guesses.renew(Patience(most=2))
    assert guesses.pause("192.0.2.1", "shop", b"y", 1.0) == Pause(Whose.ADDRESS, FIRST_PAUSE - 1.0)
    assert guesses.pause("192.0.2.2", "shop", b"y", 1.0) is None

    guesses.failed("192.0.2.2", "shop", b"x", 1.0)
    assert guesses.pause("192.0.2.2", "shop", b"y", 1.0) == Pause(Whose.ADDRESS, FIRST_PAUSE)
