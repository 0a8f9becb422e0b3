"""Delivery reports: readable by a program that nobody here wrote, whatever a provider said."""

from dataclasses import replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.mail.report import Report, Undelivered, body_of, header_of

REPORT = Report(
    reporter="bridge.test",
    sender="Mail Delivery <mailer-daemon@bridge.test>",
    to="news@sender.test",
    date="Fri, 20 Nov 2026 10:00:00 +0000",
    message_id="0001",
    arrived="Fri, 20 Nov 2026 09:00:00 +0000",
    failures=(
        Undelivered("a@rcpt.test", "5.1.1", "550 5.1.1 unknown", "mx.example.net"),
        Undelivered("b@rcpt.test", "4.2.2", "452 4.2.2 full"),
    ),
    original_header=b"Subject: hello\r\nX-Name: J\xc3\xb8rn\r\n",
)


def read(report: Report) -> EmailMessage:
    parsed: Any = BytesParser(policy=policy.SMTP).parsebytes(header_of(report) + b"\r\n" + body_of(report))
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_a_report_has_a_part_for_people_one_for_programs_and_the_header_of_the_original() -> None:
    message = read(REPORT)

    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["To"] == "news@sender.test"


def test_programs_find_each_recipient_with_status_and_words() -> None:
    status: Any = list(read(REPORT).iter_parts())[1].get_payload()
    whole, first, second = status

    assert whole["Reporting-MTA"] == "dns; bridge.test"
    assert whole["Arrival-Date"] == "Fri, 20 Nov 2026 09:00:00 +0000"
    assert dict(first) == {
        "Final-Recipient": "rfc822; a@rcpt.test",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.net",
        "Diagnostic-Code": "smtp; 550 5.1.1 unknown",
    }
    assert second["Final-Recipient"] == "rfc822; b@rcpt.test"
    assert "Remote-MTA" not in second


def test_people_read_whom_it_did_not_reach_and_why() -> None:
    text = next(read(REPORT).iter_parts()).get_content()

    assert "<a@rcpt.test>" in text
    assert "550 5.1.1 unknown" in text
    assert "will not be tried again" in text


def test_where_nobody_knows_nothing_is_called_a_failure() -> None:
    report = replace(REPORT, action="delayed")

    assert "failed" not in (header_of(report) + body_of(report)).decode()
    assert b"Action: delayed\r\n" in body_of(report)
    assert b"may or may not have been delivered" in body_of(report)


def test_the_header_of_the_original_comes_back_octet_for_octet_and_the_body_does_not() -> None:
    assert b"\r\n\r\nSubject: hello\r\nX-Name: J\xc3\xb8rn\r\n\r\n--report-0001--\r\n" in body_of(REPORT)


def test_a_huge_header_is_cut_between_lines() -> None:
    line = b"X-Long: " + b"x" * 900 + b"\r\n"
    body = body_of(replace(REPORT, original_header=line * 200))

    assert len(body) < 70_000
    start = body.index(b"\r\n\r\n", body.index(b"text/rfc822-headers")) + 4
    kept = body[start : body.index(b"\r\n--report-0001--")]
    assert kept
    assert kept == line * (len(kept) // len(line))


@given(st.text(), st.text())
def test_whatever_a_provider_said_makes_no_new_line_and_no_octet_outside_ascii(said: str, address: str) -> None:
    quiet = replace(REPORT, failures=(Undelivered("a@b", "5.0.0", "no"),), original_header=b"A: b\r\n")
    loud = replace(quiet, failures=(Undelivered(address, "5.0.0", said, said),), message_id=said)

    for part in (header_of(loud), body_of(loud)):
        assert part.isascii()
        assert part.count(b"\r\n") == part.count(b"\n") == part.count(b"\r")
    lines = header_of(loud).count(b"\r\n"), body_of(loud).count(b"\r\n") - bool(said)
    assert lines == (header_of(quiet).count(b"\r\n"), body_of(quiet).count(b"\r\n"))


@pytest.mark.parametrize("said", ["250-" + "x" * 5000, "\r\nBcc: evil@example.com\r\n\r\n.\r\n"])
def test_no_line_is_longer_than_mail_allows(said: str) -> None:
    report = replace(REPORT, failures=(Undelivered("a@b", "5.0.0", said, said),))

    assert max(len(line) for line in body_of(report).split(b"\r\n")) <= 998
    assert b"\r\nBcc:" not in body_of(report)
