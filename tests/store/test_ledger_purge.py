"""What is too old or too much goes from the oldest on, in small steps, and undelivered events go last."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpbridge.store.ledger import LedgerPurged, Standing
from smtpbridge.store.ledger_sqlite import SqliteLedger
from tests.store.ledger_samples import FOREVER, deliver, entry, listed, opened, outgoing, purged, token
from tests.store.samples import NOW

HEAVY = b"x" * 4_000


@pytest.fixture
def ledger(folder: Path) -> Iterator[SqliteLedger]:
    made = opened(folder)
    yield made
    made.close()


def entries(ledger: SqliteLedger, number: int) -> list[int]:
    """Return the serials of those of the first entries that are there."""
    return [serial for serial in range(number) if ledger.find(token(serial), "ann@example.net") is not None]


def octets_for(ledger: SqliteLedger, events: int) -> int:
    """Return a limit that makes about that many heavy events too much."""
    return ledger.counts().used - events * len(HEAVY)


def test_what_came_before_the_time_goes_and_the_rest_stays(ledger: SqliteLedger) -> None:
    for serial in range(5):
        ledger.enter(entry(serial, NOW + serial, ("ann@example.net", "bob@example.net")))
    ledger.add([outgoing(serial) for serial in range(5)])
    deliver(ledger, most=1)

    assert purged(ledger, before=NOW + 2) == LedgerPurged(entries=2, events=2, undelivered=1)
    assert (entries(ledger, 5), listed(ledger)) == ([2, 3, 4], ["2", "3", "4"])
    assert (ledger.counts().entries, ledger.counts().oldest_entry) == (3, NOW + 2)


def test_everything_may_go_and_new_things_may_come(ledger: SqliteLedger) -> None:
    ledger.enter(entry(1))
    ledger.add([outgoing(1)])
    purged(ledger, before=NOW + 999)
    ledger.enter(entry(1))
    ledger.add([outgoing(1)])

    assert (ledger.counts().entries, listed(ledger)) == (1, ["1"])
    assert deliver(ledger)


def test_a_notice_is_never_purged(ledger: SqliteLedger) -> None:
    ledger.take_in(HEAVY, NOW)

    assert purged(ledger, before=NOW + 999, max_bytes=0) == LedgerPurged()
    assert len(ledger.notices(9)) == 1


def test_one_step_is_small_and_says_whether_there_is_more(ledger: SqliteLedger) -> None:
    for serial in range(450):
        ledger.writer.enter(entry(serial))
    ledger.add([outgoing(serial, at=NOW) for serial in range(450)])

    steps = [ledger.purge(NOW + 1, FOREVER) for _ in range(4)]

    assert [(step.entries, step.events, step.more) for step in steps] == [
        (200, 200, True),
        (200, 200, True),
        (50, 50, True),
        (0, 0, False),
    ]


def test_nothing_goes_while_there_is_room(ledger: SqliteLedger) -> None:
    ledger.enter(entry(1))
    ledger.add([outgoing(1)])

    assert ledger.purge(NOW, ledger.counts().used) == LedgerPurged()


def test_what_is_too_much_goes_until_it_fits(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(serial, octets=HEAVY) for serial in range(1_000)])
    deliver(ledger, most=1_000)
    limit = octets_for(ledger, 500)

    removed = purged(ledger, max_bytes=limit)

    assert 400 <= removed.events <= 800
    assert ledger.counts().used <= limit
    assert listed(ledger) == [str(serial) for serial in range(removed.events, 1_000)]


def test_entries_and_events_reach_back_about_as_far(ledger: SqliteLedger) -> None:
    for serial in range(1_000):
        ledger.writer.enter(entry(serial, NOW + serial))
    ledger.add([outgoing(serial, octets=HEAVY) for serial in range(1_000)])
    deliver(ledger, most=1_000)

    removed = purged(ledger, max_bytes=octets_for(ledger, 500))

    assert removed.events >= 400
    assert abs(removed.entries - removed.events) <= 200


def test_delivered_events_go_before_those_that_were_given_up_and_those_before_what_is_on_its_way(
    ledger: SqliteLedger,
) -> None:
    kinds = ("waiting", "sending", "dead", "delivered")
    for number, kind in enumerate(kinds):
        ledger.add(
            [outgoing(1_000 * number + serial, octets=HEAVY, targets=("all", kind), type=kind) for serial in range(400)]
        )
    deliver(ledger, "all", 1_600)
    deliver(ledger, "delivered", 400)
    for kind in ("sending", "dead"):
        batch = ledger.form_batch(kind, 400, NOW)
        assert batch is not None
        if kind == "dead":
            ledger.dead(batch.id, "410 gone")
    left = []
    for _ in range(7):
        step = purged(ledger, max_bytes=octets_for(ledger, 150))
        left.append(tuple(len(listed(ledger, type=kind)) for kind in kinds))
        assert step.undelivered == (0 if left[-1][:3] == (400, 400, 400) else step.events)

    assert left == [
        (400, 400, 400, 200),
        (400, 400, 400, 0),
        (400, 400, 200, 0),
        (400, 400, 0, 0),
        (200, 400, 0, 0),
        (0, 400, 0, 0),
        (0, 200, 0, 0),
    ]
    batch = ledger.due("sending", NOW)
    assert batch is not None
    assert len(batch.events) == 200


def test_an_event_that_no_target_wanted_counts_as_delivered(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(1), outgoing(2, targets=())])
    purged(ledger, max_bytes=0)
    ledger.add([outgoing(3), outgoing(4, targets=())])

    step = ledger.purge(0, 0)

    assert (step.events, step.undelivered, listed(ledger)) == (1, 0, ["3"])


def test_delivered_events_are_found_behind_many_that_are_not(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(serial, octets=b"") for serial in range(5_000)])
    ledger.add([outgoing(serial, octets=HEAVY, targets=("other",)) for serial in range(5_000, 5_300)])
    deliver(ledger, "other")

    removed = purged(ledger, max_bytes=octets_for(ledger, 150))

    assert (removed.events, removed.undelivered) == (200, 0)
    assert listed(ledger, target="other") == [str(serial) for serial in range(5_200, 5_300)]


def test_an_event_that_was_delivered_behind_the_search_is_found_by_the_next_one(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(serial, octets=HEAVY) for serial in range(200)])
    ledger.add([outgoing(serial, octets=HEAVY, targets=("other",)) for serial in range(200, 600)])
    deliver(ledger, "other", 400)
    assert purged(ledger, max_bytes=octets_for(ledger, 150)).events == 200
    deliver(ledger, "one")

    purged(ledger, max_bytes=octets_for(ledger, 150))

    assert (listed(ledger, target="one"), len(listed(ledger, target="other"))) == ([], 200)


def test_a_batch_without_events_is_gone(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(serial) for serial in range(4)])
    delivered = deliver(ledger, most=1)
    dead, open_ = ledger.form_batch("one", 1, NOW), ledger.form_batch("one", 2, NOW)
    assert dead is not None
    assert open_ is not None
    ledger.dead(dead.id, "410 gone")
    assert ledger.show("0").deliveries[0].batch == delivered

    purged(ledger, before=NOW + 3)

    assert (ledger.dead_list(), listed(ledger, standing=Standing.SENDING)) == ((), ["3"])
    assert [kept.batch for kept in ledger.show("3").deliveries] == [open_.id]
    purged(ledger, before=NOW + 4)
    assert ledger.due("one", NOW) is None
    assert not ledger.delivered(open_.id)


def test_what_is_free_is_used_again_before_the_file_grows(ledger: SqliteLedger, folder: Path) -> None:
    for round_ in range(5):
        ledger.add([outgoing(1_000 * round_ + serial, octets=HEAVY) for serial in range(500)])
        deliver(ledger, most=500)
        purged(ledger, max_bytes=500 * len(HEAVY))
    ledger.close()

    assert (folder / "ledger.db").stat().st_size < 1_500 * len(HEAVY)
