"""
The senders of the race: sessions that send one message after the other, as fast as they are answered.

    python -m bench.race.load FACTS

FACTS is JSON: port, kind, sessions, kept, starttls, recipients, seconds,
authority (a file), and credentials (null, or user and password: then
the load goes straight to the sink, translated already).  One line of JSON comes out.

A session sends MAIL, RCPT and DATA in one write where PIPELINING is offered (RFC
2920), else one by one.  A message lasts from its first octet, or from the
connection that is opened for it, to the answer to its final dot.  What fails is counted, and
the session goes on with a new connection after a short rest.
"""

import base64
import gc
import json
import ssl
import sys
import time
from array import array
from dataclasses import dataclass, field

from bench.race.conversations import PAUSE, Line, Loop, Steps
from bench.race.messages import Kind, message

_REST = 0.02
# A session that fails that often in a row gives up.
_MOST_FAILURES = 50
# What is under way when the time is over may take that much longer, in seconds.
_GRACE = 30.0


class Refused(Exception):
    """An answer that was not the expected one, or none."""


@dataclass(frozen=True, slots=True)
class Task:
    """What every session does."""

    port: int
    envelope: tuple[bytes, ...]
    octets: bytes
    kept: bool
    starttls: bool
    credentials: tuple[str, str] | None
    context: ssl.SSLContext
    until: float


@dataclass(slots=True)
class Tally:
    """What came of it."""

    times: "array[float]" = field(default_factory=lambda: array("d"))
    failed: int = 0
    first_failure: str = ""

    def fails(self, error: Exception) -> None:
        """Count a failure; the text of the first one is kept."""
        self.failed += 1
        self.first_failure = self.first_failure or f"{type(error).__name__}: {error}"

    def percentile(self, part: float) -> float:
        """Return what that part of the messages took at most, in milliseconds."""
        times = sorted(self.times)
        return 1000 * times[int(part * (len(times) - 1))] if times else 0.0


class Session:
    """One sender."""

    def __init__(self, line: Line, task: Task, tally: Tally) -> None:
        """Begin without a connection."""
        self._line, self._task, self._tally = line, task, tally
        self._pipelining = False

    def steps(self) -> Steps[None]:
        """Send until the time is over."""
        line, task, tally, failures = self._line, self._task, self._tally, 0
        clock = time.perf_counter
        while time.monotonic() < task.until and failures < _MOST_FAILURES:
            begun = clock()
            try:
                if not line.is_open:
                    yield from self._greet()
                yield from self._deliver()
            except (OSError, Refused) as error:
                failures += 1
                tally.fails(error)
                line.close()
                yield PAUSE
                continue
            tally.times.append(clock() - begun)
            failures = 0
            if not task.kept:
                yield from self._quit()
        if line.is_open:
            yield from self._quit()

    def _greet(self) -> Steps[None]:
        line, task = self._line, self._task
        yield from line.connect(task.port)
        yield from self._say(b"", b"220")
        capabilities = yield from self._say(b"EHLO load.example\r\n", b"250")
        if task.starttls or task.credentials:
            yield from self._say(b"STARTTLS\r\n", b"220")
            yield from line.secure(task.context, as_server=False)
            capabilities = yield from self._say(b"EHLO load.example\r\n", b"250")
        if task.credentials:
            plain = base64.b64encode("\0".join(("", *task.credentials)).encode())
            yield from self._say(b"AUTH PLAIN " + plain + b"\r\n", b"235")
        self._pipelining = b"PIPELINING" in capabilities

    def _deliver(self) -> Steps[None]:
        task = self._task
        if self._pipelining:
            yield from self._line.send(b"".join(task.envelope))
            *earlier, last = yield from self._answers(len(task.envelope))
            if not last.startswith(b"354") or not all(one.startswith(b"250") for one in earlier):
                raise Refused(b" ".join((*earlier, last))[:200].decode("latin-1"))
        else:
            for command in task.envelope:
                yield from self._say(command, b"354" if command is task.envelope[-1] else b"250")
        yield from self._say(task.octets, b"250")

    def _say(self, octets: bytes, wanted: bytes) -> Steps[bytes]:
        """Send, and return the answer, which must begin with that code."""
        if octets:
            yield from self._line.send(octets)
        answer = b"\n".join((yield from self._answers(1, whole=True)))
        if not answer.startswith(wanted):
            raise Refused(answer[:200].decode("latin-1"))
        return answer

    def _answers(self, count: int, *, whole: bool = False) -> Steps[list[bytes]]:
        """Return the last lines of so many answers, or all their lines."""
        held = b""
        while True:
            octets = yield from self._line.receive()
            if not octets:
                raise Refused("the connection was closed")
            held += octets
            if not held.endswith(b"\n"):
                continue
            lines = held.splitlines()
            last = [line for line in lines if line[3:4] != b"-"]
            if len(last) >= count:
                return lines if whole else last

    def _quit(self) -> Steps[None]:
        try:
            yield from self._say(b"QUIT\r\n", b"221")
        except (OSError, Refused):
            pass  # The messages were answered; how the other side says farewell is not measured.
        self._line.close()


def measure(task: Task, sessions: int, begun: float) -> dict[str, object]:
    """Run the sessions and return what the race needs to know."""
    loop, tally = Loop(_REST), Tally()
    used = time.process_time()
    gc.disable()
    for _ in range(sessions):
        line = Line(loop)
        loop.begin(line, Session(line, task, tally).steps())
    unfinished = loop.run(task.until + _GRACE)
    seconds = time.monotonic() - begun
    if unfinished:
        tally.fails(TimeoutError(f"{unfinished} sessions had no answer"))
    return {
        "taken": len(tally.times),
        "failed": tally.failed + max(0, unfinished - 1),
        "first_failure": tally.first_failure,
        "seconds": seconds,
        "cpu": time.process_time() - used,
        "median_ms": tally.percentile(0.5),
        "p99_ms": tally.percentile(0.99),
    }


def main() -> None:
    """Read the task, do it, print what came of it."""
    given = json.loads(sys.argv[1])
    context = ssl.create_default_context(cafile=given["authority"])
    credentials = tuple(given["credentials"]) if given["credentials"] else None
    recipients = (b"RCPT TO:<user%d@rcpt.example>\r\n" % number for number in range(given["recipients"]))
    octets = message(Kind[given["kind"]]).sent(translated=credentials is not None)
    begun = time.monotonic()
    task = Task(
        port=given["port"],
        envelope=(b"MAIL FROM:<news@sender.example>\r\n", *recipients, b"DATA\r\n"),
        octets=octets,
        kept=given["kept"],
        starttls=given["starttls"],
        credentials=credentials,
        context=context,
        until=begun + given["seconds"],
    )
    print(json.dumps(measure(task, given["sessions"], begun)))


if __name__ == "__main__":
    main()
