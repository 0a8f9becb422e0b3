"""
Write a delivery report: the message that tells a sender of recipients that could not be served.

The form is RFC 3464's, inside RFC 6522's `multipart/report`: a part for people, a part
for programs, and the header of the original.  The report is from and for nobody
who could bounce it: the caller sends it with a reverse-path that is never
reported to, and `Auto-Submitted` (RFC 3834) says that no person wrote it.

What must not be known here: the clock, chance, who sends it.
"""

import re
from dataclasses import dataclass

# The header of the original is cut there: it is for recognising the message, not for keeping it.
_MOST_HEADER = 65_536
_NOT_TEXT = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A recipient: `status` is an enhanced code (RFC 3463), `said` what the provider said, `by` which host."""

    address: str
    status: str
    said: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a report is about; `action` is "failed", or "delayed" where nobody knows (RFC 3464, 2.3.3)."""

    reporter: str
    sender: str
    to: str
    date: str
    message_id: str
    arrived: str
    failures: tuple[Undelivered, ...]
    original_header: bytes
    action: str = "failed"


def header_of(report: Report) -> bytes:
    """Return the header block of the report, each line ended."""
    subject = "Undelivered mail" if report.action == "failed" else "Mail of which nobody knows whether it was delivered"
    return (
        f"From: {_text(report.sender)}\r\n"
        f"To: <{_text(report.to)}>\r\n"
        f"Date: {report.date}\r\n"
        f"Message-ID: <{_text(report.message_id)}.report@{_text(report.reporter)}>\r\n"
        f"Subject: {subject}\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{_boundary(report)}"\r\n'
    ).encode("ascii")


def body_of(report: Report) -> bytes:
    """Return the body of the report: CRLF lines, dots not doubled."""
    edge = f"--{_boundary(report)}\r\n"
    original = report.original_header[:_MOST_HEADER]
    original = original[: original.rfind(b"\r\n") + 2]
    parts = [
        f"{edge}Content-Type: text/plain; charset=us-ascii\r\n\r\n{_for_people(report)}\r\n",
        f"{edge}Content-Type: message/delivery-status\r\n\r\n{_for_programs(report)}\r\n",
        # 8-bit octets of a header stay as they are; a reader that cares is told so.
        f"{edge}Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
    ]
    return "".join(parts).encode("ascii") + original + f"\r\n--{_boundary(report)}--\r\n".encode("ascii")


def _for_people(report: Report) -> str:
    what = (
        "could not be delivered to the recipients below, and will not be tried again."
        if report.action == "failed"
        else "may or may not have been delivered to the recipients below: the connection to the provider was lost "
        "before\r\nit answered."
    )
    lines = [f"This is the mail relay {_text(report.reporter)}.", "", f"Your message {what}", ""]
    for one in report.failures:
        lines += [f"  <{_text(one.address)}>", f"    {_text(one.said)}", ""]
    return "\r\n".join(lines)


def _for_programs(report: Report) -> str:
    fields = [f"Reporting-MTA: dns; {_text(report.reporter)}", f"Arrival-Date: {report.arrived}"]
    for one in report.failures:
        fields += ["", f"Final-Recipient: rfc822; {_text(one.address)}", f"Action: {report.action}"]
        fields += [f"Status: {one.status}"]
        fields += [f"Remote-MTA: dns; {_text(one.by)}"] if one.by else []
        fields += [f"Diagnostic-Code: smtp; {_text(one.said)}"]
    return "\r\n".join(fields) + "\r\n"


def _boundary(report: Report) -> str:
    return f"report-{_text(report.message_id)}"


def _text(text: str) -> str:
    """Return `text` as printable ASCII of one line, whatever a provider said."""
    return _NOT_TEXT.sub("?", text)[:900]
