"""What is put into the store comes out of it, in the right order, and only as long as it is owed."""

import sqlite3
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from smtpbridge.store import rows
from smtpbridge.store.database import DATABASE
from smtpbridge.store.errors import NotKept, StoreClosed, StoreError
from smtpbridge.store.interface import Store
from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import Attempt, Body, Counts, Filter, Kept, Purged, State
from tests.store.samples import ATTEMPT, NOW, SHORT, long, octets, opened, parcel, short


def served(store: SqliteStore, limit: int, now: float = NOW) -> list[str]:
    return [kept.parcel.message_id for kept in store.claim(now, limit, now + 60, "me")]


def test_it_is_a_store(store: SqliteStore) -> None:
    promised: Store = store

    assert promised.counts() == Counts(0, 0, None, 0)


def test_a_parcel_comes_back_as_it_was(store: SqliteStore) -> None:
    given = parcel(header=b"Subject: \xff\r\n", eight_bit=True, priority=0, certain=False, last_reply="451 käme \udcff")
    (kept_id,) = store.put([given], short(), NOW + 1)

    kept = store.show(kept_id)

    assert kept == Kept(
        id=kept_id,
        parcel=parcel(
            header=b"Subject: \xff\r\n", eight_bit=True, priority=0, certain=False, last_reply="451 käme \\udcff"
        ),
        state=State.QUEUED,
        attempts=0,
        next_attempt=NOW,
        created_at=NOW + 1,
        owner="",
        interruptions=0,
        history=(),
        body_size=len(SHORT),
    )


def test_the_parcels_of_a_message_share_its_body_until_the_last_is_done(store: SqliteStore, folder: Path) -> None:
    one, two = store.put([parcel(), parcel()], long(), NOW)

    assert octets(store, one) == octets(store, two) == b"x" * 300
    assert store.done(one)
    assert octets(store, two) == b"x" * 300
    assert store.counts() == Counts(1, 0, NOW, 300)
    assert store.done(two)
    assert store.counts() == Counts(0, 0, None, 0)
    assert list((folder / "bodies").iterdir()) == []


def test_a_body_can_be_read_to_its_end_after_its_parcel_is_done(store: SqliteStore) -> None:
    (kept_id,) = store.put([parcel()], long(), NOW)
    reader = store.body(kept_id)
    store.done(kept_id)

    assert (reader.read(0), reader.read(299), reader.read(300)) == (b"x" * 300, b"x", b"")
    reader.close()
    with pytest.raises(StoreError):
        reader.read(0)


@pytest.mark.parametrize("size", [0, 1, 100, 101, 65_536, 65_537, 200_000])
def test_a_body_of_any_size_comes_back_octet_for_octet(store: SqliteStore, size: int) -> None:
    given = (bytes(range(256)) * 800)[:size]
    (kept_id,) = store.put([parcel()], Body(size, (given[: size // 3], given[size // 3 :])), NOW)

    assert octets(store, kept_id) == given


@pytest.mark.parametrize("announced", [7, 9, 101, 301])
def test_a_body_that_is_not_as_long_as_announced_is_refused(store: SqliteStore, folder: Path, announced: int) -> None:
    with pytest.raises(StoreError, match=f"{announced} were announced"):
        store.put([parcel()], Body(announced, [SHORT]), NOW)

    assert store.counts().depth == 0
    assert list(folder.glob("bodies/*")) == []


def test_a_body_whose_blocks_cannot_be_read_is_refused_with_the_cause(store: SqliteStore) -> None:
    fault = ValueError("read of a closed file")

    class Broken:
        def __iter__(self) -> "Broken":
            return self

        def __next__(self) -> bytes:
            raise fault

    for size in (8, 800):
        with pytest.raises(StoreError) as caught:
            store.put([parcel()], Body(size, Broken()), NOW)
        assert caught.value.cause is fault


def test_an_id_that_exists_already_is_refused_and_the_rest_of_its_put_with_it(folder: Path) -> None:
    given = iter(["a", "b", "a", "c"])
    store = opened(folder, new_id=lambda: next(given))
    store.put([parcel()], short(), NOW)

    with pytest.raises(StoreError) as caught:
        store.put([parcel(), parcel()], short(), NOW)

    assert isinstance(caught.value.cause, sqlite3.IntegrityError)
    assert [kept.id for kept in store.list()] == ["a"]
    assert store.put([parcel()], short(), NOW) == ("c",)
    store.close()


@pytest.mark.parametrize("recipients", [(), ("",), ("a@example.net\nb@example.net",)])
def test_a_parcel_without_proper_recipients_cannot_be_made(recipients: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="recipients"):
        parcel(recipients=recipients)


def test_a_put_without_parcels_is_a_mistake_of_the_caller(store: SqliteStore) -> None:
    with pytest.raises(ValueError, match="parcel"):
        store.put([], short(), NOW)


def test_nothing_is_due_before_its_time(store: SqliteStore) -> None:
    store.put([parcel(not_before=NOW + 10)], short(), NOW)

    assert store.claim(NOW + 9.9, 10, NOW + 60, "me") == ()
    assert len(store.claim(NOW + 10, 10, NOW + 60, "me")) == 1


def test_what_is_leased_is_for_nobody_else_until_the_lease_runs_out(store: SqliteStore) -> None:
    store.put([parcel()], short(), NOW)

    (first,) = store.claim(NOW, 10, NOW + 60, "one")
    assert (first.state, first.owner, first.next_attempt, first.interruptions) == (State.LEASED, "one", NOW + 60, 0)
    assert store.claim(NOW + 59, 10, NOW + 90, "two") == ()
    assert store.renew("one", NOW + 80) == 1
    assert store.claim(NOW + 79, 10, NOW + 90, "two") == ()

    (second,) = store.claim(NOW + 80, 10, NOW + 140, "two")
    assert (second.owner, second.interruptions, second.parcel.certain) == ("two", 1, True)
    assert store.renew("one", NOW + 200) == 0


def test_priority_comes_before_age(store: SqliteStore) -> None:
    for serial, priority in enumerate((1, 0, 1, 0)):
        store.put([parcel(message_id=str(serial), priority=priority)], short(), NOW)

    assert served(store, 3) == ["1", "3", "0"]


def test_sources_take_turns_within_a_claim(store: SqliteStore) -> None:
    for source in "aaaabbc":
        store.put([parcel(message_id=source, source=source)], short(), NOW)

    assert served(store, 7) == list("abcabaa")


def test_sources_take_turns_from_one_claim_to_the_next(store: SqliteStore) -> None:
    for source in "aaaaaabbc":
        store.put([parcel(message_id=source, source=source)], short(), NOW)

    assert [served(store, 1)[0] for _ in range(9)] == list("abcabaaaa")


def test_within_a_source_the_one_that_has_been_due_for_longest_is_first(store: SqliteStore) -> None:
    for serial, not_before in enumerate((5.0, 3.0, 3.0, 4.0)):
        store.put([parcel(message_id=str(serial), not_before=NOW + not_before)], short(), NOW)

    assert served(store, 4, NOW + 5) == ["1", "2", "3", "0"]


def test_parcels_for_an_upstream_that_is_down_are_left_alone(store: SqliteStore) -> None:
    for upstream in ("main", "other", "main"):
        store.put([parcel(message_id=upstream, upstream=upstream)], short(), NOW)

    assert [kept.parcel.message_id for kept in store.claim(NOW, 9, NOW + 60, "me", without={"main"})] == ["other"]
    assert served(store, 9) == ["main", "main"]


def test_an_attempt_is_written_down_and_ends_the_lease(store: SqliteStore) -> None:
    (kept_id,) = store.put([parcel()], short(), NOW)
    store.claim(NOW, 1, NOW + 60, "me")

    assert store.retry(kept_id, "me", NOW + 30, ["bob@example.net"], ATTEMPT)

    kept = store.show(kept_id)
    assert kept.parcel == parcel(recipients=("bob@example.net",), last_reply="451 4.3.0 not now")
    assert (kept.state, kept.attempts, kept.next_attempt, kept.history) == (State.QUEUED, 1, NOW + 30, (ATTEMPT,))
    assert store.claim(NOW + 29, 1, NOW + 60, "me") == ()
    (again,) = store.claim(NOW + 30, 1, NOW + 60, "me")
    assert again.interruptions == 0


def test_an_attempt_that_may_have_been_taken_is_never_forgotten(store: SqliteStore) -> None:
    (kept_id,) = store.put([parcel()], short(), NOW)
    everybody = parcel().recipients

    store.retry(kept_id, "me", NOW, everybody, ATTEMPT, certain=False)
    store.retry(kept_id, "me", NOW, everybody, ATTEMPT, certain=True)

    assert not store.show(kept_id).parcel.certain


def test_the_newest_attempts_are_told_and_all_are_counted(store: SqliteStore) -> None:
    (kept_id,) = store.put([parcel()], short(), NOW)
    attempts = [Attempt(NOW + serial, "host", "mail", f"450 \udcff{serial}") for serial in range(40)]
    for attempt in attempts:
        store.retry(kept_id, "me", NOW, parcel().recipients, attempt)

    kept = store.show(kept_id)

    assert (kept.attempts, kept.history) == (40, tuple(attempts[10:]))


def test_recipients_that_are_done_never_come_back(store: SqliteStore) -> None:
    (kept_id,) = store.put([parcel()], short(), NOW)
    store.retry(kept_id, "me", NOW, ["bob@example.net"], ATTEMPT)

    assert store.retry(kept_id, "late", NOW, ["ann@example.net", "bob@example.net"], ATTEMPT)
    assert store.show(kept_id).parcel.recipients == ("bob@example.net",)
    assert not store.retry(kept_id, "late", NOW, ["ann@example.net"], ATTEMPT)
    with pytest.raises(NotKept):
        store.show(kept_id)


def test_who_has_lost_its_lease_does_not_end_that_of_another(store: SqliteStore) -> None:
    (kept_id,) = store.put([parcel()], short(), NOW)
    store.claim(NOW, 1, NOW + 10, "slow")
    store.claim(NOW + 10, 1, NOW + 70, "quick")

    assert store.retry(kept_id, "slow", NOW + 11, ["bob@example.net"], ATTEMPT)

    kept = store.show(kept_id)
    assert (kept.owner, kept.next_attempt, kept.parcel.recipients) == ("quick", NOW + 70, ("bob@example.net",))


def test_a_parcel_that_is_held_lies_until_it_is_released(store: SqliteStore) -> None:
    (kept_id,) = store.put([parcel(not_before=NOW + 500)], short(), NOW)

    assert store.hold(kept_id)
    assert store.claim(NOW + 1000, 1, NOW + 1060, "me") == ()
    assert (store.show(kept_id).state, store.counts().held) == (State.HELD, 1)
    assert store.release(kept_id, NOW + 7)
    assert store.show(kept_id).next_attempt == NOW + 7
    assert served(store, 1, NOW + 7) == ["0001"]


def test_a_hold_outlives_the_attempt_that_is_being_made(store: SqliteStore) -> None:
    (kept_id,) = store.put([parcel()], short(), NOW)
    store.claim(NOW, 1, NOW + 60, "me")
    store.hold(kept_id)
    store.retry(kept_id, "me", NOW + 5, parcel().recipients, ATTEMPT)

    assert store.claim(NOW + 500, 1, NOW + 560, "me") == ()


def test_a_release_does_not_end_a_lease(store: SqliteStore) -> None:
    (kept_id,) = store.put([parcel()], short(), NOW)
    store.claim(NOW, 1, NOW + 60, "me")
    store.release(kept_id, NOW + 1)

    assert store.claim(NOW + 2, 1, NOW + 62, "other") == ()


def test_what_is_not_there_is_said_to_be_not_there(store: SqliteStore) -> None:
    assert not store.done("x")
    assert not store.give_up("x")
    assert not store.hold("x")
    assert not store.release("x", NOW)
    assert not store.retry("x", "me", NOW, ["ann@example.net"], ATTEMPT)
    for question in (store.show, store.body):
        with pytest.raises(NotKept, match="x"):
            question("x")


def test_an_answer_is_recalled_until_its_time(store: SqliteStore) -> None:
    store.remember(b"\x00\xff", "250 2.0.0 first", NOW + 10)
    store.remember(b"\x00\xff", "250 2.0.0 second", NOW + 20)

    assert store.recall(b"\x00\xff", NOW + 19) == "250 2.0.0 second"
    assert store.recall(b"\x00\xff", NOW + 20) is None
    assert store.recall(b"\x00", NOW) is None
    assert store.purge(NOW + 19) == Purged(0, 0, 0)
    assert store.purge(NOW + 20) == Purged(1, 0, 0)


FILTERS = [
    (Filter(), "0123"),
    (Filter(upstream="other"), "1"),
    (Filter(source="shop"), "013"),
    (Filter(source="shop", upstream="main"), "03"),
    (Filter(message_id="2"), "2"),
    (Filter(original_sender=""), "3"),
    (Filter(original_sender="SHOP@example.com"), "012"),
    (Filter(recipient="Carl@Example.net"), "2"),
    (Filter(recipient="arl@example.net"), ""),
    (Filter(state=State.HELD), "1"),
    (Filter(state=State.LEASED), "0"),
    (Filter(state=State.QUEUED), "23"),
]


@pytest.mark.parametrize(("wanted", "expected"), FILTERS)
def test_a_listing_has_what_is_asked_for_oldest_first(store: SqliteStore, wanted: Filter, expected: str) -> None:
    store.put([parcel(message_id="0")], short(), NOW)
    store.claim(NOW, 1, NOW + 60, "me")
    (held,) = store.put([parcel(message_id="1", upstream="other")], short(), NOW)
    store.put([parcel(message_id="2", source="x", recipients=("a@b.example", "carl@example.net"))], short(), NOW)
    store.put([parcel(message_id="3", original_sender="")], short(), NOW)
    store.hold(held)

    assert "".join(kept.parcel.message_id for kept in store.list(wanted)) == expected


def test_a_closed_store_refuses_everything(store: SqliteStore) -> None:
    store.close()

    for size in (8, 800):
        with pytest.raises(StoreClosed):
            store.put([parcel()], Body.of(b"x" * size), NOW)
    with pytest.raises(StoreClosed):
        store.counts()
    with pytest.raises(StoreClosed):
        store.claim(NOW, 1, NOW, "me")
    with pytest.raises(StoreClosed):
        store.writer.recall(b"", NOW).result()
    store.close()


def test_closing_finishes_what_was_asked_before(folder: Path) -> None:
    store = opened(folder)
    asked = [store.writer.put([parcel()], body, NOW) for body in (short(), long(), short(), long())]
    store.close()

    again = opened(folder)
    assert {kept.id for kept in again.list()} == {future.result()[0] for future in asked}
    again.close()


def test_many_long_bodies_can_be_put_at_a_time(store: SqliteStore) -> None:
    fills = [bytes([65 + serial]) for serial in range(20)]
    asked = [store.writer.put([parcel()], long(fill=fill), NOW) for fill in fills]

    assert [octets(store, future.result()[0]) for future in asked] == [fill * 300 for fill in fills]


def test_the_writer_answers_like_the_store(store: SqliteStore) -> None:
    writer = store.writer
    one, two = writer.put([parcel(), parcel()], short(), NOW).result()
    claimed = writer.claim(NOW, 1, NOW + 60, "me")
    renewed = writer.renew("me", NOW + 70)
    held = writer.hold(two)
    released = writer.release(two, NOW)
    retried = writer.retry(one, "me", NOW, ["bob@example.net"], ATTEMPT)
    remembered = writer.remember(b"k", "250 2.0.0 OK", NOW + 1)
    done = writer.done(one)
    given_up = writer.give_up(two)
    purged = writer.purge(NOW)

    assert [kept.id for kept in claimed.result()] == [one]
    assert (renewed.result(), remembered.result(), purged.result()) == (1, None, Purged(0, 0, 0))
    assert all(future.result() for future in (held, released, retried, done, given_up))
    assert writer.recall(b"k", NOW).result() == "250 2.0.0 OK"


def test_the_folder_and_what_is_in_it_are_for_nobody_else(store: SqliteStore, folder: Path) -> None:
    store.put([parcel()], long(), NOW)

    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (folder / DATABASE).exists()


def test_a_hundred_thousand_parcels_are_claimed_by_index_and_listed_in_flat_memory(folder: Path) -> None:
    store = opened(folder)
    crowd = [parcel(source=f"s{serial % 50}", header=b"X" * 200) for serial in range(2_000)]
    for _ in range(50):
        store.put(crowd, short(), NOW)
    store.close()

    again = opened(folder)
    assert Counter(kept.parcel.source for kept in again.claim(NOW, 100, NOW + 60, "me")) == {
        f"s{serial}": 2 for serial in range(50)
    }
    tracemalloc.start()
    try:
        listed = sum(1 for _ in again.list())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (listed, again.counts().depth) == (100_000, 100_000)
    # A parcel takes about a kilobyte in Python; what counts is that it is not a hundred megabytes.
    assert peak < 4_000_000
    again.close()


def test_no_claim_reads_the_whole_table(store: SqliteStore, folder: Path) -> None:
    statements: list[str] = []
    connection = sqlite3.connect(folder / DATABASE)
    connection.set_trace_callback(statements.append)
    store.put([parcel(), parcel(source="x")], short(), NOW)

    due = rows.Turns().due(connection, NOW, 10, ())
    rows.lease(connection, due, "me", NOW + 60)
    rows.renew(connection, "me", NOW + 70)
    asked = [statement for statement in statements if statement.split()[0] in ("SELECT", "UPDATE")]
    plans = [
        step for statement in asked for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    ]
    connection.close()

    assert len(due) == 2
    assert len(plans) >= len(asked) > 5
    assert [step for step in plans if "SCAN" in step or "TEMP B-TREE" in step] == []
