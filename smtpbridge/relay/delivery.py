"""
One message on its way: its transactions, its sender's answer, and what is left over.

`bridge` tells how a message is relayed; a `Delivery` does it.  It answers its sender
once, whatever happens later, and ends once, when nothing of it is under way any more.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import Protocol

from twisted.logger import Logger

from smtpbridge.dialect.plan import Plan, Transaction
from smtpbridge.relay.attempt import Attempt, Lender
from smtpbridge.relay.correlation import Letter
from smtpbridge.relay.deadlines import NEVER, Deadlines
from smtpbridge.relay.keeping import Keeping
from smtpbridge.relay.naming import in_groups, listed
from smtpbridge.relay.settlement import settle
from smtpbridge.relay.submission import Outgoing, Submission
from smtpbridge.relay.tallies import NO_UPSTREAM
from smtpbridge.relay.tally import Limit, Tally
from smtpbridge.relay.verdict import Outcome, not_sent
from smtpbridge.smtp.replies import Reply, reply

BROKEN = reply(451, "4.3.0", "Internal error; the message was not accepted")
_SUNK = reply(250, "2.6.0", "Message accepted; every recipient is a sink")
NO_STORE = reply(451, "4.3.0", "The message could not be stored; try again later")
_NO_PLAN = Plan(())
_TOO_LATE = reply(451, "4.4.2", "No answer from the provider in time")


class Surroundings(Protocol):
    """What a delivery needs of its bridge."""

    log: Logger
    deadlines: Deadlines
    keeping: Keeping | None
    tally: Tally

    @property
    def pools(self) -> Mapping[str, Lender]:
        """The pools by the names of their upstreams."""

    def ended(self, delivery: "Delivery") -> None:
        """The delivery is over, for its sender and upstream."""


class Delivery:
    """One message on its way."""

    __slots__ = (
        "_answer",
        "_attempts",
        "_begun",
        "_bridge",
        "_hosts",
        "_launching",
        "_next",
        "_outcomes",
        "_outgoing",
        "_plan",
        "_stopped",
        "_transactions",
        "_watched",
        "deadline",
        "ended",
        "letter",
        "message",
    )

    def __init__(self, bridge: Surroundings, message: Submission, answer: Callable[[Reply], None]) -> None:
        """Begin with nothing sent."""
        self.message = message
        self._plan = _NO_PLAN
        self._outgoing = Outgoing(message.id, message.content, message.eight_bit, message.until)
        self.deadline = message.until
        self._bridge = bridge
        self._answer: Callable[[Reply], None] | None = answer
        self._begun = bridge.deadlines.now()
        self._transactions: tuple[Transaction, ...] = ()
        self._outcomes: list[Outcome | None] = []
        self._attempts: dict[int, Attempt] = {}
        self._next = 1
        self._stopped = False
        self._launching = False
        self._hosts: tuple[str, ...] = ()
        self._watched: bytes | None = None
        self.ended = False
        self.letter: Letter | None = None  # what hears of its end for events
        bridge.deadlines.watch(self)

    def was_sent_before(self, answer: Reply) -> None:
        """The sender asks again about a message that has its verdict: give it, and send nothing."""
        self._bridge.log.info("id={id} was sent before: nothing is sent again", id=self.message.id)
        self.end(answer)

    def orphan(self) -> None:
        """The sender has gone without its answer, and may send the message again."""
        if self._watched is None and self._answer is not None and self._bridge.keeping is not None:
            self._watched = self._bridge.keeping.resends.watch(self.message)

    def keep_all(self, plan: Plan) -> None:
        """Queue mode: take the message over, and answer once it is durable."""
        if not self._prepare(plan):
            return
        keeping = self._bridge.keeping
        if keeping is None:
            self.end(NO_STORE)
            return
        parcels = [
            keeping.parcel_of(self.message, plan, transaction, transaction.envelope.recipients)
            for transaction in plan.transactions
        ]
        kept = reply(250, "2.6.0", f"Message queued as {self.message.id}")
        keeping.keep(parcels, self._outgoing.body, lambda well: self.end(kept if well else NO_STORE))

    def run(self, plan: Plan) -> None:
        """Send what the plan says."""
        if not self._prepare(plan):
            return
        self._outcomes = [None] * len(plan.transactions)
        self._launch(0)

    def _prepare(self, plan: Plan) -> bool:
        """Tell whether there is anything to send."""
        if self._stopped:
            # The sender was told to ask again while the memory of what was sent before was looked through.
            self.end(_TOO_LATE)
            return False
        self._plan, self._transactions = plan, plan.transactions
        if not plan.transactions:
            self.end(_SUNK)
            return False
        if plan.body is not None:
            content = self.message.content.reworked(plan.body)
            self._outgoing = replace(self._outgoing, body=content)
        return True

    def deadline_passed(self) -> None:
        """The sender must have its answer now."""
        self.deadline = NEVER
        self._bridge.tally.reached(Limit.VERDICT_SECONDS)
        self._stopped = True
        for attempt in list(self._attempts.values()):
            attempt.drop(_TOO_LATE)
        if self._answer is not None:
            # What is left is behind its final dot, or is being stored, or waits for its twin.  The sender hears that it
            # must ask again; the end will be logged.
            self.orphan()
            self._say(_TOO_LATE)

    def end(self, answer: Reply) -> None:
        """Answer the sender and be done."""
        if self.ended:
            return
        self.ended = True
        self._bridge.deadlines.forget(self)
        if self._watched is not None and self._bridge.keeping is not None:
            self._bridge.keeping.resends.settled(self._watched, self.message, answer)
        if self.letter is not None:
            self.letter.ended(answer, self._outcomes)
        self._say(answer)
        self.message.content.close()
        self._bridge.ended(self)

    def _launch(self, place: int) -> None:
        transaction = self._transactions[place]
        pool = self._bridge.pools[transaction.upstream]
        attempt = self._attempts[place] = Attempt(pool, transaction, self._outgoing, partial(self._over, place))
        attempt.start(bounded=place == 0)

    def _break_off(self) -> None:
        """A defect of ours: whatever can still be taken back is."""
        self._bridge.log.failure("id={id} internal error", id=self.message.id)
        self._stopped = self._launching = True
        for attempt in list(self._attempts.values()):
            attempt.drop(BROKEN)
        self.end(BROKEN)

    def _over(self, place: int, outcome: Outcome, host: str) -> None:
        try:
            del self._attempts[place]
            self._outcomes[place] = outcome
            if host and host not in self._hosts:
                self._hosts = (*self._hosts, host)
            if len(self._outcomes) == 1 and not outcome.refused and not outcome.unknown:
                self.end(outcome.answer)  # as `settle` would say
            else:
                self._go_on(place, outcome, host)
        except Exception:
            self._break_off()

    def _go_on(self, place: int, outcome: Outcome, host: str) -> None:
        """A transaction is over; send what is left to be sent, or say what became of all."""
        if place:
            self._bridge.log.info(
                "id={id} copy={place} of {count} to={to} via={host} answer={answer}",
                id=self.message.id,
                place=place,
                count=len(self._transactions) - 1,
                to=listed(list(self._transactions[place].envelope.recipients[:3])),
                host=host or "-",
                answer=outcome.answer,
            )
        if place == 0 and not outcome.taken:
            # The copies belong to a message that was refused, or whose end nobody knows: they are not sent.
            self._outcomes = [outcome]
            self._finish()
            return
        if self._launching:
            return  # it was refused at once; the loop below goes on, so a thousand copies are no thousand frames
        if not self._stopped:
            self._launch_more()
        if not self._attempts:
            self._finish()

    def _launch_more(self) -> None:
        """Send copies side by side, but leave half of the pool to others."""
        self._launching = True
        while self._next < len(self._transactions) and not self._stopped:
            pool = self._bridge.pools[self._transactions[self._next].upstream]
            if len(self._attempts) >= max(1, pool.max_connections // 2):
                break
            self._next += 1
            self._launch(self._next - 1)
        self._launching = False

    def _finish(self) -> None:
        outcomes = [
            outcome if outcome is not None else not_sent(transaction.envelope.recipients, _TOO_LATE)
            for outcome, transaction in zip(self._outcomes, self._transactions, strict=False)
        ]
        not_whole = [outcome for outcome in outcomes if not outcome.is_whole]
        if not_whole:
            self._note_refusals(not_whole)
        settlement = settle(outcomes)
        keeping = self._bridge.keeping
        if not settlement.leftovers or keeping is None:
            if not_whole:
                self._admit_partial(outcomes)
            self.end(settlement.otherwise)
            return

        def kept(well: bool) -> None:
            if not well:
                self._admit_partial(outcomes)
            self.end(settlement.answer if well else settlement.otherwise)

        keeping.keep_leftovers(self.message, self._plan, settlement.leftovers, self._outgoing.body, kept)

    def _note_refusals(self, outcomes: list[Outcome]) -> None:
        """Name in the log everybody who was not taken."""
        log = self._bridge.log
        for one in [one for outcome in outcomes for one in outcome.refused]:
            log.warn("id={id} refused=<{to}> answer={answer}", id=self.message.id, to=one.address, answer=one.answer)
        for some in in_groups([address for outcome in outcomes for address in outcome.unknown]):
            log.error(
                "id={id} outcome=unknown recipients={to}: no reply behind the final dot", id=self.message.id, to=some
            )

    def _admit_partial(self, outcomes: list[Outcome]) -> None:
        """Name both groups, where only some were taken and the rest cannot be kept."""
        taken = [address for outcome in outcomes for address in outcome.taken]
        refused = [one.address for outcome in outcomes for one in outcome.refused]
        unknown = [address for outcome in outcomes for address in outcome.unknown]
        if taken and (refused or unknown):
            for one, other in zip_longest(in_groups(taken), in_groups([*refused, *unknown]), fillvalue="-"):
                self._bridge.log.error(
                    "id={id} outcome=partial taken={taken} not_taken={rest}: the sender is told to retry, "
                    "which sends the message to the first group again",
                    id=self.message.id,
                    taken=one,
                    rest=other,
                )

    def _say(self, answer: Reply) -> None:
        tell, self._answer = self._answer, None
        seconds = self._bridge.deadlines.now() - self._begun
        if tell is not None:
            message = self.message
            upstream = self._transactions[0].upstream if self._transactions else NO_UPSTREAM
            recipients = len(message.envelope.recipients)
            message.traffic.verdict(answer.code, upstream, recipients, message.content.size, seconds)
        verdict_for_log = answer if tell is not None else "none, the sender had its answer before"
        self._bridge.log.info(
            "id={id} verdict={answer} via={hosts} seconds={seconds:.3f}",
            id=self.message.id,
            answer=verdict_for_log,
            hosts=",".join(self._hosts) or "-",
            seconds=seconds,
        )
        if tell is not None:
            tell(answer if self.letter is None else self.letter.reply(answer))
