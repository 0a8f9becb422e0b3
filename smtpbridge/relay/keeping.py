"""
What the bridge takes over: from plans and leftovers to parcels in the store.

`Keeping` is everything that a bridge needs to take something over: the keeper,
the runner that is to deliver it, the reporter for what is lost at once, and the
memory of what was taken although its sender did not hear so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from smtpbridge.dialect.plan import Plan, Transaction
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.reports import Reporter
from smtpbridge.relay.resends import Resends
from smtpbridge.relay.runner import QueueRunner
from smtpbridge.relay.schedule import Schedule
from smtpbridge.relay.settlement import Fate, Leftover
from smtpbridge.relay.submission import Sendable, Submission
from smtpbridge.store.values import OTHER, TRANSACTIONAL, Parcel


@dataclass(frozen=True, slots=True)
class Keeping:
    """Take over what senders need not keep any more."""

    keeper: Keeper
    runner: QueueRunner
    reporter: Reporter
    resends: Resends
    schedule: Schedule

    def parcel_of(
        self, message: Submission, plan: Plan, transaction: Transaction, recipients: tuple[str, ...]
    ) -> Parcel:
        """Return the parcel of a transaction, due now, for some or all of its recipients."""
        now = self.keeper.epoch()
        return Parcel(
            message_id=message.id,
            upstream=transaction.upstream,
            sender=transaction.envelope.sender,
            original_sender=message.envelope.sender,
            recipients=recipients,
            header=transaction.header,
            eight_bit=message.eight_bit,
            priority=TRANSACTIONAL if plan.transactional else OTHER,
            source=message.source,
            expires_at=now + self.schedule.lifetime,
            not_before=now,
        )

    def keep(
        self, parcels: Sequence[Parcel], body: Sendable, then: Callable[[bool], None], held: Sequence[int] = ()
    ) -> None:
        """Store parcels, those at the places in `held` on hold; `then` hears whether they are durable."""

        def kept(well: bool) -> None:
            then(well)
            if well:
                self.runner.look()

        self.keeper.put(parcels, body, kept, held=held)

    def keep_leftovers(
        self,
        message: Submission,
        plan: Plan,
        leftovers: Sequence[Leftover],
        body: Sendable,
        then: Callable[[bool], None],
    ) -> None:
        """
        Store what a message left over; `then` hears whether all of it is durable.

        Parcels come first, reports after them: a report without its parcel would tell of a loss that the sender's
        own retry may still prevent.
        """
        if self.keeper.store is None:
            # Even where a line in the log would be the whole report: without a store nothing is taken over.
            then(False)
            return
        kept_ones = [leftover for leftover in leftovers if leftover.fate is not Fate.REPORT]
        parcels = [self._leftover(message, plan, leftover) for leftover in kept_ones]
        held = [place for place, leftover in enumerate(kept_ones) if leftover.fate is Fate.HOLD]

        def kept(well: bool) -> None:
            if well:
                self._report(message, plan, [one for one in leftovers if one.fate is not Fate.RETRY], then)
            else:
                then(False)

        if parcels:
            self.keep(parcels, body, kept, held)
        else:
            kept(True)

    def _leftover(self, message: Submission, plan: Plan, leftover: Leftover) -> Parcel:
        recipients = tuple(one.address for one in leftover.recipients)
        parcel = self.parcel_of(message, plan, plan.transactions[leftover.place], recipients)
        said = str(leftover.recipients[0].answer)
        if leftover.fate is Fate.HOLD:
            # Held: only an operator sends it again, knowing that it may be a second time.
            return replace(parcel, certain=False, last_reply=said, not_before=parcel.expires_at)
        return replace(parcel, last_reply=said, not_before=parcel.not_before + self.schedule.first)

    def _report(
        self, message: Submission, plan: Plan, leftovers: Sequence[Leftover], then: Callable[[bool], None]
    ) -> None:
        """Store one report after the other."""
        if not leftovers:
            then(True)
            return
        leftover, *others = leftovers
        about = self.parcel_of(
            message, plan, plan.transactions[leftover.place], tuple(one.address for one in leftover.recipients)
        )
        report = self.reporter.give_up(
            about, self.keeper.epoch(), leftover.recipients, "", unknown=leftover.fate is Fate.HOLD
        )
        if report is None:
            self._report(message, plan, others, then)
            return
        parcel, body = report
        self.keep([parcel], body, lambda well: self._report(message, plan, others, then) if well else then(False))
