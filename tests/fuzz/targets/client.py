"""
A session seen from the client: the server says anything, the script decides about messages.

Checked above all: nothing but EHLO and STARTTLS goes out in the clear, no
command before the last one is answered unless PIPELINING was offered, every
transaction ends exactly once, and a recipient counts as taken only by a 250 to
the final dot.
"""

from dataclasses import dataclass, field

from smtpbridge.relay.verdict import outcome_of, verdict
from smtpbridge.smtp.client import ClientSession, Concluded, Event, GoAhead, Phase, Ready, State, Unusable, UpgradeTls
from smtpbridge.smtp.commands import Mail
from smtpbridge.smtp.replies import Reply
from smtpbridge.smtp.sasl import client_responses
from tests.fuzz.checks import commands_in, replies_in
from tests.fuzz.script import Script, read_script

_CLEAR = (b"EHLO ", b"STARTTLS\r\n")
_PASSWORD = "se cret\u00fc"
_RESPONSES = [response + b"\r\n" for response in client_responses("LOGIN", "App", _PASSWORD)]


@dataclass(slots=True)
class _Story:
    """One connection and what goes on over it."""

    session: ClientSession
    script: Script
    secure: bool = False
    recipients: tuple[str, ...] = ()
    open: bool = False
    unanswered: int = 0
    dead: bool = False
    answers: list[Reply] = field(default_factory=list)


def run(octets: bytes) -> None:
    """Play the story that `octets` tell."""
    script, wire = read_script(octets)
    implicit, user = script.yes(), ("", "App")[script.choose(2)]
    session = ClientSession("bridge.example.com", implicit_tls=implicit, username=user, password=_PASSWORD)
    story = _Story(session, script)
    pieces = script.cut(wire)
    if implicit:
        story.secure = True
        _take(story, session.secured())
    for piece in pieces:
        _take(story, session.receive(piece))
        if session.state is State.READY:
            _begin(story)
        elif session.state is State.BODY and script.yes():
            assert session.end_data() == b".\r\n"
    ended = session.lost()
    assert (ended is not None) == story.open, "a transaction was forgotten, or ended twice"
    if ended is not None:
        _conclude(story, ended)
    assert session.receive(b"250 ok\r\n") == []
    assert session.lost() is None


def _take(story: _Story, events: list[Event]) -> None:
    assert not story.dead or not events, "events behind the end"
    for event in events:
        _look(story, event)
    _hear(story)


def _look(story: _Story, event: Event) -> None:
    session = story.session
    match event:
        case UpgradeTls():
            assert not story.secure, "a second handshake"
            _hear(story)
            story.secure = True
            assert session.secured() == []
        case Ready():
            assert story.secure
        case GoAhead():
            assert story.open
        case Concluded():
            assert story.open, "the end of no transaction"
            story.open = False
            _conclude(story, event)
        case Unusable():
            assert session.state is State.CLOSED
            assert not story.open, "a connection ends and its transaction does not"
            story.dead = True


def _hear(story: _Story) -> None:
    out = story.session.data_to_send()
    if out in _RESPONSES:
        assert story.secure, "a secret in the clear"
        return
    if out == b".\r\n":
        assert story.session.state is State.LONE_DOT
        return
    commands = commands_in(out)
    assert story.secure or all(command.startswith(_CLEAR) for command in commands), "said in the clear"
    assert len(commands) <= 1 or story.session.capabilities.pipelining, "more than one command without PIPELINING"


def _begin(story: _Story) -> None:
    """Start a message, or leave."""
    choice = story.script.choose(8)
    if choice == 7:
        story.session.quit()
        assert story.session.data_to_send() == b"QUIT\r\n"
        story.dead = True
        return
    story.recipients = tuple(f"r{number}@example.com" for number in range(1 + choice % 4))
    story.session.begin(Mail(("", "a@example.com")[choice % 2], 1000, eight_bit=True), story.recipients)
    story.open = True
    _hear(story)


def _conclude(story: _Story, end: Concluded) -> None:
    """Check what is made of the end of a transaction, down to the reply that the sender gets."""
    assert len(end.recipients) == len(story.recipients)
    outcome = outcome_of(story.recipients, end)
    named = [*outcome.taken, *(one.address for one in outcome.refused), *outcome.unknown]
    assert sorted(named) == sorted(story.recipients), "a recipient is lost, or stands twice"
    accepted = end.phase is Phase.ANSWERED and end.final is not None and end.final.code == 250
    assert not outcome.taken or accepted, "taken without a 250 to the final dot"
    assert not outcome.unknown or end.phase is Phase.FINAL
    answer = verdict([outcome])
    (encoded,) = replies_in(answer.encode())
    assert encoded[:1] in (b"2", b"4", b"5")
    if encoded[:1] == b"2":
        assert len(outcome.taken) == len(story.recipients), "a yes that does not hold for everybody"
    assert encoded[:3] not in (b"421", b"535"), "a word about the connection reaches the sender"
