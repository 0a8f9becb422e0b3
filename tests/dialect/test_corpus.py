"""
The translation as a corpus: a folder for each case, named after the behaviour that it shows.

`in.eml` is what the sender gave, `call.json` its envelope and where the policy differs from the defaults,
`expected.json` how the reply begins, the kinds of what is told to the operator and the envelopes, and `out-N.eml` the
message of transaction N.  A file with LF line ends stands for the same with CRLF; one that
holds a CRLF is taken as it is.
"""

import json
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from smtpbridge.dialect.instructions import Refusal
from smtpbridge.dialect.plan import New, Plan
from smtpbridge.dialect.policy import Policy, Subaccount
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock, end_of_header
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace
from smtpbridge.smtp.data import stuff, unstuff

_CORPUS = Path(__file__).parent.parent / "corpus"
_TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTPS", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")


def _octets(path: Path) -> bytes:
    octets = path.read_bytes()
    return octets if b"\r\n" in octets else octets.replace(b"\n", b"\r\n")


def _policy(settings: dict[str, Any]) -> Policy:
    defaults = Policy()
    unknown = settings.keys() - {field.name for field in fields(Policy)}
    assert not unknown
    values: dict[str, Any] = {}
    for name, value in settings.items():
        default = getattr(defaults, name)
        values[name] = type(default)(value) if isinstance(default, Enum) else value
    subaccounts = values.get("subaccounts", {})
    values["subaccounts"] = {name: Subaccount(**where) for name, where in subaccounts.items()}
    return Policy(**values)


def _result(plan: Plan | Refusal) -> dict[str, Any]:
    if isinstance(plan, Refusal):
        return {"reply": f"{plan.code} {plan.enhanced} {plan.text}"}
    return {
        "reply": "250",
        "warnings": [remark.kind for remark in plan.warnings],
        "notes": [remark.kind for remark in plan.notes],
        "transactions": [
            {"upstream": t.upstream, "mail_from": t.envelope.sender, "rcpt_to": list(t.envelope.recipients)}
            for t in plan.transactions
        ],
    }


def _body(plan: Plan | Refusal, body: bytes) -> bytes:
    """Return the body as the plan has it, dots not doubled."""
    assert isinstance(plan, Plan)
    if plan.body is None:
        return body
    wire = stuff(body)
    return unstuff(b"".join(one.octets if isinstance(one, New) else wire[one.start : one.end] for one in plan.body))


@pytest.mark.parametrize(
    "case", sorted(path.parent for path in _CORPUS.glob("*/call.json")), ids=lambda case: case.name
)
def test_the_message_becomes_what_the_corpus_says(case: Path) -> None:
    content = _octets(case / "in.eml")
    call = json.loads((case / "call.json").read_text("utf-8"))
    length, body = end_of_header(content)
    envelope = Envelope(call["mail_from"], tuple(call["rcpt_to"]))

    plan = translate(
        envelope,
        HeaderBlock.parse(content[:length]),
        _TRACE,
        _policy(call.get("policy", {})),
        call.get("subaccount", ""),
        body=stuff(content[body:]),
    )

    expected, result = json.loads((case / "expected.json").read_text("utf-8")), _result(plan)
    assert result.pop("reply").startswith(expected.pop("reply"))
    assert result == expected
    transactions = plan.transactions if isinstance(plan, Plan) else ()
    assert len(transactions) == len(list(case.glob("out-*.eml")))
    for number, transaction in enumerate(transactions, 1):
        message = transaction.header + b"\r\n" + _body(plan, content[body:])
        assert message == _octets(case / f"out-{number}.eml")


def test_the_corpus_is_there() -> None:
    assert len(list(_CORPUS.glob("*/call.json"))) >= 15
