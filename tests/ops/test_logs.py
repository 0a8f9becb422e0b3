"""The log as lines of text, read back from a pipe."""

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from smtpbridge.smtp.replies import reply
from tests.textlog import text_log

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+) (.*)", re.DOTALL)


class Pipe:
    """A pipe whose other end the log writes to."""

    def __init__(self) -> None:
        self.end, self.descriptor = os.pipe()
        os.set_blocking(self.end, False)

    def text(self) -> str:
        try:
            return os.read(self.end, 1_000_000).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        os.close(self.end)
        os.close(self.descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def line(template: str | None, level: Any = LogLevel.info, **fields: object) -> str:
    """Return what one event becomes, without time and level; the line's end is checked here."""
    pipe = Pipe()
    try:
        event: dict[str, Any] = {"log_level": level, "log_time": 1_700_000_000.25, **fields}
        if template is not None:
            event["log_format"] = template
        text_log(pipe.descriptor)(event)
        text = pipe.text()
    finally:
        pipe.close()
    assert text.endswith("\n")
    found = STAMP.fullmatch(text[:-1])
    assert found is not None, text
    assert found[1] == level.name
    return found[2]


def test_a_line_is_time_level_and_text(pipe: Pipe) -> None:
    event = {"log_level": LogLevel.warn, "log_time": 1_700_000_000.25, "log_format": "id={id} size={size}"}
    text_log(pipe.descriptor)({**event, "id": "A", "size": 7})

    assert pipe.text() == "2023-11-14T22:13:20.250Z warn id=A size=7\n"


def test_the_time_of_each_line_is_its_own(pipe: Pipe) -> None:
    log = text_log(pipe.descriptor)
    for seconds in (1_700_000_000.0, 1_700_000_000.999, 1_700_000_001.0, 1_700_000_000.5):
        log({"log_time": seconds, "log_format": "x"})

    found = [one.split()[0][17:] for one in pipe.text().splitlines()]
    assert found == ["20.000Z", "20.999Z", "21.000Z", "20.500Z"]


@pytest.mark.parametrize(
    ("template", "fields", "text"),
    [
        ("plain", {}, "plain"),
        ("a {{brace}} {x}", {"x": 1}, "a {brace} 1"),
        ("{x}", {"x": "{y} {0} %s {"}, "{y} {0} %s {"),
        ("seconds={x:.3f}", {"x": 1.23456}, "seconds=1.235"),
        ("{x!r}", {"x": "a"}, "'a'"),
        ("{x()}", {"x": lambda: "called"}, "called"),
        ("{x.real}", {"x": 5}, "5"),
        ("tr\xe8s {x}", {"x": "caf\xe9"}, "tr\xe8s caf\xe9"),
    ],
)
def test_a_format_is_filled_with_the_fields(template: str, fields: dict[str, object], text: str) -> None:
    assert line(template, **fields) == text


@pytest.mark.parametrize("template", ["{missing}", "a { b", "a } b", "{x:{y}}", "{x:d}", None, "{}", "{0}"])
def test_a_format_that_does_not_fit_still_makes_a_line_and_no_error(template: str | None) -> None:
    assert "\n" not in line(template, x="text").rstrip("\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\r\nb", r"a\x0d\nb"),
        ("a\nb", r"a\nb"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\tb\0c\x7fd\x9be", r"a\x09b\x00c\x7fd\x9be"),
        ("\u2028next", r"\u2028next"),
        ("\u202eexe.txt\u2066", r"\u202eexe.txt\u2066"),
        ("\U000e0041\ufeff", r"\U000e0041\ufeff"),
        ("\udcff", r"\udcff"),
    ],
)
def test_a_field_cannot_end_the_line_or_move_the_cursor(value: str, text: str) -> None:
    assert line("x={x}", x=value) == f"x={text}"


@given(st.text(), st.text(alphabet="\r\n\x1b\x85\u2028{}! :a", max_size=20))
def test_whatever_a_field_holds_one_event_is_one_line(value: str, other: str) -> None:
    text = line("x={x} y={y}", x=value, y=other)

    assert "\n" not in text
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text


@pytest.mark.parametrize("template", ["{x}", "{x!r}", "{x} {missing}", "x={x} y={y}", "from=<{x}>"])
@pytest.mark.parametrize("character", ["a", "\n", "\u202e", "<", "=", "{", "%"])
def test_a_line_over_eight_thousand_characters_is_cut(template: str, character: str) -> None:
    for fields in ({"x": character * 1_000_000, "y": "b"}, {"x": f"{character} " * 500_000, "y": 1.0}):
        text = line(template, **fields)

        assert len(text) <= 8195
        assert text.isprintable()
    assert len(line("literal " * 10_000)) == 8195


def test_a_field_of_a_million_characters_leaves_room_for_the_others() -> None:
    assert line("helo={helo} user={user}", helo="a" * 1_000_000, user="b") == f"helo={'a' * 1000}... user=b"
    assert line("helo={helo}", helo="a" * 1000) == f"helo={'a' * 1000}"


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("helo={x} user=-", "a user=root", r"helo=a user\x3droot user=-"),
        ("from=<{x}> to=<b>", '"> to=<c"@d', r'from=<"\x3e to\x3d<c"@d> to=<b>'),
        ("from=<{x}>", "bounce=a@b", "from=<bounce=a@b>"),
        ("door={x}", "tcp:0:interface=127.0.0.1", "door=tcp:0:interface=127.0.0.1"),
        ("it failed: {x}", "id=X a = b > c [n=1]", r"it failed: id\x3dX a = b > c [n=1]"),
        ("at ({x})", IPv4Address("TCP", "::1", 1), "at (IPv4Address(type='TCP', host='::1', port=1))"),
        ("answer={x}", reply(550, "", "no verdict=250"), r"answer=550 no verdict\x3d250"),
    ],
)
def test_a_field_cannot_pass_for_another(template: str, value: object, text: str) -> None:
    assert line(template, x=value) == text


def test_a_field_right_behind_another_brings_a_key_of_its_own_and_no_second_one() -> None:
    assert line("user={user}{more}", user="a b=c", more=" suffix=d e=f") == r"user=a b\x3dc suffix=d e\x3df"


def test_a_failure_comes_with_its_traceback_indented_and_harmless() -> None:
    try:
        raise ValueError("bad\x1b[2J value\n2023-11-14T22:13:20.250Z info forged")
    except ValueError:
        failure = Failure()
    text = line("something broke", level=LogLevel.critical, log_failure=failure)

    first, *others = text.split("\n")
    assert first == "something broke"
    assert any("ValueError: bad\\x1b[2J value" in one for one in others)
    assert others
    assert all(one.startswith("    ") for one in others)


def test_debug_is_left_out_unless_it_is_asked_for(pipe: Pipe) -> None:
    event = {"log_level": LogLevel.debug, "log_format": "fine print"}

    text_log(pipe.descriptor)(event)
    assert pipe.text() == ""
    text_log(pipe.descriptor, debug=True)(event)
    assert "debug fine print" in pipe.text()


def test_an_event_of_a_logger_comes_out_whole(pipe: Pipe) -> None:
    log: Logger = Logger("here", observer=text_log(pipe.descriptor))
    log.info("id={id} verdict={answer}", id="A1", answer=250)
    try:
        raise KeyError("k")
    except KeyError:
        log.failure("id={id} broke", id="A2")

    first, second, *rest = pipe.text().splitlines()
    assert first.endswith("info id=A1 verdict=250")
    assert second.endswith("critical id=A2 broke")
    assert rest[-1].strip() == "builtins.KeyError: 'k'"


# When lines are written


def test_lines_are_collected_for_a_tenth_of_a_second(pipe: Pipe) -> None:
    clock = Clock()
    log = text_log(pipe.descriptor, clock)
    log({"log_format": "one"})
    log({"log_format": "two"})
    assert pipe.text() == ""

    clock.advance(0.1)

    assert [one.split()[-1] for one in pipe.text().splitlines()] == ["one", "two"]
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("level", [LogLevel.error, LogLevel.critical])
def test_an_error_is_written_at_once_with_all_before_it(pipe: Pipe, level: Any) -> None:
    clock = Clock()
    log = text_log(pipe.descriptor, clock)
    log({"log_format": "before"})
    log({"log_format": "error", "log_level": level})

    assert [one.split()[-1] for one in pipe.text().splitlines()] == ["before", "error"]
    log({"log_format": "after"})
    clock.advance(0.2)
    assert pipe.text().endswith("after\n")


def test_nothing_waits_for_a_reactor_that_does_not_run(pipe: Pipe) -> None:
    class Reactor(Clock):
        running = False

    reactor = Reactor()
    log = text_log(pipe.descriptor, reactor)
    log({"log_format": "starting"})
    assert pipe.text().endswith("starting\n")
    reactor.running = True
    log({"log_format": "in between"})
    assert pipe.text() == ""
    reactor.running = False
    log({"log_format": "stopped"})
    assert [one.split()[-1] for one in pipe.text().splitlines()] == ["between", "stopped"]


def test_many_lines_are_written_before_the_time_is_up(pipe: Pipe) -> None:
    log = text_log(pipe.descriptor, Clock())
    for _ in range(20):
        log({"log_format": "x" * 1000})

    assert pipe.text().count("\n") >= 16


def test_flush_writes_what_is_left_and_nothing_twice(pipe: Pipe) -> None:
    clock = Clock()
    log = text_log(pipe.descriptor, clock)
    log({"log_format": "last words"})
    log.flush()
    log.flush()
    clock.advance(1.0)

    assert pipe.text().count("last words") == 1


def test_a_reader_that_is_gone_is_no_error() -> None:
    end, descriptor = os.pipe()
    os.close(end)
    log = text_log(descriptor)
    log({"log_format": "to nobody"})
    os.close(descriptor)
    log({"log_format": "to nothing"})
    log.flush()


def test_a_pipe_that_is_full_loses_nothing(pipe: Pipe) -> None:
    """The pipe does not block at first, is too small, and is read only when the writer has to wait."""
    os.set_blocking(pipe.descriptor, False)
    os.set_blocking(pipe.end, True)
    log = text_log(pipe.descriptor)
    wanted = 50 * (line_length := len("2023-11-14T22:13:20.000Z info \n") + 8000)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(_read_all(pipe.end, wanted)))
    with contextlib.suppress(BlockingIOError):
        while True:
            wanted += os.write(pipe.descriptor, b"x" * line_length)
    reader.start()
    for _ in range(50):
        log({"log_format": "y" * 8000, "log_time": 1_700_000_000.0})
    reader.join()

    assert b"".join(got).count(b"y" * 8000 + b"\n") == 50


def _read_all(descriptor: int, size: int) -> Iterator[bytes]:
    while size > 0:
        chunk = os.read(descriptor, 65_536)
        size -= len(chunk)
        yield chunk
