"""
What the measurements of the whole daemon stand on: a provider that takes everything, and senders that never rest.

Both are asyncio and do as little as they can, for they share the processors
with what is measured.  The provider speaks TLS from the first octet and lives
in a process of its own; counters in shared memory tell what it has.
"""

import asyncio
import multiprocessing
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from tests.integration.rig import Papers

_REPLIES = {
    b"EHLO": b"250-sink.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n",
    b"AUTH": b"235 2.7.0 go on\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


@dataclass(frozen=True, slots=True)
class Sink:
    """The provider: where it listens, how many messages it has, and when the first one came (monotonic seconds)."""

    port: int
    count: "Synchronized[int]"
    first: "Synchronized[float]"


class _Session(asyncio.Protocol):
    """One connection to the provider."""

    def __init__(self, count: "Synchronized[int]", first: "Synchronized[float]") -> None:
        self._count, self._first = count, first
        self._held, self._in_data = b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink.example.net\r\n")

    def data_received(self, data: bytes) -> None:
        held, replies = self._held + data, []
        while True:
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            line, found, rest = held.partition(end)
            if not found:
                break
            held = rest
            if self._in_data:
                self._in_data = False
                if not self._count.value:
                    self._first.value = time.monotonic()
                self._count.value += 1
                replies.append(b"250 2.6.0 taken\r\n")
            else:
                verb = line[:4].upper()
                self._in_data = verb == b"DATA"
                replies.append(_REPLIES.get(verb, b"250 2.0.0 fine\r\n"))
        self._held = held
        self._transport.write(b"".join(replies))


def _serve(papers: Papers, count: "Synchronized[int]", first: "Synchronized[float]", tell: Connection) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Session(count, first), "127.0.0.1", 0, ssl=context)
        tell.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def sink(papers: Papers) -> Iterator[Sink]:
    """Run the provider."""
    context = multiprocessing.get_context("spawn")
    count, first = context.Value("L", 0), context.Value("d", 0.0)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(papers, count, first, there), daemon=True)
    process.start()
    try:
        yield Sink(here.recv(), count, first)
    finally:
        process.kill()
        process.join()


def config(folder: Path, papers: Papers, upstream_port: int, mode: str) -> Path:
    """Write a configuration; the store is in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "smtpbridge.toml"
    path.write_text(f"""
[[listener]]
endpoint = "tcp:0:interface=127.0.0.1"
mode = "{mode}"

[upstream.main]
hosts = ["127.0.0.1:{upstream_port}"]
security = "tls"
trust_roots = "{papers.authority}"
username = "App"
password_file = "{papers.provider_secret}"

[store]
path = "{folder / "store"}"
""")
    return path


async def load(port: int, sessions: int, seconds: float, size: int) -> int:
    """Send for that long on kept sessions; return how many messages were answered 250."""
    end = time.monotonic() + seconds
    envelope = b"MAIL FROM:<shop@example.com>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\n"
    header = b"From: shop@example.com\r\nTo: ann@example.net\r\nSubject: load\r\n\r\n"
    data = header + b"0123456789abcdef\r\n" * ((size - len(header)) // 18) + b".\r\n"

    async def session() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        writer.write(b"EHLO client.example.com\r\n")
        while (await reader.readline())[3:4] == b"-":
            pass
        sent = 0
        while time.monotonic() < end:
            writer.write(envelope)
            for _ in range(3):
                await reader.readline()
            writer.write(data)
            sent += (await reader.readline()).startswith(b"250")
        writer.close()
        await writer.wait_closed()
        return sent

    return sum(await asyncio.gather(*(session() for _ in range(sessions))))
