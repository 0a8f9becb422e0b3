"""SIGTERM while many messages are under way: every one is answered, and what was answered is true."""

import re
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.rig import Papers, bridge, eventually, write_config
from tests.integration.scripted import scripted
from tests.integration.talk import Talk

MANY = 50
ENVELOPE = b"MAIL FROM:<shop@mail.example.com>\r\nRCPT TO:<r%d@example.org>\r\nDATA\r\n"
MESSAGE = b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: message %d\r\n\r\nhello\r\n.\r\n"


def subjects(taken: list[bytes]) -> list[int]:
    return sorted(int(re.findall(rb"(?m)^Subject: message (\d+)\r$", data)[0]) for data in taken)


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_with_fifty_messages_under_way_drains_clean(papers: Papers, tmp_path: Path, workers: int) -> None:
    """Twenty are upstream behind their final dot, thirty wait for a connection, and five senders are still writing."""
    with scripted(papers, answers=False) as upstream:
        config = write_config(tmp_path, papers, upstream.port, upstream='security = "tls"\nmax_connections = 20')
        config.write_text(config.read_text() + f"\n[process]\nworkers = {workers}\n")
        with bridge(config) as relay, ExitStack() as closing:
            relay.says("worker 2 is ready" if workers == 2 else "listening at")
            talks = [closing.enter_context(Talk(relay.port).hello()) for _ in range(MANY + 5)]
            for number, talk in enumerate(talks):
                talk.write(ENVELOPE % number)
                assert talk.replies(3) == [250, 250, 354]
            for number, talk in enumerate(talks[:MANY]):
                talk.write(MESSAGE % number)
            eventually(lambda: upstream.waiting == 20, "twenty final dots upstream")
            relay.signal(signal.SIGTERM)
            relay.says("stopping: ")
            upstream.may_answer.set()
            for number, talk in list(enumerate(talks))[MANY:]:
                talk.write(MESSAGE % number)
            answers = [talk.reply() for talk in talks]
            farewells = [talk.reply()[:3] for talk in talks]
            assert relay.ended() == 0

    assert answers == [b"250 2.6.0 taken by the scripted upstream\r\n"] * (MANY + 5)
    assert farewells == [b"421"] * (MANY + 5)
    # Once each: nothing was lost, and nothing was given to another connection as well.
    assert subjects([one.data for one in upstream.taken]) == list(range(MANY + 5))
    assert "Traceback" not in relay.output()
