"""Whatever a sender puts into one write, replies come in order and messages stay apart."""

from tests.integration.conftest import Pair
from tests.integration.talk import Talk

FIELDS = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: %s\r\n\r\n"
ENVELOPE = b"MAIL FROM:<shop@mail.example.com>\r\nRCPT TO:<r@example.org>\r\nRCPT TO:<s@example.org>\r\nDATA\r\n"


def test_mail_rcpt_and_data_may_come_in_one_write(pair: Pair) -> None:
    with Talk(pair.bridge.port).hello() as talk:
        talk.write(ENVELOPE)
        assert talk.replies(4) == [250, 250, 250, 354]
        talk.write(FIELDS % b"one" + b"hello\r\n.\r\n")
        assert talk.replies(1) == [250]

    stored = pair.sandbox.one_message()
    assert stored.rcpt_to == ("r@example.org", "s@example.org")
    assert stored.body == b"hello\r\n"


def test_the_body_and_the_next_message_may_come_in_one_write(pair: Pair) -> None:
    with Talk(pair.bridge.port).hello() as talk:
        talk.write(ENVELOPE)
        assert talk.replies(4) == [250, 250, 250, 354]
        talk.write(FIELDS % b"one" + b"first\r\n.\r\n" + ENVELOPE)
        assert talk.replies(5) == [250, 250, 250, 250, 354]
        talk.write(FIELDS % b"two" + b"second\r\n.\r\nNOOP\r\nQUIT\r\n")
        assert talk.replies(3) == [250, 250, 221]

    assert [message.body for message in pair.sandbox.new_messages()] == [b"first\r\n", b"second\r\n"]


def test_a_whole_session_in_one_write_is_answered_in_order(pair: Pair) -> None:
    session = ENVELOPE + FIELDS % b"one" + b"hello\r\n.\r\n"

    with Talk(pair.bridge.port) as talk:
        talk.write(b"EHLO client.example.com\r\n" + session * 20 + b"QUIT\r\n")
        assert talk.replies(102) == [250, *[250, 250, 250, 354, 250] * 20, 221]
        assert talk.reply() == b""

    assert len(pair.sandbox.new_messages()) == 20


def test_a_refused_message_does_not_disturb_the_ones_around_it(pair: Pair) -> None:
    good = ENVELOPE + FIELDS % b"good" + b"hello\r\n.\r\n"
    bad = ENVELOPE + b"X-MSYS-API: {not json\r\n" + FIELDS % b"bad" + b"hello\r\n.\r\n"

    with Talk(pair.bridge.port).hello() as talk:
        talk.write(good + bad + good)
        codes = talk.replies(15)

    assert codes == [*[250, 250, 250, 354, 250], *[250, 250, 250, 354, 550], *[250, 250, 250, 354, 250]]
    assert [message.field("Subject") for message in pair.sandbox.new_messages()] == ["good", "good"]
