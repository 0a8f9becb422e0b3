"""When a batch is posted again."""

import pytest

from smtpbridge.events.schedule import Attempts, pause


def waits(attempts: Attempts, chance: float = 0.0) -> list[float]:
    return [found for made in range(1, attempts.most) if (found := attempts.wait(made, chance)) is not None]


def test_twelve_attempts_are_spread_over_eight_hours_with_growing_gaps() -> None:
    gaps = waits(Attempts())

    assert len(gaps) == 11
    assert sum(gaps) == pytest.approx(8 * 3600)
    assert gaps == sorted(gaps)
    assert gaps[0] == pytest.approx(21.6, abs=0.1)
    assert gaps[-1] < 2 * 3600


@pytest.mark.parametrize("most", [1, 2, 12, 100])
def test_after_the_last_attempt_there_is_none(most: int) -> None:
    attempts = Attempts(most, 60.0)

    assert attempts.wait(most, 0.0) is None
    assert len(waits(attempts)) == most - 1


def test_chance_stretches_a_wait_by_a_tenth_and_never_shortens_it() -> None:
    plain, stretched = waits(Attempts()), waits(Attempts(), 0.999)

    assert all(one < two <= one * 1.1 for one, two in zip(plain, stretched, strict=True))


def test_a_target_that_fails_is_left_alone_for_longer_and_longer_up_to_five_minutes() -> None:
    assert pause(0) == 0
    assert [pause(failures) for failures in (1, 2, 3, 7, 8, 1000)] == [5, 10, 20, 300, 300, 300]
