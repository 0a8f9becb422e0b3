"""Promises of `smtpbridge.sandbox.folder`."""

import json
from pathlib import Path

import pytest

from smtpbridge.sandbox.folder import Folder, StoredMessage


def message(folder: Folder, sequence: int) -> StoredMessage:
    return StoredMessage(
        id="id-1",
        sequence=sequence,
        connection=2,
        received_at=1_700_000_000.5,
        mail_from="",
        rcpt_to=("a@example.com", "b@example.com"),
        user="App",
        tls=True,
        size=5,
        warnings=("one",),
        header=b"",
        path=folder.place_of(sequence, "id-1"),
    )


def test_a_message_and_its_envelope_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new" / "mail")
    draft = folder.begin()
    draft.write(b"one\r\n")
    folder.keep(draft, message(folder, 7))
    draft.discard()
    kept = sorted((tmp_path / "new" / "mail").iterdir())

    assert [(path.name, path.stat().st_mode & 0o777) for path in kept] == [
        ("000007-id-1.eml", 0o600),
        ("000007-id-1.json", 0o600),
    ]
    assert kept[0].read_bytes() == b"one\r\n"
    assert json.loads(kept[1].read_text(encoding="utf-8")) == {
        "id": "id-1",
        "sequence": 7,
        "connection": 2,
        "received_at": "2023-11-14T22:13:20.500000+00:00",
        "mail_from": "",
        "rcpt_to": ["a@example.com", "b@example.com"],
        "user": "App",
        "tls": True,
        "size": 5,
        "warnings": ["one"],
    }


def test_a_draft_does_not_look_like_a_message_and_leaves_nothing_when_discarded(tmp_path: Path) -> None:
    draft = Folder(tmp_path).begin()
    draft.write(b"half of it")
    growing = [path.name for path in tmp_path.iterdir()]
    draft.discard()
    draft.discard()

    assert [name.startswith(".") and name.endswith(".part") for name in growing] == [True]
    assert list(tmp_path.iterdir()) == []


def test_discarding_what_was_kept_removes_nothing_not_even_a_new_file_of_the_old_name(tmp_path: Path) -> None:
    draft = Folder(tmp_path).begin()
    (growing,) = tmp_path.iterdir()
    draft.keep(tmp_path / "kept")
    growing.touch()
    draft.discard()

    assert sorted(tmp_path.iterdir()) == sorted([growing, tmp_path / "kept"])


def test_the_numbers_go_on_where_an_earlier_run_ended(tmp_path: Path) -> None:
    for name in ("000009-a.eml", "000010-b.eml", "mine.eml", "000011-c.json"):
        (tmp_path / name).touch()

    assert Folder(tmp_path).last_sequence() == 10
    assert Folder(tmp_path / "empty").last_sequence() == 0


def test_an_envelope_that_cannot_be_kept_keeps_the_message_back_and_leaves_no_draft(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    draft = folder.begin()
    (tmp_path / "000001-id-1.json").mkdir()
    with pytest.raises(OSError, match="id-1"):
        folder.keep(draft, message(folder, 1))
    draft.discard()

    assert [path.name for path in tmp_path.iterdir()] == ["000001-id-1.json"]
