"""`smtpbridge queue`, called as a person calls it, over a real store that is mostly open elsewhere too."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.cli import main
from smtpbridge.commands import queue_text
from smtpbridge.commands.queue_text import amount, span, table
from smtpbridge.store.database import DATABASE
from smtpbridge.store.errors import NotKept
from smtpbridge.store.sqlite import SqliteStore
from smtpbridge.store.values import Attempt, Body, Filter, Kept, State
from tests.overheard import EVERYTHING
from tests.store.samples import opened, parcel

BODY = b"Hello.\r\n..\r\n..hidden\r\n.. \r\n"
Call = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the store, which a configuration beside it names."""
    (tmp_path / "smtpbridge.toml").write_text(
        # The rest of a file does not matter, whatever is wrong with it.
        '[store]\npath = "state"\n[upstream.main]\npassword_file = "/nowhere/secret"\n'
    )
    return tmp_path / "state"


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    """Return an empty store that stays open, as a daemon would keep it."""
    made = opened(folder)
    yield made
    made.close()


@pytest.fixture
def call(folder: Path) -> Call:
    """Return a caller of `smtpbridge queue COMMAND --config FILE …`."""

    def called(command: str, *args: str | Path, typed: str | None = None, color: bool = False) -> Result:
        config = str(folder.parent / "smtpbridge.toml")
        line = ["queue", command, "--config", config, *map(str, args)]
        result = CliRunner().invoke(main, line, input=typed, color=color)
        EVERYTHING.said(result.output)
        return result

    return called


def put(store: SqliteStore, body: bytes = BODY, **differing: Any) -> str:
    """Keep a parcel that came a minute ago and lives for another hour."""
    now = time.time()
    given = {"not_before": now + 600, "expires_at": now + 3600, **differing}
    (kept_id,) = store.put([parcel(**given)], Body.of(body), now - 60)
    return kept_id


def listed(call: Call, *args: str) -> list[dict[str, Any]]:
    result = call("list", "--json", *args)
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def ids(call: Call, *args: str) -> list[str]:
    return [one["id"] for one in listed(call, *args)]


def attempted(store: SqliteStore, kept_id: str, *, certain: bool = True, said: str = "451 4.3.0 not now") -> None:
    """Let an attempt fail for both recipients, a moment ago."""
    now = time.time()
    remaining = store.show(kept_id).parcel.recipients
    attempt = Attempt(now - 5, "smtp.example.net:587", "recipients", said)
    store.retry(kept_id, "daemon", now + 300, remaining, attempt, certain)


# list


def test_a_line_of_json_has_the_keys_of_the_contract_and_what_they_promise(store: SqliteStore, call: Call) -> None:
    kept_id = put(store, source="10.0.0.1", priority=0)
    attempted(store, kept_id)

    (one,) = listed(call)
    contract = ("id", "sender", "recipients", "state", "attempts", "next_attempt", "last_reply")
    assert tuple(one)[: len(contract)] == contract
    kept = store.show(kept_id)
    assert one == {
        "id": kept_id,
        "sender": "shop@example.com",
        "recipients": ["ann@example.net", "bob@example.net"],
        "state": "queued",
        "attempts": 1,
        "next_attempt": kept.next_attempt,
        "last_reply": "451 4.3.0 not now",
        "message_id": "0001",
        "upstream": "main",
        "mail_from": "bounces@example.com",
        "source": "10.0.0.1",
        "transactional": True,
        "certain": True,
        "created_at": kept.created_at,
        "expires_at": kept.parcel.expires_at,
        "size": len(b"Subject: one\r\n") + 2 + len(BODY),
    }


def test_the_oldest_comes_first_and_each_state_shows(store: SqliteStore, call: Call) -> None:
    queued, held, leased = put(store), put(store), put(store, not_before=0.0)
    store.hold(held)
    store.claim(time.time(), 1, time.time() + 900, "daemon")

    assert [(one["id"], one["state"]) for one in listed(call)] == [
        (queued, "queued"),
        (held, "held"),
        (leased, "leased"),
    ]


@pytest.mark.parametrize(
    "args",
    [
        ("--sender", "Wanted@example.com"),
        ("--sender", "<wanted@example.com>"),
        ("--recipient", "wanted@example.net"),
        ("--state", "held"),
        ("--upstream", "other"),
        ("--message-id", "0002"),
        ("--source", "wanted"),
        ("--state", "held", "--upstream", "other"),
    ],
)
def test_each_filter_leaves_what_it_names(store: SqliteStore, call: Call, args: tuple[str, ...]) -> None:
    put(store)
    wanted = put(
        store,
        original_sender="wanted@example.com",
        recipients=("ann@example.net", "Wanted@example.net"),
        upstream="other",
        message_id="0002",
        source="wanted",
    )
    store.hold(wanted)

    assert ids(call, *args) == [wanted]


@pytest.mark.parametrize("null", ["", "<>"])
def test_the_null_sender_can_be_asked_for(store: SqliteStore, call: Call, null: str) -> None:
    put(store)
    wanted = put(store, original_sender="")

    assert ids(call, "--sender", null) == [wanted]


def test_the_list_for_people_tells_who_waits_why_and_for_how_long(store: SqliteStore, call: Call) -> None:
    first = put(store, recipients=tuple(f"r{number}@example.net" for number in range(9)))
    attempted(store, first, certain=False)
    store.hold(put(store))

    lines = call("list").stdout.splitlines()

    head, row, to, said, caution, row_2, to_2, totals = lines
    assert head.split() == ["ID", "State", "Size", "Age", "Tries", "Next", "Sender"]
    assert row.split() == [first, "queued", str(16 + len(BODY)), "1m", "1", "4m", "<shop@example.com>"]
    assert to.strip() == "to <r0@example.net>, <r1@example.net>, <r2@example.net>, 6 more"
    assert said.strip() == "451 4.3.0 not now"
    assert caution.strip() == "an attempt may have been taken: sent again, it may arrive twice"
    assert row_2.split()[1:] == ["held", str(16 + len(BODY)), "1m", "0", "-", "<shop@example.com>"]
    assert to_2.strip() == "to <ann@example.net>, <bob@example.net>"
    octets = 2 * (16 + len(BODY))
    assert totals == f"-- 2 parcels, 11 recipients, {octets} B, 1 held, 1 perhaps taken already, oldest 1m"


def test_an_empty_queue_and_a_filter_that_finds_nothing_are_told_apart(store: SqliteStore, call: Call) -> None:
    assert call("list").stdout == "The queue is empty.\n"
    assert call("list", "--state", "held").stdout == "Nothing in the queue matches.\n"
    assert listed(call) == []


def test_colours_are_for_a_terminal_that_wants_them(store: SqliteStore, call: Call, folder: Path) -> None:
    store.hold(put(store))

    assert "\x1b[33mheld" in call("list", color=True).stdout
    assert "\x1b" not in call("list").stdout
    line = ["queue", "list", "--config", str(folder.parent / "smtpbridge.toml")]
    assert "\x1b" not in CliRunner(env={"NO_COLOR": "1"}).invoke(main, line, color=True).stdout


def test_what_strangers_wrote_moves_no_cursor(store: SqliteStore, call: Call) -> None:
    kept_id = put(
        store, header=b"Subject: \x1b[2J\x07 \xff\r\n\tfolded\r\n", source="\x1b]0;x\x07", last_reply="550 \x1b[1m"
    )
    attempted(store, kept_id, said="451 \x1b[31m\udcff")

    for result in (call("list"), call("show", kept_id), call("drop", kept_id, typed="n\n")):
        assert result.exit_code in (0, 1)
        assert all(line.isprintable() for line in result.output.splitlines())
    assert "\\x1b[31m" in call("show", kept_id).stdout


@given(st.binary(max_size=80), st.text(max_size=40))
def test_any_octets_of_a_header_and_any_reply_can_be_shown(header: bytes, reply: str) -> None:
    kept = replace(KEPT, parcel=parcel(header=header, last_reply=reply))

    for line in (*queue_text.full(kept, 0.0), *table([kept], 0.0, filtered=False)):
        assert line.replace("\x1b", "").isprintable()


KEPT = Kept("1", parcel(), State.QUEUED, 0, 0.0, 0.0, "", 0, (), 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (86_399, "23h"), (864_000, "10d")],
)
def test_a_span_is_told_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 "),
        (999, "999 "),
        (1000, "1.0 k"),
        (99_949, "99.9 k"),
        (123_456, "123 k"),
        (999_600, "1.0 M"),
        (10**16, "10000 T"),
    ],
)
def test_octets_are_told_in_thousands(octets: int, text: str) -> None:
    assert amount(octets) == text


# show


def test_a_parcel_is_shown_with_envelope_attempts_and_header(store: SqliteStore, call: Call) -> None:
    kept_id = put(store, header=b"Subject: one\r\n  folded\r\n", priority=0, eight_bit=True)
    attempted(store, kept_id, said="450 4.2.1 mailbox busy")
    attempted(store, kept_id, certain=False, said="451 4.4.2 lost")

    shown = call("show", kept_id)

    assert shown.exit_code == 0
    lines = [line.strip() for line in shown.stdout.splitlines()]
    for fact in (
        f"Parcel      {kept_id}",
        "Message     0001",
        "Sender      <shop@example.com>",
        "MAIL FROM   <bounces@example.com>",
        "Recipients  <ann@example.net>",
        "<bob@example.net>",
        "Upstream    main",
        "Source      shop, transactional",
        "Attempts    2",
        "Subject: one",
        "folded",
    ):
        assert fact in lines
    assert "State       queued, next attempt in 4m, at " in shown.stdout
    assert "Caution     an attempt may have been taken" in shown.stdout
    first, second = (line for line in lines if "smtp.example.net:587" in line)
    assert first.endswith("smtp.example.net:587, recipients: 450 4.2.1 mailbox busy")
    assert second.endswith("451 4.4.2 lost")


def test_an_interrupted_attempt_makes_a_parcel_uncertain(store: SqliteStore, call: Call) -> None:
    kept_id = put(store, not_before=0.0)
    for end in (1.0, 2.0):
        store.claim(end, 1, end, f"daemon that dies at {end}")

    assert listed(call)[0]["certain"] is False
    shown = call("show", kept_id).stdout
    assert "due again: the process that was sending it is gone" in shown
    assert "0, 1 more interrupted by a crash" in shown


def test_a_message_id_shows_all_parcels_of_the_message(store: SqliteStore, call: Call) -> None:
    one, other = put(store), put(store)
    put(store, message_id="0002")

    shown = [line for line in call("show", "0001").stdout.splitlines() if line.startswith("Parcel ")]
    assert [line.split()[1] for line in shown] == [one, other]


# retry, hold, drop


def test_retry_makes_parcels_due_now_and_lifts_a_hold(store: SqliteStore, call: Call) -> None:
    queued, held, other = put(store), put(store), put(store)
    store.hold(held)

    result = call("retry", queued, held)

    assert (result.exit_code, result.stdout) == (0, "2 parcels due now; a running daemon looks every few seconds.\n")
    due = store.claim(time.time(), 10, time.time() + 900, "daemon")
    assert {kept.id for kept in due} == {queued, held}
    assert store.show(other).state is State.QUEUED


def test_retry_says_what_an_operator_might_not_expect(store: SqliteStore, call: Call) -> None:
    put(store, not_before=0.0, source="a")
    store.claim(time.time(), 1, time.time() + 900, "daemon")
    put(store, certain=False)
    put(store, expires_at=time.time() - 1)

    assert call("retry", "--all").stdout.splitlines() == [
        "2 parcels due now; a running daemon looks every few seconds.",
        "1 parcel being sent already.",
        "1 parcel may have been taken already, and may arrive twice.",
        "1 parcel past the lifetime: given up and reported, not sent.",
    ]


def test_hold_keeps_parcels_from_being_sent_until_they_are_released(store: SqliteStore, call: Call) -> None:
    for number in range(1200):
        put(store, not_before=0.0, message_id=str(number))

    assert call("hold", "--all").stdout == "1,200 parcels held.\n"
    assert store.counts().held == 1200
    assert store.claim(time.time(), 10, time.time() + 900, "daemon") == ()
    assert call("retry", "7").stdout.startswith("1 parcel due now")
    assert [kept.parcel.message_id for kept in store.claim(time.time(), 10, time.time() + 900, "daemon")] == ["7"]


def test_drop_names_what_is_lost_and_asks(store: SqliteStore, call: Call) -> None:
    kept_id, other = put(store), put(store)

    refused = call("drop", kept_id, typed="n\n")
    assert refused.exit_code == 1
    assert f"{kept_id}  <shop@example.com> to <ann@example.net>, <bob@example.net>" in refused.stdout
    assert call("drop", kept_id, typed="").exit_code == 1
    assert store.show(kept_id).id == kept_id

    assert call("drop", kept_id, typed="y\n").stdout.endswith("1 parcel dropped.\n")
    with pytest.raises(NotKept):
        store.show(kept_id)
    assert call("drop", "--yes", other).exit_code == 0
    assert list(store.list()) == []


def test_drop_says_that_an_attempt_which_is_being_made_goes_on(store: SqliteStore, call: Call) -> None:
    kept_id = put(store, not_before=0.0)
    store.claim(time.time(), 1, time.time() + 900, "daemon")

    said = call("drop", "--yes", kept_id).stdout
    assert "being sent right now: it may still arrive" in said
    assert "1 parcel being sent right now: that attempt goes on." in said


@pytest.mark.parametrize("command", ["show", "retry", "hold", "drop", "export"])
def test_an_unknown_id_is_an_error_and_nothing_is_changed(store: SqliteStore, call: Call, command: str) -> None:
    kept_id = put(store)
    before = store.show(kept_id)
    known = [kept_id] if command in ("retry", "hold", "drop") else []

    result = call(command, *known, "nobody\x1b", *(["--yes"] if command == "drop" else []))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: nothing is kept as nobody\\x1b\n"
    assert store.show(kept_id) == before


@pytest.mark.parametrize("command", ["retry", "hold"])
@pytest.mark.parametrize("args", [(), ("--all", "1")])
def test_neither_ids_nor_all_or_both_are_a_wrong_call(call: Call, command: str, args: tuple[str, ...]) -> None:
    assert call(command, *args).exit_code == 2


# export


@pytest.mark.parametrize("body", [BODY, b"", b"..\r\n", b"x" * 70 + b"\r\n" + b"..y\r\n" * 40_000])
def test_an_exported_message_is_header_and_body_without_doubled_dots(
    store: SqliteStore, call: Call, tmp_path: Path, body: bytes
) -> None:
    kept_id = put(store, body, header=b"Subject: one\r\n.dotted: field\r\n")
    expected = b"Subject: one\r\n.dotted: field\r\n\r\n" + b"".join(
        line.removeprefix(b".") for line in body.splitlines(keepends=True)
    )

    assert call("export", kept_id).stdout_bytes == expected
    assert call("export", "0001", "-o", "-").stdout_bytes == expected
    assert call("export", kept_id, "-o", tmp_path / "one.eml").stdout == ""
    assert (tmp_path / "one.eml").read_bytes() == expected
    assert stat.S_IMODE((tmp_path / "one.eml").stat().st_mode) == 0o600
    assert store.show(kept_id).id == kept_id


def test_an_export_overwrites_nothing(store: SqliteStore, call: Call, tmp_path: Path) -> None:
    kept_id = put(store)
    (tmp_path / "one.eml").write_text("precious")

    result = call("export", kept_id, "-o", tmp_path / "one.eml")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "one.eml cannot be written: file exists" in result.stderr
    assert (tmp_path / "one.eml").read_text() == "precious"


def test_a_message_of_several_parcels_is_not_exported_by_its_id(store: SqliteStore, call: Call) -> None:
    one, other = put(store), put(store)

    result = call("export", "0001")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"2 parcels belong to message 0001; name one of them: {one}, {other}" in result.stderr


# The store itself


COMMANDS = [
    ("list",),
    ("list", "--json"),
    ("show", "1"),
    ("retry", "--all"),
    ("hold", "1"),
    ("drop", "1"),
    ("export", "1"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_absent_store_is_an_error_and_is_not_made(call: Call, folder: Path, command: tuple[str, ...]) -> None:
    for is_there in (False, True):
        if is_there:
            folder.mkdir()
        result = call(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"there is no store in {folder}; the daemon makes it" in result.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_is_none_is_an_error(call: Call, folder: Path, command: tuple[str, ...]) -> None:
    folder.mkdir()
    (folder / DATABASE).write_bytes(b"not a database" * 100)

    result = call(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: the store cannot be opened: file is not a database\n"


def test_a_store_that_nobody_may_read_is_an_error(tmp_path: Path) -> None:
    # A name that is too long is refused by the system as a folder without rights is, for root as well.
    (tmp_path / "smtpbridge.toml").write_text(f'[store]\npath = "{"x" * 300}"\n')

    result = CliRunner().invoke(main, ["queue", "list", "--config", str(tmp_path / "smtpbridge.toml")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be read: file name too long" in result.stderr


def test_a_configuration_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "smtpbridge.toml").write_text("[store]\npath = 5\n")

    result = CliRunner().invoke(main, ["queue", "list", "--config", str(tmp_path / "smtpbridge.toml")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "[store] path: 5: write text in quotes" in result.stderr


def test_what_the_command_changes_is_seen_by_a_process_that_has_the_store_open(
    store: SqliteStore, folder: Path
) -> None:
    kept_id = put(store)
    line = [sys.executable, "-c", "from smtpbridge.cli import main; main()", "queue", "hold", kept_id, "--config"]

    done = subprocess.run(
        [*line, str(folder.parent / "smtpbridge.toml")], capture_output=True, text=True, env=os.environ
    )

    EVERYTHING.said(done.stdout + done.stderr)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 parcel held.\n", "")
    assert [kept.id for kept in store.list(Filter(state=State.HELD))] == [kept_id]


def test_help_needs_no_store(call: Call) -> None:
    assert call("list", "--help").exit_code == 0
    assert CliRunner().invoke(main, ["queue", "--help"]).exit_code == 0


def test_the_states_that_can_be_asked_for_are_those_of_the_store(call: Call) -> None:
    shown = call("list", "--help").stdout

    assert f"[{'|'.join(state.value for state in State)}]" in shown.replace("\n", "").replace(" ", "")
