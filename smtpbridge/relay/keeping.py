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

    def keep(self, parcels: Sequence[Parcel], body: Sendable, then: Callable[[bool], None]) -> None:
        """Store parcels; `then` hears whether they are durable."""

        def kept(well: bool) -> None:
            then(well)
            if well:
                self.runner.look()

        self.keeper.put(parcels, body, kept)

    def keep_leftovers(
        self,
        message: Submission,
        plan: Plan,
        leftovers: Sequence[Leftover],
        body: Sendable,
        then: Callable[[bool], None],
    ) -> None:
        """
        Store what a message left over, in one commit; `then` hears whether that is durable.

        Who was refused for good is stored as well: the runner tries once more and then reports, and a crash in
        between forgets nobody.
        """
        if self.keeper.store is None:
            # Even where a line in the log would be the whole report: without a store nothing is taken over.
            then(False)
            return

        def kept(well: bool) -> None:
            then(well)
            if well:
                self._report_unknown(message, plan, leftovers)

        self.keep([self._leftover(message, plan, leftover) for leftover in leftovers], body, kept)

    def _leftover(self, message: Submission, plan: Plan, leftover: Leftover) -> Parcel:
        recipients = tuple(one.address for one in leftover.recipients)
        parcel = self.parcel_of(message, plan, plan.transactions[leftover.place], recipients)
        said = str(leftover.recipients[0].answer)
        if leftover.fate is Fate.HOLD:
            # Held: only an operator sends it again, knowing that it may be a second time.
            return replace(parcel, certain=False, last_reply=said, held=True)
        if leftover.fate is Fate.REPORT:
            return replace(parcel, last_reply=said)
        return replace(parcel, last_reply=said, not_before=parcel.not_before + self.schedule.first)

    def _report_unknown(self, message: Submission, plan: Plan, leftovers: Sequence[Leftover]) -> None:
        """Tell at once of those of whom nobody knows: their parcels lie until an operator decides."""
        held = [leftover for leftover in leftovers if leftover.fate is Fate.HOLD]
        recipients = tuple(one for leftover in held for one in leftover.recipients)
        if not recipients:
            return
        about = self.parcel_of(
            message, plan, plan.transactions[held[0].place], tuple(one.address for one in recipients)
        )
        report = self.reporter.give_up(about, self.keeper.epoch(), recipients, "", unknown=True)
        if report is not None:
            # Where this fails the log has said it, and the parcels are there.
            self.keep([report[0]], report[1], lambda _: None)
