"""
What is promised of both halves together: joined by octets in memory, cut anyhow, they carry mail from end to end.

A `Conversation` is the two skins at once.  It passes octets on in pieces of a
given size, does what the events ask for, and keeps what the server took and
what the client was told.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp import client as sender
from smtpbridge.smtp import events as receiver
from smtpbridge.smtp.client import ClientSession, Concluded, GoAhead, Phase, Ready, Unusable
from smtpbridge.smtp.commands import Mail
from smtpbridge.smtp.data import Block, Defects, canonical, stuff, unstuff
from smtpbridge.smtp.events import MessageBegins, MessageDropped, MessageEnds, MessageWhole, Terms
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.smtp.sasl import LoginAttempt
from smtpbridge.smtp.server import ServerSession, State

TERMS = Terms("mx.example.com", starttls=True, auth_offered=True, max_message=5000, max_recipients=4)
QUEUED = reply(250, "2.6.0", "Message queued as <1@mx.example.com>")
Letter = tuple[str, tuple[str, ...], bytes]
Taken = tuple[MessageBegins, bytes, Defects]


class Conversation:
    """A client that sends `letters` one after the other, and a server that answers each with `verdict`."""

    def __init__(
        self,
        letters: list[Letter],
        *,
        terms: Terms = TERMS,
        implicit_tls: bool = False,
        password: str = "secret",
        verdict: Reply = QUEUED,
        piece: int = 1 << 16,
    ) -> None:
        """Begin with the greeting under way."""
        self.client = ClientSession("bridge", implicit_tls=implicit_tls, username="user", password=password)
        self.server = ServerSession(terms, secure=implicit_tls)
        self.taken: list[Taken] = []
        self.dropped = 0
        self.told: list[sender.Event] = []
        self._letters = list(letters)
        self._letter: Letter = ("", (), b"")
        self._verdict = verdict
        self._piece = piece
        self._to_server = self._to_client = b""
        self._begun = MessageBegins("", (), False)
        self._data = b""

    def run(self) -> "Conversation":
        """Go on until nobody has anything more to say."""
        self.client.secured()
        self.server.greet()
        self._collect()
        while self._to_server or self._to_client:
            octets, self._to_server = self._to_server[: self._piece], self._to_server[self._piece :]
            if octets:
                self._serve(self.server.receive(octets))
            octets, self._to_client = self._to_client[: self._piece], self._to_client[self._piece :]
            if octets:
                for event in self.client.receive(octets):
                    self._send(event)
            self._collect()
        return self

    def outcomes(self) -> list[Concluded]:
        """Return how the transactions ended."""
        return [event for event in self.told if isinstance(event, Concluded)]

    def _collect(self) -> None:
        self._to_server += self.client.data_to_send()
        self._to_client += self.server.data_to_send()

    def _serve(self, events: list[receiver.Event]) -> None:
        for event in events:
            match event:
                case LoginAttempt():
                    self._serve(self.server.login(event.secret == "secret"))
                case MessageBegins():
                    self._begun, self._data = event, b""
                case Block(octets):
                    self._data += octets
                case MessageEnds(defects):
                    self.taken.append((self._begun, self._data, defects))
                    self._serve(self.server.conclude(self._verdict))
                case MessageWhole(octets):
                    self.taken.append((self._begun, octets, Defects()))
                    self._serve(self.server.conclude(self._verdict))
                case MessageDropped():
                    self.dropped += 1

    def _send(self, event: sender.Event) -> None:
        self.told.append(event)
        match event:
            case sender.UpgradeTls():
                # The handshake itself is nobody's here: both sides have said what belongs before it.
                assert not self._to_client
                self.server.secured()
                self.client.secured()
            case Ready() | Concluded() if self.client.state is sender.State.READY and self._letters:
                self._letter = self._letters.pop(0)
                address, recipients, data = self._letter
                self.client.begin(Mail(address, len(data), eight_bit=True), recipients)
            case Ready() | Concluded():
                self.client.quit()
            case GoAhead():
                self._to_server += self._letter[2] + self.client.end_data()


_CONTENT = st.lists(
    st.sampled_from([b"\r\n", b".", b"..", b"a", b"\r\n.", b"QUIT\r\n", b"\xff", b"x" * 70]), max_size=12
).map(lambda parts: b"".join(parts) + b"\r\n")
_ADDRESSES = st.sampled_from(["a@example.com", '"b c"@example.com', "d@[192.0.2.1]", "postmaster"])
_LETTERS = st.lists(
    st.tuples(
        _ADDRESSES | st.just(""),
        st.lists(_ADDRESSES, min_size=1, max_size=4, unique=True).map(tuple),
        _CONTENT,
    ),
    max_size=4,
)


@given(_LETTERS, st.sampled_from([1, 2, 3, 7, 1 << 16]), st.booleans(), st.booleans())
def test_every_message_arrives_once_as_it_was_sent(
    letters: list[Letter], piece: int, implicit_tls: bool, pipelining: bool
) -> None:
    keywords = None if pipelining else ("STARTTLS", "SIZE", "8BITMIME", "AUTH LOGIN")
    terms = Terms("mx.example.com", starttls=True, auth_offered=True, keywords=keywords)
    wire = [(address, recipients, stuff(content)) for address, recipients, content in letters]

    done = Conversation(wire, terms=terms, implicit_tls=implicit_tls, piece=piece).run()

    assert [(begun.sender, begun.recipients, unstuff(data)) for begun, data, _ in done.taken] == letters
    assert [defects for _, _, defects in done.taken] == [Defects()] * len(letters)
    assert all(begun.eight_bit for begun, _, _ in done.taken)
    assert [outcome.final for outcome in done.outcomes()] == [QUEUED] * len(letters)
    assert done.server.state is State.CLOSED
    assert (done.server.user, done.server.secure) == ("user", True)


@given(st.binary(max_size=60) | _CONTENT, st.integers(1, 9))
def test_what_was_written_anew_arrives_without_a_defect_and_carries_no_second_message(
    octets: bytes, piece: int
) -> None:
    blocks = [octets[at : at + piece] for at in range(0, len(octets), piece)]
    data = b"".join(canonical([*blocks, b"\r\n"]))

    done = Conversation([("a@example.com", ("b@example.com",), data)], piece=piece).run()

    assert [(data, Defects(nul=b"\0" in octets))] == [(taken, defects) for _, taken, defects in done.taken]
    assert done.outcomes()[0].final == QUEUED


def test_the_verdict_reaches_the_client_in_the_server_s_own_words() -> None:
    refused = Reply(554, "5.7.1", ("we do not", "want this"))
    done = Conversation([("a@x", ("b@x",), b"x\r\n")] * 2, verdict=refused).run()

    assert [outcome.final for outcome in done.outcomes()] == [refused, refused]


def test_a_wrong_password_ends_in_the_refusal_and_no_mail() -> None:
    done = Conversation([("a@x", ("b@x",), b"x\r\n")], password="guess").run()

    last = done.told[-1]
    assert isinstance(last, Unusable)
    assert last.answer is not None
    assert (last.answer.code, last.answer.enhanced) == (535, "5.7.8")
    assert done.taken == []


def test_recipients_over_the_limit_are_named_and_the_others_are_served() -> None:
    recipients = tuple(f"{name}@example.com" for name in "abcdef")
    done = Conversation([("a@x", recipients, b"x\r\n")]).run()

    (outcome,) = done.outcomes()
    assert [answer.code for answer in outcome.recipients if answer] == [250, 250, 250, 250, 452, 452]
    assert [begun.recipients for begun, _, _ in done.taken] == [recipients[:4]]
    assert outcome.final == QUEUED


@pytest.mark.parametrize("piece", [1, 100, 1 << 16])
def test_a_message_over_the_limit_is_refused_and_the_next_one_passes(piece: int) -> None:
    big, small = b"x" * 5000 + b"\r\n", b"y\r\n"
    # Without SIZE in the answer to EHLO nothing warns the client before the data.
    for keywords in (None, ("STARTTLS", "AUTH PLAIN", "PIPELINING")):
        terms = Terms("mx.example.com", starttls=True, auth_offered=True, max_message=5000, keywords=keywords)
        letters: list[Letter] = [("a@x", ("b@x",), big), ("a@x", ("b@x",), small)]
        done = Conversation(letters, terms=terms, piece=piece).run()

        first, second = done.outcomes()
        refusal = first.final if keywords else first.mail
        assert refusal is not None
        assert (refusal.code, first.phase) == (552, Phase.ANSWERED)
        assert done.dropped == (1 if keywords else 0)
        assert second.final == QUEUED
        assert [data for _, data, _ in done.taken] == [small]


class Never:
    """Refuse every recipient."""

    def sender(self, mail: Mail) -> Reply:
        """Answer MAIL."""
        return reply(250, "2.1.0", mail.sender)

    def recipient(self, address: str, accepted: int) -> Reply:
        """Answer RCPT."""
        return reply(550, "5.1.1", f"{address}, {accepted}")


@pytest.mark.parametrize("keywords", [None, ("STARTTLS", "AUTH PLAIN")])
def test_when_all_recipients_are_refused_both_sides_stay_in_step(keywords: tuple[str, ...] | None) -> None:
    terms = Terms("mx.example.com", starttls=True, auth_offered=True, judge=Never(), keywords=keywords)
    done = Conversation([("a@x", ("b@x", "c@x"), b"x\r\n")] * 3, terms=terms).run()

    assert [outcome.recipients for outcome in done.outcomes()] == [
        (reply(550, "5.1.1", "b@x, 0"), reply(550, "5.1.1", "c@x, 0"))
    ] * 3
    assert done.taken == []
    assert done.server.state is State.CLOSED


@pytest.mark.parametrize("moment", ["greeting", "envelope", "final"])
def test_a_server_that_hangs_up_is_understood_wherever_it_does(moment: str) -> None:
    server = ServerSession(Terms("mx.example.com", trusted=True), secure=True)
    client = ClientSession("bridge", implicit_tls=True)
    client.secured()
    bye = reply(421, "4.3.2", "shutting down")
    if moment == "greeting":
        server.greet(bye)
    else:
        server.greet()
        client.receive(server.data_to_send())
        server.receive(client.data_to_send())
        client.receive(server.data_to_send())
        client.begin(Mail("a@x"), ("b@x",))
        if moment == "final":
            server.receive(client.data_to_send())
            client.receive(server.data_to_send())
            server.receive(b"x\r\n" + client.end_data())
        server.leave(bye, "stop")

    told = client.receive(server.data_to_send())

    assert isinstance(told[-1], Unusable)
    assert told[-1].answer == bye
    outcomes = [(event.phase, event.hung_up, event.final) for event in told if isinstance(event, Concluded)]
    assert outcomes == {
        "greeting": [],
        "envelope": [(Phase.ENVELOPE, bye, None)],
        "final": [(Phase.ANSWERED, None, bye)],
    }.get(moment)
