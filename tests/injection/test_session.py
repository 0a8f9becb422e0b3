"""Nothing that a peer says in a command becomes more than what it is: EHLO, MAIL, RCPT, AUTH, whatever stands in it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.injection.memory import SECRET, USER, Peer, Sent, World, relay
from tests.injection.payloads import PAYLOADS, RAW

MESSAGE = b"From: news@sender.test\r\nTo: a@rcpt.test\r\nSubject: hello\r\n\r\nbody\r\n"
ENCODED = {name: text.encode("utf-8", "surrogatepass") for name, text in PAYLOADS.items()} | RAW
# What can stand in one command: a CRLF would begin another one, which is then nobody's injection.
IN_A_LINE = {name: octets.replace(b"\r\n", b" ").replace(b"\n", b" ") for name, octets in ENCODED.items()}
PATHS = [
    b"%b@example.org",
    b'"%b"@example.org',
    b"x@%b",
    b"x@[%b]",
    b"x@example.org%b",
    b"@%b:x@example.org",
    b"%b",
]


def texts() -> "st.SearchStrategy[bytes]":
    """Octets for a place in a command."""
    odd = st.lists(st.sampled_from(sorted(b'\r\n\0\x1b\x85 <>@"\\:;,.[]{}%a=-')), max_size=30).map(bytes)
    return (st.binary(max_size=60) | odd).map(lambda octets: octets.replace(b"\n", b""))


def check(world: World, *, recipients: set[bytes] | None = None) -> None:
    """What went upstream are whole messages with the usual fields and nobody's else recipients."""
    for sent in world.provider.taken:
        assert [name for name, _ in sent.fields()] == [
            b"received", b"message-id", b"date", b"from", b"to", b"subject", b"x-ib-track-opens", b"x-ib-track-clicks",
        ]  # fmt: skip
        assert sent.body == b"body\r\n"
        assert all(line.isascii() and line.decode().isprintable() and len(line) <= 998 for line in sent.lines)
        if recipients is not None:
            assert set(sent.recipients) <= recipients
    world.journal.check()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
def test_a_path_is_one_address_or_refused(verb: str, path: bytes) -> None:
    with relay() as world:
        for octets in IN_A_LINE.values():
            _one_path(world.peer(), verb, path.replace(b"%b", octets))
        check(world)


@given(st.sampled_from(PATHS), st.sampled_from(["MAIL", "RCPT"]), texts())
def test_whatever_a_path_holds_it_is_one_address_or_refused(path: bytes, verb: str, octets: bytes) -> None:
    with relay() as world:
        _one_path(world.peer(), verb, path.replace(b"%b", octets))
        check(world)


def _one_path(peer: Peer, verb: str, path: bytes) -> None:
    """Use the path in a transaction, and see that the provider gets it as it was told, or nothing."""
    taken = peer.provider.taken
    before = len(taken)
    sender, recipient = (path, b"a@rcpt.test") if verb == "MAIL" else (b"news@sender.test", path)
    [first] = peer.lines(b"MAIL FROM:<%b>\r\n" % sender)
    if first.startswith("250"):
        [second] = peer.lines(b"RCPT TO:<%b>\r\n" % recipient)
        if second.startswith("250"):
            [go] = peer.lines(b"DATA\r\n")
            assert go.startswith("354")
            [verdict] = peer.lines(MESSAGE + b".\r\n")
            assert verdict == "250 2.6.0 Message queued as 4711"
            sent: Sent = taken[before]
            assert len(sent.recipients) == 1
            assert path.endswith(sent.sender if verb == "MAIL" and b"sender.test" not in sent.sender else b"")
            assert verb == "MAIL" or path.endswith(sent.recipients[0])
            return
        assert second[:3] in ("501", "553", "500", "555")
        assert peer.lines(b"RSET\r\n") == ["250 2.0.0 OK"]
    assert len(taken) == before


@pytest.mark.parametrize("line_end", [b"\n", b"\n\n", b"\r", b"\n\r", b"\r\r", b"\0\n"])
@pytest.mark.parametrize("before", [b"RCPT TO:<a@rcpt.test>", b"RCPT TO:<a", b"NOOP", b""])
def test_a_line_end_that_is_none_begins_no_command(before: bytes, line_end: bytes) -> None:
    with relay() as world:
        peer = world.peer()
        assert peer.lines(b"MAIL FROM:<news@sender.test>\r\n") == ["250 2.1.0 Sender OK"]
        for answer in peer.lines(before + line_end + b"RCPT TO:<evil@evil.test>\r\n"):
            assert answer.startswith("5")
        assert peer.lines(b"DATA\r\n") == ["554 5.5.1 No valid recipients"]
        world.journal.check()


@pytest.mark.parametrize(
    "line", [b"MAIL FROM:<a@sender.test> %b", b"MAIL FROM:<a@sender.test> SIZE=%b", b"%b", b"RCPT %b"]
)
def test_parameters_and_unknown_commands_are_refused_in_one_line(line: bytes) -> None:
    with relay() as world:
        peer = world.peer()
        for octets in IN_A_LINE.values():
            [answer] = peer.lines(line.replace(b"%b", octets) + b"\r\n")
            assert answer[:3] in ("500", "501", "503", "553", "555"), answer
        check(world)


@pytest.mark.parametrize("verb", [b"EHLO", b"HELO"])
def test_a_name_after_ehlo_is_no_more_than_a_name(verb: bytes) -> None:
    with relay() as world:
        peer = world.peer()
        for octets in IN_A_LINE.values():
            lines = peer.lines(verb + b" " + octets + b"\r\n")
            assert lines[0][:3] in ("250", "501", "500")
            assert len(lines) in (1, 8)
            assert peer.mail(MESSAGE).startswith("250")
        for sent in world.provider.taken:
            # The name stands in Received, between `from` and the address in brackets.
            received = dict(sent.fields())[b"received"]
            assert received.count(b"(") == received.count(b" by ") == received.count(b";") == 1
        check(world, recipients={b"a@rcpt.test"})


@given(texts())
def test_whatever_follows_ehlo_received_stays_one_field(octets: bytes) -> None:
    with relay() as world:
        peer = world.peer()
        peer.lines(b"EHLO " + octets + b"\r\n")
        assert peer.mail(MESSAGE).startswith("250")
        check(world, recipients={b"a@rcpt.test"})


def _logins(octets: bytes) -> list[list[bytes]]:
    """Return dialogues that log in with these octets in one place or another, with the secret right or wrong."""
    secret, user = SECRET.encode(), USER.encode()
    users = [
        octets,
        user + b":" + octets,
        user + b":X-MSYS-SUBACCOUNT=" + octets,
        user + b":x-bird-workspace-id=" + octets,
    ]
    pairs = [*[(one, secret) for one in users], (user, octets)]
    plain = [[b"AUTH PLAIN " + base64.b64encode(b"\0%b\0%b" % pair)] for pair in pairs]
    login = [[b"AUTH LOGIN", *map(base64.b64encode, pair)] for pair in pairs]
    return [*plain, *login, [b"AUTH PLAIN", octets], [b"AUTH " + octets], [b"AUTH LOGIN " + octets, b"*"]]


@pytest.mark.parametrize("name", IN_A_LINE)
def test_a_login_is_answered_in_one_line_and_logged_in_one(name: str) -> None:
    with relay() as world:
        for dialogue in _logins(IN_A_LINE[name]):
            peer = world.peer()
            for line in dialogue:
                answers = peer.lines(line + b"\r\n")
                assert len(answers) == 1
                assert answers[0][:3] in ("334", "235", "535", "501", "500", "504", "454")
                if not answers[0].startswith("334"):
                    break
            if answers[0].startswith("334"):
                peer.lines(b"*\r\n")
            assert peer.mail(MESSAGE).startswith("250")
        check(world, recipients={b"a@rcpt.test"})
        assert not any(SECRET in entry for entry in world.journal.entries)


HEADERS = [
    b"From: %b",
    b"From: %b <news@sender.test>",
    b'From: "%b" <news@sender.test>',
    b"From: News <%b@sender.test>",
    b"From: News <news@%b>",
    b"Sender: %b",
    b"To: %b",
    b"Cc: %b <x@rcpt.test>",
    b"Message-ID: %b",
    b"Message-ID: <%b@sender.test>",
    b"Date: %b",
    b"Subject: %b",
    b"Received: %b",
    b"X-IB-Bulk-Id: %b",
    b"X-%b: x",
    b"%b",
]


@pytest.mark.parametrize("header", HEADERS)
def test_a_field_of_the_sender_leaves_as_it_came_and_adds_nothing(header: bytes) -> None:
    """Lone line ends and NUL are judged before; what is left is the sender's own field, and others take no harm."""
    with relay(reject_bare=True) as world:
        peer = world.peer()
        for octets in IN_A_LINE.values():
            field = header.replace(b"%b", octets)
            before = len(world.provider.taken)
            api = b'X-MSYS-API: {"cc": ["cc@rcpt.test"], "bcc": ["bcc@rcpt.test"]}\r\n'
            answer = peer.mail(b"X-First: 1\r\n" + field + b"\r\n" + api + b"X-Last: 1\r\n\r\nbody\r\n")
            assert answer[:7] in ("250 2.6", "550 5.6"), answer
            for sent in world.provider.taken[before:]:
                assert sent.recipients[0] in (b"a@rcpt.test", b"bcc@rcpt.test")
                assert (
                    sent.content.count(b"\r\nX-First: 1\r\n")
                    == sent.content.count(b"\r\nX-Last: 1\r\n\r\nbody\r\n")
                    == 1
                )
                assert header.startswith((b"Cc", b"%b")) or b"\r\n%b\r\n" % field in sent.content
                assert not any(line.lower().startswith(b"x-evil") for line in sent.lines)
        assert {one for sent in world.provider.taken for one in sent.recipients} <= {
            b"a@rcpt.test",
            b"cc@rcpt.test",
            b"bcc@rcpt.test",
        }
        world.journal.check()
