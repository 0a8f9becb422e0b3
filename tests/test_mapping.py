"""docs/mapping.md against the code: whatever the translation reads, obeys, refuses or remarks on is in the table."""

import ast
import base64
import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect import infobip, sparkpost
from smtpbridge.dialect.bounds import USUAL, Bounds
from smtpbridge.dialect.instructions import Refusal
from smtpbridge.dialect.plan import Plan
from smtpbridge.dialect.policy import CallbackData, Defaults, Policy, Unsupported
from smtpbridge.dialect.token import SAMPLE
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "mapping.md").read_text("utf-8")
BOUNDS = {one.name for one in fields(Bounds)}
SWITCHES = {one.name for one in fields(Policy) if one.init} - {"bounds"} | BOUNDS
DIALECT = sorted((ROOT / "smtpbridge" / "dialect").glob("*.py"))
TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTP", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """Return the cells of each row of the table in that section."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


TABLE = rows("The table")


def words(title: str) -> list[str]:
    return [row[0].strip("`") for row in rows(title)]


# What the code says


def calls(name: str) -> Iterator[tuple[str, ast.FunctionDef | None, ast.Call]]:
    """Return each call of `name` in the dialect: the module's name, the function that it stands in, the call."""
    for path in DIALECT:
        tree = ast.parse(path.read_text("utf-8"))
        inside: dict[ast.AST, ast.FunctionDef] = {
            node: function
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield f"smtpbridge.dialect.{path.stem}", inside.get(node), node


def shape(module: str, node: ast.expr) -> str:
    """Return a text of the code with constants filled in and `…` for what differs from message to message."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr():
            return "".join(shape(module, part) for part in node.values)
        case ast.FormattedValue(value=ast.Name(id=name)) if name.isupper():
            return str(getattr(importlib.import_module(module), name))
        case ast.FormattedValue():
            return "…"
        case _:
            raise AssertionError(f"{module}: a text that this test cannot read: {ast.unparse(node)}")


def texts(module: str, function: ast.FunctionDef | None, node: ast.expr) -> list[str]:
    """Return the shapes that an argument may have: it is a text, a name that is given one, or a remark's text."""
    match node:
        case ast.Name(id=name):
            assert function is not None, ast.unparse(node)
            given = [
                one.value
                for one in ast.walk(function)
                if isinstance(one, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in one.targets)
            ]
            assert given, f"{module}: {name} is given no text in {function.name}"
            return [shape(module, one) for one in given]
        case ast.Attribute(attr="text"):
            remarks = [found for found in calls("Remark") if found[0] == module]
            return [one for _, where, call in remarks for one in texts(module, where, call.args[1])]
        case _:
            return [shape(module, node)]


REFUSALS = sorted(
    {text for module, function, call in calls("Refusal") for text in texts(module, function, call.args[0])}
)
KINDS = {
    call.args[0].value
    for _, _, call in calls("Remark")
    if isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
}
# Functions that make up the word of a remark from parts; `PROVOKED` shows each of these words in flight.
MADE_UP = {"_note_ignored": {"ignored-field", "unknown-field", "ignored-option", "unknown-option"}}


def toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Enum():
            return f'"{value.value}"'
        case str():
            return f'"{value}"'
        case _:
            return str(value)


# The table


def test_the_table_has_five_cells_in_every_row() -> None:
    assert len(TABLE) > 20
    assert {len(row) for row in TABLE} == {5}


def test_every_field_and_option_that_is_read_or_ignored_has_a_row() -> None:
    named = {name for row in TABLE for name in re.findall(r"`([a-z_.]+)`", row[0])}
    known = {*sparkpost._FIELDS, *sparkpost._IGNORED_FIELDS}
    options = {f"options.{name}" for name in (*sparkpost._OPTIONS, *sparkpost._IGNORED_OPTIONS)}

    # The sink is a domain, and the one thing in the first column that is spelled like an option.
    assert named - {"sink.sparkpostmail.com"} == known | options


def test_every_switch_is_in_the_table_with_its_default() -> None:
    switches = " ".join(row[3] for row in TABLE)
    policy = Policy()

    for name in SWITCHES - {"default_upstream"}:
        default = getattr(USUAL if name in BOUNDS else policy, name)
        if name in ("ip_pools", "subaccounts"):
            assert f"`[{name}]`" in switches
        elif default in ("", None):
            assert f"`{name}`" in switches, name
        else:
            assert f"`{name} = {toml(default)}`" in switches, name


def test_the_table_names_no_switch_that_the_code_lacks() -> None:
    switches = " ".join(row[3] for row in TABLE)
    named = {match[1] for match in re.finditer(r"`\[?([a-z_]+)\]?(?: = [^`]*)?`", switches)}

    # "as for `metadata`" points to another row, and [events] to a page of its own.
    assert named - {"metadata", "campaign_id", "events"} <= SWITCHES


def test_each_choice_of_a_switch_is_in_the_table() -> None:
    for one in fields(Policy):
        if isinstance(one.default, Enum):
            cell = next(row[3] for row in TABLE if f"`{one.name} = " in row[3])
            offered = {str(member.value) for member in type(one.default)}
            if isinstance(one.default, Unsupported) and one.name != "on_inline_css":
                # Of the options without a counterpart, CSS is the only one that the bridge could do itself.
                offered.remove(Unsupported.MAP.value)
            assert [choice for choice in offered if f'"{choice}"' not in cell] == [], one.name


def test_every_header_that_can_be_written_is_in_the_table() -> None:
    source = Path(infobip.__file__).read_text("utf-8")
    written = {f"`{name}" for name in re.findall(r'"(X-IB-[A-Za-z-]+[a-z])[":]', source)}

    assert len(written) >= 12
    assert {name for name in written if not any(name in row[1] for row in TABLE)} == set()


@pytest.mark.parametrize("text", REFUSALS)
def test_every_refusal_is_in_the_table(text: str) -> None:
    assert any(f"{text}`" in row[4] for row in TABLE), text


def test_the_refusals_were_found_in_the_code() -> None:
    assert len(REFUSALS) >= 15
    assert "smtpapi_campaign_id context is limited to 64 bytes" in REFUSALS


def test_every_default_that_can_be_said_nearer_is_named() -> None:
    said = section("Who decides where the message does not say")

    for one in fields(Defaults):
        assert f"`{one.name}`" in said
        assert one.name in SWITCHES


# Values that are wrong for one field or another, or right for it.
ODD: list[object] = [None, True, 1, "", "x" * 65, "\x01", [], {}, ["a@b"], ["a"], ["tr\xfc@b"], [["a"]], ["a@b"] * 1001]
ODD += [{name: value} for name in sorted(sparkpost._OPTIONS) for value in (True, "maybe", 7)]
NEARLY = st.dictionaries(st.sampled_from(sorted(sparkpost._FIELDS)), st.sampled_from(ODD), max_size=3)
DOCUMENTED = re.compile("|".join(re.escape(text).replace("…", ".*") for text in REFUSALS))
REFUSE = Policy(
    on_ip_pool=Unsupported.REFUSE,
    on_inline_css=Unsupported.REFUSE,
    on_skip_suppression=Unsupported.REFUSE,
    on_dkim_key=Unsupported.REFUSE,
)


@given(st.binary() | NEARLY.map(json.dumps).map(str.encode), st.sampled_from([Policy(), REFUSE]))
def test_any_octets_as_the_value_give_a_plan_or_a_refusal_of_this_page(octets: bytes, policy: Policy) -> None:
    header = HeaderBlock.parse(b"X-MSYS-API: " + octets + b"\r\n")

    result = translate(Envelope("s@sender.example", ("r@x.example",)), header, TRACE, policy)

    if isinstance(result, Refusal):
        assert DOCUMENTED.fullmatch(result.text), result.text
        assert (result.code, result.enhanced) in {(550, "5.6.0"), (550, "5.6.7")}
    else:
        assert isinstance(result, Plan)
        assert result.transactions


# Warnings and notes


def test_every_word_of_a_remark_is_explained_once_and_no_other_is() -> None:
    made_up = set().union(*MADE_UP.values())
    explained = words("Warnings") + words("Notes")

    assert sorted(explained) == sorted(KINDS | made_up)
    assert all(len(row) == 3 and all(row) for row in rows("Warnings") + rows("Notes"))


def test_every_warning_and_note_has_its_place_in_the_table() -> None:
    last = " ".join(row[4] for row in TABLE)

    assert [word for word in words("Warnings") + words("Notes") if f"`{word}`" not in last] == []


def test_no_word_is_made_up_where_this_test_cannot_see_it() -> None:
    unseen = {
        function.name if function else module
        for module, function, call in calls("Remark")
        if not isinstance(call.args[0], ast.Constant)
    }

    assert unseen == set(MADE_UP)


LINK = b'<a href="http://x.example" data-msys-%b="1">x</a>\r\n'
HTML = b"Content-Type: text/html\r\n"
BODIES = {
    "link-marks": base64.b64encode((LINK % b"linkname").decode().encode("utf-16")) + b"\r\n",
    "too-many-links": b'<a href="http://x.example">x</a>\r\n' * 151,
    "unsubscribe-link": LINK % b"unsubscribe",
    "untracked-link": (LINK % b"clicktrack").replace(b'"1"', b'"0"'),
    "link-name": LINK % b"linkname",
    "link-attribute": LINK % b"misspelt",
}
# One message for each remark: the header and the policy; above is the body where it takes one.
PROVOKED: dict[str, tuple[bytes, Policy]] = {
    "lenient-json": (b'X-MSYS-API: {"tags":[],}\r\n', Policy()),
    "joined-folds": (b'X-MSYS-API: {"tags":nu\r\n ll}\r\n', Policy()),
    "broken-lines": (b"X-MSYS-API: {\r\n}\r\n", Policy()),
    "split-strings": (b'X-MSYS-API: {"campaign_id":"au\r\n tumn"}\r\n', Policy()),
    "control-in-name": (b'X-MSYS-API: {"cc":[{"email":"a@b.example","name":"\\u0001"}]}\r\n', Policy()),
    "callback-data-truncated": (b'X-MSYS-API: {"metadata":{"a":"0123456789"}}\r\n', Policy(callback_data_limit=9)),
    "ip-pool": (b'X-MSYS-API: {"options":{"ip_pool":"p"}}\r\n', Policy()),
    "inline-css": (b'X-MSYS-API: {"options":{"inline_css":true}}\r\n', Policy(on_inline_css=Unsupported.WARN)),
    "link-marks": (HTML[:-2] + b"; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n", Policy()),
    "too-many-links": (HTML, Policy(click_tracking=True)),
    **dict.fromkeys(("unsubscribe-link", "untracked-link", "link-name", "link-attribute"), (HTML, Policy())),
    "skip-suppression": (b'X-MSYS-API: {"options":{"skip_suppression":true}}\r\n', Policy()),
    "dkim-key": (b'X-MSYS-API: {"options":{"dkim_key":"k"}}\r\n', Policy()),
    "subaccount": (b"", Policy()),
    "list-unsubscribe": (b'X-MSYS-API: {"cc":["c@x.example"]}\r\n', Policy(list_unsubscribe="<mailto:{recipient}>")),
    "words-in-strings": (b'X-MSYS-API: {"campaign_id":"=?utf-8?Q?=22?="}\r\n', Policy()),
    "tags-dropped": (b'X-MSYS-API: {"tags":[1,2,3,4,5,6,7,8,9,10,11]}\r\n', Policy()),
    "ignored-field": (b'X-MSYS-API: {"substitution_data":1}\r\n', Policy()),
    "ignored-option": (b'X-MSYS-API: {"options":{"sandbox":1}}\r\n', Policy()),
    "unknown-field": (b'X-MSYS-API: {"return_path":1}\r\n', Policy()),
    "unknown-option": (b'X-MSYS-API: {"options":{"new":1}}\r\n', Policy()),
    "envelope-sender": (b"From: a@other.example\r\n", Policy()),
    **{
        f"own-{name.lower()}": (f"X-IB-{name}: mine\r\n".encode(), Policy(callback_data=CallbackData.TOKEN))
        for name in ("Callback-Data", "Notify-Url", "Tracking-Url")
    },
    "sink": (b'X-MSYS-API: {"cc":["c@sink.sparkpostmail.com"]}\r\n', Policy()),
}


def test_each_warning_is_a_warning_and_each_note_a_note() -> None:
    assert sorted(PROVOKED) == sorted(words("Warnings") + words("Notes"))
    for kind, (header, policy) in PROVOKED.items():
        envelope, fields = Envelope("s@sender.example", ("r@x.example",)), HeaderBlock.parse(header)
        subaccount = "999" if kind == "subaccount" else ""
        token = SAMPLE if policy.callback_data is CallbackData.TOKEN else ""
        plan = translate(envelope, fields, TRACE, policy, subaccount, body=BODIES.get(kind, b""), token=token)
        assert isinstance(plan, Plan)
        place = plan.warnings if kind in words("Warnings") else plan.notes
        assert kind in {remark.kind for remark in place}, kind
