"""
What a sender may write instead of CRLF.CRLF, what becomes of it, and who reads on the other side.

The octets that some server somewhere takes, or took, for the end of a message are
made systematically: every line end, a dot, every line end; and the dot dressed up in
other ways.  `rewritten` is the rule for data that are not canonical, written down line
by line and without a look at the bridge's code.  `Lane` sends a message in pieces, each
in a segment of its own.

`credulous` is a receiver that takes everything for an end of data that anybody ever took
for one: whoever passes on a lone CR or LF, or a dot that is not doubled, is found out by it.
"""

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from tests.integration.rig import PATIENCE, Papers
from tests.integration.talk import Talk

END = b"\r\n.\r\n"
LINE_ENDS = {
    "crlf": b"\r\n",
    "lf": b"\n",
    "cr": b"\r",
    "nothing": b"",
    "crcrlf": b"\r\r\n",
    "lfcr": b"\n\r",
    "lflf": b"\n\n",
    "crcr": b"\r\r",
}
DOTS = {
    "two-dots": b"..",
    "three-dots": b"...",
    "dot-blank": b". ",
    "blank-dot": b" .",
    "dot-tab": b".\t",
    "tab-dot": b"\t.",
    "dot-backspace": b".\x08",
    "dot-vertical-tab": b".\x0b",
    "dot-form-feed": b".\x0c",
    "dot-ctrl-z": b".\x1a",
    "dot-escape": b".\x1b[2K",
    "dot-file-separator": b".\x1c",
    "dot-delete": b".\x7f",
    "dot-next-line": b".\x85",
    "next-line-dot": b"\x85.",
    "dot-next-line-in-utf-8": b".\xc2\x85",
    "dot-line-separator": b".\xe2\x80\xa8",
    "dot-paragraph-separator": b".\xe2\x80\xa9",
    "dot-hard-blank": b".\xa0",
    "byte-order-mark-dot": b"\xef\xbb\xbf.",
    "dot-with-the-high-bit": b"\xae",
    "full-width-dot": b"\xef\xbc\x8e",
    "dot-backslash": b".\\",
}
NULS = {
    "nul-dot": b"\r\n\0.\r\n",
    "dot-nul": b"\r\n.\0\r\n",
    "cr-nul-lf": b"\r\0\n.\r\0\n",
    "dot-cr-nul-lf": b"\r\n.\r\0\n",
    "lf-nul-dot": b"\n\0.\n",
    "nul-for-line-ends": b"\0.\0",
}
SMUGGLED = (
    b"MAIL FROM:<smuggled@evil.example>\r\nRCPT TO:<victim@evil.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil"
)


def end_sequences() -> dict[str, bytes]:
    """Return by name everything that is not the end of a message; none of it holds that end."""
    found = {
        f"{first}-dot-{last}": before + b"." + after
        for first, before in LINE_ENDS.items()
        for last, after in LINE_ENDS.items()
        if END not in before + b"." + after
    }
    for name, dot in DOTS.items():
        found[f"crlf-{name}-crlf"] = b"\r\n" + dot + b"\r\n"
        found[f"lf-{name}-lf"] = b"\n" + dot + b"\n"
        found[f"lf-{name}-crlf"] = b"\n" + dot + b"\r\n"
    return found | NULS


def rewritten(data: bytes) -> bytes:
    """Return what is to arrive of `data` (as sent behind DATA, without the final dot): plain octets in CRLF lines."""
    lines = [line.removeprefix(b".") for line in data.split(b"\r\n")]
    # Each LF ends a line, with the CR or two before it; a CR that has no LF is a blank.
    text = b"\r\n".join(lines).replace(b"\n", b"\r\n").replace(b"\r\r\n", b"\r\n").replace(b"\r\r\n", b"\r\n")
    return re.sub(rb"\r(?!\n)", b" ", text)


def has_lone_line_ends(data: bytes) -> bool:
    """Tell whether a CR or LF stands alone."""
    return re.search(rb"\r(?!\n)|(?<!\r)\n", data) is not None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message to be sent: its number is in every address, `parts` go out one by one, without the final dot."""

    number: int
    name: str
    parts: tuple[bytes, ...]

    @property
    def sender(self) -> str:
        """The reverse-path."""
        return f"s{self.number}@example.org"

    @property
    def recipient(self) -> str:
        """The one recipient."""
        return f"r{self.number}@example.net"

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.parts)

    def answer(self, *, reject: bool) -> int:
        """Return the code that the sender is to hear."""
        refused = b"\0" in self.data or (reject and has_lone_line_ends(self.data))
        return 550 if refused else 250


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as a receiver counted it; `content` is plain octets in CRLF lines."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def body(self) -> bytes:
        """What stands behind the empty line."""
        return self.content.partition(b"\r\n\r\n")[2]


def header(number: int) -> bytes:
    """Return the header of a message."""
    return b"From: s%d@example.org\r\nTo: r%d@example.net\r\nSubject: number %d\r\n\r\n" % (number, number, number)


class Lane(Talk):
    """A connection on which no segment waits for another."""

    def __init__(self, port: int) -> None:
        """Connect."""
        super().__init__(port)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.hello()

    def __enter__(self) -> Self:
        """Be what is used in a `with` block."""
        return self

    def begin(self, parcel: Parcel) -> None:
        """Say the envelope, up to 354."""
        self.write(f"MAIL FROM:<{parcel.sender}>\r\nRCPT TO:<{parcel.recipient}>\r\nDATA\r\n".encode())
        assert self.replies(3) == [250, 250, 354]


def send_side_by_side(lanes: Sequence[Lane], probe: Talk, parcels: Sequence[Parcel]) -> list[list[int]]:
    """
    Send one message on each lane and return the codes said to it, up to that of a VRFY behind the final dot.

    The n-th parts go out on all lanes, and then `probe` asks twice for an answer: the bridge serves connections in the
    order in which they become readable, so by then it has read each part without the one behind it.
    """
    used = list(zip(lanes, parcels, strict=False))
    for lane, parcel in used:
        lane.begin(parcel)
    for place in range(max(len(parcel.parts) for parcel in parcels)):
        for lane, parcel in used:
            if place < len(parcel.parts):
                lane.write(parcel.parts[place])
        if place + 1 < max(len(parcel.parts) for parcel in parcels):
            assert probe.say(b"NOOP") == probe.say(b"NOOP") == b"250 2.0.0 OK\r\n"
    for lane, _ in used:
        lane.write(b".\r\nVRFY x\r\n")
    return [_codes_up_to_252(lane) for lane, _ in used]


def _codes_up_to_252(lane: Lane) -> list[int]:
    codes = lane.replies(1)
    while codes[-1] != 252:
        codes += lane.replies(1)
    return codes


# A receiver that believes everything


@dataclass(slots=True)
class Credulous:
    """What it was given; `raw` are the octets behind each DATA as they came."""

    port: int = 0
    arrived: list[Arrived] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    commands: set[bytes] = field(default_factory=set)


# Any line end, a dot perhaps with white space or control characters behind it, any line end.
_ANY_END = re.compile(rb"(?:\r\n|\r|\n)\.[\x00- \x7f-\x9f]*?(?:\r\n|\r|\n)")


class _Session(asyncio.Protocol):
    def __init__(self, seen: Credulous) -> None:
        self._seen = seen
        self._held = b""
        self._looked_at = 0
        self._in_data = False
        self._sender, self._recipients = "", list[str]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._say(b"220 credulous.example.net")

    def data_received(self, data: bytes) -> None:
        self._held += data
        while self._step():
            pass

    def _step(self) -> bool:
        return self._read_data() if self._in_data else self._read_line()

    def _read_line(self) -> bool:
        line, end, rest = self._held.partition(b"\n")
        if not end:
            return False
        self._held = rest
        self._obey(line.rstrip(b"\r"))
        return True

    def _obey(self, line: bytes) -> None:
        verb = line[:4].upper()
        self._seen.commands.add(verb)
        match verb:
            case b"EHLO":
                self._say(b"250-credulous.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN")
            case b"AUTH":
                self._say(b"235 2.7.0 come in")
            case b"MAIL":
                self._sender, self._recipients = _path(line), []
                self._say(b"250 2.1.0 sender")
            case b"RCPT":
                self._recipients.append(_path(line))
                self._say(b"250 2.1.5 recipient")
            case b"DATA":
                # The line end of the command serves as the one before a dot on the first line.
                self._in_data, self._held, self._looked_at = True, b"\r\n" + self._held, 0
                self._say(b"354 go on")
            case _:
                self._say(b"250 2.0.0 whatever you say")

    def _read_data(self) -> bool:
        found = _ANY_END.search(self._held, self._looked_at)
        # A CR at the very end may be half of a pair.
        if found is None or (found[0].endswith(b"\r") and found.end() == len(self._held)):
            self._looked_at = max(0, len(self._held) - 16)
            return False
        raw, self._held, self._in_data = self._held[2 : found.start() + 2], self._held[found.end() :], False
        self._seen.raw.append(raw)
        content = b"\r\n".join(line.removeprefix(b".") for line in raw.split(b"\r\n"))
        self._seen.arrived.append(Arrived(self._sender, tuple(self._recipients), content))
        self._say(b"250 2.6.0 believed")
        return True

    def _say(self, line: bytes) -> None:
        self._transport.write(line + b"\r\n")


def _path(line: bytes) -> str:
    return line.partition(b"<")[2].partition(b">")[0].decode("latin-1")


@contextmanager
def credulous(papers: Papers) -> Iterator[Credulous]:
    """Run it in a thread, with TLS from the first octet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    seen, loop = Credulous(), asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: _Session(seen), "127.0.0.1", 0, ssl=context))
    seen.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
