"""Who follows sessions: what a filter lets through and when, and that a slow reader is told what it has missed."""

from collections.abc import Sequence

import pytest
from twisted.internet.task import Clock

from smtpbridge.relay.transcript import Side, Transcript
from smtpbridge.relay.views import Follower, Told, View
from smtpbridge.relay.wanted import Facts, NoFilter, Verdict, wanted_of

FACTS = Facts("1", listener="tcp:2525:interface=127.0.0.1", client="192.0.2.7")


class Desk:
    """One session, and one who follows it."""

    def __init__(self, **said: object) -> None:
        self.clock = Clock()
        self.lines: list[Told] = []
        self.room = 1_000_000
        self.follower = Follower(wanted_of(said), self.read, self.clock, self.clock.seconds)
        self.view = View(self.follower, FACTS, Transcript())

    def read(self, lines: Sequence[Told]) -> int:
        taken = lines[: self.room]
        self.lines += taken
        return len(taken)

    def client(self, octets: bytes, user: str | None = None) -> None:
        self.view.heard(Side.CLIENT, octets, user, self.clock.seconds())

    def texts(self) -> list[str]:
        self.clock.advance(0.05)
        return [str(line.get("text", line)) for line in self.lines]


def test_without_a_filter_everything_is_told_in_batches() -> None:
    desk = Desk()
    desk.client(b"NOOP\r\n")
    assert desk.lines == []
    desk.clock.advance(0.05)

    assert desk.lines == [
        {"at": 0.0, "session": "1", "listener": FACTS.listener, "peer": "192.0.2.7", "side": ">", "text": "NOOP"}
    ]
    assert desk.clock.getDelayedCalls() == []


def test_a_recipient_that_shows_late_brings_the_lines_before_it_along() -> None:
    desk = Desk(recipient="C@d.test")
    desk.client(b"EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<x@y.test>\r\n")
    assert desk.texts() == []
    desk.client(b"RCPT TO:<c@D.test>\r\n")

    assert desk.texts() == ["EHLO a", "MAIL FROM:<a@b.test>", "RCPT TO:<x@y.test>", "RCPT TO:<c@D.test>"]


def test_a_message_to_others_is_left_out_of_a_session_that_is_wanted_for_another_message() -> None:
    desk = Desk(sender="good@b.test")
    desk.client(b"MAIL FROM:<bad@b.test>\r\nRSET\r\nMAIL FROM:<good@b.test>\r\nRSET\r\nMAIL FROM:<bad@b.test>\r\n")
    desk.client(b"MAIL FROM:<good@b.test>\r\n")

    assert desk.texts() == ["MAIL FROM:<good@b.test>", "RSET", "MAIL FROM:<good@b.test>"]


def test_a_user_shows_with_its_login() -> None:
    desk = Desk(user="Shop")
    desk.client(b"EHLO a\r\n")
    desk.client(b"NOOP\r\n", "shop")
    other = Desk(user="shop")
    other.client(b"EHLO a\r\n")
    other.client(b"NOOP\r\n", "somebody")

    assert desk.texts() == ["EHLO a", "NOOP"]
    assert other.texts() == []


def test_a_reader_that_is_too_slow_is_told_how_many_lines_it_has_missed() -> None:
    desk = Desk()
    desk.room = 0
    desk.client(b"NOOP\r\n" * 1500)
    desk.clock.advance(0.05)
    assert desk.lines == []
    desk.room = 10_000
    desk.client(b"RSET\r\n")

    assert desk.texts() == ["{'at': 0.1, 'lost': 1500}", "RSET"]
    assert desk.clock.getDelayedCalls() == []


def test_a_reader_that_takes_a_part_misses_only_the_rest() -> None:
    desk = Desk()
    desk.room = 3
    desk.client(b"NOOP\r\n" * 5)
    desk.clock.advance(0.05)
    desk.room = 10
    desk.client(b"RSET\r\n")

    assert desk.texts() == ["NOOP", "NOOP", "NOOP", "{'at': 0.1, 'lost': 2}", "RSET"]


def test_who_has_ended_is_told_nothing_more() -> None:
    desk = Desk()
    desk.client(b"NOOP\r\n")
    desk.follower.end()

    assert desk.texts() == []
    assert desk.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({}, Verdict.YES),
        ({"client": "192.0.2.7"}, Verdict.YES),
        ({"client": "192.0.2.0/24"}, Verdict.YES),
        ({"client": "2001:db8::/32"}, Verdict.NO),
        ({"listener": "2525"}, Verdict.YES),
        ({"listener": "587"}, Verdict.NO),
        ({"upstream": "main"}, Verdict.NO),
        ({"session": "1"}, Verdict.YES),
        ({"session": "2"}, Verdict.NO),
        ({"user": "shop"}, Verdict.MAYBE),
        ({"sender": "a@b.test", "client": "192.0.2.7"}, Verdict.MAYBE),
        ({"sender": "a@b.test", "client": "192.0.2.8"}, Verdict.NO),
    ],
)
def test_a_filter_judges_by_what_is_known(said: dict[str, object], verdict: Verdict) -> None:
    assert wanted_of(said).judge(FACTS) is verdict


@pytest.mark.parametrize("said", [{"client": "here"}, {"sender": 1}, {"colour": "red"}])
def test_what_is_no_filter_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(NoFilter):
        wanted_of(said)
