"""No string of X-MSYS-API becomes more than a string: not upstream, not in a reply, not in the log."""

import json
import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.policy import BccStyle, CampaignHome, Policy, Unsupported
from tests.injection.memory import Sent, relay
from tests.injection.payloads import PAYLOADS

PLACES: dict[str, Callable[[str], object]] = {
    "campaign_id": lambda text: {"campaign_id": text},
    "metadata-key": lambda text: {"metadata": {text: "x"}},
    "metadata-value": lambda text: {"metadata": {"x": text}},
    "metadata-deep": lambda text: {"metadata": {"x": [{text: [text]}]}},
    "tag": lambda text: {"tags": ["a", text]},
    "bcc": lambda text: {"bcc": [text]},
    "cc-local-part": lambda text: {"cc": [f"{text}@cc.test"]},
    "cc-quoted-local-part": lambda text: {"cc": [f'"{text}"@cc.test']},
    "cc-domain": lambda text: {"cc": [f"cc@{text}.test"]},
    "cc-name": lambda text: {"cc": [{"email": "cc@cc.test", "name": text}]},
    "cc-name-in-text": lambda text: {"cc": [f"{text} <cc@cc.test>"]},
    "cc-quoted-name": lambda text: {"cc": [f'"{text}" <cc@cc.test>']},
    "bcc-name": lambda text: {"bcc": [{"email": "bcc@cc.test", "name": text}]},
    "archive-address": lambda text: {"archive": [{"address": {"email": f"{text}@cc.test", "name": text}}]},
    "ip_pool": lambda text: {"options": {"ip_pool": text}},
    "dkim-key": lambda text: {"options": {"dkim_key": text}},
    "boolean": lambda text: {"options": {"open_tracking": text}},
    "unknown-option": lambda text: {"options": {text: text}},
    "unknown-key": lambda text: {text: text},
    "key-of-the-wrong-type": lambda text: {"metadata": text, "tags": {text: 1}},
    "an-array": lambda text: [text],
    "a-string": lambda text: text,
}
POLICIES = {
    "usual": Policy(),
    "strict": Policy(
        campaign=CampaignHome.ENTITY_ID,
        bcc=BccStyle.SHARED,
        on_ip_pool=Unsupported.REFUSE,
        on_dkim_key=Unsupported.REFUSE,
    ),
}
KNOWN = {
    b"received", b"from", b"to", b"cc", b"bcc", b"subject", b"message-id", b"date", b"x-ib-track-opens",
    b"x-ib-track-clicks", b"x-ib-bulk-id", b"x-ib-entity-id", b"x-ib-callback-data",
}  # fmt: skip
# Where hardly any of the payloads is a value that can be.
REFUSED_PLACES = {
    "bcc", "cc-local-part", "cc-quoted-local-part", "cc-domain", "cc-name-in-text", "archive-address", "boolean",
    "key-of-the-wrong-type", "an-array", "a-string", "dkim-key", "ip_pool", "cc-quoted-name", "campaign_id",
}  # fmt: skip
ADDRESSES = re.compile(rb'(?:"(?:[^"\\]|\\.)*"|[^\s"@<>,]+)@cc\.test')
HEAD = b"From: News <news@sender.test>\r\nTo: a@rcpt.test\r\nSubject: hello\r\n"
BODY = b"the body\r\n"


def message(api: bytes) -> bytes:
    return HEAD + b"X-MSYS-API: " + api + b"\r\n\r\n" + BODY


def spellings(value: object) -> Iterator[bytes]:
    """Write JSON in ASCII, then as raw UTF-8 where that can stand in a line of a header."""
    yield json.dumps(value).encode()
    raw = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if not any(octet in raw for octet in b"\r\n\0"):
        yield raw


def check_sent(sent: Sent) -> None:
    """The provider got the fields that the relay writes, each once, in plain lines; the body is as it was."""
    fields = sent.fields()
    names = [name for name, _ in fields]
    assert len(set(names)) == len(names)
    assert set(names) <= KNOWN
    assert (b"from", b"News <news@sender.test>") in fields
    assert sent.body == BODY
    for line in sent.lines:
        assert re.fullmatch(rb"[ -~\t]{1,998}", line), line[:100]
    for address in sent.recipients:
        assert address == b"a@rcpt.test" or ADDRESSES.fullmatch(address) or address.endswith(b".test")
        assert b"evil.test" not in address.rpartition(b"@")[2]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("place", PLACES)
def test_a_string_of_the_api_stays_a_string(place: str, policy: str) -> None:
    with relay(policy=POLICIES[policy]) as world:
        peer = world.peer()
        for payload in PAYLOADS.values():
            for api in spellings(PLACES[place](payload)):
                before = len(world.provider.taken)
                answer = peer.mail(message(api))
                assert re.match(r"250 2\.6\.0 Message queued as 4711$|550 5\.6\.\d ", answer), answer
                assert (len(world.provider.taken) > before) == answer.startswith("250")
        for sent in world.provider.taken:
            check_sent(sent)
        assert len(world.provider.taken) >= len(PAYLOADS) // 3 or place in REFUSED_PLACES
        world.journal.check()


@given(
    st.text(max_size=300)
    | st.text(alphabet="\r\n\0\x1b\x85\u2028\u202e :;<>\"'\\=?,.@{}%aX-", max_size=60)
    | st.lists(st.sampled_from(sorted(PAYLOADS, key=len)[:20]).map(PAYLOADS.__getitem__), max_size=3).map(
        lambda parts: "".join(parts)[:1000]
    ),
    st.sampled_from(sorted(PLACES)),
)
def test_no_string_of_the_api_stays_anything_else(text: str, place: str) -> None:
    with relay() as world:
        for api in spellings(PLACES[place](text)):
            assert world.peer().mail(message(api))[:3] in ("250", "550")
        for sent in world.provider.taken:
            check_sent(sent)
        world.journal.check()


@given(st.binary(max_size=200).map(lambda raw: raw.replace(b"\0", b"").replace(b"\r", b"").replace(b"\n", b"")))
def test_octets_that_are_no_json_are_refused_in_one_line_or_read(raw: bytes) -> None:
    with relay() as world:
        assert world.peer().mail(message(b'{"campaign_id": "' + raw + b'"}'))[:3] in ("250", "550")
        for sent in world.provider.taken:
            check_sent(sent)
        world.journal.check()
