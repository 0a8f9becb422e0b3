"""What became of the last messages, taken from the log: counted right, bounded, and found again."""

from typing import Any

from twisted.logger import Logger

from smtpbridge.ops.recent import MOST_FAULTS, Recent
from smtpbridge.ops.sight import BOUNDS
from smtpbridge.smtp.replies import Reply, reply

FINE = reply(250, "2.0.0", "OK 77")
LATER = reply(451, "4.3.0", "Later")
NEVER = reply(550, "5.1.1", "No such user")
FAULTY = reply(550, "5.6.0", "JSON parsing error in X-MSYS-API")


class Log:
    """A log that only `recent` hears."""

    def __init__(self, recent: Recent | None = None) -> None:
        self.recent = recent or Recent()
        observer: Any = self.recent
        self.log = Logger(namespace="test", observer=observer)

    def came(self, name: str, *recipients: str, sender: str = "news@shop.test") -> None:
        self.log.info(
            "id={id} received client={client} from=<{sender}>",
            id=name,
            client="192.0.2.7",
            sender=sender,
            recipients=len(recipients),
            log_recipients=recipients,
        )

    def judged(self, name: str, answer: Reply | str, via: str = "mx.test:587", seconds: float = 0.01) -> None:
        self.log.info("id={id} verdict={answer} via={hosts}", id=name, answer=answer, hosts=via, seconds=seconds)

    def message(self, name: str, answer: Reply, *recipients: str, via: str = "mx.test:587") -> None:
        self.came(name, *(recipients or ("ada@rcpt.test",)))
        self.judged(name, answer, via)


def test_verdicts_are_counted_by_class_and_shown_newest_first() -> None:
    log = Log()
    log.message("A1", FINE, "ada@rcpt.test", "bob@rcpt.test")
    log.message("A2", LATER)
    log.message("A3", NEVER)

    totals = log.recent.totals
    assert (totals.accepted, totals.later, totals.refused, totals.delivered) == (1, 1, 1, 0)
    assert sum(totals.times) == 3
    assert [row.id for row in log.recent.newest(2)] == ["A3", "A2"]
    row = log.recent.newest(3)[2]
    assert (row.sender, row.recipients, row.count) == ("news@shop.test", ("ada@rcpt.test", "bob@rcpt.test"), 2)
    assert (row.code, row.reply, row.via, row.seconds) == (250, "250 2.0.0 OK 77", "mx.test:587", 0.01)


def test_what_the_bridge_itself_refused_for_good_is_kept_apart_from_the_rest() -> None:
    log = Log(Recent(messages=3))
    log.message("A1", FAULTY, via="-")
    log.message("A2", LATER, via="-")
    log.message("A3", NEVER)
    for number in range(10):
        log.message(f"B{number}", FINE)

    assert [row.id for row in log.recent.faults(9)] == ["A1"]
    assert [row.id for row in log.recent.newest(9)] == ["B9", "B8", "B7"]


def test_what_was_refused_without_an_id_counts_too() -> None:
    log = Log()
    log.log.info(
        "message refused client={client} from=<{sender}>: {answer}",
        client="192.0.2.7",
        sender="news@shop.test",
        answer=reply(552, "5.3.4", "Header too long"),
        log_recipients=("ada@rcpt.test",),
    )

    assert log.recent.totals.refused == 1
    assert sum(log.recent.totals.times) == 0
    (row,) = log.recent.faults(9)
    assert (row.id, row.sender, row.recipients) == ("", "news@shop.test", ("ada@rcpt.test",))


def test_an_end_whose_sender_had_its_answer_before_is_no_second_verdict() -> None:
    log = Log()
    log.message("A1", LATER)
    log.judged("A1", "none, the sender had its answer before")

    assert (log.recent.totals.later, len(log.recent.newest(9))) == (1, 1)


def test_a_delivery_from_the_queue_is_shown_and_counted_where_somebody_was_taken() -> None:
    log = Log()
    for taken in (2, 0):
        log.log.info(
            "id={id} delivery taken={taken} via={host} answer={answer}",
            id="Q1",
            taken=taken,
            host="mx.test:587",
            answer=FINE if taken else LATER,
            log_sender="news@shop.test",
            log_recipients=("ada@rcpt.test", "bob@rcpt.test"),
        )

    assert (log.recent.totals.delivered, log.recent.totals.accepted) == (1, 0)
    row = log.recent.newest(2)[1]
    assert (row.queued, row.sender, row.count, row.via) == (True, "news@shop.test", 2, "mx.test:587")


def test_messages_and_addresses_are_bounded() -> None:
    log = Log(Recent(messages=5, addresses=10))
    for number in range(20):
        log.message(f"A{number}", FINE)
    assert len(log.recent.newest(100)) == 5

    log.message("B", FINE, *(f"{n}@rcpt.test" for n in range(9)))
    assert [row.id for row in log.recent.newest(100)] == ["B", "A19"]

    log.message("C", FINE, *(f"{n}@rcpt.test" for n in range(50)))
    assert [row.id for row in log.recent.newest(100)] == ["C"], "the newest stays, whatever it has"

    for number in range(MOST_FAULTS + 5):
        log.message(f"F{number}", FAULTY, via="-")
    assert len(log.recent.faults(10_000)) == MOST_FAULTS


def test_a_message_is_found_by_id_sender_and_any_recipient_without_case() -> None:
    log = Log()
    log.message("A1", FINE, "ada@rcpt.test", "Bob@Rcpt.test")
    log.message("B2", FINE, "eve@else.test")

    def ids(words: str) -> list[str]:
        return [row.id for row in log.recent.find(words, 10)]

    assert ids("a1") == ["A1"]
    assert ids("bob@rcpt") == ["A1"]
    assert ids("NEWS@shop.test") == ["B2", "A1"]
    assert ids("nobody") == []
    assert len(log.recent.find("news", 1)) == 1


def test_other_events_and_events_without_a_format_change_nothing() -> None:
    log = Log()
    log.log.info("upstream={upstream} connected", upstream="main")
    log.recent({"log_time": 1.0})

    assert log.recent.totals == Recent().totals


def test_times_fall_into_classes_that_cover_every_verdict() -> None:
    log = Log()
    for seconds in (0.0, BOUNDS[0], 0.3, 1e9):
        log.came("A1", "ada@rcpt.test")
        log.judged("A1", FINE, seconds=seconds)

    times = log.recent.totals.times
    assert (times[0], times[-1], sum(times)) == (2, 1, 4)
