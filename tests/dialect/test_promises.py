"""What the whole translation promises whatever a sender writes: exact numbers, kept order, and no way to break out."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.instructions import Json, Refusal
from smtpbridge.dialect.jsontext import write
from smtpbridge.dialect.number import Number
from smtpbridge.dialect.plan import Plan
from smtpbridge.dialect.policy import BccStyle, CampaignHome, Policy
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock, unfold
from smtpbridge.mail.message import Envelope
from smtpbridge.mail.trace import Trace

_TRACE = Trace("bridge.example.com", "app.example", "192.0.2.7", "ESMTP", "8K2mq", "Fri, 20 Nov 2026 06:00:00 +0000")
_ENVELOPE = Envelope("bounce@sender.example", ("r@x.example",))


def _translated(value: bytes, policy: Policy) -> Plan | Refusal:
    return translate(_ENVELOPE, HeaderBlock.parse(b"X-MSYS-API: " + value + b"\r\n"), _TRACE, policy)


# Numbers and order

_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,60})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?", fullmatch=True).map(Number)
_KEYS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters="=?"), max_size=8)
_METADATA = st.dictionaries(
    _KEYS,
    st.recursive(_NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3)),
    max_size=8,
)


@given(_METADATA, st.sampled_from([b"", b"\r\n ", b"\r\n\t\t"]))
def test_numbers_leave_as_they_were_written_and_keys_in_the_order_of_writing(
    metadata: dict[str, Json], fold: bytes
) -> None:
    given_text = write(metadata)
    value = b'{"metadata":' + fold + given_text.encode() + fold + b"}"

    plan = _translated(value, Policy(callback_data_limit=10**6))

    assert isinstance(plan, Plan)
    (sent,) = HeaderBlock.parse(plan.transactions[0].header).values(b"x-ib-callback-data")
    # A fold of ours stands between tokens, where its blank means nothing; blanks in keys are in quotes.
    compact = re.sub(r'("(?:[^"\\]|\\.)*")|\s+', lambda found: found[1] or "", unfold(sent).decode("ascii"))
    assert compact == f'{{"metadata":{given_text}}}'


# Breaking out

# Text that would be a line, a field, a command or the end of the message where it got out of its string.
_PIECES = [
    "\r\n", "\n", "\r", "\0", ".", "X-Evil: 1", "MAIL FROM:<e@x>", "RCPT TO:<e@x>", "DATA", " ", "\t", "a@b.example",
    "<", ">", '"', "\\", ",", ";", "\x85", "\u2028", "\x7f", "\xfc", "\U0001f600", "=?utf-8?Q?=0D=0A?=", "%0d%0a",
]  # fmt: skip
_HOSTILE = st.lists(st.sampled_from(_PIECES), max_size=6).map("".join)
_ADDRESS = st.one_of(_HOSTILE, _HOSTILE.map("a@b.example{}".format), _HOSTILE.map('{} <"a b"@b.example>'.format))
_ENTRIES = st.lists(_ADDRESS | st.fixed_dictionaries({"email": st.just("c@d.example"), "name": _HOSTILE}), max_size=2)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "campaign_id": _HOSTILE,
        "tags": st.lists(_HOSTILE, max_size=2),
        "metadata": st.dictionaries(_HOSTILE, _HOSTILE, max_size=2),
        "cc": _ENTRIES,
        "bcc": _ENTRIES,
        "archive": _ENTRIES,
        "options": st.fixed_dictionaries({}, optional={"ip_pool": _HOSTILE, "dkim_key": _HOSTILE}),
    },
)
_POLICIES = st.builds(
    Policy,
    bcc=st.sampled_from(BccStyle),
    campaign=st.sampled_from(CampaignHome),
    list_unsubscribe=st.sampled_from(["", "<https://x.example/u/{recipient}>"]),
    envelope_from=st.sampled_from(["auto", "keep"]),
)
_OURS = re.compile(
    rb"received|message-id|date|cc|bcc|list-unsubscribe(?:-post)?"
    rb"|x-ib-(?:track-opens|track-clicks|bulk-id|entity-id|application-id|callback-data)"
)
# RFC 5321, 4.1.2, as wide as can be: nothing that ends a path or a line, a blank in a quoted local part only.
_PATH = re.compile(r'(?:"(?:[ !#-\[\]-~]|\\[ -~])*"|[!-~]+)@[!-~]+')


def _in_words(text: str) -> bytes:
    """Return the whole text as one encoded word of RFC 2047, as mail libraries write it, however long."""
    return b"=?utf-8?Q?" + b"".join(b"=%02X" % octet for octet in text.encode()) + b"?="


_WRITERS = (
    lambda document: json.dumps(document).encode(),
    lambda document: json.dumps(document, ensure_ascii=False).encode(),
    lambda document: _in_words(json.dumps(document)),
    lambda document: _in_words(json.dumps(document, ensure_ascii=False)),
    # Control characters raw inside of the strings, which the lenient grammar lets pass.
    lambda document: _in_words(json.dumps(document, ensure_ascii=False).replace("\\r", "\r").replace("\\n", "\n")),
    lambda document: json.dumps(document).encode().replace(b"\\r\\n", b"\r\n ").replace(b"\\u0000", b"\0"),
)


@given(_HEADERS, st.sampled_from(_WRITERS), _POLICIES)
def test_no_string_however_it_is_encoded_gets_out_of_its_place(document, writer, policy: Policy) -> None:  # type: ignore[no-untyped-def] # any JSON and any writer of it
    result = _translated(writer(document), policy)

    if isinstance(result, Refusal):
        assert re.fullmatch(r"[ -~]{1,500}", result.text)
        return
    for transaction in result.transactions:
        assert re.fullmatch(rb"(?:[ -~]{1,998}\r\n)+", transaction.header)
        names = HeaderBlock.parse(transaction.header).names
        assert all(map(_OURS.fullmatch, names)), names
        assert len(set(names)) == len(names)
        for address in (transaction.envelope.sender, *transaction.envelope.recipients):
            assert _PATH.fullmatch(address), address
    for remark in (*result.warnings, *result.notes):
        assert re.fullmatch(r"[ -~]+", remark.text)
