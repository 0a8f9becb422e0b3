"""
SMTP by hand over a stream, for tests that decide themselves which octets go out in one write.

Nothing of the bridge's own protocol code is used: what proves that the bridge
speaks SMTP must not share its mistakes.
"""

import selectors
import socket
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import pytest

from tests.integration.rig import PATIENCE


class Talk(AbstractContextManager["Talk"]):
    """A plain connection to 127.0.0.1."""

    def __init__(self, port: int) -> None:
        """Connect and read the greeting."""
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._file = self._socket.makefile("rb")
        self.greeting = self.reply()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close without a word."""
        self._file.close()
        self._socket.close()

    def write(self, octets: bytes | memoryview) -> None:
        """Send in one call."""
        self._socket.sendall(octets)

    def reply(self) -> bytes:
        """Return one whole reply, all its lines; at the end of the stream nothing."""
        lines = [self._file.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(self._file.readline())
        return b"".join(lines)

    def replies(self, count: int) -> list[int]:
        """Return the codes of the next replies."""
        return [int(self.reply()[:3]) for _ in range(count)]

    def say(self, line: bytes) -> bytes:
        """Send one command and return its reply."""
        self.write(line + b"\r\n")
        return self.reply()

    def hello(self) -> Self:
        """Say EHLO."""
        assert self.say(b"EHLO client.example.com").startswith(b"250")
        return self

    def send(self, sender: str, recipients: Sequence[str], data: bytes | memoryview) -> bytes:
        """Send one message, `data` being in wire form without the final dot; return the reply to the dot."""
        assert self.say(f"MAIL FROM:<{sender}>".encode()).startswith(b"250")
        for recipient in recipients:
            assert self.say(f"RCPT TO:<{recipient}>".encode()).startswith(b"250")
        assert self.say(b"DATA").startswith(b"354")
        self.write(data)
        self.write(b".\r\n")
        return self.reply()


class PipeTalk(AbstractContextManager["PipeTalk"]):
    """A program that carries what it reads to a server, and writes what the server says."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self.heard = b""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the program."""
        self._selector.close()
        self._stdin.close()
        self._stdout.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def hear(self, expected: bytes) -> bytes:
        """Read until `expected` has come; return what has come up to its end and forget it."""
        while expected not in self.heard:
            if not self._selector.select(PATIENCE) or not (octets := self._stdout.read(65_536)):
                pytest.fail(f"{expected!r} did not come: {self.heard!r}")
            self.heard += octets
        before, _, self.heard = self.heard.partition(expected)
        return before + expected

    def say(self, text: bytes, expected: bytes) -> bytes:
        """Write lines, then read until `expected` has come."""
        self._stdin.write(text)
        return self.hear(expected)

    def ended(self) -> int:
        """Wait for the end of the program and return its exit status."""
        return self._process.wait(PATIENCE)
