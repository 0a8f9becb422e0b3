"""A kept upstream connection that went bad costs the sender nothing: the next message gets its 250 at the first try."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.rig import Papers, bridge, eventually, sandbox, write_config
from tests.integration.scripted import Trouble, scripted
from tests.integration.talk import Talk

SENDER, RECIPIENTS = "shop@mail.example.com", ["r@example.org"]
MESSAGE = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: %s\r\n\r\nhello\r\n"
WHOLE = b"MAIL FROM:<shop@mail.example.com>\r\nRCPT TO:<r@example.org>\r\nDATA\r\n" + MESSAGE + b".\r\n"
WHILE_IDLE = [Trouble.CLOSES_AT_ONCE, Trouble.RESETS_AT_ONCE, Trouble.SAYS_421_AT_ONCE]
WHEN_USED = [
    Trouble.CLOSES_AT_THE_NEXT_COMMAND,
    Trouble.RESETS_AT_THE_NEXT_COMMAND,
    Trouble.SAYS_421_AT_THE_NEXT_COMMAND,
    Trouble.SAYS_421_AT_THE_NEXT_DATA,
]
TLS = 'security = "tls"'


@pytest.mark.parametrize("trouble", WHILE_IDLE, ids=lambda trouble: trouble.name.lower())
def test_a_connection_that_ends_while_idle_is_replaced_unseen(papers: Papers, tmp_path: Path, trouble: Trouble) -> None:
    with (
        scripted(papers, [trouble]) as upstream,
        bridge(write_config(tmp_path, papers, upstream.port, upstream=TLS)) as relay,
        Talk(relay.port).hello() as talk,
    ):
        assert talk.send(SENDER, RECIPIENTS, MESSAGE % b"one").startswith(b"250")
        eventually(lambda: upstream.ended, "the end of the first connection")
        answer = talk.send(SENDER, RECIPIENTS, MESSAGE % b"two")
        assert "Z error " not in relay.output()

    assert answer == b"250 2.6.0 taken by the scripted upstream\r\n"
    assert [message.connection for message in upstream.taken] == [0, 1]


@pytest.mark.parametrize("trouble", WHEN_USED, ids=lambda trouble: trouble.name.lower())
def test_a_connection_that_ends_when_it_is_used_again_is_replaced_unseen(
    papers: Papers, tmp_path: Path, trouble: Trouble
) -> None:
    with (
        scripted(papers, [trouble]) as upstream,
        bridge(write_config(tmp_path, papers, upstream.port, upstream=TLS)) as relay,
        Talk(relay.port).hello() as talk,
    ):
        assert talk.send(SENDER, RECIPIENTS, MESSAGE % b"one").startswith(b"250")
        answer = talk.send(SENDER, RECIPIENTS, MESSAGE % b"two")

    assert answer == b"250 2.6.0 taken by the scripted upstream\r\n"
    assert [message.connection for message in upstream.taken] == [0, 1]


def test_many_stale_connections_at_once_cost_nobody_anything(papers: Papers, tmp_path: Path) -> None:
    # All five go bad only when they are used, so nobody can have noticed before.
    with (
        scripted(papers, [Trouble.CLOSES_AT_THE_NEXT_COMMAND] * 5, answers=False) as upstream,
        bridge(write_config(tmp_path, papers, upstream.port, upstream=TLS + "\nmax_connections = 5")) as relay,
        ExitStack() as stack,
    ):
        talks = [stack.enter_context(Talk(relay.port)).hello() for _ in range(5)]
        for talk in talks:
            talk.write(WHOLE % b"one")
        eventually(lambda: upstream.waiting == 5, "five messages behind their final dot")
        upstream.may_answer.set()
        first = [talk.replies(4) for talk in talks]
        for talk in talks:
            talk.write(WHOLE % b"two")
        second = [talk.replies(4) for talk in talks]

    assert first == second == [[250, 250, 354, 250]] * 5
    assert len(upstream.taken) == 10


def test_an_upstream_that_was_restarted_costs_the_sender_nothing(papers: Papers, tmp_path: Path) -> None:
    with sandbox(tmp_path / "before", papers) as upstream:
        port = upstream.port
        config = write_config(tmp_path, papers, port)
        with bridge(config) as relay, Talk(relay.port).hello() as talk:
            assert talk.send(SENDER, RECIPIENTS, MESSAGE % b"one").startswith(b"250")
            upstream.stop()
            with sandbox(tmp_path / "after", papers, port) as restarted:
                assert talk.send(SENDER, RECIPIENTS, MESSAGE % b"two").startswith(b"250")
                assert restarted.one_message().field("Subject") == "two"


def test_an_idle_connection_is_closed_before_strict_servers_would(papers: Papers, tmp_path: Path) -> None:
    with (
        scripted(papers) as upstream,
        bridge(write_config(tmp_path, papers, upstream.port, upstream=TLS + "\nidle_seconds = 1")) as relay,
        Talk(relay.port).hello() as talk,
    ):
        assert talk.send(SENDER, RECIPIENTS, MESSAGE % b"one").startswith(b"250")
        eventually(lambda: upstream.ended, "the end of the idle connection")
        assert talk.send(SENDER, RECIPIENTS, MESSAGE % b"two").startswith(b"250")

    assert [message.connection for message in upstream.taken] == [0, 1]
