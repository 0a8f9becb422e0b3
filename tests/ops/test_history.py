"""An hour of rates from numbers that only grow."""

import pytest

from smtpbridge.ops.history import EVERY_SECONDS, SPAN_SECONDS, History, quantile
from smtpbridge.ops.sight import BOUNDS, Totals


def totals(accepted: int, refused: int = 0, *, later: int = 0, times: dict[int, int] | None = None) -> Totals:
    counts = [0] * (len(BOUNDS) + 1)
    for place, count in (times or {}).items():
        counts[place] = count
    return Totals(accepted, later, refused, 0, tuple(counts))


def steady(seconds: int) -> History:
    """Two messages a second, and one refused every other second."""
    history = History()
    for now in range(seconds + 1):
        history.take(float(now), totals(2 * now, now // 2))
    return history


def test_a_rate_is_what_was_added_over_the_time_it_took() -> None:
    points = steady(120).points(120.0)

    assert [point.ago for point in points] == [90.0, 60.0, 30.0, 0.0]
    assert {(point.accepted, point.refused) for point in points} == {(2.0, 0.5)}


def test_what_is_put_off_counts_with_what_is_refused() -> None:
    history = History()
    history.take(0.0, totals(0))

    latest = history.latest(10.0, totals(0, 10, later=10))

    assert latest is not None
    assert latest.refused == 2.0


def test_an_hour_is_kept_and_no_more() -> None:
    history = steady(3 * int(SPAN_SECONDS))

    points = history.points(3 * SPAN_SECONDS)
    assert len(points) == 120
    assert max(point.ago for point in points) <= SPAN_SECONDS
    assert len(history._kept) == SPAN_SECONDS / EVERY_SECONDS + 1


def test_a_late_look_makes_one_longer_step() -> None:
    history = History()
    history.take(0.0, totals(0))
    history.take(300.0, totals(600))

    (point,) = history.points(300.0)
    assert point.accepted == 2.0


def test_just_after_the_start_nothing_is_said_of_now() -> None:
    history = History()
    assert history.latest(0.0, totals(0)) is None
    history.take(0.0, totals(0))
    assert history.latest(1.0, totals(50)) is None
    assert history.latest(2.0, totals(50)) is not None


def test_the_median_of_a_stretch_is_that_of_its_own_messages() -> None:
    history = History()
    history.take(0.0, totals(1000, times={0: 1000}))
    history.take(30.0, totals(1100, times={0: 1000, 30: 98, 40: 2}))

    (point,) = history.points(30.0)
    assert point.median == pytest.approx((BOUNDS[29] + BOUNDS[30]) / 2)
    assert point.slow == pytest.approx((BOUNDS[39] + BOUNDS[40]) / 2)


def test_without_messages_there_is_no_median() -> None:
    assert quantile([0, 0, 0], 0.5) is None


@pytest.mark.parametrize("seconds", [0.0007, 0.02, 1.0, 59.0, 500.0])
def test_a_quantile_is_off_by_an_eighth_at_most(seconds: float) -> None:
    counts = [int(below < seconds <= above) for below, above in zip((0.0, *BOUNDS), BOUNDS, strict=False)]

    assert quantile([*counts, 0], 0.5) == pytest.approx(seconds, rel=0.125)


def test_what_is_longer_than_every_class_is_said_to_be_the_longest() -> None:
    assert quantile([0] * len(BOUNDS) + [1], 0.99) == BOUNDS[-1]
