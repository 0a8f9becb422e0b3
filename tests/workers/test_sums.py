"""One sum over the figures of all workers."""

import json
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smtpbridge.ops.metrics import Figure, Join, Kind, Metrics, Sample, spans
from smtpbridge.workers import words
from smtpbridge.workers.scrape import ANSWER_SECONDS, Scrape
from smtpbridge.workers.sums import Sums, told
from smtpbridge.workers.words import Nonsense


def figures(logins: int, sessions: int) -> object:
    """Return what a worker says, as it comes over the line."""
    return json.loads(
        json.dumps(
            told(
                [
                    Figure("logins", Kind.COUNTER, "Logins.", ("outcome",), lambda: [(("accepted",), logins)]),
                    Figure("sessions", Kind.GAUGE, "Sessions.", (), lambda: [((), sessions)]),
                ]
            )
        )
    )


def shown(text: bytes) -> dict[str, float]:
    families = text_string_to_metric_families(text.decode())
    return {one.name: one.value for family in families for one in family.samples}


def shown_of(sums: Sums, present: set[int]) -> dict[str, float]:
    return shown(Metrics(sums.figures(present)).text("")[0])


def test_counters_and_gauges_are_added_up() -> None:
    sums = Sums()
    sums.answered(1, figures(3, 10))
    sums.answered(2, figures(4, 9))

    assert shown_of(sums, {1, 2}) == {"logins_total": 7, "sessions": 19}


def test_a_newer_answer_replaces_an_older_one() -> None:
    sums = Sums()
    sums.answered(1, figures(3, 10))
    sums.answered(1, figures(5, 1))

    assert shown_of(sums, {1}) == {"logins_total": 5, "sessions": 1}


def test_who_does_not_answer_is_left_out_of_gauges_but_no_counter_falls() -> None:
    sums = Sums()
    sums.answered(1, figures(3, 10))
    sums.answered(2, figures(4, 9))

    assert shown_of(sums, {1}) == {"logins_total": 7, "sessions": 10}


def test_what_a_worker_had_counted_stays_when_it_is_replaced() -> None:
    sums = Sums()
    sums.answered(1, figures(3, 10))
    sums.answered(2, figures(4, 9))
    sums.ended(2)
    assert shown_of(sums, {1}) == {"logins_total": 7, "sessions": 10}
    sums.answered(2, figures(1, 1))

    assert shown_of(sums, {1, 2}) == {"logins_total": 8, "sessions": 11}


def as_told(*figures: Figure) -> object:
    return json.loads(json.dumps(told(figures)))


def took(*counts: int) -> Figure:
    """Return the figure of what took up to one second so often, up to two, and longer."""
    up_to = [(1.0, counts[0]), (2.0, counts[0] + counts[1]), (float("inf"), sum(counts))]
    return Figure("took", Kind.HISTOGRAM, "Took.", ("by",), lambda: spans(("me",), up_to, float(sum(counts))))


def test_histograms_are_added_up_span_by_span_and_never_fall() -> None:
    sums = Sums()
    sums.answered(1, as_told(took(1, 2, 3)))
    sums.answered(2, as_told(took(10, 20, 30)))
    sums.ended(2)
    sums.answered(2, as_told(took(0, 0, 1)))

    [family] = text_string_to_metric_families(Metrics(sums.figures({1, 2})).text("")[0].decode())
    assert {(one.name, one.labels.get("le")): one.value for one in family.samples} == {
        ("took_bucket", "1.0"): 11,
        ("took_bucket", "2.0"): 33,
        ("took_bucket", "+Inf"): 67,
        ("took_count", None): 67,
        ("took_sum", None): 67,
    }


def test_what_all_workers_see_of_one_thing_is_shown_once() -> None:
    def depth(value: int) -> object:
        return as_told(Figure("depth", Kind.GAUGE, "Depth.", (), lambda: [((), value)], Join.GREATEST))

    sums = Sums()
    sums.answered(1, depth(7))
    sums.answered(2, depth(5))

    assert shown_of(sums, {1, 2}) == {"depth": 7}
    assert shown_of(sums, {2}) == {"depth": 5}


def test_what_belongs_to_a_process_is_shown_for_each_and_begins_anew_with_its_successor() -> None:
    def cpu(value: float) -> Figure:
        return Figure("cpu_seconds", Kind.COUNTER, "CPU.", (), lambda: [((), value)], Join.EACH)

    def found(present: set[int]) -> dict[str, float]:
        [family] = text_string_to_metric_families(Metrics(sums.figures(present)).text("")[0].decode())
        return {one.labels["worker"]: one.value for one in family.samples}

    sums = Sums()
    sums.read(0, [cpu(1.5)])
    sums.answered(1, as_told(cpu(20)))
    sums.answered(2, as_told(cpu(30)))
    assert found({0, 1, 2}) == {"0": 1.5, "1": 20, "2": 30}
    sums.ended(2)
    assert found({0, 1}) == {"0": 1.5, "1": 20}
    sums.answered(2, as_told(cpu(0.1)))

    assert found({0, 1, 2}) == {"0": 1.5, "1": 20, "2": 0.1}


def test_the_figures_of_very_many_listeners_fit_into_a_packet() -> None:
    def read() -> Iterator[Sample]:
        for listener in range(50):
            for upstream in range(10):
                for place in ("2xx", "4xx", "5xx"):
                    yield (f"tcp:{2500 + listener}:interface=127.0.0.1", place, f"upstream-{upstream}"), listener * 7919

    said = told([Figure(f"things_{number}", Kind.COUNTER, "Things.", ("a", "b", "c"), read) for number in range(6)])

    # A quarter of what Linux lets a packet be (net.core.wmem_default).
    assert len(words.packet(words.Kind.FIGURES, said)) < 53_248
    assert len(json.dumps(said)) > 262_144, "else this proves nothing"


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        [1],
        [["a", "counter", "sum", "x", []]],
        [["a", "counter", "sum", "x", [], [1]]],
        [["a", "number", "sum", "x", [], []]],
        [["a", "counter", "guess", "x", [], []]],
    ],
)
def test_figures_that_are_none_are_nonsense(said: object) -> None:
    with pytest.raises(Nonsense):
        Sums().answered(1, said)


class ScrapeTest(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[int] = []
        self.reached = [1, 2]
        self.scrape = Scrape(self.ask, lambda: [Figure("own", Kind.GAUGE, "Own.", (), lambda: [((), 1)])], self.clock)

    def ask(self, question: int) -> list[int]:
        self.asked.append(question)
        return self.reached

    def begin(self) -> "Deferred[dict[str, float]]":
        return Deferred.fromCoroutine(self.scrape.text("")).addCallback(lambda found: shown(found[0]))

    def test_it_waits_for_every_worker(self) -> None:
        answer = self.begin()
        self.scrape.answered(2, [self.asked[-1], figures(4, 9)])
        self.assertNoResult(answer)
        self.scrape.answered(1, [self.asked[-1], figures(3, 10)])

        self.assertEqual(self.successResultOf(answer), {"own": 1, "logins_total": 7, "sessions": 19})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_waits_no_longer_than_its_deadline(self) -> None:
        answer = self.begin()
        self.scrape.answered(2, [self.asked[-1], figures(4, 9)])
        self.clock.advance(ANSWER_SECONDS)

        self.assertEqual(self.successResultOf(answer), {"own": 1, "logins_total": 4, "sessions": 9})

    def test_it_does_not_wait_for_the_dead(self) -> None:
        answer = self.begin()
        self.scrape.answered(2, [self.asked[-1], figures(4, 9)])
        self.scrape.ended(1)

        self.assertEqual(self.successResultOf(answer), {"own": 1, "logins_total": 4, "sessions": 9})

    def test_an_answer_that_comes_late_is_not_taken_for_one_to_the_next_question(self) -> None:
        first = self.begin()
        self.clock.advance(ANSWER_SECONDS)
        self.successResultOf(first)
        second = self.begin()
        self.scrape.answered(1, [self.asked[0], figures(3, 10)])
        self.scrape.answered(2, [self.asked[0], figures(3, 10)])
        self.assertNoResult(second)
        self.scrape.answered(1, [self.asked[1], figures(5, 2)])
        self.scrape.answered(2, [self.asked[1], figures(5, 2)])

        self.assertEqual(self.successResultOf(second), {"own": 1, "logins_total": 10, "sessions": 4})

    def test_two_who_ask_at_a_time_both_get_their_answer(self) -> None:
        self.reached = [1]
        first, second = self.begin(), self.begin()
        for question in self.asked:
            self.scrape.answered(1, [question, figures(1, 1)])

        self.assertEqual(self.successResultOf(first), self.successResultOf(second))

    def test_without_workers_there_are_the_figures_of_the_parent(self) -> None:
        self.reached = []

        self.assertEqual(self.successResultOf(self.begin()), {"own": 1})

    def test_the_parents_own_process_stands_beside_those_of_the_workers(self) -> None:
        cpu = Figure("cpu", Kind.GAUGE, "CPU.", (), lambda: [((), 3)], Join.EACH)
        scrape = Scrape(self.ask, lambda: [cpu], self.clock)
        answer = Deferred.fromCoroutine(scrape.text(""))
        for worker in self.reached:
            scrape.answered(worker, [1, as_told(cpu)])

        [family] = text_string_to_metric_families(self.successResultOf(answer)[0].decode())
        self.assertEqual([one.labels["worker"] for one in family.samples], ["0", "1", "2"])

    def test_an_answer_to_nothing_is_nonsense(self) -> None:
        self.assertRaises(Nonsense, self.scrape.answered, 1, "figures")
