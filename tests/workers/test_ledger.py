"""What the parent decides about its workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.workers.ledger import (
    FIRST_PAUSE_SECONDS,
    HEALTHY_SECONDS,
    LONGEST_PAUSE_OF_THE_READY_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LOOK_SECONDS,
    SUSPECT_SECONDS,
    Action,
    GiveUp,
    Kill,
    Ledger,
    Start,
    State,
)

STUCK = 30.0


class Clock:
    """A ledger and its time; every worker that is not silent gives a sign of life with every look."""

    def __init__(self, workers: int = 2) -> None:
        self.now = 1000.0
        self.ledger = Ledger(workers, STUCK)
        self.silent: set[int] = set()
        self.workers = workers
        self.began = self.ledger.begin(self.now)

    def ready(self) -> "Clock":
        for number in range(1, self.workers + 1):
            self.ledger.ready(number, self.now)
        return self

    def run(self, seconds: float) -> list[Action]:
        """Look every second, and return all that was to be done."""
        done: list[Action] = []
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.now += LOOK_SECONDS
            for number in range(1, self.workers + 1):
                if number not in self.silent and self.ledger.state(number) is not State.WAITING:
                    self.ledger.heard(number, self.now)
            done += self.ledger.look(self.now)
        return done


def test_all_workers_are_started_at_the_beginning() -> None:
    assert Clock(3).began == [Start(1), Start(2), Start(3)]


def test_the_first_connections_wait_until_all_workers_are_ready() -> None:
    clock = Clock()
    assert clock.ledger.open_to(clock.now) == []
    clock.ledger.ready(2, clock.now)
    assert clock.ledger.open_to(clock.now) == []
    clock.ledger.ready(1, clock.now)

    assert clock.ledger.open_to(clock.now) == [1, 2]


def test_they_wait_for_nobody_who_takes_long_or_has_failed() -> None:
    slow, failed = Clock(), Clock()
    for clock in (slow, failed):
        clock.ledger.ready(2, clock.now)
    slow.run(9)
    assert slow.ledger.open_to(slow.now) == []
    slow.run(1)
    assert slow.ledger.open_to(slow.now) == [2]

    failed.ledger.ended(1, failed.now)
    assert failed.ledger.open_to(failed.now) == [2]


def test_later_connections_do_not_wait_for_a_worker_that_is_started_again() -> None:
    clock = Clock().ready()
    assert clock.ledger.open_to(clock.now) == [1, 2]
    clock.ledger.ended(1, clock.now)
    clock.run(1)
    assert clock.ledger.state(1) is State.STARTING

    assert clock.ledger.open_to(clock.now) == [2]


def test_healthy_workers_are_left_alone() -> None:
    assert Clock().ready().run(600) == []


def test_a_worker_that_ends_soon_is_started_again_after_a_pause() -> None:
    clock = Clock().ready()
    assert clock.run(3) == []

    assert clock.ledger.ended(1, clock.now) == []
    assert clock.ledger.pause(1) == FIRST_PAUSE_SECONDS
    assert clock.ledger.open_to(clock.now) == [2]
    assert clock.run(FIRST_PAUSE_SECONDS) == [Start(1)]


def pauses(becomes_ready: bool, killed: bool = False) -> list[float]:
    """Return the pauses of a worker that ends again and again, as soon as it is ready or before that."""
    clock = Clock().ready()
    found = []
    for _ in range(9):
        clock.ledger.ended(1, clock.now, killed=killed)
        found.append(clock.ledger.pause(1))
        assert clock.run(found[-1] - 1) == []
        assert clock.run(1) == [Start(1)]
        if becomes_ready:
            clock.ledger.ready(1, clock.now)
    return found


def test_the_pause_of_a_worker_that_does_not_start_doubles_up_to_the_longest() -> None:
    assert pauses(becomes_ready=False) == [1, 2, 4, 8, 16, 32, *[LONGEST_PAUSE_SECONDS] * 3]


def test_a_worker_that_others_kill_while_it_starts_stays_down_for_seconds_and_is_not_given_up() -> None:
    assert pauses(becomes_ready=False, killed=True) == [1, 2, *[LONGEST_PAUSE_OF_THE_READY_SECONDS] * 7]

    clock = Clock().ready()
    for _ in range(20):
        assert clock.ledger.ended(1, clock.now, killed=True) + clock.ledger.ended(2, clock.now, killed=True) == []
        clock.run(LONGEST_PAUSE_OF_THE_READY_SECONDS)


def test_a_worker_that_was_killed_here_because_it_does_not_become_ready_has_failed() -> None:
    clock = Clock()
    clock.silent |= {1, 2}
    assert [type(action) for action in clock.run(120)] == [Kill, Kill]

    assert clock.ledger.ended(1, clock.now, killed=True) == []
    assert clock.ledger.ended(2, clock.now, killed=True) == [GiveUp("no worker can start")]


def test_a_worker_that_was_ready_stays_down_for_seconds_however_often_it_is_ended() -> None:
    assert pauses(becomes_ready=True) == [1, 2, *[LONGEST_PAUSE_OF_THE_READY_SECONDS] * 7]


def test_a_worker_that_had_served_for_a_while_is_started_at_once_and_its_pauses_begin_anew() -> None:
    clock = Clock().ready()
    for _ in range(4):
        clock.ledger.ended(1, clock.now)
        clock.run(LONGEST_PAUSE_SECONDS)
        clock.ledger.ready(1, clock.now)
    clock.run(HEALTHY_SECONDS)

    assert clock.ledger.ended(1, clock.now) == [Start(1)]
    clock.ledger.ready(1, clock.now)
    assert clock.ledger.ended(1, clock.now) == []
    assert clock.ledger.pause(1) == FIRST_PAUSE_SECONDS


def test_a_silent_worker_gets_no_connections_long_before_it_is_killed() -> None:
    clock = Clock().ready()
    clock.silent = {2}

    assert clock.run(SUSPECT_SECONDS) == []
    assert clock.ledger.open_to(clock.now) == [1]


def test_a_worker_that_is_silent_for_longer_than_the_limit_is_killed_once_and_replaced() -> None:
    clock = Clock().ready()
    clock.silent = {2}

    assert clock.run(STUCK) == []
    assert clock.run(1) == [Kill(2, "its event loop has been silent for 31 seconds")]
    assert clock.run(5) == []
    clock.silent = set()
    clock.ledger.ended(2, clock.now)
    assert clock.run(1) == [Start(2)]


def test_a_worker_that_speaks_again_in_time_is_not_killed() -> None:
    clock = Clock().ready()
    clock.silent = {2}
    clock.run(STUCK - 1)
    clock.silent = set()

    assert clock.run(60) == []
    assert clock.ledger.open_to(clock.now) == [1, 2]


def test_nobody_is_killed_because_the_parent_itself_was_stopped() -> None:
    clock = Clock().ready()
    clock.silent = {1, 2}
    clock.run(STUCK - 2)
    clock.now += 3600

    assert clock.ledger.look(clock.now) == []
    assert clock.run(STUCK - 2) == []
    assert clock.run(3) == [Kill(number, "its event loop has been silent for 31 seconds") for number in (1, 2)]


def test_a_start_may_take_longer_than_a_busy_loop_but_not_for_ever() -> None:
    clock = Clock()
    clock.silent = {1, 2}

    assert clock.run(60) == []
    assert clock.run(1) == [Kill(number, "it has not become ready in 61 seconds") for number in (1, 2)]


def test_it_gives_up_when_no_worker_could_start_at_all() -> None:
    clock = Clock()

    assert clock.ledger.ended(1, clock.now) == []
    assert clock.ledger.ended(2, clock.now) == [GiveUp("no worker can start")]


def test_it_goes_on_while_one_worker_serves() -> None:
    clock = Clock()
    clock.ledger.ready(2, clock.now)
    for _ in range(20):
        assert clock.ledger.ended(1, clock.now) == []
        assert clock.run(LONGEST_PAUSE_SECONDS) == [Start(1)]


def test_workers_that_once_served_have_several_tries_to_come_up_again() -> None:
    clock = Clock().ready()
    clock.run(5)
    rounds = 0
    actions: list[Action] = []
    while not actions:
        rounds += 1
        actions = clock.ledger.ended(1, clock.now) + clock.ledger.ended(2, clock.now)
        if not actions:
            assert clock.run(LONGEST_PAUSE_SECONDS) == [Start(1), Start(2)]

    assert actions == [GiveUp("no worker can start")]
    assert rounds == 6, "five starts without success"


def test_a_worker_that_leaves_gets_nothing_new_and_is_replaced_when_it_has_left() -> None:
    clock = Clock().ready()
    clock.run(5)
    clock.ledger.leaving(1)

    assert clock.ledger.open_to(clock.now) == [2]
    assert clock.run(40) == []
    clock.ledger.ended(1, clock.now)
    assert clock.run(1) == [Start(1)]


def test_stopping_tells_everybody_and_starts_nothing_more() -> None:
    clock = Clock(3).ready()
    clock.ledger.ended(2, clock.now)

    assert clock.ledger.stop(clock.now, 70) == [1, 3]
    assert clock.run(69) == []
    assert not clock.ledger.over
    clock.ledger.ended(1, clock.now)
    assert not clock.ledger.over
    clock.ledger.ended(3, clock.now)
    assert clock.ledger.over
    assert clock.run(5) == []


def test_who_has_not_ended_in_time_is_killed() -> None:
    clock = Clock().ready()
    clock.ledger.stop(clock.now, 70)
    clock.ledger.ended(1, clock.now)

    assert clock.run(69) == []
    assert clock.run(1) == [Kill(2, "it did not end in time")]


def test_a_stuck_worker_does_not_hold_the_end_up_for_longer_than_the_limit() -> None:
    clock = Clock().ready()
    clock.silent = {2}
    clock.ledger.stop(clock.now, 70)

    assert [type(action) for action in clock.run(STUCK + 1)] == [Kill]


def test_nothing_to_stop_is_over_at_once() -> None:
    ledger = Ledger(2, STUCK)

    assert ledger.stop(0.0, 70) == []
    assert ledger.over


@given(
    st.lists(st.tuples(st.sampled_from(["ready", "ended", "leaving", "heard", "look"]), st.integers(1, 3)), max_size=60)
)
def test_a_worker_is_never_started_while_it_lives_nor_killed_when_it_does_not(events: list[tuple[str, int]]) -> None:
    ledger, now = Ledger(3, STUCK), 0.0
    alive: set[int] = set()

    def obey(actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Start(number):
                    assert number not in alive
                    alive.add(number)
                case Kill(number, _):
                    assert number in alive
                case GiveUp():
                    assert not alive

    obey(ledger.begin(now))
    for event, number in events:
        now += 4.0
        if event == "look":
            obey(ledger.look(now))
        elif number in alive:
            if event == "ended":
                alive.discard(number)
                obey(ledger.ended(number, now))
            elif event == "leaving":
                ledger.leaving(number)
            else:
                (ledger.ready if event == "ready" else ledger.heard)(number, now)
    assert ledger.count(State.WAITING) == 3 - len(alive)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_every_worker_is_somewhere_in_its_life(workers: int) -> None:
    clock = Clock(workers)

    assert sum(clock.ledger.count(state) for state in State) == workers
