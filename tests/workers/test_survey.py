"""The status page of several workers: one sum, each of them, and nobody waited for in vain."""

import json
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from smtpbridge.ops.passage import MOST_OCTETS, found_of, found_written, sight_of, sight_written
from smtpbridge.ops.sight import Door, Found, Place, Pool, Queue, Row, Sight, Totals, Whole
from smtpbridge.ops.together import found_together, together
from smtpbridge.workers.survey import Survey
from smtpbridge.workers.words import Nonsense
from tests.ops.sights import NOW, a_found, a_row, a_sight

Answer = TypeVar("Answer")


class World:
    """A survey of two workers."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: list[list[object]] = []
        self.reached = [1, 2]
        self.states = {1: "ready", 2: "ready"}
        reactor: Any = self.clock
        self.survey = Survey(self.ask, lambda: self.states, reactor)

    def ask(self, question: list[object]) -> list[int]:
        self.asked.append(question)
        return self.reached

    def answer(self, worker: int, what: object) -> None:
        number, words = self.asked[-1]
        self.survey.answered(worker, json.loads(json.dumps([number, words, what])))

    def look(self, **sights: Sight) -> Whole:
        """Look, with the answers of those that give one; the others are waited for in vain."""
        looking = begun(self.survey.look())
        for name, sight in sights.items():
            self.answer(int(name[1:]), sight_written(sight))
        self.clock.advance(3)
        return got(looking)


def begun(coroutine: Coroutine[Any, Any, Answer]) -> "tuple[Deferred[Answer], list[Answer]]":
    results: list[Answer] = []
    deferred = Deferred.fromCoroutine(coroutine)
    deferred.addCallback(results.append)
    return deferred, results


def got(begun: "tuple[Deferred[Answer], list[Answer]]") -> Answer:
    (result,) = begun[1]
    return result


def test_what_is_sent_arrives_as_it_was() -> None:
    sight, found = a_sight("x\u202e"), a_found("ü")

    assert sight_of(json.loads(json.dumps(sight_written(sight)))) == sight
    assert sight_of(json.loads(json.dumps(sight_written(Sight())))) == Sight()
    assert found_of(json.loads(json.dumps(found_written(found)))) == found


def test_what_peers_wrote_never_makes_a_packet_too_large() -> None:
    row = a_row("\U0001f4a9" * 2000)
    sight = Sight(verdicts=(row,) * 50, faults=(row,) * 20)

    assert len(json.dumps(sight_written(sight))) <= MOST_OCTETS
    assert len(json.dumps(found_written(Found((row,) * 50, a_found("x" * 5000).kept * 50)))) <= MOST_OCTETS
    ordinary = Sight(verdicts=(a_row("x" * 60),) * 50)
    assert sight_of(sight_written(ordinary)) == ordinary


@pytest.mark.parametrize(
    "content",
    [None, {}, [], 7, {**sight_written(Sight()), "new": 1}, {**sight_written(Sight()), "totals": {"times": [1]}}],
)
def test_what_is_no_answer_is_nonsense(content: object) -> None:
    world = World()
    begun(world.survey.look())

    with pytest.raises(Nonsense):
        world.answer(1, content)
    with pytest.raises(Nonsense):
        world.survey.answered(1, content)


def test_counts_are_added_up_and_each_worker_is_shown() -> None:
    whole = World().look(_1=a_sight("x", accepted=3), _2=a_sight("x", accepted=4))

    assert whole.sight.totals.accepted == 7
    assert whole.sight.sessions == 10
    assert [(one.number, one.state, one.sight and one.sight.totals.accepted) for one in whole.crew] == [
        (1, "ready", 3),
        (2, "ready", 4),
    ]


def test_a_worker_that_does_not_answer_is_shown_so_and_what_it_had_counted_stays() -> None:
    world = World()
    world.look(_1=a_sight("x", accepted=3), _2=a_sight("x", accepted=4))
    whole = world.look(_1=a_sight("x", accepted=5))

    assert whole.sight.totals.accepted == 9
    assert whole.sight.sessions == 5
    assert [one.sight is None for one in whole.crew] == [False, True]


def test_what_a_worker_had_counted_stays_when_it_is_replaced_and_so_do_its_verdicts() -> None:
    world = World()
    last = replace(a_sight("x", accepted=40), verdicts=(a_row("last words"),))
    world.look(_1=Sight(), _2=last)
    world.survey.ended(2)
    whole = world.look(_1=Sight(), _2=a_sight("y", accepted=1))

    assert whole.sight.totals.accepted == 41
    assert "last words" in {row.id for row in whole.sight.verdicts}


def test_nobody_waits_for_a_worker_that_is_gone_or_was_not_reached() -> None:
    world = World()
    looking = begun(world.survey.look())
    world.answer(1, sight_written(Sight()))
    world.survey.ended(2)
    assert [one.sight is None for one in got(looking).crew] == [False, True]

    world.reached = []
    assert got(begun(world.survey.look())).sight.totals == Totals()


def test_a_late_answer_is_none_to_the_next_question() -> None:
    world = World()
    early = begun(world.survey.look())
    first = world.asked[-1]
    world.clock.advance(3)
    assert early[1]
    looking = begun(world.survey.find("ada"))
    world.survey.answered(1, [first[0], None, sight_written(Sight())])
    assert not looking[1]
    world.answer(1, found_written(a_found("x")))
    world.answer(2, found_written(a_found("y")))

    assert {row.id for row in got(looking).verdicts} == {"x", "y"}


def test_a_search_says_who_did_not_answer() -> None:
    world = World()
    looking = begun(world.survey.find("ada"))
    world.answer(1, found_written(Found((a_row("x"),))))
    world.clock.advance(10)

    found = got(looking)
    assert [row.id for row in found.verdicts] == ["x"]
    assert found.faults == ("Worker 2 did not answer: what it has seen is not in this list.",)


def test_what_all_share_is_told_once_and_the_newest_rows_come_first() -> None:
    one = Sight(queue=Queue(8, 0, None, 1), verdicts=(a_row("b", NOW - 1), a_row("d", NOW - 3)))
    other = Sight(queue=Queue(8, 0, None, 1), verdicts=(a_row("a", NOW), a_row("c", NOW - 2)))
    both = together([one, other])

    assert both.queue == one.queue
    assert [row.id for row in both.verdicts] == ["a", "b", "c", "d"]
    assert together([Sight(), other]).queue == other.queue
    assert together([Sight(queue_fault="no disk"), Sight()]).queue_fault == "no disk"
    kept = a_found("x").kept
    assert found_together([Found(kept=kept), Found(kept=kept)]).kept == kept


def test_pools_and_listeners_are_added_up_by_name() -> None:
    one = Sight(doors=(Door("d", 2),), pools=(Pool("main", 10, 1, "", "", (Place("mx", 1, 2, 3, 0.0),)),))
    other = Sight(
        doors=(Door("d", 3),), pools=(Pool("main", 10, 2, "unreachable", "no", (Place("mx", 1, 1, 1, 5.0),)),)
    )
    both = together([one, other])

    assert both.doors == (Door("d", 5),)
    assert both.pools == (Pool("main", 20, 3, "unreachable", "no", (Place("mx", 2, 3, 4, 5.0),)),)


def test_rows_of_the_wire_are_rows_again() -> None:
    assert isinstance(sight_of(sight_written(a_sight("x"))).verdicts[0], Row)
