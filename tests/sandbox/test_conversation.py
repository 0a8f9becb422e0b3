"""Promises of `smtpbridge.sandbox.conversation`, on a transport in memory: what time, pressure and rude peers do."""

import base64
from itertools import count
from pathlib import Path

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from smtpbridge.sandbox.conversation import Conversation
from smtpbridge.sandbox.folder import StoredMessage
from smtpbridge.sandbox.server import Sandbox

LOGIN = b"EHLO c.example\r\nAUTH PLAIN " + base64.b64encode(b"\0App\0right key") + b"\r\n"
MAIL = b"MAIL FROM:<a@example.com>\r\n"
RCPT = b"RCPT TO:<b@example.org>\r\n"
CONTENT = b"From: a@example.com\r\n\r\n..hello\r\n.\r\n"
MESSAGE = MAIL + RCPT + b"DATA\r\n" + CONTENT


class InMemory:
    """A sandbox, and peers that are only strings."""

    def __init__(self, folder: Path | None = None) -> None:
        self.clock = Clock()
        self.kept: list[StoredMessage] = []
        numbers = count(1)
        self.sandbox = Sandbox(
            folder=folder,
            users={"App": "right key"},
            context_factory=CertificateOptions(),
            clock=self.clock,
            ids=lambda: f"id-{next(numbers)}",
            on_message=self.on_message,
        )

    def on_message(self, message: StoredMessage) -> None:
        if "explode" in message.rcpt_to[0]:
            raise ValueError("the callback is broken")
        self.kept.append(message)

    def connect(self, said: bytes = b"", *, secure: bool = True) -> tuple[Conversation, StringTransport]:
        """Open a connection, as far as possible without a real handshake, and say something."""
        conversation = Conversation(self.sandbox, self.sandbox.opened(), secure=secure)
        transport = StringTransport()
        IProtocol(conversation).makeConnection(transport)
        if secure:
            conversation.handshakeCompleted()
        transport.clear()
        conversation.dataReceived(said)
        return conversation, transport


def codes(transport: StringTransport) -> list[int]:
    """Return the code of each reply that was written."""
    return [int(line[:3]) for line in transport.value().splitlines() if line[3:4] != b"-"]


class ConversationTests(TestCase):
    """One connection at a time, or two."""

    def setUp(self) -> None:
        self.memory = InMemory()

    def test_a_whole_transaction_in_one_piece_is_answered_in_order(self) -> None:
        _, transport = self.memory.connect(LOGIN + MAIL + RCPT + b"RCPT TO:<refuse@example.org>\r\nDATA\r\n")
        assert codes(transport) == [250, 235, 250, 250, 550, 354]
        assert self.memory.kept == []

    def test_octet_by_octet_is_as_good_as_whole(self) -> None:
        conversation, transport = self.memory.connect()
        for octet in LOGIN + MESSAGE:
            conversation.dataReceived(bytes([octet]))
        _, whole = self.memory.connect(LOGIN + MESSAGE)

        assert codes(transport) == [250, 235, 250, 250, 354, 250]
        assert transport.value().replace(b"id-1", b"id-2") == whole.value()

    def test_a_connection_that_is_silent_for_a_minute_is_closed_with_421(self) -> None:
        conversation, transport = self.memory.connect()
        self.memory.clock.advance(59)
        conversation.dataReceived(b"EHLO c.example\r\n")
        transport.clear()
        self.memory.clock.advance(59)
        assert transport.value() == b""
        self.memory.clock.advance(1)

        assert codes(transport) == [421]
        assert transport.disconnecting

    def test_a_handshake_that_takes_over_a_minute_is_too_late(self) -> None:
        conversation = Conversation(self.memory.sandbox, self.memory.sandbox.opened(), secure=True)
        transport = StringTransport()
        IProtocol(conversation).makeConnection(transport)
        self.memory.clock.advance(60)
        conversation.handshakeCompleted()

        assert codes(transport) == [421]

    def test_a_busy_connection_has_one_timer_and_a_lost_one_none(self) -> None:
        conversation, _ = self.memory.connect(LOGIN + MESSAGE * 3)
        assert len(self.memory.clock.getDelayedCalls()) == 1
        conversation.connectionLost(Failure(ConnectionDone()))

        assert self.memory.clock.getDelayedCalls() == []

    def test_a_peer_that_does_not_close_in_turn_is_cut_off(self) -> None:
        _, transport = self.memory.connect(b"QUIT\r\n")
        assert (codes(transport), transport.disconnected) == ([221], False)
        self.memory.clock.advance(5)

        assert transport.disconnected

    def test_a_peer_that_does_not_read_is_not_read_from(self) -> None:
        conversation, transport = self.memory.connect()
        assert transport.producer is conversation
        conversation.pauseProducing()
        assert transport.producerState == "paused"
        conversation.resumeProducing()
        assert transport.producerState == "producing"

    def test_a_connection_that_closes_while_its_peer_does_not_read_sees_the_peer_go(self) -> None:
        conversation, transport = self.memory.connect()
        conversation.pauseProducing()
        self.memory.clock.advance(60)

        assert (codes(transport), transport.disconnecting, transport.producer) == ([421], True, None)
        assert transport.producerState == "producing"

    def test_what_is_pipelined_behind_a_hang_up_is_neither_obeyed_nor_answered(self) -> None:
        _, transport = self.memory.connect(LOGIN + MAIL + RCPT + b"RCPT TO:<hangup@example.org>\r\nDATA\r\n" + CONTENT)

        assert codes(transport) == [250, 235, 250, 250, 421]
        assert transport.disconnecting
        assert self.memory.kept == []

    def test_a_cut_comes_behind_the_replies_before_it_and_without_a_word(self) -> None:
        _, transport = self.memory.connect(LOGIN + MAIL + RCPT + b"RCPT TO:<cut@example.org>\r\nDATA\r\n")

        assert codes(transport) == [250, 235, 250, 250]
        assert transport.disconnecting

    def test_a_message_before_a_hang_up_is_kept_and_said_to_be(self) -> None:
        _, transport = self.memory.connect(LOGIN + MESSAGE + b"MAIL FROM:<hangup.sender@example.com>\r\n" + RCPT)

        assert codes(transport) == [250, 235, 250, 250, 354, 250, 421]
        assert [message.id for message in self.memory.kept] == ["id-1"]

    def test_each_outcome_of_a_body_comes_at_its_moment(self) -> None:
        expected = {
            "hangup.body": ([354, 421], True),
            "cut.body": ([354], True),
            "reject.data": ([354, 554], False),
            "defer.data": ([354, 451], False),
            "hangup.data": ([354, 421], True),
            "cut.data": ([354], True),
        }
        for name, (replies, closed) in expected.items():
            _, transport = self.memory.connect(LOGIN + MAIL + RCPT + b"RCPT TO:<%b@b.c>\r\n" % name.encode())
            seen = len(codes(transport))
            _, transport = self.memory.connect(
                LOGIN + MAIL + RCPT + b"RCPT TO:<%b@b.c>\r\nDATA\r\n" % name.encode() + CONTENT
            )
            assert (codes(transport)[seen:], transport.disconnecting) == (replies, closed), name
        assert self.memory.kept == []

    def test_after_a_refusal_at_the_dot_the_connection_takes_the_next_message(self) -> None:
        refused = MAIL + b"RCPT TO:<reject.data@b.c>\r\nDATA\r\n" + CONTENT
        _, transport = self.memory.connect(LOGIN + refused + MESSAGE)

        assert codes(transport)[2:] == [250, 250, 354, 554, 250, 250, 354, 250]

    def test_what_breaks_in_one_connection_ends_that_one_alone(self) -> None:
        other, quiet = self.memory.connect(LOGIN)
        quiet.clear()
        _, broken = self.memory.connect(LOGIN + MAIL + b"RCPT TO:<explode@b.c>\r\nDATA\r\n" + CONTENT)
        other.dataReceived(MESSAGE)

        assert len(self.flushLoggedErrors(ValueError)) == 1
        assert broken.disconnected
        assert codes(quiet) == [250, 250, 354, 250]

    def test_a_message_over_the_limit_is_refused_and_the_connection_goes_on(self) -> None:
        conversation, transport = self.memory.connect(LOGIN + MAIL + RCPT + b"DATA\r\nFrom: a@example.com\r\n\r\n")
        block = b"x" * 1022 + b"\r\n"
        for _ in range(20):
            conversation.dataReceived(block * 1024)
        conversation.dataReceived(b".\r\n")
        conversation.dataReceived(MESSAGE)

        assert codes(transport)[4:] == [354, 552, 250, 250, 354, 250]

    def test_the_limit_of_recipients_is_a_thousand(self) -> None:
        recipients = b"".join(b"RCPT TO:<r%d@b.c>\r\n" % number for number in range(1001))
        _, transport = self.memory.connect(LOGIN + MAIL + recipients + b"DATA\r\n" + CONTENT)
        lines = transport.value().splitlines()

        assert codes(transport)[-1003:] == [250] * 1000 + [452, 354, 250]
        assert any(line.startswith(b"452 4.5.3 ") for line in lines)
        assert len(self.memory.kept[0].rcpt_to) == 1000

    def test_the_counters_tell_of_connections_and_of_messages_on_each(self) -> None:
        first, _ = self.memory.connect(LOGIN + MESSAGE * 2)
        _, _ = self.memory.connect(LOGIN + MESSAGE)
        first.connectionLost(Failure(ConnectionDone()))
        self.memory.connect(LOGIN + MESSAGE.replace(b"From: a@example.com", b"From: a@example.net"))
        stats = self.memory.sandbox.stats()

        assert (stats.connections, stats.open, stats.peak) == (3, 2, 2)
        assert (stats.messages, stats.recipients, stats.refused) == (3, 3, 1)
        assert stats.messages_per_connection == (2, 1, 0)

    def test_a_factory_takes_any_number_of_connections_and_says_nothing_of_its_own(self) -> None:
        for factory in (self.memory.sandbox.factory(), self.memory.sandbox.factory(implicit_tls=True)):
            assert IProtocolFactory.providedBy(factory)
            assert not getattr(factory, "noisy", True)


@pytest.mark.parametrize(
    "rest",
    [
        b"DATA\r\nFrom: a@example.com\r\n\r\nhalf",
        b"DATA\r\nFrom: a@example.net\r\n\r\nunaligned\r\n.\r\n",
        b"RCPT TO:<cut.data@b.c>\r\nDATA\r\n" + CONTENT,
    ],
)
def test_nothing_is_left_of_a_message_that_was_not_accepted(tmp_path: Path, rest: bytes) -> None:
    conversation, _ = InMemory(tmp_path).connect(LOGIN + MAIL + RCPT + rest)
    conversation.connectionLost(Failure(ConnectionDone()))

    assert list(tmp_path.iterdir()) == []


def test_the_numbers_of_messages_rise_over_two_runs_in_one_folder(tmp_path: Path) -> None:
    InMemory(tmp_path).connect(LOGIN + MESSAGE * 2)
    InMemory(tmp_path).connect(LOGIN + MESSAGE)

    names = sorted(path.name for path in tmp_path.glob("*.eml"))
    assert names == ["000001-id-1.eml", "000002-id-2.eml", "000003-id-1.eml"]
