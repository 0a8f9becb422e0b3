"""
A session as a person reads it: the commands and replies of both sides in their order, without what is secret.

Theory of operation
-------------------

A `Transcript` stands beside a session and is fed what its client and its server say, cut anywhere; it returns lines.
It knows of SMTP just enough to tell three things apart, because it must not trust either side to be in step:

- A command is shown only if its verb is known.  Of AUTH the mechanism alone is shown, and of a line with any other
  first word nothing but its length: a client that believes itself to be in the middle of a login sends its password
  there.
- The responses of a login (RFC 4954, 4) are never shown.  What a client sends behind AUTH is held back until the
  server has answered, so that a response is known as one, however it was pipelined.
- The data of a message begin with the server's 354 and end with the final dot.  They are counted; the header block can
  be shown, the body never is.

A server may repeat what it was told.  So whatever a client said in a login, as it was sent and decoded, is struck out
of the replies that follow.

What must not be known here: sockets, time, who is who.
"""

import base64
import binascii
import re
from collections import deque
from dataclasses import dataclass
from enum import Enum

from smtpbridge.smtp.data import Block, EndFinder


class Side(Enum):
    """Who speaks, as a trace shows it."""

    CLIENT = ">"
    SERVER = "<"
    NOTE = "*"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a trace; `sender` and `recipient` are what a command named, "" included."""

    side: Side
    text: str
    sender: str | None = None
    recipient: str | None = None


class Stage(Enum):
    """Where a session stands whose beginning was not seen."""

    COMMANDS = "commands"
    LOGIN = "a login"
    RESPONSE = "a response of a login"
    DATA = "the data of a message"


_SHOWN = re.compile(
    rb"(?:EHLO|HELO|LHLO|MAIL FROM:|RCPT TO:|DATA|RSET|NOOP|QUIT|VRFY|HELP|STARTTLS|BDAT)(?![A-Z])", re.IGNORECASE
)
_AUTH = re.compile(rb"AUTH[ =]+([A-Z0-9_-]{1,20})(?: +(.*))?$", re.IGNORECASE | re.DOTALL)
_PATH = re.compile(rb"(MAIL FROM|RCPT TO): ?<([^>]*)>", re.IGNORECASE)
# What waits for the answer to it: behind these a client's octets mean something else.
_BARRIERS = re.compile(rb"(?:AUTH|DATA|STARTTLS)(?![A-Z])", re.IGNORECASE)
MASK = "****"
_LONGEST_LINE = 1000
_MOST_HELD = 262_144
_LONGEST_HEADER = 65_536
# A secret of fewer characters would strike out half of every reply.
_SHORTEST_SECRET = 4


class Transcript:
    """Turn what both sides say into lines."""

    def __init__(self, *, headers: bool = False, stage: Stage = Stage.COMMANDS, within_line: bool = False) -> None:
        """Begin at `stage`, perhaps within a line of the client's; with `headers` the header block is shown."""
        self._headers = headers
        self._client, self._server = b"", b""
        self._skip = within_line
        self._login = stage in (Stage.LOGIN, Stage.RESPONSE)
        # Whether what a client says means something else once the server has answered, and waits here until then.
        self._barrier = stage is Stage.LOGIN
        self._response = stage is Stage.RESPONSE
        self._asked = 0
        self._data: EndFinder | None = EndFinder() if stage is Stage.DATA else None
        self._size = 0
        self._header: bytes | None = None
        self._secrets: deque[str] = deque(maxlen=32)
        self._out: list[Line] = []

    def client(self, octets: bytes) -> list[Line]:
        """Take what the client said."""
        self._client += octets
        self._read_client()
        if len(self._client) > _MOST_HELD:
            self._note(f"{len(self._client)} octets are not shown")
            self._client, self._skip = b"", True
        return self._taken()

    def server(self, octets: bytes) -> list[Line]:
        """Take what the server said."""
        *lines, self._server = (self._server + octets).split(b"\n")
        self._server = self._server[-_LONGEST_LINE:]
        for line in lines:
            self._read_reply(line.removesuffix(b"\r"))
        return self._taken()

    def secured(self) -> list[Line]:
        """TLS is up: what was said before it is forgotten (RFC 3207, 4.2)."""
        self._client = self._server = b""
        self._login = self._barrier = self._response = False
        self._asked = 0
        return self._taken()

    # The client

    def _read_client(self) -> None:
        while self._client:
            if self._data is not None:
                self._read_data(self._data)
            elif self._barrier or not self._read_line():
                return

    def _read_line(self) -> bool:
        line, end, rest = self._client.partition(b"\n")
        if not end:
            return False
        self._client = rest
        line = line.removesuffix(b"\r")
        if self._skip:
            self._skip = False
            self._barrier, self._response = self._response, False
        elif self._response:
            self._read_response(line)
        else:
            self._read_command(line)
        return True

    def _read_response(self, line: bytes) -> None:
        self._response = False
        self._barrier = True
        self._keep_secret(line)
        self._say(Side.CLIENT, MASK)

    def _read_command(self, line: bytes) -> None:
        self._asked += 1
        self._barrier = _BARRIERS.match(line) is not None
        if found := _AUTH.match(line):
            self._login = True
            if found[2]:
                self._keep_secret(found[2])
            mechanism = found[1].decode("ascii").upper()
            self._say(Side.CLIENT, f"AUTH {mechanism} {MASK}" if found[2] else f"AUTH {mechanism}")
        elif _SHOWN.match(line):
            self._say_command(line)
        else:
            self._say(Side.CLIENT, f"{MASK} ({len(line)} octets that are no command)")

    def _say_command(self, line: bytes) -> None:
        text = printed(line)
        path = _PATH.match(line)
        address = path[2].decode("utf-8", "backslashreplace") if path else None
        is_sender = path is not None and path[1].upper() == b"MAIL FROM"
        self._out.append(Line(Side.CLIENT, text, address if is_sender else None, None if is_sender else address))

    def _read_data(self, finder: EndFinder) -> None:
        octets, self._client = self._client, b""
        for event in finder.feed(octets):
            if isinstance(event, Block):
                self._size += len(event.octets)
                self._gather_header(event.octets)
            else:
                self._client = event.rest
                self._data = None
                self._asked += 1
                self._show_header(whole=False)
                self._say(Side.CLIENT, f"({self._size:,} octets of data)")
                self._say(Side.CLIENT, ".")

    def _gather_header(self, octets: bytes) -> None:
        if self._header is not None:
            self._header += octets
            if b"\r\n\r\n" in self._header or len(self._header) > _LONGEST_HEADER:
                self._show_header(whole=True)

    def _show_header(self, *, whole: bool) -> None:
        header, self._header = self._header, None
        if header is None:
            return
        block, end, _ = header.partition(b"\r\n\r\n")
        # Without an empty line it may all be a body.
        if not end and not whole:
            block = b"" if not re.match(rb"[!-9;-~]+:", block) else block
        for line in block[:_LONGEST_HEADER].split(b"\r\n"):
            if line:
                self._say(Side.CLIENT, printed(line))

    # The server

    def _read_reply(self, line: bytes) -> None:
        text = printed(line)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        self._say(Side.SERVER, text)
        if line[3:4] == b"-":
            return
        self._asked = max(0, self._asked - 1)
        if line[:3] == b"334" and self._login:
            self._asked += 1
            self._barrier, self._response = False, True
        elif line[:3] == b"354":
            self._login = self._barrier = False
            self._data, self._size = EndFinder(), 0
            self._header = b"" if self._headers else None
        elif not self._asked:
            self._login = self._barrier = self._response = False
        self._read_client()

    # What is secret

    def _keep_secret(self, response: bytes) -> None:
        said = {response}
        try:
            said |= {response, *base64.b64decode(response, validate=True).split(b"\0")}
        except (binascii.Error, ValueError):
            pass  # no answer of a login; what it is is struck out all the same
        # The longest first, so that no rest of one stays.
        for one in sorted(said, key=len, reverse=True):
            if len(one) >= _SHORTEST_SECRET:
                self._secrets.append(printed(one))

    def _note(self, text: str) -> None:
        self._say(Side.NOTE, text)

    def _say(self, side: Side, text: str) -> None:
        self._out.append(Line(side, text))

    def _taken(self) -> list[Line]:
        out, self._out = self._out, []
        return out


def printed(octets: bytes) -> str:
    """Return octets as one printable line, cut to what a person reads."""
    text = octets[: _LONGEST_LINE + 1].decode("utf-8", "backslashreplace")
    text = "".join([one if one.isprintable() else f"\\x{ord(one):02x}" for one in text])
    return text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE] + "..."
