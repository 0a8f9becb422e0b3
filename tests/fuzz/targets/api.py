"""
A message with X-MSYS-API, from its header block to the plan.

The script chooses the policy; below it stands the header, then the body.  What
leaves is checked as a hostile reader would read it: no line that nobody asked
for, no address that could leave its brackets, no field of the sender changed.
"""

import re
from dataclasses import replace

from smtpbridge.dialect import sparkpost
from smtpbridge.dialect.instructions import Reading, Refusal
from smtpbridge.dialect.plan import Kept, New, Plan
from smtpbridge.dialect.policy import BccStyle, CallbackData, CampaignHome, Policy, Unsupported
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock, end_of_header
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace
from smtpbridge.smtp.commands import Mail, Recipient, read_command
from smtpbridge.smtp.data import stuff
from tests.fuzz.checks import check_header, check_path
from tests.fuzz.script import Script, read_script

_TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTP", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")
_TEXT = re.compile(r"[ -~]{1,500}")
_REMARK = re.compile(r"[ -~]+")
_LONGEST_LINE = 998
_MOST_RECIPIENTS = 1000
_CHANGED = re.compile(rb"x-msys-.*|x-binding|bcc|resent-bcc|cc")


def run(octets: bytes) -> None:
    """Translate the message below the script; read its header as one raw value, too."""
    script, content = read_script(octets)
    _read(content)
    policy, envelope = _policy(script), _envelope(script)
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    length, start = end_of_header(lines)
    header, body = HeaderBlock.parse(lines[:length]), stuff(lines[start:])
    for value in header.values(b"x-msys-api"):
        _read(value)
    plan = translate(envelope, header, _TRACE, policy, body=body)
    if isinstance(plan, Refusal):
        _check_refusal(plan)
        return
    _check_plan(plan, header, body)
    assert plan == translate(envelope, header, _TRACE, policy, body=body), "twice the same, and two plans"


def _read(value: bytes) -> None:
    """Read one raw value: it is read or refused, and read the same when it stands there twice."""
    found = sparkpost.read((value,))
    match found:
        case Refusal():
            _check_refusal(found)
        case Reading():
            for remark in (*found.warnings, *found.notes):
                assert _REMARK.fullmatch(remark.text)
            again = sparkpost.read((value, value))
            assert isinstance(again, Reading)
            assert again.instructions == found.instructions


def _check_refusal(refusal: Refusal) -> None:
    assert _TEXT.fullmatch(refusal.text), refusal.text
    assert refusal.code in (550, 554)
    assert re.fullmatch(r"5\.\d\.\d", refusal.enhanced)


def _check_plan(plan: Plan, header: HeaderBlock, body: bytes) -> None:
    seen: list[str] = []
    for transaction in plan.transactions:
        envelope = transaction.envelope
        assert 1 <= len(envelope.recipients) <= _MOST_RECIPIENTS
        check_path(envelope.sender)
        assert read_command(Mail(envelope.sender).encode()[:-2]) == Mail(envelope.sender)
        for address in envelope.recipients:
            check_path(address)
            assert read_command(Recipient(address).encode()[:-2]) == Recipient(address)
            seen.append(address.lower())
        _check_header(transaction.header, header)
    assert len(seen) == len(set(seen)), "somebody gets the message twice"
    for remark in (*plan.warnings, *plan.notes):
        assert _REMARK.fullmatch(remark.text)
    for piece in plan.body or ():
        match piece:
            case Kept():
                assert 0 <= piece.start <= piece.end <= len(body)
            case New():
                assert b"\n" not in piece.octets.replace(b"\r\n", b"")


def _check_header(octets: bytes, given: HeaderBlock) -> None:
    """Look at one header block that leaves, beside the one that came."""
    check_header(octets)
    sent = HeaderBlock.parse(octets)
    assert octets.startswith(b"Received: from app.example "), "something stands above our Received"
    assert not any(name.startswith(b"x-msys-") or name in (b"x-binding", b"resent-bcc") for name in sent.names)
    kept = [field for name, field in given if name and not _CHANGED.fullmatch(name)]
    rest = iter(sent.fields)
    assert all(field in rest for field in kept), "a field of the sender is gone, changed or out of its place"
    new = set(sent.fields) - set(given.fields)
    for field in new:
        if given.count(b"cc") == 0 or not field.lower().startswith(b"cc:"):
            assert re.fullmatch(rb"(?:[ -~]{1,998}\r\n)+", field), f"a field of ours that is none: {field!r}"
            assert max(map(len, field.split(b"\r\n"))) <= _LONGEST_LINE
    assert sent.count(b"bcc") <= 1
    for name in (b"x-ib-track-opens", b"x-ib-track-clicks", b"x-ib-callback-data", b"x-ib-bulk-id"):
        assert sent.count(name) <= max(1, given.count(name))


def _policy(script: Script) -> Policy:
    policy = Policy(
        bcc=list(BccStyle)[script.choose(2)],
        campaign=list(CampaignHome)[script.choose(4)],
        callback_data=list(CallbackData)[script.choose(2)],
        callback_data_limit=(4000, 60)[script.choose(2)],
        envelope_from=("auto", "keep")[script.choose(2)],
        list_unsubscribe=("", "<https://x.example/u/{recipient}>")[script.choose(2)],
    )
    if script.yes():
        policy = replace(policy, on_ip_pool=Unsupported.REFUSE, on_dkim_key=Unsupported.REFUSE)
    return policy


def _envelope(script: Script) -> Envelope:
    sender = ("bounce@sender.example", "", '"a b"@sender.example')[script.choose(3)]
    recipients = ("r@x.example", "R@X.example", "c@d.example", "s@sink.sparkpostmail.com")
    return Envelope(sender, recipients[: 1 + script.choose(4)])
