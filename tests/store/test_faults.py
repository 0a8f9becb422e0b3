"""A disk that fails, is full or goes away: the caller hears of it, nothing is left behind, work goes on after it."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from smtpbridge.store.database import DATABASE
from smtpbridge.store.errors import StoreBusy, StoreError
from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import Body, Purged
from tests.store.samples import NOW, ids, largest_file, long, octets, opened, parcel, short

ROOT = Path(__file__).resolve().parents[2]
BODIES = [short, long]
# A file system in memory, where there is one.
OTHER_DISK = Path("/dev/shm")


class Faults:
    """A fault at one step, once."""

    def __init__(self) -> None:
        self.at = ""

    def __call__(self, step: str) -> None:
        if step == self.at:
            self.at = ""
            raise OSError(errno.EIO, f"at {step}")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("bodies/*"))


@pytest.mark.parametrize("step", ["body-write", "body-fsync", "body-rename", "dir-fsync", "commit"])
def test_a_fault_at_any_step_is_told_and_leaves_nothing_that_would_be_delivered(folder: Path, step: str) -> None:
    faults = Faults()
    store = opened(folder, steps=faults)
    store.put([parcel(message_id="before")], long(), NOW)
    faults.at = step

    with pytest.raises(StoreError, match=step) as caught:
        store.put([parcel(message_id="lost")], long(), NOW)

    assert isinstance(caught.value.cause, OSError)
    assert store.purge(NOW).files == (1 if step == "commit" else 0)
    store.put([parcel(message_id="after")], long(), NOW)
    assert [kept.parcel.message_id for kept in store.claim(NOW, 9, NOW + 60, "me")] == ["before", "after"]
    assert len(files(folder)) == 2
    store.close()
    again = opened(folder)
    assert [kept.parcel.message_id for kept in again.list()] == ["before", "after"]
    again.close()


@pytest.mark.parametrize("make", BODIES)
def test_a_locked_database_is_waited_for_and_then_said_to_be_busy(store: SqliteStore, folder: Path, make: type) -> None:
    other = sqlite3.connect(folder / DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreBusy, match="locked"):
        store.put([parcel()], make(), NOW)
    assert list(store.list()) == []

    other.execute("ROLLBACK")
    other.close()
    assert len(store.put([parcel()], make(), NOW)) == 1
    assert store.counts().depth == 1
    assert len(files(folder)) == (make is long)


def test_a_writer_that_is_stuck_makes_the_others_busy_and_not_stuck(folder: Path) -> None:
    reached, may_go = threading.Event(), threading.Event()

    def stop(step: str) -> None:
        if step == "commit":
            reached.set()
            assert may_go.wait(30)

    stuck, other = opened(folder, steps=stop), opened(folder, new_id=ids("b"))
    waiting = stuck.writer.put([parcel()], short(), NOW)
    assert reached.wait(30)

    with pytest.raises(StoreBusy, match="another process"):
        other.put([parcel()], short(), NOW)

    may_go.set()
    waiting.result(30)
    other.put([parcel()], short(), NOW)
    assert other.counts().depth == 2
    stuck.close()
    other.close()


@pytest.mark.parametrize("make", BODIES)
def test_a_folder_that_is_moved_away_takes_nothing_and_goes_on_when_it_is_back(
    store: SqliteStore, folder: Path, make: type
) -> None:
    (before,) = store.put([parcel(message_id="before")], make(), NOW)
    assert store.counts().depth == 1
    away = folder.with_name("away")
    folder.rename(away)

    for _ in range(2):
        with pytest.raises(StoreError):
            store.put([parcel(message_id="lost")], make(), NOW)
        with pytest.raises(StoreError):
            store.counts()
        with pytest.raises(StoreError):
            store.body(before)
    assert not folder.exists()

    away.rename(folder)
    store.put([parcel(message_id="after")], make(), NOW)
    assert [kept.parcel.message_id for kept in store.list()] == ["before", "after"]
    assert len(octets(store, before)) == make().size


@pytest.mark.parametrize("make", BODIES)
def test_a_folder_that_is_removed_is_not_made_anew_but_an_empty_one_is_taken(
    store: SqliteStore, folder: Path, make: type
) -> None:
    store.put([parcel(message_id="before")], make(), NOW)
    shutil.rmtree(folder)

    with pytest.raises(StoreError):
        store.put([parcel(message_id="lost")], make(), NOW)
    assert not folder.exists()

    folder.mkdir()
    (kept_id,) = store.put([parcel(message_id="after")], make(), NOW)
    assert [kept.parcel.message_id for kept in store.list()] == ["after"]
    assert len(octets(store, kept_id)) == make().size


@pytest.mark.skipif(not OTHER_DISK.is_dir(), reason="the system has no such second file system")
def test_an_empty_folder_on_another_file_system_is_not_taken_for_the_store(tmp_path: Path) -> None:
    other = Path(tempfile.mkdtemp(dir=OTHER_DISK))
    try:
        if other.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("both are on one file system")
        place, real = tmp_path / "place", tmp_path / "real"
        real.mkdir()
        place.symlink_to(real)
        store = opened(place)
        store.put([parcel(message_id="before")], short(), NOW)
        place.unlink()
        place.symlink_to(other)

        with pytest.raises(StoreError, match="another file system"):
            store.put([parcel(message_id="lost")], short(), NOW)

        place.unlink()
        place.symlink_to(real)
        store.put([parcel(message_id="after")], short(), NOW)
        assert [kept.parcel.message_id for kept in store.list()] == ["before", "after"]
        store.close()
    finally:
        shutil.rmtree(other)


def test_a_commit_into_a_database_that_has_just_vanished_is_not_confirmed(folder: Path) -> None:
    away = folder.with_name("away")

    def vanish(step: str) -> None:
        if step == "commit" and not away.exists():
            folder.rename(away)

    store = opened(folder, steps=vanish)

    with pytest.raises(StoreError, match="vanished"):
        store.put([parcel()], short(), NOW)

    away.rename(folder)
    assert store.counts().depth == 0
    store.close()


def test_a_full_disk_refuses_long_bodies_and_leaves_none_of_them(store: SqliteStore, folder: Path) -> None:
    with largest_file(200), pytest.raises(StoreError) as caught:
        store.put([parcel()], long(), NOW)

    assert isinstance(caught.value.cause, OSError)
    assert files(folder) == []
    assert len(store.put([parcel()], long(), NOW)) == 1


def test_a_full_disk_refuses_what_it_cannot_hold_and_keeps_what_was_confirmed(store: SqliteStore, folder: Path) -> None:
    confirmed: list[str] = []
    header = b"X" * 20_000
    with largest_file(1_000_000):
        faults = []
        for _ in range(200):
            try:
                confirmed += store.put([parcel(header=header)], short(), NOW)
            except StoreError as fault:
                faults.append(fault)
    assert {type(fault.cause) for fault in faults} == {sqlite3.OperationalError}

    assert len(confirmed) > 10
    assert [kept.id for kept in store.list()] == confirmed
    confirmed += store.put([parcel(header=header)], short(), NOW)
    store.close()
    again = opened(folder)
    assert [kept.id for kept in again.list()] == confirmed
    again.close()


def test_a_body_whose_file_is_gone_is_an_error_and_not_an_empty_body(store: SqliteStore, folder: Path) -> None:
    (kept_id,) = store.put([parcel()], long(), NOW)
    (path,) = folder.glob("bodies/*")
    reader = store.body(kept_id)
    os.truncate(path, 200)

    with pytest.raises(StoreError, match="ends after 200"):
        reader.read(200)
    reader.close()
    path.unlink()
    with pytest.raises(StoreError, match="No such file"):
        store.body(kept_id)


def test_files_that_a_crash_left_are_removed_and_those_that_are_being_put_are_not(folder: Path) -> None:
    other = opened(folder)
    found: list[Purged] = []

    def purge(step: str) -> None:
        if step in ("body-fsync", "dir-fsync"):
            found.append(other.purge(NOW))

    store = opened(folder, steps=purge, new_id=iter(["a", "b"]).__next__)
    store.put([parcel()], long(), NOW)
    for name in ("lost", "lost.part"):
        (folder / "bodies" / name).write_bytes(b"x")
    (kept_id,) = store.put([parcel()], long(), NOW)

    assert [purged.files for purged in found] == [0, 0, 2, 0]
    assert (files(folder), len(octets(store, kept_id))) == (["a", "b"], 300)
    other.close()
    store.close()


READ_ONLY = """
import os, sys
from pathlib import Path
from smtpbridge.store.errors import StoreError
from smtpbridge.store.sqlite import SqliteStore
from tests.store.samples import NOW, long, opened, parcel, short
folder = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
store = opened(folder)
store.put([parcel()], long(), NOW)

def refused(action, *arguments):
    try:
        action(*arguments)
    except StoreError as error:
        return type(error.cause).__name__
    return "not refused"

(folder / "bodies").chmod(0o500)
print(refused(store.put, [parcel()], long(), NOW), flush=True)
(folder / "bodies").chmod(0o700)
store.put([parcel()], long(), NOW)
store.close()
for path in (folder / "queue.sqlite3", folder):
    path.chmod(path.stat().st_mode & 0o555)
print(refused(opened, folder), flush=True)
for path in (folder, folder / "queue.sqlite3"):
    path.chmod(path.stat().st_mode | 0o200)
store = opened(folder)
print(store.counts().depth, flush=True)
store.close()
"""


def test_a_folder_that_is_read_only_is_refused_and_taken_when_it_is_not() -> None:
    # Not below tmp_path: that is closed to everybody but the user who runs the tests, and root may write anywhere.
    base = Path(tempfile.mkdtemp())
    try:
        base.chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, base / "state"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    finally:
        shutil.rmtree(base)

    assert (done.stdout.split("\n"), done.stderr) == (["PermissionError", "OperationalError", "2", ""], "")


def test_a_body_of_the_wrong_length_leaves_no_file(store: SqliteStore, folder: Path) -> None:
    with pytest.raises(StoreError):
        store.put([parcel()], Body(500, [b"x" * 499]), NOW)

    assert files(folder) == []
