"""`smtpbridge translate`, called as a person calls it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.cli import main
from smtpbridge.commands.printing import harmless
from smtpbridge.commands.translation import wire_lines
from tests.overheard import EVERYTHING

MESSAGE = (
    b"From: News <news@shop.example>\r\nTo: Ada <ada@rcpt.example>\r\nSubject: Hi\r\n"
    b'X-MSYS-API: {"campaign_id":"c","bcc":["audit@shop.example"]}\r\n\r\n.one dot\r\n..two\r\n'
)
NOT_JSON = b"From: a@shop.example\r\nTo: b@rcpt.example\r\nX-MSYS-API: {nonsense\r\n\r\nx\r\n"


def called(*args: str, message: bytes = MESSAGE) -> Result:
    result = CliRunner().invoke(main, ["translate", *args], input=message)
    EVERYTHING.said(result.output)
    return result


def read(*args: str, message: bytes = MESSAGE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(called("--json", *args, message=message).stdout)
    return found


def config_at(folder: Path, *lines: str) -> str:
    (folder / "password").write_text("upstream-secret-34")
    (folder / "password").chmod(0o600)
    path = folder / "smtpbridge.toml"
    start = ['hostname = "bridge.example"', "[[listener]]", 'endpoint = "tcp:2525:interface=127.0.0.1"']
    end = ["[upstream.main]", 'hosts = ["127.0.0.1:587"]', 'password_file = "password"']
    path.write_text("\n".join([*start, *lines, *end]))
    return str(path)


def test_json_tells_reply_warnings_and_every_transaction() -> None:
    found = read("--mail-from", "bounce@shop.example", "--rcpt-to", "x@rcpt.example", "--rcpt-to", "<y@rcpt.example>")

    assert list(found) == ["reply", "warnings", "transactions"]
    assert (found["reply"], found["warnings"]) == ("250", [])
    assert [(one["upstream"], one["mail_from"], one["rcpt_to"]) for one in found["transactions"]] == [
        ("main", "bounce@shop.example", ["x@rcpt.example", "y@rcpt.example"]),
        ("main", "bounce@shop.example", ["audit@shop.example"]),
    ]


def test_the_message_is_header_empty_line_and_body_with_single_dots() -> None:
    octets = base64.b64decode(read()["transactions"][0]["message"])

    header, body = octets.split(b"\r\n\r\n", 1)
    assert body == b".one dot\r\n..two\r\n"
    assert header.startswith(b"Received: ")
    assert b"\r\nX-IB-Bulk-Id: c\r\n" in header
    assert b"X-MSYS-API" not in header


def test_without_options_the_envelope_comes_from_the_header() -> None:
    message = b"Return-Path: <>\r\nFrom: a@shop.example\r\nTo: B <b@x.example>, c@x.example\r\nCc: B@X.example\r\n\r\n"

    found = read(message=message)

    assert found["transactions"][0]["rcpt_to"] == ["b@x.example", "c@x.example"]
    # The null sender has no domain that fits the From.
    assert found["transactions"][0]["mail_from"] == "a@shop.example"


def test_the_null_sender_stays_where_the_policy_keeps_senders(tmp_path: Path) -> None:
    config = config_at(tmp_path, "[translation]", 'envelope_from = "keep"')

    assert read("--mail-from", "", "--config", config)["transactions"][0]["mail_from"] == ""


def test_lf_is_read_as_crlf() -> None:
    unix = MESSAGE.replace(b"\r\n", b"\n")

    octets = base64.b64decode(read(message=unix)["transactions"][0]["message"])

    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert octets.endswith(b"\r\n\r\n.one dot\r\n..two\r\n")


def test_a_refusal_is_exit_1_and_its_reply() -> None:
    result = called("--json", message=NOT_JSON)

    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["reply"].startswith("550 5.6.0 JSON parsing error in X-MSYS-API")
    assert (found["warnings"], found["transactions"]) == ([], [])
    assert called(message=NOT_JSON).stdout.startswith("Refused: 550 5.6.0 ")


@pytest.mark.parametrize(
    ("lines", "message", "reply"),
    [
        ((), MESSAGE + b"\0", "550 5.6.0 The message holds a NUL"),
        (('line_endings = "reject"',), MESSAGE + b"a\rb", "550 5.6.0 The message holds a bare CR"),
        (("max_header_bytes = 1024",), b"X-A: " + b"a" * 1024 + b"\r\n" + MESSAGE, "552 5.3.4 The header"),
        (("max_message_bytes = 1024",), MESSAGE + b"a" * 1024, "552 5.3.4 Message is larger"),
        (("max_recipients = 1",), MESSAGE.replace(b"Subject: Hi", b"Cc: b@x.example"), "452 4.5.3 Too many"),
    ],
)
def test_what_the_listener_refuses_is_refused_in_its_words(
    lines: tuple[str, ...], message: bytes, reply: str, tmp_path: Path
) -> None:
    result = called("--json", "--config", config_at(tmp_path, *lines), message=message)

    assert result.exit_code == 1
    assert json.loads(result.stdout)["reply"].startswith(reply)


def test_a_lone_cr_becomes_a_blank_where_the_listener_normalizes() -> None:
    octets = base64.b64decode(read(message=MESSAGE + b"a\rb\r\n")["transactions"][0]["message"])

    assert octets.endswith(b"\r\na b\r\n")


def test_the_user_name_brings_its_subaccount(tmp_path: Path) -> None:
    config = config_at(tmp_path, "[subaccounts]", '12 = { entity_id = "shop" }')

    with_user = read("--config", config, "--user", "SMTP_Injection:X-MSYS-SUBACCOUNT=12")
    without = read("--config", config)

    assert b"X-IB-Entity-Id: shop\r\n" in base64.b64decode(with_user["transactions"][0]["message"])
    assert b"X-IB-Entity-Id" not in base64.b64decode(without["transactions"][0]["message"])


def test_with_events_the_place_of_the_token_is_shown_and_no_token_is_made_up(tmp_path: Path) -> None:
    (tmp_path / "inbox.key").write_text("secret of the inbox 17")
    inbox = ["[events]", 'public_url = "https://e.example"', 'endpoint = "tcp:0:interface=127.0.0.1"']
    config = config_at(tmp_path, *inbox, 'secret_file = "inbox.key"')

    octets = base64.b64decode(read("--config", config)["transactions"][0]["message"])

    assert f"X-IB-Callback-Data: {'0' * 40}\r\n".encode() in octets
    assert b"X-IB-Notify-Url: https://e.example/" in octets


@pytest.mark.parametrize(
    ("args", "message", "said"),
    [
        (("--rcpt-to", "nobody"), MESSAGE, "--rcpt-to"),
        (("--rcpt-to", ""), MESSAGE, "--rcpt-to"),
        (("--mail-from", "a@b.example SIZE=1"), MESSAGE, "--mail-from"),
        (("--mail-from", "<a@b.example> SIZE=1"), MESSAGE, "--mail-from"),
        ((), b"Subject: nobody\r\n\r\n", "--mail-from"),
        ((), b"From: a@b.example\r\n\r\n", "--rcpt-to"),
        (("/nowhere/message.eml",), MESSAGE, "/nowhere/message.eml"),
        (("--config", "/nowhere/config.toml"), MESSAGE, "/nowhere/config.toml"),
        (("--nonsense",), MESSAGE, "--nonsense"),
    ],
)
def test_a_wrong_call_is_exit_2_and_says_why_on_stderr(args: tuple[str, ...], message: bytes, said: str) -> None:
    result = called(*args, message=message)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_file_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "message.eml").write_bytes(MESSAGE)

    assert called("--json", str(tmp_path / "message.eml"), message=b"").exit_code == 0


def test_people_see_what_went_what_came_and_what_changed() -> None:
    message = MESSAGE.replace(b"Subject: Hi", b"Cc: old@x.example").replace(
        b'"bcc"', b'"cc":["new@x.example"],"options":{"ip_pool":"p"},"bcc"'
    )
    result = CliRunner().invoke(
        main, ["translate", "--mail-from", "b@other.example"], input=message, env={"COLUMNS": "160"}
    )

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert any(
        line.startswith("MAIL FROM <b@other.example>") and "| MAIL FROM <news@shop.example>" in line for line in lines
    )
    assert any(line.endswith("> RCPT TO <new@x.example>") for line in lines)
    assert any(line.startswith("Cc: old@x.example") and "| Cc: old@x.example, new@x.example" in line for line in lines)
    assert any(line.startswith("X-MSYS-API: ") and line.endswith("<") for line in lines)
    assert any(line.endswith("> X-IB-Bulk-Id: c") for line in lines)
    assert "+ Bcc: audit@shop.example" in lines
    assert any(line.startswith("Warning: ") and "ip_pool" in line for line in lines)
    assert max(map(len, lines[:10])) <= 160
    assert "\x1b" not in result.stdout


def test_a_message_for_sinks_only_is_relayed_to_nobody() -> None:
    sink = ("--rcpt-to", "a@sink.sparkpostmail.com")
    message = MESSAGE.replace(b'"bcc"', b'"nobody"')

    assert read(*sink, message=message)["reply"] == "250"
    assert read(*sink, message=message)["transactions"] == []
    assert "goes nowhere" in called(*sink, message=message).stdout


def test_colour_is_for_terminals_only() -> None:
    result = CliRunner().invoke(main, ["translate"], input=MESSAGE, color=True)

    assert "\x1b[31m" in result.stdout
    assert "\x1b[32m" in result.stdout


def test_a_message_cannot_reach_the_terminal() -> None:
    message = MESSAGE.replace(b"Subject: Hi", b"Subject: \x1b[2J\x9b\xe2\x80\xae")

    assert "\x1b" not in called(message=message).stdout
    assert "\\x1b[2J" in called(message=message).stdout


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert harmless(text).isprintable()


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a"])).map(b"".join))
def test_lines_of_a_file_end_with_crlf_and_a_second_reading_changes_nothing(octets: bytes) -> None:
    lines = wire_lines(octets)

    assert not lines or lines.endswith(b"\r\n")
    assert lines.count(b"\n") == lines.count(b"\r\n")
    assert wire_lines(lines) == lines
