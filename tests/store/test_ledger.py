"""What is entered is found, what is told is kept until it is events, and events reach each target in stable batches."""

import errno
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from smtpbridge.store import ledger_batches, ledger_entries, ledger_events
from smtpbridge.store.errors import CommitFailed, NotKept, SchemaTooNew, StoreClosed, StoreError
from smtpbridge.store.ledger import (
    Batch,
    Copy,
    DeadBatch,
    Delivery,
    Entry,
    EventFilter,
    Found,
    Kept,
    Ledger,
    LedgerCounts,
    LedgerWriter,
    Notice,
    Standing,
    TargetCounts,
)
from smtpbridge.store.ledger_schema import LEDGER
from smtpbridge.store.ledger_sqlite import SqliteLedger
from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import Body
from tests.store.ledger_samples import deliver, entry, listed, opened, outgoing, token
from tests.store.samples import NOW, largest_file, parcel


@pytest.fixture
def ledger(folder: Path) -> Iterator[SqliteLedger]:
    made = opened(folder)
    yield made
    made.close()


def test_it_is_a_ledger(ledger: SqliteLedger) -> None:
    is_one: Ledger = ledger
    has_one: LedgerWriter = ledger.writer

    assert is_one.counts().events == 0
    assert has_one is ledger.writer


def test_an_entry_is_found_by_token_and_recipient(ledger: SqliteLedger) -> None:
    ledger.enter(entry(1))
    both = (Copy("ann@example.net", b"\x00\xff"), Copy("bob@example.net", b""))
    ledger.enter(Entry(token(2), NOW + 0.25, b"\xff\x00", both))

    assert ledger.find(token(2), "ann@example.net") == Found(NOW + 0.25, b"\xff\x00", b"\x00\xff")
    assert ledger.find(token(2), "bob@example.net") == Found(NOW + 0.25, b"\xff\x00", b"")
    assert ledger.find(token(1), "ann@example.net") == Found(NOW, b"common 1", b"own of ann@example.net")


def test_an_unknown_token_and_an_unknown_recipient_are_told_apart(ledger: SqliteLedger) -> None:
    ledger.enter(entry(1))

    assert ledger.find(token(2), "ann@example.net") is None
    assert ledger.find(b"", "ann@example.net") is None
    assert ledger.find(token(1), "nobody@example.net") == Found(NOW, b"common 1", None)


def test_a_message_may_have_a_thousand_recipients(ledger: SqliteLedger) -> None:
    recipients = tuple(f"customer.{serial}@example.net" for serial in range(1_000))
    ledger.enter(entry(1, recipients=recipients))

    assert all(ledger.find(token(1), one) == Found(NOW, b"common 1", b"own of " + one.encode()) for one in recipients)


def test_a_token_that_is_there_already_is_refused_and_the_first_one_stays(ledger: SqliteLedger) -> None:
    ledger.enter(entry(1))

    with pytest.raises(StoreError, match="UNIQUE"):
        ledger.enter(Entry(token(1), NOW, b"another", (Copy("bob@example.net", b""),)))
    assert ledger.find(token(1), "bob@example.net") == Found(NOW, b"common 1", None)
    ledger.enter(entry(2))
    assert ledger.counts().entries == 2


def test_notices_wait_in_the_order_of_their_coming(ledger: SqliteLedger) -> None:
    given = [ledger.take_in(b"notice %d" % serial, NOW - serial) for serial in range(5)]

    notices = tuple(Notice(notice_id, b"notice %d" % at, NOW - at) for at, notice_id in enumerate(given))
    assert given == sorted(set(given))
    assert ledger.notices(9) == notices
    assert ledger.notices(2) == notices[:2]
    assert ledger.notices(2, after=given[1]) == notices[2:4]


def test_an_id_of_a_notice_is_never_given_again(ledger: SqliteLedger, folder: Path) -> None:
    first = ledger.take_in(b"first", NOW)
    ledger.translated(first, ())
    ledger.close()
    again = opened(folder)
    second = again.take_in(b"second", NOW)
    again.translated(first, ())

    assert [notice.octets for notice in again.notices(9)] == [b"second"]
    assert second > first
    again.close()


def test_events_come_in_the_place_of_their_notice(ledger: SqliteLedger) -> None:
    one, two = ledger.take_in(b"one", NOW), ledger.take_in(b"two", NOW)

    ledger.translated(one, [outgoing(1), outgoing(2)])

    assert [notice.id for notice in ledger.notices(9)] == [two]
    assert listed(ledger) == ["1", "2"]


def test_events_and_the_end_of_their_notice_are_durable_together_or_not_at_all(folder: Path) -> None:
    faults: list[Exception] = []

    def step(name: str) -> None:
        if name == "commit" and faults:
            raise faults.pop()

    ledger = opened(folder, steps=step)
    notice = ledger.take_in(b"one", NOW)
    faults.append(OSError(errno.EIO, "fsync"))

    with pytest.raises(CommitFailed):
        ledger.translated(notice, [outgoing(1)])
    assert (len(ledger.notices(9)), listed(ledger)) == (1, [])
    ledger.translated(notice, [outgoing(1)])
    assert (len(ledger.notices(9)), listed(ledger)) == (0, ["1"])
    ledger.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda writer: writer.enter(Entry(token(9), NOW, b"x" * 500_000, ())),
        lambda writer: writer.take_in(b"x" * 500_000, NOW),
        lambda writer: writer.translated(1, [outgoing(9, octets=b"x" * 500_000)]),
        lambda writer: writer.add([outgoing(9, octets=b"x" * 500_000)]),
    ],
)
def test_a_full_disk_is_told_and_nothing_changes_and_work_goes_on_after_it(
    ledger: SqliteLedger, change: Callable[[LedgerWriter], Future[Any]]
) -> None:
    assert ledger.take_in(b"one", NOW) == 1
    before = ledger.counts()

    with largest_file(300_000), pytest.raises(StoreError, match="cannot be written"):
        change(ledger.writer).result()

    assert ledger.counts() == before
    assert [notice.octets for notice in ledger.notices(9)] == [b"one"]
    change(ledger.writer).result()
    assert ledger.counts() != before


def test_what_is_translated_twice_is_an_event_once(ledger: SqliteLedger) -> None:
    notice = ledger.take_in(b"one", NOW)
    ledger.translated(notice, [outgoing(1), outgoing(1, octets=b"the same again")])
    ledger.translated(notice, [outgoing(1), outgoing(2)])
    deliver(ledger)
    ledger.add([outgoing(1, targets=("one", "other"))])

    assert [(kept.id, kept.octets) for kept in ledger.list()] == [("1", b'{"event": 1}'), ("2", b'{"event": 2}')]
    assert (ledger.waiting("one"), ledger.waiting("other")) == ((0, None), (0, None))


def test_a_batch_has_what_waited_for_longest(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(serial) for serial in range(5)])

    one = ledger.form_batch("one", 3, NOW)
    two = ledger.form_batch("one", 3, NOW + 1)

    assert one == Batch("batch-000000000000", "one", 0, (b'{"event": 0}', b'{"event": 1}', b'{"event": 2}'), NOW)
    assert two == Batch("batch-000000000001", "one", 0, (b'{"event": 3}', b'{"event": 4}'), NOW + 1)
    assert ledger.form_batch("one", 3, NOW) is None


def test_each_target_gets_what_is_meant_for_it_whatever_becomes_of_the_others(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(1, targets=("one", "two")), outgoing(2, targets=("two",)), outgoing(3, targets=())])
    deliver(ledger, "one")
    batch = ledger.form_batch("two", 350, NOW)

    assert batch is not None
    assert batch.events == (b'{"event": 1}', b'{"event": 2}')
    assert ledger.form_batch("three", 350, NOW) is None
    assert ledger.show("3").deliveries == ()


def test_a_target_that_is_named_twice_gets_an_event_once(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(1, targets=("one", "one"))])

    assert ledger.waiting("one") == (1, NOW + 1)


def test_waiting_tells_how_many_are_in_no_batch_and_since_when(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(serial) for serial in range(5)])
    assert ledger.waiting("one") == (5, NOW)
    ledger.form_batch("one", 2, NOW)

    assert ledger.waiting("one") == (3, NOW + 2)
    assert ledger.waiting("nobody") == (0, None)


def test_a_batch_is_due_with_the_same_id_and_events_until_it_is_settled(ledger: SqliteLedger, folder: Path) -> None:
    ledger.add([outgoing(1), outgoing(2)])
    formed = ledger.form_batch("one", 350, NOW)
    assert formed is not None
    ledger.add([outgoing(3)])
    ledger.close()
    again = opened(folder, new_id=lambda: "another")

    assert again.due("one", NOW) == formed
    assert again.retry(formed.id, NOW + 60, "503 later")
    assert again.due("one", NOW + 59) is None
    assert again.due("one", NOW + 60) == Batch(formed.id, "one", 1, formed.events, NOW)
    assert again.due("two", NOW + 60) is None
    assert again.delivered(formed.id)
    assert again.due("one", NOW + 999) is None
    again.close()


def test_of_several_batches_the_one_whose_time_came_first_is_due(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(serial) for serial in range(3)])
    ids = [batch.id for _ in range(3) if (batch := ledger.form_batch("one", 1, NOW))]
    for batch_id, wait in zip(ids, (30, 10, 20), strict=True):
        ledger.retry(batch_id, NOW + wait, "500 no")
    found = []
    while batch := ledger.due("one", NOW + 99):
        found.append(batch.id)
        ledger.delivered(batch.id)

    assert found == [ids[1], ids[2], ids[0]]


def test_a_batch_that_was_given_up_is_kept_with_the_last_answer(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(1), outgoing(2), outgoing(3, targets=("two",))])
    batch, other = ledger.form_batch("one", 350, NOW), ledger.form_batch("two", 350, NOW)
    assert batch is not None
    assert other is not None
    ledger.retry(batch.id, NOW, "500 no")
    assert ledger.dead(batch.id, "410 gone \udcff")
    assert ledger.dead(other.id, "")

    found = DeadBatch(batch.id, "one", 2, 2, NOW, "410 gone \\udcff")
    assert ledger.dead_list("one") == (found,)
    assert ledger.dead_list() == (found, DeadBatch(other.id, "two", 1, 1, NOW, ""))
    assert ledger.due("one", NOW + 999) is None


@pytest.mark.parametrize(
    "settle",
    [
        lambda ledger, batch: ledger.delivered(batch),
        lambda ledger, batch: ledger.retry(batch, NOW, "late"),
        lambda ledger, batch: ledger.dead(batch, "late"),
    ],
)
def test_what_is_settled_or_unknown_is_not_settled_again(
    ledger: SqliteLedger, settle: Callable[[SqliteLedger, str], bool]
) -> None:
    ledger.add([outgoing(1)])
    batch_id = deliver(ledger)

    assert not settle(ledger, batch_id)
    assert not settle(ledger, "unknown")
    assert ledger.show("1").deliveries == (Delivery("one", Standing.DELIVERED, batch_id),)


def test_an_event_shows_how_it_stands_at_each_target(ledger: SqliteLedger) -> None:
    targets = ("waits", "sends", "has", "refuses")
    made = outgoing(1, targets=targets, type="bounce", subaccount="7", recipient="\udcff")
    ledger.add([made])
    ids = {}
    for target in targets[1:]:
        batch = ledger.form_batch(target, 350, NOW)
        assert batch is not None
        ids[target] = batch.id
    ledger.retry(ids["sends"], NOW + 9, "500 no")
    ledger.delivered(ids["has"])
    ledger.dead(ids["refuses"], "410 gone")

    expected = (
        Delivery("waits", Standing.WAITING),
        Delivery("sends", Standing.SENDING, ids["sends"], 1, NOW + 9, "500 no"),
        Delivery("has", Standing.DELIVERED, ids["has"]),
        Delivery("refuses", Standing.DEAD, ids["refuses"], 1, None, "410 gone"),
    )
    assert ledger.show("1") == Kept("1", "bounce", made.octets, NOW + 1, "\\udcff", "7", expected)
    with pytest.raises(NotKept, match="event 2"):
        ledger.show("2")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "0123"),
        ({"since": NOW + 1}, "123"),
        ({"until": NOW + 2}, "01"),
        ({"since": NOW + 1, "until": NOW + 2}, "1"),
        ({"recipient": "Bob@Example.net"}, "1"),
        ({"type": "bounce"}, "2"),
        ({"subaccount": "7"}, "3"),
        ({"target": "two"}, "13"),
        ({"standing": Standing.WAITING}, "13"),
        ({"standing": Standing.DELIVERED}, "0"),
        ({"standing": Standing.DEAD}, "1"),
        ({"standing": Standing.SENDING}, "2"),
        ({"target": "one", "standing": Standing.WAITING}, ""),
        ({"target": "one", "standing": Standing.DEAD}, "1"),
        ({"target": "unknown"}, ""),
        ({"type": "bounce", "since": NOW + 3}, ""),
    ],
)
def test_a_listing_has_what_is_asked_for_oldest_first(
    ledger: SqliteLedger, wanted: dict[str, Any], expected: str
) -> None:
    ledger.add([outgoing(0), outgoing(1, recipient="bob@example.net", targets=("one", "two"))])
    ledger.add([outgoing(2, type="bounce")])
    ledger.add([outgoing(3, subaccount="7", targets=("two",))])
    batches = [batch.id for _ in range(3) if (batch := ledger.form_batch("one", 1, NOW))]
    ledger.delivered(batches[0])
    ledger.dead(batches[1], "410 gone")

    assert listed(ledger, **wanted) == list(expected)


def test_a_listing_of_many_pages_has_each_event_once(ledger: SqliteLedger) -> None:
    # Many of one time: the pages must be cut between them.
    ledger.add([outgoing(serial, at=NOW - serial // 300) for serial in range(1_000)])

    found = listed(ledger)

    assert sorted(found) == sorted(str(serial) for serial in range(1_000))
    assert found[0] == "900"


def test_a_replay_lets_events_wait_again_with_their_own_ids(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(serial, targets=("one", "two")) for serial in range(450)])
    first, second = deliver(ledger, "one", 300), deliver(ledger, "one", 300)

    assert ledger.replay(EventFilter(since=NOW + 200, target="one")) == 250
    assert ledger.waiting("one") == (250, NOW + 200)
    assert ledger.waiting("two") == (450, NOW)
    batch = ledger.form_batch("one", 350, NOW)
    assert batch is not None
    assert batch.id not in (first, second)
    assert batch.events == tuple(b'{"event": %d}' % serial for serial in range(200, 450))


def test_a_replay_leaves_alone_what_waits_or_is_being_sent(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(1), outgoing(2)])
    ledger.form_batch("one", 1, NOW)

    assert ledger.replay(EventFilter()) == 0
    assert ledger.replay(EventFilter(standing=Standing.SENDING)) == 0
    assert (listed(ledger, standing=Standing.SENDING), listed(ledger, standing=Standing.WAITING)) == (["1"], ["2"])


def test_a_replay_of_what_is_dead_leaves_what_was_delivered_and_empties_the_list_of_the_dead(
    ledger: SqliteLedger,
) -> None:
    ledger.add([outgoing(1, targets=("one", "two")), outgoing(2)])
    deliver(ledger, "two")
    batch = ledger.form_batch("one", 350, NOW)
    assert batch is not None
    ledger.dead(batch.id, "410 gone")

    assert ledger.replay(EventFilter(recipient="ann@example.net", until=NOW + 2, standing=Standing.DEAD)) == 1
    assert [dead.events for dead in ledger.dead_list()] == [1]
    assert ledger.replay(EventFilter(standing=Standing.DEAD)) == 1
    assert ledger.dead_list() == ()
    assert (ledger.waiting("one"), ledger.waiting("two")) == ((2, NOW + 1), (0, None))


def test_counts_tell_what_is_kept_and_how_each_target_stands(ledger: SqliteLedger) -> None:
    assert ledger.counts() == LedgerCounts(0, None, 0, None, 0, ledger.counts().used, ())
    empty = ledger.counts().used
    for serial in range(3):
        ledger.enter(entry(serial, NOW + serial))
        ledger.take_in(b"x" * 100_000, NOW + 5 + serial)
    ledger.add([outgoing(serial, targets=("two", "one")) for serial in range(6)])
    dead, _, _ = (ledger.form_batch("one", most, NOW) for most in (1, 2, 1))
    assert dead is not None
    ledger.dead(dead.id, "")
    deliver(ledger, "two")

    counts = ledger.counts()

    one, two = TargetCounts("one", 2, NOW + 1, 3, 1), TargetCounts("two", 0, None, 0, 0)
    assert counts == LedgerCounts(3, NOW, 3, NOW + 5, 6, counts.used, (one, two))
    assert 300_000 < counts.used - empty < 500_000


def test_the_oldest_of_a_target_may_be_in_a_batch_that_is_posted_again(ledger: SqliteLedger) -> None:
    ledger.add([outgoing(1), outgoing(2)])
    batch = ledger.form_batch("one", 2, NOW)
    ledger.add([outgoing(3)])
    assert batch is not None
    ledger.retry(batch.id, NOW + 60, "500")

    assert [one.oldest_at for one in ledger.counts().targets] == [NOW + 1]
    assert ledger.waiting("one") == (1, NOW + 3)

    ledger.delivered(batch.id)

    assert [one.oldest_at for one in ledger.counts().targets] == [NOW + 3]


def test_the_writer_answers_like_the_ledger(ledger: SqliteLedger) -> None:
    writer = ledger.writer
    entered, notice = writer.enter(entry(1)), writer.take_in(b"one", NOW).result()
    translated = writer.translated(notice, [outgoing(1)])
    added = writer.add([outgoing(2)])
    one, two = writer.form_batch("one", 1, NOW).result(), writer.form_batch("one", 1, NOW).result()
    assert one is not None
    assert two is not None
    answers = [writer.retry(one.id, NOW, "500 no"), writer.delivered(one.id), writer.dead(two.id, "410 gone")]
    purged = writer.purge(NOW + 1.5, 2**40)

    assert (entered.result(), translated.result(), added.result()) == (None, None, None)
    assert all(answer.result() for answer in answers)
    assert (purged.result().entries, purged.result().events) == (1, 1)


def test_what_one_process_writes_another_one_reads(ledger: SqliteLedger, folder: Path) -> None:
    other = opened(folder, new_id=lambda: "other")
    ledger.enter(entry(1))
    assert other.find(token(1), "ann@example.net") is not None
    other.enter(entry(2))
    other.add([outgoing(1)])

    assert ledger.find(token(2), "ann@example.net") is not None
    assert deliver(ledger) == "batch-000000000000"
    assert other.waiting("one") == (0, None)
    other.close()


def test_queue_and_ledger_share_a_folder_and_neither_waits_for_the_other(folder: Path) -> None:
    kept = []

    def step(name: str) -> None:
        if name == "commit":
            kept.append(store.put([parcel()], Body.of(b"x"), NOW))

    store, ledger = SqliteStore(folder, lambda: "1", busy_seconds=0.05), opened(folder, steps=step)

    ledger.enter(entry(1))

    assert (kept, store.counts().depth) == ([("1",)], 1)
    ledger.close()
    store.close()


def test_a_closed_ledger_refuses_everything_and_has_finished_what_was_asked(folder: Path) -> None:
    ledger = opened(folder)
    asked = [ledger.writer.enter(entry(serial)) for serial in range(300)]
    ledger.close()

    assert all(future.done() and future.exception() is None for future in asked)
    with pytest.raises(StoreClosed):
        ledger.enter(entry(999))
    with pytest.raises(StoreClosed):
        ledger.find(token(1), "ann@example.net")


def test_a_folder_that_cannot_be_used_is_told_at_the_start(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="the ledger cannot be opened"):
        opened(tmp_path / "file" / "below")
    folder.mkdir()
    with sqlite3.connect(folder / LEDGER.file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaTooNew):
        opened(folder)


def test_the_files_are_for_nobody_else(ledger: SqliteLedger, folder: Path) -> None:
    ledger.enter(entry(1))

    assert {path.name for path in folder.iterdir()} >= {LEDGER.file, LEDGER.lock}
    assert [path for path in folder.iterdir() if path.stat().st_mode & 0o077] == []


def test_nothing_that_is_asked_for_a_message_or_a_batch_reads_a_whole_table(ledger: SqliteLedger, folder: Path) -> None:
    ledger.enter(entry(1))
    statements: list[str] = []
    connection = sqlite3.connect(folder / LEDGER.file)
    connection.set_trace_callback(statements.append)

    ledger_entries.find(connection, token(1), "ann@example.net")
    notice = ledger_entries.take_in(connection, b"one", NOW)
    ledger_entries.notices(connection, 9, 0)
    ledger_events.add(connection, [outgoing(1), outgoing(2)])
    ledger_entries.forget(connection, notice)
    batch = ledger_batches.form(connection, "id", "one", 1, NOW)
    ledger_batches.due(connection, "one", NOW)
    ledger_batches.waiting(connection, "one")
    ledger_batches.retry(connection, "id", NOW, "")
    ledger_batches.delivered(connection, "id")
    rows = [row for _, row in ledger_events.page(connection, EventFilter(since=NOW), ledger_events.START, 9)]
    ledger_events.show(connection, "1")
    ledger_events.replay(connection, rows, EventFilter())
    ledger_events.remove(connection, rows)
    asked = [statement for statement in statements if statement.split()[0] in ("SELECT", "UPDATE", "DELETE")]
    plans = [
        step for statement in asked for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    ]
    connection.close()

    # A subquery is scanned, which is what a search of a table found.
    one_row = {"SCAN tally", "SCAN sqlite_sequence", "SCAN CONSTANT ROW", "SCAN (subquery-1)", "SCAN 2 CONSTANT ROWS"}
    assert batch is not None
    assert len(asked) > 15
    assert [step for step in plans if "SCAN" in step and step not in one_row] == []
