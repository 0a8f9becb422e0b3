"""
The smallest reader of SparkPost's webhooks: what `smtpbridge demo` has its events posted to.

It takes a batch as SparkPost posts it, writes each event on a line of a file, and tells of it in a few words.  `Told`
collects those of one message.

What must not be known here: who posts, and how events are made.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from smtpbridge.commands.printing import harmless, shown_path

# Of the fields of an event the one that says most, beside its type and recipient.
_TELLING = ("raw_reason", "target_link_url", "fbtype", "campaign_id")


class Webhook(Resource):
    """`on_event` hears of each event: its type, its recipient, and a line for people."""

    isLeaf = True

    def __init__(self, file: Path, on_event: Callable[[str, str, str], None]) -> None:
        """Append to `file`, which is made with the first event."""
        super().__init__()
        self._file = file
        self._on_event = on_event

    def render_POST(self, request: Request) -> bytes:
        """Take a batch; 400 for what is none."""
        assert request.content is not None
        try:
            batch = json.load(request.content)
            if not isinstance(batch, list):
                raise TypeError
            events = [fields for entry in batch for fields in entry["msys"].values()]
            told = [(str(one["type"]), str(one["rcpt_to"]), line_about(one)) for one in events]
        except (ValueError, KeyError, TypeError, AttributeError):
            request.setResponseCode(400)
            return b""
        with self._file.open("a", encoding="ascii") as file:
            file.writelines(json.dumps(one) + "\n" for one in batch)
        for one in told:
            self._on_event(*one)
        return b""


def line_about(event: dict[str, Any]) -> str:
    """Return what an event tells in one line."""
    detail = next((str(event[name]) for name in _TELLING if event.get(name)), "")
    return f"{harmless(str(event['type'])):16}  {shown_path(str(event['rcpt_to']))}  {harmless(detail)}".rstrip()


class QuietSite(Site):
    """A site that keeps no log of requests."""

    noisy = False

    def log(self, request: HttpRequest) -> None:
        """Say nothing."""


class Told:
    """The events of one message, until each of its recipients has its acceptance and what became of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.over = False
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._recipients: set[str] | None = None
        self._waiting: Deferred[None] = Deferred()

    def hear(self, kind: str, recipient: str, line: str) -> None:
        """Note an event."""
        self.lines.append(line)
        (self._begun if kind == "injection" else self._ended).add(recipient)
        self._look()

    def about(self, recipients: set[str]) -> Deferred[None]:
        """Return what fires when there is all about each of them."""
        self._recipients = recipients
        self._look()
        return self._waiting

    def give_up(self) -> None:
        """Let nobody wait any longer."""
        if not self.over:
            self.over = True
            self._waiting.callback(None)

    def all_about(self, recipients: set[str]) -> bool:
        """Tell whether there is all about each of them."""
        return self._begun & self._ended >= recipients

    def _look(self) -> None:
        if self._recipients is not None and self.all_about(self._recipients):
            self.give_up()
