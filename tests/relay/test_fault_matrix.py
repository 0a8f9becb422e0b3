"""
Whatever the provider does, at whatever command: nobody is lost, and nobody is served twice whose fate was known.

Each cell of the matrix is a relay of its own before an upstream that has one fault.  After the fault, and again
after the fault is over, everybody whom a message was for is looked for in four places: at the sink, in the store,
among those who were given up by name, and with the sender, who heard a refusal of the whole message.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, globalLogPublisher

from smtpbridge.relay.service import RelayService
from smtpbridge.store.values import Kept, State
from tests.relay.scripted import CUT, EARLY, FLOOD, SILENCE, SLOW, USUAL, USUAL_REPLIES, Script, Step, Upstream
from tests.relay.world import Caller, RelayCase, message, reactor

FAULTS: dict[str, Step] = {
    "4xx": b"451 4.3.0 not now\r\n",
    "5xx": b"554 5.3.0 never\r\n",
    "421": b"421 4.3.2 going down\r\n",
    "cut": CUT,
    "silence": SILENCE,
    "slow": SLOW,
    "garbage": b"\x00\xff\xfe what is this?\r\n",
    "long": b"250 " + b"x" * 100_000 + b"\r\n",
    "flood": FLOOD,
    "early": EARLY,
}
BEFORE_MAIL = ("GREETING", "EHLO", "STARTTLS", "AUTH")
IN_MAIL = ("MAIL", "RCPT", "DATA", "BODY", ".", "TAKEN")
# A server that takes a message and refuses it cannot be held to anything.
SENSELESS = {("TAKEN", "4xx"), ("TAKEN", "5xx"), ("TAKEN", "421")}
QUEUE = 'mode = "queue"'
QUICK = "[queue]\nfirst_retry_seconds = 0.1\nlongest_retry_seconds = 1\n"
SHORT = (
    "deadlines = { connect = 5, tls = 5, greeting = 2, command = 2, data = 3, block = 3, final = 5 }\n"
    "min_rate_bytes = 300_000\n"
)
NO_PIPELINING = USUAL_REPLIES["EHLO"].replace(b"250-ENHANCEDSTATUSCODES\r\n250 PIPELINING", b"250 ENHANCEDSTATUSCODES")
# So many that they are still on their way while the server already says something about the first line.
LARGE = (b"x" * 990 + b"\r\n") * 1000
AT_A_TIME = 80
# A cell that takes longer is stuck, and is named.
PATIENCE = 90


@dataclass(frozen=True)
class Cell:
    """One fault at one command, from the first time on or from the `late` one on, in one mode."""

    place: str
    fault: str
    queue: bool
    late: bool = False
    pipelining: bool = True

    @property
    def name(self) -> str:
        """A label that can stand in an address."""
        parts = (self.place, self.fault, "queue" if self.queue else "proxy", "late" * self.late)
        plain = "-".join(part for part in parts if part).lower()
        return plain.replace(".", "dot").replace(" <", "-").replace("@", "-") + "-plain" * (not self.pipelining)

    def script(self) -> Script:
        """Return what the upstream does."""
        step = FAULTS[self.fault]
        usual: Script = {} if self.pipelining else {"EHLO": NO_PIPELINING}
        return usual | {self.place: [USUAL, step] if self.late else step}

    def address(self, name: str) -> str:
        """Return an address that no other cell has."""
        return f"{name}@{self.name}.test"


@dataclass
class Said:
    """What the log says of recipients and messages."""

    given_up: dict[str, str] = field(default_factory=dict)
    delivered: Counter[str] = field(default_factory=Counter)

    def __call__(self, event: LogEvent) -> None:
        words = str(event.get("log_format"))
        if "given_up=" in words:
            self.given_up[event["to"]] = event["outcome"]
        elif "delivery taken=" in words:
            self.delivered[event["id"]] += 1


@dataclass
class Trial:
    """A cell that is being tried: its relay, its upstream, and whom its message is for."""

    cell: Cell
    upstream: Upstream
    service: RelayService
    said: Said
    people: frozenset[str]

    def kept(self) -> list[Kept]:
        """Return what is in the store."""
        store = self.service._keeping.keeper.store  # type: ignore[union-attr]
        assert store is not None
        return list(store.list())

    def waiting(self) -> list[Kept]:
        """Return what will be sent by itself: what may have been taken waits for an operator instead."""
        return [one for one in self.kept() if one.state is not State.HELD]

    def accounted_for(self) -> set[str]:
        """Return everybody who is the provider's, the store's, or named as given up."""
        stored = {address for one in self.kept() for address in one.parcel.recipients}
        return {*self.upstream.recipients(), *stored, *self.said.given_up}

    def everybody_is_accounted_for(self) -> None:
        """Nobody of a message that was answered 250 is lost."""
        missing = self.people - self.accounted_for()
        assert not missing, f"lost: {missing}"

    def nobody_was_served_twice(self) -> None:
        """Only where the answer to the final dot was no clear one."""
        allowed = Counter(self.upstream.unsure)
        for address, times in Counter(self.upstream.recipients()).items():
            assert times <= 1 + allowed[address], f"{address} got it {times} times"

    def nobody_was_sent_to_again_behind_a_dot(self) -> None:
        """Who may have been served is the sender's to send to again, not the bridge's (RFC 1047)."""
        for seen in (self.upstream.recipients(), self.upstream.unsure):
            assert len(seen) == len(set(seen)), f"sent to again behind the final dot: {seen}"

    def nobody_was_given_up_who_was_served(self) -> None:
        """To be told of a failure that was none makes a sender send again."""
        served = set(self.upstream.recipients()) - set(self.upstream.unsure)
        failed = {address for address, outcome in self.said.given_up.items() if outcome == "failed"}
        assert not served & failed, f"served and given up: {served & failed}"


class FaultMatrixTest(RelayCase):
    timeout = 240

    def setUp(self) -> None:
        super().setUp()
        self.said = Said()
        observer: Any = self.said
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    async def hold(self, cells: list[Cell]) -> None:
        """Try the cells, some at a time, and name those that do not hold."""
        turns = DeferredSemaphore(AT_A_TIME)
        failed: list[str] = []

        async def one(cell: Cell) -> None:
            try:
                await Deferred.fromCoroutine(self.holds(cell)).addTimeout(PATIENCE, reactor)
            except Exception as error:
                failed.append(f"{cell.name}: {error!r}")

        def begin(cell: Cell) -> "Deferred[None]":
            return Deferred.fromCoroutine(one(cell))

        await gatherResults([turns.run(partial(begin, cell)) for cell in cells])
        self.assertEqual([], failed)

    async def holds(self, cell: Cell) -> None:
        """Try one cell, from the fault to long after it."""
        trial = await self.trial(cell)
        try:
            await (self.queued(trial) if cell.queue else self.proxied(trial))
            trial.everybody_is_accounted_for()
            trial.nobody_was_served_twice()
            trial.nobody_was_given_up_who_was_served()
        finally:
            await trial.service.stopService()

    async def trial(self, cell: Cell) -> Trial:
        upstream = await self.upstream(cell.script())
        mode = QUEUE if cell.queue else ""
        service = await self.relay(listener=mode, upstream=SHORT, more=QUICK, store=cell.name)
        people = frozenset(cell.address(name) for name in ("a", "b", "cc", "bcc"))
        return Trial(cell, upstream, service, self.said, people)

    async def sent(self, trial: Trial, caller: Caller) -> str:
        """Send the message for a, b, a cc and a bcc; return the answer."""
        at = trial.cell.address
        body = LARGE if trial.cell.place == "BODY" else b"text\r\n"
        data = message({"cc": [at("cc")], "bcc": [at("bcc")]}, body=body)
        return await caller.mail(at("a"), at("b"), data=data)

    async def proxied(self, trial: Trial) -> None:
        """The sender's answer is the truth, and its retry after the fault serves everybody."""
        caller = await self.caller(service=trial.service)
        answer = await self.sent(trial, caller)
        if answer.startswith("250"):
            trial.everybody_is_accounted_for()
        else:
            assert not trial.kept(), f"{answer} was said, and it is kept"
            about_the_mail = trial.cell.fault == "5xx" and trial.cell.place in IN_MAIL
            assert answer[0] == "4" or about_the_mail, answer
        trial.nobody_was_sent_to_again_behind_a_dot()
        trial.upstream.script.clear()
        while not answer.startswith("250"):
            # A host that failed is left alone for a while.
            await deferLater(reactor, 0.1)
            answer = await self.sent(trial, caller)
        await self.eventually(lambda: not trial.waiting(), 0.05)

    async def queued(self, trial: Trial) -> None:
        """What was answered 250 is sent again until the fault is over, unless it was refused for good."""
        caller = await self.caller(service=trial.service)
        answer = await self.sent(trial, caller)
        assert answer.startswith("250"), answer
        trial.everybody_is_accounted_for()
        name = answer.rpartition(" ")[2]
        await self.eventually(lambda: self.said.delivered[name] > trial.cell.late, 0.05)
        trial.everybody_is_accounted_for()
        trial.nobody_was_served_twice()
        trial.upstream.script.clear()
        await self.eventually(lambda: not trial.kept(), 0.05)
        refused_for_good = trial.cell.fault == "5xx" and trial.cell.place in IN_MAIL
        assert refused_for_good or trial.people <= set(trial.upstream.recipients()), "not everything arrived"

    async def test_in_proxy_mode_the_sender_hears_the_truth_and_its_retry_serves_everybody(self) -> None:
        await self.hold(cells(queue=False))

    async def test_in_queue_mode_everything_arrives_when_the_fault_is_over(self) -> None:
        await self.hold(cells(queue=True))


def cells(*, queue: bool) -> list[Cell]:
    """
    Return the cells of one mode: each fault from the first time on, and from the second on.

    The second time a command is met it is for another recipient, or for the copy on a connection that has been used.
    """
    found = []
    for fault in FAULTS:
        found += [Cell(place, fault, queue) for place in (*BEFORE_MAIL, *IN_MAIL)]
        found += [Cell(place, fault, queue, pipelining=False) for place in IN_MAIL]
        found += [Cell(place, fault, queue, late=True) for place in (*IN_MAIL, "RSET")]
    return [cell for cell in found if (cell.place, cell.fault) not in SENSELESS]
