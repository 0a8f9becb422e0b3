"""
Run a message's plan and say what became of it.

Theory of operation
-------------------

`Bridge.submit` takes a whole message and calls back once, with the reply for its
sender.  In between a `Delivery` runs the plan:

1. `translate` says what to send, or refuses.
2. The first transaction alone decides whether there is anything to go on with:
   refused as a whole, the message is refused in the provider's words.
3. The other transactions follow at the same time, each on a lease of its own,
   as many at once as leave others room.
4. When all have ended, `verdict` makes one reply of them.

Each transaction is an `Attempt`.  Until the final dot is sent it may move to
another connection for free, and does so once: a connection that had gone stale
while idle, or a server that hangs up with 421, costs the sender nothing.
Behind the dot nothing is ever sent twice from here.

The sender has its answer by the listener's deadline.  What has not reached the
final dot by then is dropped, so it can be sent again; what has is waited for, and
its end is logged.  A sender that hung up changes nothing of all this.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import assert_never

from twisted.logger import Logger

from smtpbridge.dialect.instructions import Refusal, Remark
from smtpbridge.dialect.plan import Plan, Transaction
from smtpbridge.dialect.policy import Policy
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.relay.attempt import Attempt
from smtpbridge.relay.deadlines import NEVER, Deadlines
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.submission import Submission
from smtpbridge.relay.verdict import Outcome, not_sent, verdict
from smtpbridge.smtp.replies import Reply, reply

_SUNK = reply(250, "2.6.0", "Message accepted; every recipient is a sink")
_TOO_LATE = reply(451, "4.4.2", "No answer from the provider in time")
_BROKEN = reply(451, "4.3.0", "Internal error; the message was not accepted")


class Bridge:
    """Take messages, relay them, answer for them."""

    log = Logger()

    def __init__(self, pools: Mapping[str, Pool], policy: Policy, deadlines: Deadlines) -> None:
        """Relay through `pools`, by the names of the upstreams that `policy` speaks of."""
        self.pools = pools
        self.policy = policy
        self.deadlines = deadlines
        self._deliveries: set[Delivery] = set()
        self._when_idle: list[Callable[[], None]] = []

    def submit(self, message: Submission, answer: Callable[[Reply], None]) -> None:
        """Relay `message`; `answer` is called once, perhaps before this returns.  The content is closed here."""
        delivery = Delivery(self, message, answer)
        self._deliveries.add(delivery)
        try:
            self._begin(delivery, message)
        except Exception:
            self.log.failure("id={id} internal error", id=message.id)
            delivery.end(_BROKEN)

    def _begin(self, delivery: "Delivery", message: Submission) -> None:
        header = HeaderBlock.parse(message.content.header)
        plan = translate(
            message.envelope,
            header,
            message.trace,
            self.policy,
            message.subaccount,
            message.defaults,
            message.content.body(),
        )
        match plan:
            case Refusal():
                delivery.end(reply(plan.code, plan.enhanced, plan.text))
            case Plan():
                for remark in plan.warnings:
                    self._remark("warning", message.id, remark)
                for remark in plan.notes:
                    self._remark("note", message.id, remark)
                delivery.run(plan)
            case _:
                assert_never(plan)

    def _remark(self, what: str, message_id: str, remark: Remark) -> None:
        emit = self.log.warn if what == "warning" else self.log.info
        emit("id={id} {what}={kind} {text}", id=message_id, what=what, kind=remark.kind, text=remark.text)

    def ended(self, delivery: "Delivery") -> None:
        """A delivery is over, for its sender and upstream."""
        self._deliveries.discard(delivery)
        if not self._deliveries:
            waiting, self._when_idle = self._when_idle, []
            for call in waiting:
                call()

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call once there is no delivery under way."""
        if self._deliveries:
            self._when_idle.append(call)
        else:
            call()

    @property
    def under_way(self) -> int:
        """How many deliveries have not ended."""
        return len(self._deliveries)


class Delivery:
    """One message on its way."""

    def __init__(self, bridge: Bridge, message: Submission, answer: Callable[[Reply], None]) -> None:
        """Begin with nothing sent."""
        self.message = message
        self._outgoing = message
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
        self._hosts: list[str] = []

    def run(self, plan: Plan) -> None:
        """Send what the plan says."""
        self._transactions = plan.transactions
        if not plan.transactions:
            self.end(_SUNK)
            return
        if plan.body is not None:
            self._outgoing = replace(self.message, content=self.message.content.reworked(plan.body))
        self._outcomes = [None] * len(plan.transactions)
        self._bridge.deadlines.watch(self)
        self._launch(0)

    def deadline_passed(self) -> None:
        """The sender must have its answer now."""
        self.deadline = NEVER
        self._stopped = True
        for attempt in list(self._attempts.values()):
            attempt.drop(_TOO_LATE)
        if self._attempts:
            # What is left is behind its final dot.  The sender hears that it must ask again; the end will be logged.
            self._say(_TOO_LATE)

    def end(self, answer: Reply) -> None:
        """Answer the sender and be done."""
        self._bridge.deadlines.forget(self)
        self._say(answer)
        self.message.content.close()
        self._bridge.ended(self)

    def _launch(self, place: int) -> None:
        transaction = self._transactions[place]
        pool = self._bridge.pools[transaction.upstream]

        def over(outcome: Outcome, host: str) -> None:
            try:
                self._over(place, outcome, host)
            except Exception:
                self._bridge.log.failure("id={id} internal error", id=self.message.id)
                self._stopped = True
                self.end(_BROKEN)

        attempt = Attempt(pool, transaction, self._outgoing, over)
        self._attempts[place] = attempt
        attempt.start(bounded=place == 0)

    def _over(self, place: int, outcome: Outcome, host: str) -> None:
        del self._attempts[place]
        self._outcomes[place] = outcome
        if host and host not in self._hosts:
            self._hosts.append(host)
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
        self._report(outcomes)
        self.end(verdict(outcomes))

    def _report(self, outcomes: list[Outcome]) -> None:
        """Name in the log everybody who was not taken, and both groups where only some were."""
        taken = [address for outcome in outcomes for address in outcome.taken]
        refused = [one for outcome in outcomes for one in outcome.refused]
        unknown = [address for outcome in outcomes for address in outcome.unknown]
        log = self._bridge.log
        for one in refused:
            log.warn("id={id} refused=<{to}> answer={answer}", id=self.message.id, to=one.address, answer=one.answer)
        if unknown:
            log.error(
                "id={id} outcome=unknown recipients={to}: no reply behind the final dot",
                id=self.message.id,
                to=_listed(unknown),
            )
        if taken and (refused or unknown):
            log.error(
                "id={id} outcome=partial taken={taken} not_taken={rest}: the sender is told to retry, "
                "which sends the message to the first group again",
                id=self.message.id,
                taken=_listed(taken),
                rest=_listed([*(one.address for one in refused), *unknown]),
            )

    def _say(self, answer: Reply) -> None:
        tell, self._answer = self._answer, None
        verdict_for_log = answer if tell is not None else "none, the sender had its answer before"
        self._bridge.log.info(
            "id={id} verdict={answer} via={hosts} seconds={seconds:.3f}",
            id=self.message.id,
            answer=verdict_for_log,
            hosts=",".join(self._hosts) or "-",
            seconds=self._bridge.deadlines.now() - self._begun,
        )
        if tell is not None:
            tell(answer)


def _listed(addresses: list[str]) -> str:
    return " ".join(f"<{address}>" for address in addresses)
