"""The forms of an event for programs: JSON lines, entries of the journal, and the names of events."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from smtpbridge.ops.log_forms import Form, JournalForm, JsonForm, TextForm
from smtpbridge.ops.log_names import fields_of, name_of
from smtpbridge.smtp.replies import reply

NOON = 1_700_000_000.25
# What ends lines or objects, hides text, or is half a character.
NASTY = st.text(st.one_of(st.characters(), st.sampled_from('\r\n\x00\x1b"\\{}\u2028\u202e\udcff')), max_size=60)


def written(form: Form, template: str | None, level: Any = LogLevel.info, **fields: object) -> bytes:
    event = {"log_level": level, "log_format": template, **fields}
    return form.of({name: value for name, value in event.items() if value is not None}, level, NOON)


def as_json(template: str | None, level: Any = LogLevel.info, worker: int = 0, **fields: object) -> dict[str, Any]:
    """Return what one event is as JSON; that it is one line of ASCII is checked here."""
    line = written(JsonForm(worker), template, level, **fields)
    assert line.isascii()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    pairs = json.loads(line, object_pairs_hook=list)
    assert len(dict(pairs)) == len(pairs), "a key stands twice"
    return dict(pairs)


def failed() -> Failure:
    try:
        raise ValueError("bad\x1b value\nforged")
    except ValueError:
        return Failure()


def test_a_line_is_flat_and_its_keys_are_in_order() -> None:
    found = as_json(
        "id={id} verdict={answer} via={hosts} seconds={seconds:.3f}",
        id="A1",
        answer=reply(250, "2.0.0", "queued"),
        hosts="h:25",
        seconds=0.123456,
    )

    assert list(found.items()) == [
        ("time", "2023-11-14T22:13:20.250Z"),
        ("level", "info"),
        ("event", "verdict"),
        ("message", "id=A1 verdict=250 2.0.0 queued via=h:25 seconds=0.123"),
        ("id", "A1"),
        ("answer", "250 2.0.0 queued"),
        ("hosts", "h:25"),
        ("seconds", 0.123),
    ]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (7, 7),
        (0, 0),
        (-1.5, -1.5),
        (True, True),
        (False, False),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (["a"], "['a']"),
        ("caf\xe9 \U0001f4e7", "caf\xe9 \U0001f4e7"),
        ("half \udcff", "half \\udcff"),
        ("a" * 2000, "a" * 1000 + "..."),
    ],
)
def test_a_field_keeps_its_type_where_json_has_it(value: object, found: object) -> None:
    assert as_json("x={x}", x=value)["x"] == found


def test_a_field_with_the_name_of_a_member_gets_another_one() -> None:
    found = as_json("x {message} {event} {time}", message="m", event="e", time="t")

    assert (found["message"], found["event"]) == ("x m e t", "x")
    assert (found["message_"], found["event_"], found["time_"]) == ("m", "e", "t")


def test_the_worker_and_the_failure_come_last() -> None:
    found = as_json("id={id} internal error", LogLevel.critical, worker=3, id="A", log_failure=failed())

    assert list(found)[-2:] == ["worker", "failure"]
    assert found["worker"] == 3
    assert found["failure"].startswith("Traceback")
    assert "ValueError: bad\\x1b value\nforged" in found["failure"]


@pytest.mark.parametrize("template", ["{missing}", "a { b", "{}", "{0}", None, "{x:{y}}"])
def test_an_event_that_does_not_fit_its_format_is_still_an_object(template: str | None) -> None:
    assert as_json(template, x="text")["level"] == "info"


@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), NASTY, min_size=3, max_size=3))
def test_whatever_fields_hold_the_object_says_what_they_held(fields: dict[str, str]) -> None:
    found = as_json("x={x} y={y} z {z}", x=fields["x"], y=fields["y"], z=fields["z"])

    assert list(found) == ["time", "level", "event", "message", "x", "y", "z"]
    for name, value in fields.items():
        assert found[name] == value.encode("utf-8", "backslashreplace").decode()


# The journal


def entries(octets: bytes) -> list[tuple[str, str]]:
    """Read an entry as the journal does (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    found = []
    while octets:
        line, _, rest = octets.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if equals:
            octets = rest
        else:
            (size,) = struct.unpack("<Q", rest[:8])
            value, octets = rest[8 : 8 + size], rest[8 + size :]
            assert octets.startswith(b"\n")
            octets = octets[1:]
        found.append((key.decode(), value.decode()))
    return found


def test_an_entry_has_the_fields_of_the_event_with_a_prefix() -> None:
    octets = written(JournalForm(2), "id={id} given_up=<{to}>", LogLevel.error, id="A1", to="a@b.example")

    assert entries(octets) == [
        ("MESSAGE", "id=A1 given_up=<a@b.example>"),
        ("PRIORITY", "3"),
        ("SMTPBRIDGE_EVENT", "given-up"),
        ("SMTPBRIDGE_ID", "A1"),
        ("SMTPBRIDGE_TO", "a@b.example"),
        ("SYSLOG_IDENTIFIER", "smtpbridge"),
        ("SMTPBRIDGE_WORKER", "2"),
    ]


def test_a_traceback_is_one_field() -> None:
    found = dict(entries(written(JournalForm(), "broke", LogLevel.critical, log_failure=failed())))

    assert (found["MESSAGE"], found["PRIORITY"]) == ("broke", "2")
    assert found["SMTPBRIDGE_FAILURE"].count("\n") > 2


@given(st.dictionaries(st.sampled_from(["x", "y"]), NASTY, min_size=2, max_size=2))
def test_no_field_makes_another_entry_of_the_journal(fields: dict[str, str]) -> None:
    found = entries(written(JournalForm(), "x={x} y={y}", **fields))

    names = ["MESSAGE", "PRIORITY", "SMTPBRIDGE_EVENT", "SMTPBRIDGE_X", "SMTPBRIDGE_Y", "SYSLOG_IDENTIFIER"]
    assert [name for name, _ in found] == names


def test_an_entry_of_the_longest_fields_fits_into_a_datagram() -> None:
    template = " ".join(f"{{{name}}}" for name in "abcdefghijkl")
    fields = dict.fromkeys("abcdefghijkl", "📧" * 10000)

    # The kernel's usual net.core.wmem_default, which every socket has room for.
    assert len(written(JournalForm(), template, log_failure=failed(), **fields)) < 212_992


# Text for systemd


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (LogLevel.debug, b"<7>"),
        (LogLevel.info, b"<6>"),
        (LogLevel.warn, b"<4>"),
        (LogLevel.error, b"<3>"),
        (LogLevel.critical, b"<2>"),
    ],
)
def test_each_line_for_systemd_begins_with_its_priority(level: Any, prefix: bytes) -> None:
    lines = written(TextForm(priorities=True), "x", level, log_failure=failed()).splitlines()

    assert len(lines) > 3
    assert all(line.startswith(prefix) for line in lines)


# Names


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("id={id} received client={client} helo={helo}", "received"),
        ("id={id} verdict={answer} via={hosts}", "verdict"),
        ("id={id} given_up=<{to}> from=<{sender}>", "given-up"),
        ("upstream={upstream} connected host={host}", "connected"),
        ("the store is out of order: {error}", "store-out-order"),
        ("worker {number} starts pid={pid}", "worker-starts"),
        ("{note}", "note"),
        ("stopped", "stopped"),
        ("", "event"),
    ],
)
def test_an_event_is_named_by_what_its_format_says(template: str, name: str) -> None:
    assert name_of(template) == name


def test_the_fields_of_a_format_are_named_once_and_in_order() -> None:
    assert fields_of("b={b} a={a:.3f} b={b} {0} {}") == ("b", "a")
