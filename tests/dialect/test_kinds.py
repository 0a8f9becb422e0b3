"""The words that translations are counted by."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpbridge.dialect import kinds
from smtpbridge.dialect.instructions import Refusal
from smtpbridge.dialect.policy import Policy, Unsupported
from smtpbridge.dialect.sparkpost import read
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace

DIALECT = Path(__file__).parents[2] / "smtpbridge" / "dialect"
TRACE = Trace("bridge.test", "client.test", "192.0.2.1", "ESMTP", "1", "Fri, 20 Nov 2026 00:00:00 +0000")


def calls(name: str) -> Iterator[ast.Call]:
    """Yield every place of the room where a value of that class is made."""
    for path in sorted(DIALECT.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield node


def test_every_kind_of_remark_that_is_made_is_listed_and_nothing_else() -> None:
    made = {call.args[0].value for call in calls("Remark") if isinstance(call.args[0], ast.Constant)}
    # These are put together in one place: what was not read, and of which two sorts.
    made |= {f"{how}-{what}" for how in ("ignored", "unknown") for what in ("field", "option")}

    assert made == {*kinds.WARNINGS, *kinds.NOTES}
    assert not set(kinds.WARNINGS) & set(kinds.NOTES)


def test_every_refusal_that_is_made_has_a_kind_that_is_listed() -> None:
    given = [{word.arg: word.value for word in call.keywords}.get("kind") for call in calls("Refusal")]
    made = {kind.value for kind in given if isinstance(kind, ast.Constant)}

    assert None not in given
    # An option that is refused has the kind of its warning.
    assert made | {"ip-pool", "inline-css", "skip-suppression", "dkim-key"} == set(kinds.REFUSALS)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"{", "json"),
        (b'{"campaign_id": "\xff"}', "utf-8"),
        (b"[]", "type"),
        (b'{"tags": 1}', "type"),
        (b'{"tags": [[]]}', "type"),
        (b'{"campaign_id": "%s"}' % (b"x" * 65), "campaign"),
        (b'{"cc": ["nobody"]}', "address"),
        (b'{"cc": [%s]}' % b",".join([b'"a@b.test"'] * 1001), "copies"),
        (b"[" * 5000, "limit"),
    ],
)
def test_a_header_that_is_refused_says_of_which_kind_the_fault_is(value: bytes, kind: str) -> None:
    refusal = read([value])

    assert isinstance(refusal, Refusal)
    assert refusal.kind == kind


def test_two_headers_that_differ_are_a_kind_of_their_own() -> None:
    refusal = read([b'{"tags": []}', b'{"tags": ["one"]}'])

    assert isinstance(refusal, Refusal)
    assert refusal.kind == "differs"


def test_an_option_that_is_refused_has_the_kind_of_its_warning() -> None:
    header = HeaderBlock.parse(b'From: a@b.test\r\nX-MSYS-API: {"options": {"dkim_key": "k"}}\r\n')
    refusal = translate(Envelope("a@b.test", ("c@d.test",)), header, TRACE, Policy(on_dkim_key=Unsupported.REFUSE))

    assert isinstance(refusal, Refusal)
    assert refusal.kind == "dkim-key"


def test_a_mail_loop_is_a_kind() -> None:
    header = HeaderBlock.parse(b"Received: by a.test\r\n" * 51)
    refusal = translate(Envelope("a@b.test", ("c@d.test",)), header, TRACE, Policy())

    assert isinstance(refusal, Refusal)
    assert refusal.kind == "loop"
