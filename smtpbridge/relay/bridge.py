"""
Run a message's plan and say what became of it.

Theory of operation
-------------------

`Bridge.submit` takes a whole message and calls back once, with the reply for its
sender.  In between a `Delivery` runs the plan:

1. `translate` says what to send, or refuses.  With events on, `correlation` writes down whose the message is, and
   only then anything of it is sent.
2. The first transaction alone decides whether there is anything to go on with:
   refused as a whole, the message is refused in the provider's words.
3. The other transactions follow at the same time, each on a lease of its own,
   as many at once as leave others room.
4. When all have ended, `settlement.settle` makes one reply of them and says what is left
   over; that is stored before the reply is given.

In queue mode the plan is stored as it is, and the `runner` delivers it later.

Each transaction is an `Attempt`.  Until the final dot is sent it may move to
another connection for free, and does so once: a connection that had gone stale
while idle, or a server that hangs up with 421, costs the sender nothing.
Behind the dot nothing is ever sent twice from here.

The sender has its answer by the listener's deadline.  What has not reached the
final dot by then is dropped, so it can be sent again; what has is waited for, and
its end is logged.  A sender that hung up changes nothing of all this.
"""

from collections.abc import Callable, Collection, Mapping

from twisted.logger import Logger

from smtpbridge.dialect.instructions import Refusal
from smtpbridge.dialect.plan import Plan
from smtpbridge.dialect.policy import Policy
from smtpbridge.dialect.translate import translate
from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.relay.correlation import Correlation, Letter
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.delivery import BROKEN, NO_STORE, Delivery
from smtpbridge.relay.keeping import Keeping
from smtpbridge.relay.log import Log
from smtpbridge.relay.pool import Pool
from smtpbridge.relay.submission import Submission
from smtpbridge.relay.tally import Limit, Tally
from smtpbridge.smtp.replies import Reply, reply

_NO_TOKEN = b"", ""


class Bridge:
    """Take messages, relay them, answer for them."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        policy: Policy,
        deadlines: Deadlines,
        keeping: Keeping | None = None,
        *,
        tally: Tally | None = None,
        correlation: Correlation | None = None,
    ) -> None:
        """
        Relay through `pools`, by the names of the upstreams that `policy` speaks of.

        Without `keeping` there is no store: nothing can be taken over, and a message that was taken in part is
        answered with 451.  With `correlation` messages carry a token and are written down before they go.
        """
        self.log: Logger = Log(__name__, self)
        self.pools = pools
        self.policy = policy
        self.deadlines = deadlines
        self.keeping = keeping
        self.correlation = correlation
        self.tally = tally or Tally()
        self._deliveries: set[Delivery] = set()
        self._when_idle: list[Callable[[], None]] = []

    def submit(self, message: Submission, answer: Callable[[Reply], None]) -> "Delivery":
        """Relay `message`; `answer` is called once, perhaps before this returns.  The content is closed here."""
        delivery = Delivery(self, message, answer)
        self._deliveries.add(delivery)
        if self.keeping is None or self.keeping.resends.knows_none:
            self._begin(delivery)
        else:
            self.keeping.resends.ask(message, delivery.was_sent_before, lambda: self._begin(delivery))
        return delivery

    def _begin(self, delivery: "Delivery") -> None:
        message = delivery.message
        content = message.content
        correlation = self.correlation
        try:
            token, text = _NO_TOKEN if correlation is None else correlation.new_token()
            plan = translate(
                message.envelope,
                HeaderBlock.parse(content.header),
                message.trace,
                self.policy,
                message.subaccount,
                message.defaults,
                content.body(),
                text,
            )
            if isinstance(plan, Refusal):
                self._refuse(delivery, plan)
                return
            self._count(message, plan)
            if correlation is not None:
                self._enter(correlation, token, delivery, plan)
            elif message.queued:
                delivery.keep_all(plan)
            else:
                delivery.run(plan)
        except Exception:
            self.log.failure("id={id} internal error", id=message.id)
            delivery.end(BROKEN)

    def _refuse(self, delivery: "Delivery", refusal: Refusal) -> None:
        self.tally.translation.refusals[refusal.kind] += 1
        if refusal.limit:
            self.tally.reached(Limit(refusal.limit))
        delivery.end(reply(refusal.code, refusal.enhanced, refusal.text))

    def _count(self, message: Submission, plan: Plan) -> None:
        counts = self.tally.translation
        counts.uses(plan.wishes, message.subaccount)
        for one in plan.warnings:
            counts.warnings[one.kind] += 1
            self.log.warn("id={id} warning={kind} {text}", id=message.id, kind=one.kind, text=one.text)
        for one in plan.notes:
            counts.notes[one.kind] += 1
            self.log.info("id={id} note={kind} {text}", id=message.id, kind=one.kind, text=one.text)

    def _enter(self, correlation: Correlation, token: bytes, delivery: "Delivery", plan: Plan) -> None:
        """Send what the plan says once the message is written down."""
        message = delivery.message

        def entered(letter: Letter | None, well: bool) -> None:
            delivery.letter = letter
            if not well:
                delivery.end(NO_STORE)
                return
            try:
                if message.queued:
                    delivery.keep_all(plan)
                else:
                    delivery.run(plan)
            except Exception:
                self.log.failure("id={id} internal error", id=message.id)
                delivery.end(BROKEN)

        correlation.enter(token, message.id, message.content.size, plan, entered)

    def renew(self, pools: Mapping[str, Pool], policy: Policy, keeping: Keeping | None) -> None:
        """Relay what is translated from now on by these; `pools` have a name still for each plan that was made."""
        self.pools = pools
        self.policy = policy
        self.keeping = keeping

    @property
    def deliveries(self) -> Collection[Delivery]:
        """Those that have not ended."""
        return self._deliveries

    def ended(self, delivery: "Delivery") -> None:
        """A delivery is over, for its sender and upstream."""
        self._deliveries.discard(delivery)
        if self._when_idle and not self._deliveries:
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
