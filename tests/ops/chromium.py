"""
A real browser for tests: Chromium without a window, spoken to over a pipe (the DevTools protocol).

`--remote-debugging-pipe` reads JSON from descriptor 3 and writes it to 4, each message ended by a NUL; no port, no
driver, no further package.  What the page complains of (console, exceptions, violations of its policy, requests that
failed) is collected in `complaints`.
"""

import base64
import json
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.overheard import EVERYTHING

reactor: Any = _reactor
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    # It runs as whoever runs the tests, root in a container: there its own sandbox cannot be built.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)


class Chromium(ProcessProtocol):
    """One browser with one page."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.over: Deferred[None] = Deferred()
        self._buffer = b""
        self._answers: dict[int, Deferred[dict[str, Any]]] = {}
        self._number = 0
        self._session = ""
        self._folder = tempfile.mkdtemp()
        self._process = reactor.spawnProcess(
            self,
            PROGRAM,
            [PROGRAM, *_FLAGS, f"--user-data-dir={self._folder}", "about:blank"],
            env={"HOME": self._folder, "PATH": "/usr/bin:/bin"},
            childFDs={0: "w", 1: "r", 2: "r", 3: "w", 4: "r"},
        )

    async def begin(self) -> None:
        """Be ready for `go`."""
        targets = await self.call("Target.getTargets")
        target = next(one["targetId"] for one in targets["targetInfos"] if one["type"] == "page")
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")

    async def go(self, url: str, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Load a page, on a screen of that size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def script(self, expression: str) -> Any:
        """Return what an expression is, on the page."""
        done = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return done["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true; the test's own timeout bounds it."""
        while not await self.script(expression):
            await deferLater(reactor, 0.02)

    async def picture(self) -> bytes:
        """Return what is on the screen as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])

    async def end(self) -> None:
        """End it, and everything that it has written."""
        try:
            self._process.signalProcess("TERM")
        except ProcessExitedAlready:
            pass
        await self.over
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method: str, **parameters: object) -> "Deferred[dict[str, Any]]":
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._process.writeToChild(3, json.dumps(message).encode() + b"\0")
        answer = self._answers[self._number] = Deferred()
        return answer

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD != 4:
            EVERYTHING.said(data)  # what Chromium has to say of the machine it runs on
            return
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for one in messages:
            self._heard(json.loads(one))

    def processEnded(self, reason: Failure) -> None:
        self.over.callback(None)

    def _heard(self, message: dict[str, Any]) -> None:
        if "id" in message:
            answer = self._answers.pop(message["id"])
            if "error" in message:
                answer.errback(RuntimeError(message["error"]["message"]))
            else:
                answer.callback(message["result"])
            return
        tell = _COMPLAINTS.get(message["method"])
        if tell is not None and (said := tell(message["params"])):
            self.complaints.append(said)
            EVERYTHING.said(said)


def _console(event: dict[str, Any]) -> str:
    return f"console: {event['args']}" if event["type"] in ("error", "warning", "assert") else ""


def _log(event: dict[str, Any]) -> str:
    entry = event["entry"]
    return f"{entry['source']}: {entry['text']}" if entry["level"] in ("error", "warning") else ""


_COMPLAINTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "Runtime.consoleAPICalled": _console,
    "Runtime.exceptionThrown": lambda event: str(event["exceptionDetails"]),
    # Violations of the policy come this way too.
    "Log.entryAdded": _log,
}
