"""Memory does not grow with the mail: large bodies go through the daemon, not into it."""

import base64
import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.integration.rig import BridgeProgram, Papers, SandboxProgram, Stored, bridge, sandbox, write_config
from tests.integration.talk import Talk

MEGABYTE = 1024 * 1024
SENDER = "shop@mail.example.com"
HEADER = (
    b"From: shop@mail.example.com\r\nTo: r@example.org\r\nSubject: large\r\n"
    b'X-MSYS-API: {"campaign_id": "large"}\r\nContent-Transfer-Encoding: base64\r\n\r\n'
)
# 20 MB, and below what the bridge takes by default.
BODY = base64.encodebytes(random.Random(20).randbytes(14_600_000)).replace(b"\n", b"\r\n")


@contextmanager
def warm(folder: Path, papers: Papers) -> Iterator[tuple[BridgeProgram, SandboxProgram]]:
    """Run a bridge that has relayed a message already, so that only what is larger about the next one counts."""
    with sandbox(folder, papers) as upstream, bridge(write_config(folder, papers, upstream.port)) as relay:
        assert send(relay, b"small\r\n").startswith(b"250")
        upstream.one_message()
        yield relay, upstream


def send(relay: BridgeProgram, body: bytes) -> bytes:
    """Send a message with that body, which needs no dots doubled; return the verdict."""
    with Talk(relay.port).hello() as talk:
        return talk.send(SENDER, ["r@example.org"], memoryview(HEADER + body))


def body_digest(message: Stored) -> bytes:
    """Return a digest of the body, and remove the file: twenty of them take room."""
    digest = hashlib.sha256(message.body).digest()
    message.path.unlink()
    return digest


def grown(relay: BridgeProgram, before: int) -> int:
    """Return by how many octets the daemon was ever larger than `before`."""
    return relay.memory("VmHWM") - before


def test_a_message_of_20_mb_costs_less_than_32_mb_of_memory(papers: Papers, tmp_path: Path) -> None:
    assert len(BODY) > 19_900_000
    with warm(tmp_path, papers) as (relay, upstream):
        before = relay.memory()

        assert send(relay, BODY).startswith(b"250")

        assert grown(relay, before) < 32 * MEGABYTE
        assert body_digest(upstream.one_message()) == hashlib.sha256(BODY).digest()


def test_twenty_messages_of_20_mb_at_once_cost_less_than_64_mb_of_memory(papers: Papers, tmp_path: Path) -> None:
    with warm(tmp_path, papers) as (relay, upstream), ThreadPoolExecutor(20) as senders:
        before = relay.memory()

        answers = list(senders.map(lambda _: send(relay, BODY), range(20)))

        assert grown(relay, before) < 64 * MEGABYTE
        assert {answer[:3] for answer in answers} == {b"250"}
        digests = [body_digest(message) for message in upstream.new_messages()]
        assert digests == [hashlib.sha256(BODY).digest()] * 20
