"""
A session seen from the server: the peer says anything, the script decides about logins, handshakes and verdicts.

Two oracles stand beside the checks of each step: what the session may have
said at most, counted in the peer's lines; and the same octets once more in
one piece, which must give the same transcript (a handshake apart, where it
matters by design what came together with STARTTLS).
"""

import re
from dataclasses import dataclass, field

from smtpbridge.smtp.data import Block, Defects
from smtpbridge.smtp.events import (
    Close,
    Event,
    MessageBegins,
    MessageDropped,
    MessageEnds,
    MessageWhole,
    Terms,
    UpgradeTls,
)
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.smtp.sasl import MAX_RESPONSE, LoginAttempt
from smtpbridge.smtp.server import ServerSession, State
from tests.fuzz.checks import check_path, replies_in
from tests.fuzz.script import Script, read_script

_WAITING = {State.VERDICT, State.LOGIN, State.HANDSHAKE, State.CLOSED}
_BEYOND_ASCII = re.compile(r"[^ -~]")


@dataclass(slots=True)
class _Story:
    """One session and what came of it."""

    session: ServerSession
    script: Script
    said: list[bytes] = field(default_factory=list)
    done: list[Event] = field(default_factory=list)
    body: int = -1
    dropped: bool = False
    claimed: str | None = None


def run(octets: bytes) -> None:
    """Play the story that `octets` tell."""
    script, wire = read_script(octets)
    terms = _terms(script)
    secure = script.yes()
    pieces = list(script.cut(wire))
    cut = _play(terms, secure, script.fork(), pieces)
    said = sum(map(len, map(replies_in, cut.said)))
    assert said <= wire.count(b"\n") + 3, "more replies than lines"
    if not terms.starttls:
        whole = _play(terms, secure, script.fork(), [wire])
        assert b"".join(whole.said) == b"".join(cut.said), "where the stream is cut changes what is said"
        assert _joined(whole.done) == _joined(cut.done), "where the stream is cut changes what is done"


def _terms(script: Script) -> Terms:
    return Terms(
        "mx.example.com",
        trusted=script.yes(),
        starttls=script.yes(),
        auth_offered=script.yes(),
        auth_required=script.yes(),
        max_message=(100_000, 20)[script.choose(2)],
        max_recipients=(100, 2)[script.choose(2)],
        max_line=(512, 40)[script.choose(2)],
        max_bad_commands=(20, 2)[script.choose(2)],
        max_idle_commands=(100, 3)[script.choose(2)],
    )


def _play(terms: Terms, secure: bool, script: Script, pieces: list[bytes]) -> _Story:
    story = _Story(ServerSession(terms, secure=secure), script)
    _settle(story, story.session.greet())
    for piece in pieces:
        _settle(story, story.session.receive(piece))
    return story


def _settle(story: _Story, events: list[Event]) -> None:
    """Look at what a step brought, and decide until the session can read on."""
    while True:
        story.done += events
        for event in events:
            _look(story, event)
        _hear(story)
        _check(story)
        answer = _decided(story, events)
        if answer is None:
            return
        events = answer


def _hear(story: _Story) -> None:
    out = story.session.data_to_send()
    replies_in(out)
    story.said.append(out)
    assert story.session.data_to_send() == b""


def _look(story: _Story, event: Event) -> None:
    """Check that events come in an order that makes sense."""
    terms = story.session.terms
    match event:
        case MessageBegins():
            assert story.body < 0, "a message within a message"
            story.dropped = False
            assert story.session.may_relay
            assert 1 <= len(event.recipients) <= terms.max_recipients
            for address in (event.sender, *event.recipients):
                check_path(address)
            story.body = 0
        case Block():
            story.body += len(event.octets)
            assert 0 < story.body <= terms.max_message
        case MessageWhole():
            assert story.body == 0, "what is whole has no beginning elsewhere"
            assert 0 < len(event.octets) <= terms.max_message
            story.body = -1
        case MessageEnds():
            assert story.body >= 0, "the end of no message"
            story.body = -1
        case MessageDropped():
            assert story.body >= 0, "the end of no message"
            story.body, story.dropped = -1, True
        case LoginAttempt():
            assert terms.auth_offered
            assert story.session.secure or terms.trusted
            assert repr(event) == repr(LoginAttempt(event.user, "", event.mechanism)), "a secret is shown"
            story.claimed = event.user
        case UpgradeTls():
            assert terms.starttls
            assert not story.session.secure
        case Close():
            assert story.session.state is State.CLOSED


def _check(story: _Story) -> None:
    session = story.session
    assert session.waiting == (session.state in _WAITING)
    under_way = story.body >= 0 or (story.dropped and session.state is State.DATA)
    assert (session.state is State.DATA) == under_way or session.state is State.CLOSED
    if session.state is State.CLOSED or not session.waiting:
        assert session.buffered < max(session.terms.max_line, MAX_RESPONSE), "it keeps more than a line"
    assert session.user is None or session.user == story.claimed


def _decided(story: _Story, events: list[Event]) -> list[Event] | None:
    """Give the decision that the session waits for; `None` when it waits for none."""
    session, way = story.session, 0
    match session.state:
        case State.LOGIN:
            way = story.script.choose(3)
            found = session.login((True, False, None)[way])
            lead = (b"235", b"535", b"454")[way]
        case State.HANDSHAKE:
            assert isinstance(events[-1], UpgradeTls)
            found, lead = session.secured(), b""
            assert (session.secure, session.user, session.peer_name) == (True, None, "")
            assert session.buffered == 0, "something from before the handshake is left"
        case State.VERDICT:
            verdict = _verdict(story)
            found, lead = session.conclude(verdict), verdict.encode()
        case _:
            return None
    # The decision is the first thing said: nothing overtakes it, nothing stands before it.
    out = session.data_to_send()
    assert out.startswith(lead) or (way != 0 and out.startswith(b"421 "))
    replies_in(out)
    story.said.append(out)
    return found


def _verdict(story: _Story) -> Reply:
    """Return a verdict with words of any kind in it, as an upstream might put them."""
    code, enhanced = ((250, "2.0.0"), (451, "4.3.0"), (550, "5.1.1"))[story.script.choose(3)]
    words = ("queued", "several\r\n250 lines", "\u00fcber\x00", "long " * 300)[story.script.choose(4)]
    verdict = reply(code, enhanced, words)
    assert not _BEYOND_ASCII.search(str(verdict))
    return verdict


def _joined(events: list[Event]) -> list[Event | bytes]:
    """
    Return events with neighbouring blocks as one, since blocks are cut where the stream is; whole data are one, too.

    How much of a message has been passed on before it was dropped, or before the session ended, depends on that, too.
    """
    joined: list[Event | bytes] = []
    for event in events:
        match event:
            case Block():
                last = joined.pop() if joined and isinstance(joined[-1], bytes) else b""
                assert isinstance(last, bytes)
                joined.append(last + event.octets)
            case MessageWhole():
                joined += [event.octets, MessageEnds(Defects())]
            case MessageDropped() | Close():
                if joined and isinstance(joined[-1], bytes):
                    joined.pop()
                joined.append(event)
            case _:
                joined.append(event)
    if joined and isinstance(joined[-1], bytes):
        joined.pop()
    return joined
