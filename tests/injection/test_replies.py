"""What the provider answers is text for a sender and for the log, and never the answer to another command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.injection.memory import relay
from tests.injection.payloads import PAYLOADS, RAW

MESSAGE = b"From: news@sender.test\r\nTo: a@rcpt.test\r\nSubject: hello\r\n\r\nbody\r\n"
VERBS = [b"MAIL", b"RCPT", b"DATA", b"."]
TAKEN = "250 2.6.0 Message queued as 4711"
ONE_LINE = {
    name: octets.replace(b"\r\n", b" ").replace(b"\n", b" ")[:4000]
    for name, octets in {
        **{name: one.encode("utf-8", "surrogatepass") for name, one in PAYLOADS.items()},
        **RAW,
    }.items()
}
# No reply of one line: what nobody may take for one, or for two.
OUT_OF_STEP = {
    "one-reply-too-many": b"250 2.0.0 yes\r\n250 2.0.0 and yes again\r\n",
    "many-too-many": b"250 yes\r\n" * 20,
    "a-go-ahead-too-many": b"250 yes\r\n354 go on\r\n",
    "a-go-ahead-and-a-yes": b"250 yes\r\n354 go on\r\n250 queued\r\n",
    "bare-lf": b"250 2.0.0 yes\n250 2.0.0 yes\r\n",
    "bare-lf-alone": b"250 2.0.0 yes\n",
    "two-codes": b"250-yes\r\n550 no\r\n",
    "no-code": b"yes\r\n",
    "no-digit-code": b"2\xb20 yes\r\n",
    "four-digits": b"2500 yes\r\n",
    "no-blank": b"250yes\r\n",
    "empty-line": b"\r\n250 yes\r\n",
    "blank-before": b" 250 yes\r\n",
    "nul-before": b"\0250 yes\r\n",
    "escape-before": b"\x1b[2K250 yes\r\n",
    "preliminary": b"150 wait\r\n250 yes\r\n",
    "code-of-nobody": b"650 what\r\n",
    "endless-line": b"250 " + b"y" * 100_000 + b"\r\n",
    "endless-reply": b"250-yes\r\n" * 10_000 + b"250 yes\r\n",
    "html": b"HTTP/1.1 200 OK\r\n\r\n",
    "hangs-up": b"421 4.3.2 going down\r\n250 yes\r\n",
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("code", [b"550 5.1.1 ", b"451 4.3.0 ", b"550-5.1.1 first\r\n550 5.1.1 "])
def test_the_words_of_a_refusal_are_printable_for_the_sender_and_the_log(verb: bytes, code: bytes) -> None:
    for octets in ONE_LINE.values():
        with relay(answers={verb: [code + octets + b"\r\n"]}) as world:
            peer = world.peer()
            peer.lines(b"MAIL FROM:<news@sender.test>\r\nRCPT TO:<a@rcpt.test>\r\nDATA\r\n")
            answer = peer.lines(MESSAGE + b".\r\n")
            assert [line[:4] for line in answer] == (["550-", "550 "] if b"-" in code else [code[:4].decode()])
            assert peer.lines(b"NOOP\r\n") == ["250 2.0.0 OK"]
            assert world.provider.taken == []
            world.journal.check()


def test_the_words_of_a_yes_are_printable_too() -> None:
    for octets in ONE_LINE.values():
        with relay(answers={b".": [b"250 2.6.0 " + octets + b"\r\n"]}) as world:
            peer = world.peer()
            assert peer.mail(MESSAGE).startswith("250 2.6.0 ")
            assert len(world.provider.taken) == 1
            world.journal.check()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("octets", OUT_OF_STEP.values(), ids=OUT_OF_STEP)
def test_a_reply_that_is_none_or_two_is_no_answer_to_anything_else(verb: bytes, octets: bytes) -> None:
    """A message may be sent once more, on another connection; so the fault happens twice."""
    with relay(answers={verb: [octets, octets]}) as world:
        peer = world.peer()
        answer = peer.mail(MESSAGE)
        took = len(world.provider.taken)
        assert answer.startswith("250") == (verb == b"." and octets.startswith((b"250 yes\r\n", b"250 2.0.0 yes\r\n")))
        assert took == (verb == b"." and octets.startswith(b"250"))
        assert peer.lines(b"NOOP\r\n") == ["250 2.0.0 OK"]

        # The fault is over, but for the connections that saw one: nothing of it is left for the next message.
        world.clock.pump([1.0] * 90)
        world.provider.forget_script()
        verdict = peer.mail(MESSAGE, recipient=b"b@rcpt.test")
        assert verdict == TAKEN
        assert [sent.recipients for sent in world.provider.taken[took:]] == [(b"b@rcpt.test",)]
        world.journal.check()


@given(
    st.sampled_from(VERBS),
    st.lists(st.binary(max_size=20) | st.sampled_from(sorted(OUT_OF_STEP.values(), key=len)[:18])),
)
def test_whatever_the_provider_says_nobody_hears_yes_for_a_message_that_it_has_not_got(
    verb: bytes, pieces: list[bytes]
) -> None:
    octets = b"".join(pieces) + b"\r\n"
    with relay(answers={verb: [octets, octets]}) as world:
        peer = world.peer()
        peer.lines(b"MAIL FROM:<news@sender.test>\r\nRCPT TO:<a@rcpt.test>\r\nDATA\r\n")
        answer = peer.lines(MESSAGE + b".\r\n")
        assert not answer or answer[0][:3] != "250" or verb == b"." or world.provider.taken
        world.journal.check()
