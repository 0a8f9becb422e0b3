"""What waits is committed together, and what is wrong fails alone."""

import errno
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpbridge.store.commits import GroupCommit, Transaction
from smtpbridge.store.database import Database
from smtpbridge.store.errors import CommitFailed, StoreError


class Gate:
    """Counts commits, and can stop the thread before one or make one fail."""

    def __init__(self) -> None:
        self.commits = 0
        self.reached = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()
        self.fault: Exception | None = None

    def __call__(self, step: str) -> None:
        if step != "commit":
            return
        self.commits += 1
        self.reached.set()
        assert self.may_go.wait(30)
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def commits(folder: Path, gate: Gate) -> Iterator[GroupCommit]:
    made = GroupCommit(Database(folder, 0.05), gate)
    yield made
    gate.may_go.set()
    made.close()


def write(name: str) -> "Write":
    return Write(name)


class Write:
    """A request that leaves an answer of its own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, transaction: Transaction) -> str:
        transaction.connection.execute("INSERT INTO answer VALUES (?, '', 0)", (self.name.encode(),))
        return self.name


def names(transaction: Transaction) -> set[str]:
    return {name.decode() for (name,) in transaction.connection.execute("SELECT key FROM answer")}


def fail(transaction: Transaction) -> None:
    transaction.connection.execute("INSERT INTO answer VALUES (X'00', '', 0)")
    raise LookupError("of its own")


def break_down(_transaction: Transaction) -> None:
    raise sqlite3.OperationalError("disk I/O error")


def test_what_waits_while_one_commit_is_made_is_committed_together(commits: GroupCommit, gate: Gate) -> None:
    gate.may_go.clear()
    first = commits.submit(write("first"))
    assert gate.reached.wait(30)
    waiting = [commits.submit(write(str(serial))) for serial in range(100)]
    assert not first.done()
    gate.may_go.set()

    assert [future.result(30) for future in waiting] == [str(serial) for serial in range(100)]
    assert gate.commits == 2


def test_a_request_that_is_wrong_by_itself_fails_alone(commits: GroupCommit, gate: Gate) -> None:
    gate.may_go.clear()
    commits.submit(write("first"))
    assert gate.reached.wait(30)
    good, bad, twice, better = (commits.submit(work) for work in (write("a"), fail, write("a"), write("b")))
    gate.may_go.set()

    assert (good.result(30), better.result(30)) == ("a", "b")
    with pytest.raises(LookupError):
        bad.result(30)
    with pytest.raises(StoreError, match="UNIQUE"):
        twice.result(30)
    assert commits.submit(names).result(30) == {"first", "a", "b"}


@pytest.mark.parametrize("fault", [OSError(errno.EIO, "fsync"), sqlite3.OperationalError("full"), RuntimeError("odd")])
def test_a_commit_that_fails_fails_everybody_in_it_and_nobody_after_it(
    commits: GroupCommit, gate: Gate, fault: Exception
) -> None:
    gate.may_go.clear()
    commits.submit(write("first"))
    assert gate.reached.wait(30)
    lost = [commits.submit(write("a")), commits.submit(write("b"))]
    gate.reached.clear()
    gate.may_go.set()
    assert gate.reached.wait(30)
    for future in lost:
        future.exception(30)
    gate.fault = fault
    alone = commits.submit(write("c"))

    with pytest.raises(CommitFailed) as caught:
        alone.result(30)
    assert caught.value.cause is fault
    assert commits.submit(names).result(30) == {"first", "a", "b"}


def test_a_fault_of_the_database_fails_the_whole_group(commits: GroupCommit, gate: Gate) -> None:
    gate.may_go.clear()
    commits.submit(write("first"))
    assert gate.reached.wait(30)
    group = [commits.submit(work) for work in (write("a"), break_down, write("b"))]
    gate.may_go.set()

    faults = [future.exception(30) for future in group]

    assert [type(fault) for fault in faults] == [StoreError] * 3
    assert len({id(fault) for fault in faults}) == 3
    assert commits.submit(names).result(30) == {"first"}


def test_a_fault_gives_the_database_back_even_when_somebody_still_holds_a_statement(commits: GroupCommit) -> None:
    held: list[sqlite3.Cursor] = []

    def break_down_while_reading(transaction: Transaction) -> None:
        write("a")(transaction)
        held.append(transaction.connection.execute("SELECT 1 UNION SELECT 2"))
        raise sqlite3.OperationalError("disk I/O error")

    assert isinstance(commits.submit(break_down_while_reading).exception(30), StoreError)
    assert commits.submit(write("b")).result(30) == "b"
    assert commits.submit(names).result(30) == {"b"}
    held.clear()


def test_a_request_that_is_cancelled_in_time_is_not_done(commits: GroupCommit, gate: Gate) -> None:
    gate.may_go.clear()
    commits.submit(write("first"))
    assert gate.reached.wait(30)
    assert commits.submit(write("a")).cancel()
    gate.may_go.set()

    assert commits.submit(names).result(30) == {"first"}


def test_what_is_to_be_done_after_the_commit_is_not_done_before_it_nor_without_it(
    commits: GroupCommit, gate: Gate
) -> None:
    done: list[str] = []

    def act(transaction: Transaction) -> list[str]:
        transaction.after_commit.append(lambda: done.append("acted"))
        return list(done)

    def act_and_fail(transaction: Transaction) -> None:
        act(transaction)
        fail(transaction)

    assert commits.submit(act).result(30) == []
    assert done == ["acted"]
    assert isinstance(commits.submit(act_and_fail).exception(30), LookupError)
    gate.fault = OSError(errno.EIO, "fsync")
    assert isinstance(commits.submit(act).exception(30), CommitFailed)
    assert done == ["acted"]
