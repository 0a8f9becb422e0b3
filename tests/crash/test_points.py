"""
The daemon dies at every step that it makes, one after the other; each time another one goes on from there.

A step is walked from its first time on until a daemon lives through the whole
dialogue, its end included; so no time is left out, however many there are.
Nearly all of it is waiting, so many daemons die side by side.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.crash.daemon import Death
from tests.crash.world import Message, Mode, World, world
from tests.integration.rig import Papers, eventually

# More wait than work, so more than there are processors.
_AT_A_TIME = 16
_STRIDE = 8

MESSAGES = {
    # In queue mode the first is a parcel of 2 recipients, one of them is tried twice, and has a body in the database;
    # the second has one in a file.
    Mode.QUEUE: [
        Message("short", ("one.short@example.net", "later.short@example.net")),
        Message("long", ("one.long@example.net",), ("cut.long@example.net",), size=70_000),
    ],
    # What is left over of the first is retried and reported, of the second held, and that body is in a file.
    Mode.PROXY: [
        Message("short", ("one.short@example.net", "later.short@example.net", "never.short@example.net")),
        Message("long", ("one.long@example.net",), ("cut.long@example.net",), size=70_000),
    ],
}

# How often each is reached at least.
STEPS = {
    "body-write": 1,
    "body-fsync": 1,
    "body-rename": 1,
    "dir-fsync": 1,
    "commit": 5,
    "after-commit": 5,
    "sender-connected": 1,
    "sender-read": 6,
    "sender-write": 6,
    "upstream-dial": 2,
    "upstream-connected": 2,
    "upstream-secure": 2,
    "upstream-read": 8,
    "upstream-write": 8,
}


def send_until_accepted(made: World, messages: list[Message]) -> None:
    """Send, as a sender does that does not give up."""
    while messages := made.send_all(messages):
        assert not made.is_dead


def lives_through(made: World, death: Death, messages: list[Message]) -> bool:
    """Send messages to a daemon that may die of it, and what is left to the next; tell whether the first lived on."""
    made.start(death)
    left = made.send_all(messages)
    if left:
        eventually(lambda: made.is_dead, "the death of a daemon that did not take everything")
    made.settle()
    lived = made.stop()
    made.start()
    send_until_accepted(made, left)
    made.settle()
    assert made.stop()
    return lived


@pytest.mark.parametrize("mode", Mode)
def test_a_death_at_any_step_loses_nothing_and_doubles_nothing_without_a_reason(
    tmp_path: Path, papers: Papers, mode: Mode
) -> None:
    def die(step: str, number: int) -> tuple[bool, list[str]]:
        with world(tmp_path / f"{step}{number}", papers, mode) as made:
            lived = lives_through(made, Death(step, number), MESSAGES[mode])
            return lived, [f"{step} {number}: {fault}" for fault in made.faults()]

    def walk(step: str) -> tuple[int, list[str]]:
        """Return how often a daemon has died at the step, and what went wrong."""
        deaths, faults = 0, list[str]()
        while True:
            numbers = range(deaths + 1, deaths + 1 + _STRIDE)
            for lived, found in points.map(partial(die, step), numbers):
                faults += found
                if lived:
                    return deaths, faults
                deaths += 1

    with ThreadPoolExecutor(_AT_A_TIME) as points, ThreadPoolExecutor(len(STEPS)) as walks:
        walked = dict(zip(STEPS, walks.map(walk, STEPS), strict=True))

    assert [fault for _, faults in walked.values() for fault in faults] == []
    assert {step for step, least in STEPS.items() if walked[step][0] < least} == set()
