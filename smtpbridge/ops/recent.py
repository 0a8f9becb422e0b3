"""
What became of the last messages, and how many there were: taken from the log as it is said.

Theory of operation
-------------------

The log already says once of each message that it came and once what its verdict was, and in fields, so
nobody on a message's way has to tell it a second time.  `Recent` is an observer of that log.  It knows an event by how
its format begins, and looks each format up once; what it does not know costs it one look into a table.

Kept are numbers that only grow (for whoever computes rates), the newest verdicts, and apart from these the newest
refusals that were the bridge's own: an X-MSYS-API header that is no JSON must not be washed away by a minute of
ordinary traffic.  All of it is bounded, in messages and in addresses.

The times to the verdict are counted in classes that grow by a quarter: a median that is read from them
is off by an eighth at most, and an hour of them takes no more room than a second.

Without a page there is no observer, and nothing here costs anything.

What must not be known here: the relay, and what a reply is beyond its code and its text.
"""

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeAlias

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from smtpbridge.ops.sight import BOUNDS, Row, Totals
from smtpbridge.values import value

# How many messages are remembered, and of them how many addresses in all; one message may have thousands.
MOST_MESSAGES = 1000
MOST_ADDRESSES = 20_000
MOST_FAULTS = 100
# Messages that have come and have no verdict yet.  There is one for each session at most.
_MOST_WAITING = 10_000
# A format is constant text.  Should one not be, it must not fill the table.
_MOST_FORMATS = 1000
# A reply with more lines than this is kept as its text, cut: what a server says is bounded, but not to little.
_MOST_LINES = 4

_Taker: TypeAlias = Callable[[LogEvent], None]


@value
class _Noted:
    """A verdict as the log has it, and how the message came; a row is made of them when somebody looks."""

    event: LogEvent
    came: LogEvent
    code: int
    queued: bool = False


@implementer(ILogObserver)
class Recent:
    """The verdicts of one process."""

    def __init__(self, *, messages: int = MOST_MESSAGES, addresses: int = MOST_ADDRESSES) -> None:
        """Remember nothing yet; the arguments are bounds."""
        self._most_messages = messages
        self._most_addresses = addresses
        self._takers: dict[object, _Taker | None] = {}
        self._waiting: OrderedDict[str, LogEvent] = OrderedDict()
        self._noted: deque[_Noted] = deque()
        self._addresses = 0
        self._faults: deque[_Noted] = deque(maxlen=MOST_FAULTS)
        # By the first digit of the reply.
        self._verdicts = [0] * 10
        self._delivered = 0
        self._times = [0] * (len(BOUNDS) + 1)

    def __call__(self, event: LogEvent) -> None:
        """Hear of an event."""
        said = event.get("log_format")
        try:
            take = self._takers[said]
        except KeyError:
            take = self._learn(said)
        if take is not None:
            take(event)

    @property
    def totals(self) -> Totals:
        """The numbers since the start."""
        accepted, later, refused = self._verdicts[2], self._verdicts[4], self._verdicts[5]
        return Totals(accepted, later, refused, self._delivered, tuple(self._times))

    def newest(self, most: int) -> tuple[Row, ...]:
        """Return the newest verdicts, the newest first."""
        return tuple(map(_row, islice(reversed(self._noted), most)))

    def faults(self, most: int) -> tuple[Row, ...]:
        """Return what the bridge itself refused for good, the newest first."""
        return tuple(map(_row, islice(reversed(self._faults), most)))

    def find(self, words: str, most: int) -> tuple[Row, ...]:
        """Return the newest with that in the message id, the sender or a recipient; case does not matter."""
        return tuple(islice(_with(map(_row, reversed(self._noted)), words.casefold()), most))

    def _learn(self, said: object) -> _Taker | None:
        take = next((take for begins, take in self._known().items() if str(said).startswith(begins)), None)
        if len(self._takers) < _MOST_FORMATS:
            self._takers[said] = take
        return take

    def _known(self) -> dict[str, _Taker]:
        return {
            "id={id} received ": self._received,
            "id={id} verdict=": self._judged,
            "id={id} delivery ": self._sent,
            "message refused client=": self._turned_away,
        }

    def _received(self, event: LogEvent) -> None:
        self._waiting[event["id"]] = event
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.popitem(last=False)

    def _judged(self, event: LogEvent) -> None:
        came = self._waiting.pop(event["id"], _NOTHING)
        code = getattr(event["answer"], "code", 0)
        if not code:
            return  # the end of a message whose sender had its answer before
        self._verdicts[code // 100] += 1
        self._times[bisect_left(BOUNDS, event["seconds"])] += 1
        noted = _Noted(event, came, code)
        self._keep(noted)
        if code >= 500 and event["hosts"] == "-":
            self._faults.append(noted)

    def _sent(self, event: LogEvent) -> None:
        """An attempt with a message that was kept: it had its verdict when it was taken over."""
        self._delivered += 1 if event["taken"] else 0
        self._keep(_Noted(event, event, getattr(event["answer"], "code", 0), queued=True))

    def _turned_away(self, event: LogEvent) -> None:
        """What was refused before it was worth an id: a header block that is too long, a body with bare line ends."""
        code = getattr(event["answer"], "code", 0)
        self._verdicts[code // 100] += 1
        noted = _Noted(event, event, code)
        self._keep(noted)
        if code >= 500:
            self._faults.append(noted)

    def _keep(self, noted: _Noted) -> None:
        if len(getattr(noted.event["answer"], "lines", ())) > _MOST_LINES:
            noted = _Noted({**noted.event, "answer": str(noted.event["answer"])}, noted.came, noted.code, noted.queued)
        self._noted.append(noted)
        self._addresses += len(noted.came.get("log_recipients", ()))
        while self._addresses > self._most_addresses or len(self._noted) > self._most_messages:
            if len(self._noted) == 1:
                break
            self._addresses -= len(self._noted.popleft().came.get("log_recipients", ()))


_NOTHING: LogEvent = {}


def _row(noted: _Noted) -> Row:
    event, came = noted.event, noted.came
    recipients = came.get("log_recipients", ())
    return Row(
        at=event["log_time"],
        id=event.get("id", ""),
        client=came.get("client", ""),
        sender=came.get("sender", came.get("log_sender")),
        recipients=recipients,
        count=came.get("recipients", len(recipients)),
        code=noted.code,
        reply=str(event["answer"]),
        via=event.get("hosts") or event.get("host") or "-",
        seconds=event.get("seconds"),
        queued=noted.queued,
    )


def _with(rows: Iterable[Row], words: str) -> Iterator[Row]:
    for row in rows:
        if (
            words in row.id.casefold()
            or words in (row.sender or "").casefold()
            or any(words in one.casefold() for one in row.recipients)
        ):
            yield row
