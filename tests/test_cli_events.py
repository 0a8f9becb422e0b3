"""`smtpbridge events`, called as a person calls it, over a real ledger that is open elsewhere too."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.cli import main
from smtpbridge.commands import events_text
from smtpbridge.commands.moments import Moment, shown_moment
from smtpbridge.store.ledger import Delivery, Kept, Standing
from smtpbridge.store.ledger_sqlite import SqliteLedger
from tests.overheard import EVERYTHING
from tests.store.ledger_samples import opened, outgoing

Call = Callable[..., Result]
NOW = 1795154400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the store, which a configuration beside it names."""
    # The rest of a file does not matter, whatever is wrong with it.
    (tmp_path / "smtpbridge.toml").write_text('[store]\npath = "state"\n[events]\nsecret_file = "/nowhere/secret"\n')
    return tmp_path / "state"


@pytest.fixture
def ledger(folder: Path) -> Iterator[SqliteLedger]:
    """Return an empty ledger that stays open, as a daemon would keep it."""
    folder.mkdir()
    made = opened(folder, busy_seconds=5.0)
    yield made
    made.close()


@pytest.fixture
def call(folder: Path) -> Call:
    """Return a caller of `smtpbridge events COMMAND --config FILE …`."""

    def called(command: str, *args: str, typed: str | None = None, color: bool = False) -> Result:
        line = ["events", command, "--config", str(folder.parent / "smtpbridge.toml"), *args]
        result = CliRunner().invoke(main, line, input=typed, color=color)
        EVERYTHING.said(result.output)
        return result

    return called


def put(ledger: SqliteLedger, serial: int, **differing: Any) -> None:
    """Add an event that came some minutes ago, the higher its number the later."""
    ledger.add([outgoing(serial, **{"at": time.time() - 600 + serial, **differing})])


def give_up(ledger: SqliteLedger, target: str, answer: str) -> None:
    batch = ledger.form_batch(target, 350, time.time())
    assert batch is not None
    assert ledger.dead(batch.id, answer)


def ids(call: Call, *args: str) -> list[str]:
    result = call("list", "--json", *args)
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


def test_a_line_of_json_tells_how_an_event_stands_and_what_is_posted_to_the_octet(
    ledger: SqliteLedger, call: Call
) -> None:
    octets = b'{"msys":{"message_event":{"rcpt_meta":{"n":1.10}}}}'
    put(ledger, 1, octets=octets, recipient="ada@customer.example", subaccount="7", targets=("crm", "audit"))
    give_up(ledger, "audit", "HTTP 500")

    (line,) = call("list", "--json").stdout.splitlines()

    told = json.loads(line)
    assert (told["id"], told["type"], told["recipient"], told["subaccount"]) == (
        "1",
        "delivery",
        "ada@customer.example",
        "7",
    )
    assert [(one["target"], one["state"], one["attempts"], one["answer"]) for one in told["deliveries"]] == [
        ("crm", "waiting", 0, ""),
        ("audit", "dead", 1, "HTTP 500"),
    ]
    assert line.endswith(f', "event": {octets.decode()}}}')


def test_the_list_can_be_cut_by_everything_that_is_known_of_an_event(ledger: SqliteLedger, call: Call) -> None:
    put(ledger, 1, at=time.time() - 10_000)
    put(ledger, 2, recipient="ada@customer.example", type="bounce", subaccount="7", targets=("crm",))
    put(ledger, 3)

    assert ids(call) == ["1", "2", "3"]
    assert ids(call, "--since", "2h") == ["2", "3"]
    assert ids(call, "--until", "2h") == ["1"]
    assert ids(call, "--target", "crm") == ["2"]
    assert ids(call, "--recipient", "<Ada@Customer.example>") == ["2"]
    assert ids(call, "--type", "bounce") == ["2"]
    assert ids(call, "--subaccount", "7") == ["2"]
    assert ids(call, "--state", "waiting") == ["1", "2", "3"]
    assert ids(call, "--state", "dead") == []
    assert ids(call, "--limit", "2") == ["1", "2"]


def test_the_table_names_the_worst_state_and_the_targets_that_have_trouble(ledger: SqliteLedger, call: Call) -> None:
    put(ledger, 1, targets=("crm", "audit"))
    give_up(ledger, "audit", "HTTP 500")
    put(ledger, 2, targets=())

    lines = call("list").stdout.splitlines()

    assert lines[1].split()[-2:] == ["dead", "<ann@example.net>"]
    assert [line.strip() for line in lines[2:4]] == ["crm: waiting", "audit: given up after 1 attempt: HTTP 500"]
    assert lines[4].split()[-2:] == ["-", "<ann@example.net>"]
    assert lines[5] == "-- 2 events; deliveries: 1 dead, 1 waiting"


def test_an_empty_list_is_told_from_one_that_was_cut_empty(ledger: SqliteLedger, call: Call) -> None:
    assert call("list").stdout == "There are no events.\n"
    assert call("list", "--type", "click").stdout == "No event matches.\n"


def test_show_has_the_batch_the_answer_and_the_event(ledger: SqliteLedger, call: Call) -> None:
    put(ledger, 5, octets=b'{"msys":{"message_event":{"type":"delivery"}}}')
    batch = ledger.form_batch("one", 350, time.time())
    assert batch is not None
    ledger.retry(batch.id, time.time() + 3000, "HTTP 503 Service Unavailable")

    lines = call("show", "5").stdout.splitlines()

    assert "Targets     one: not taken 1 time, again in 49m: HTTP 503 Service Unavailable" in lines
    assert f"              batch {batch.id}" in lines
    assert '    "message_event": {' in lines
    assert json.loads(call("show", "--json", "5").stdout)["id"] == "5"


def test_an_event_that_is_not_there_is_exit_1(ledger: SqliteLedger, call: Call) -> None:
    result = call("show", "17")

    assert (result.exit_code, result.stderr) == (1, "Error: there is no event 17\n")


def test_replay_lets_what_is_done_with_wait_again_and_asks_before(ledger: SqliteLedger, call: Call) -> None:
    put(ledger, 1)
    put(ledger, 2, targets=("crm",))
    give_up(ledger, "one", "HTTP 500")

    refused = call("replay", "--dead", typed="n\n")
    assert (refused.exit_code, ledger.waiting("one")[0]) == (1, 0)
    assert "Post 1 event again?" in refused.stderr
    result = call("replay", "--dead", "--target", "one", typed="y\n")

    assert result.stdout == "1 delivery waiting again; a running daemon looks every few seconds.\n"
    assert ledger.waiting("one")[0] == 1
    assert ledger.dead_list() == ()


def test_replay_wants_to_know_which(ledger: SqliteLedger, call: Call) -> None:
    put(ledger, 1)

    assert call("replay", "--yes").exit_code == 2
    assert call("replay", "--yes", "--all", "--dead").exit_code == 2
    assert call("replay", "--yes", "--all").stdout.startswith("Nothing to post again")
    assert call("replay", "--target", "nobody").stdout.startswith("Nothing to post again")


def test_the_question_counts_what_will_be_posted_and_no_more(ledger: SqliteLedger, call: Call) -> None:
    put(ledger, 1, targets=("one", "crm"))
    batch = ledger.form_batch("crm", 350, time.time())
    assert batch is not None
    ledger.delivered(batch.id)
    give_up(ledger, "one", "HTTP 500")
    put(ledger, 2, targets=("one", "crm"))

    assert "Post 2 events again?" in call("replay", "--all", typed="n\n").stderr
    assert "Post 1 event again?" in call("replay", "--target", "crm", typed="n\n").stderr
    assert call("replay", "--all", typed="y\n").stdout.startswith("2 deliveries waiting again")


def test_dead_names_batches_with_the_last_answer_and_says_what_to_do(ledger: SqliteLedger, call: Call) -> None:
    for serial in (1, 2):
        put(ledger, serial, targets=("crm", "audit"))
    give_up(ledger, "crm", "HTTP 410 Gone")
    give_up(ledger, "audit", "no route to host")

    lines = call("dead").stdout.splitlines()
    (told,) = [json.loads(line) for line in call("dead", "--json", "crm").stdout.splitlines()]

    assert any(line.startswith("crm  ") and "2 events" in line and "1 attempt" in line for line in lines)
    assert "    HTTP 410 Gone" in lines
    assert "   smtpbridge events test audit && smtpbridge events replay --dead --target audit" in lines
    assert (told["target"], told["events"], told["answer"]) == ("crm", 2, "HTTP 410 Gone")
    assert call("dead", "nobody").stdout == "Nothing was given up.\n"


def test_without_a_ledger_it_is_said_where_there_should_be_one_and_none_is_made(folder: Path, call: Call) -> None:
    for command in (["list"], ["show", "1"], ["replay", "--all"], ["dead"]):
        result = call(*command)

        assert result.exit_code == 1
        assert "once the configuration has [events]" in result.stderr
    assert not folder.exists()


def test_a_ledger_that_is_none_is_an_error_and_no_traceback(folder: Path, call: Call) -> None:
    folder.mkdir()
    (folder / "ledger.db").write_bytes(b"nothing of the kind" * 100)

    result = call("list")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the ledger cannot be opened")


def test_what_others_put_into_the_text_moves_no_cursor(ledger: SqliteLedger, call: Call) -> None:
    put(ledger, 1, recipient="\x1b[2Jx@example.net", octets=b'{"msys":{"message_event":{"subject":"\\u001b[2J"}}}')
    give_up(ledger, "one", "HTTP 500 \x1b[2J")

    for args in (["list"], ["show", "1"], ["dead"]):
        assert "\x1b" not in call(*args, color=False).stdout


def test_colours_are_for_terminals(ledger: SqliteLedger, call: Call) -> None:
    put(ledger, 1)

    assert "\x1b" not in call("list").stdout
    assert "\x1b" in call("list", "--color", color=True).stdout


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90m", NOW - 5400),
        ("2h", NOW - 7200),
        ("3d", NOW - 3 * 86_400),
        ("2026-11-20", 1795132800.0),
        ("2026-11-20T06:30", 1795156200.0),
        ("2026-11-20T06:30:00+01:00", 1795152600.0),
        ("2026-11-20 06:30Z", 1795156200.0),
    ],
)
def test_a_time_is_an_age_or_a_date_in_utc(text: str, at: float) -> None:
    assert Moment(lambda: NOW).convert(text, None, None) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2 h", "-1h", "1795154400", "2026-13-01", "9" * 30 + "d"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="2026-11-20T06:30"):
        Moment(lambda: NOW).convert(text, None, None)


@given(st.integers(0, 4_000_000_000))
def test_a_time_that_is_shown_can_be_typed(at: int) -> None:
    shown = shown_moment(at)

    assert Moment().convert(shown, None, None) == at
    assert datetime.fromisoformat(shown) == datetime.fromtimestamp(at, UTC)


def test_every_state_has_words_of_its_own() -> None:
    said = set()
    for one in (
        Delivery("t", Standing.WAITING),
        Delivery("t", Standing.SENDING, "b"),
        Delivery("t", Standing.SENDING, "b", 2, NOW + 60, "HTTP 500"),
        Delivery("t", Standing.SENDING, "b", 2, NOW - 60, "HTTP 500"),
        Delivery("t", Standing.DELIVERED, "b"),
        Delivery("t", Standing.DEAD, "b", 12, None, "HTTP 500"),
    ):
        kept = Kept("1", "click", b"{}", NOW, "a@b.example", "", (one,))
        said.add(next(line for line in events_text.full(kept, NOW) if line.startswith("Targets")))

    assert len(said) == 6
