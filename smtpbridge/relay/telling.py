"""
Tell the store what became of a delivery, and senders and events of whom the bridge gives up.

The order of writing decides what a crash can do: events and a report are durable before the
parcel that they are about is removed, so a crash may tell somebody twice, never not at all.

What the store did not take is told again later, and until then nothing else may be claimed: what it does not know
would be sent again.
"""

from collections.abc import Callable

from twisted.logger import Logger

from smtpbridge.relay.content import Content
from smtpbridge.relay.correlation import Correlation
from smtpbridge.relay.fate import fate_of
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.reports import Reporter
from smtpbridge.relay.schedule import Schedule
from smtpbridge.relay.verdict import Outcome, Refused, Stage
from smtpbridge.store.values import Attempt as Noted
from smtpbridge.store.values import Kept, Parcel

_PUT_OFF_SECONDS = 300.0


class Telling:
    """What one process has to tell."""

    log = Logger()

    def __init__(
        self,
        keeper: Keeper,
        reporter: Reporter,
        schedule: Schedule,
        *,
        owner: str,
        chance: Callable[[], float],
        told: Callable[[Kept, float], None],
        correlation: Correlation | None = None,
    ) -> None:
        """
        `told` hears of each parcel that the store knows the fate of, and when it is due if it stays.

        `owner` is this process's name for leases, `chance` gives numbers in [0, 1).  Without `correlation` there are no
        events.
        """
        self._keeper = keeper
        self._reporter = reporter
        self._schedule = schedule
        self._owner = owner
        self._chance = chance
        self._told = told
        self._correlation = correlation
        self._untold: list[Callable[[], None]] = []

    @property
    def behind(self) -> bool:
        """Tell whether the store does not know everything."""
        return bool(self._untold)

    def renew(self, reporter: Reporter, schedule: Schedule) -> None:
        """Tell by these from now on."""
        self._reporter, self._schedule = reporter, schedule

    def catch_up(self) -> None:
        """Tell what could not be told."""
        untold, self._untold = self._untold, []
        for tell in untold:
            tell()

    def put_off(self, kept: Kept, why: str) -> None:
        """Nothing was tried and nothing can be yet: end the lease."""
        self.log.error("id={id} waits in the queue: {why}", id=kept.parcel.message_id, why=why)
        now = self._keeper.epoch()
        at = now + min(_PUT_OFF_SECONDS, self._schedule.pause(kept.attempts + 1, self._chance()))
        parcel, noted = kept.parcel, Noted(now, "", "queue", why)

        def tell() -> None:
            self._keeper.ask(
                lambda writer: writer.retry(kept.id, self._owner, at, parcel.recipients, noted, parcel.certain),
                lambda _: None,
                # Untold, it would stay leased: a lease is renewed for as long as there is work.
                lambda: self._untold.append(tell),
            )

        tell()

    def conclude(self, kept: Kept, outcome: Outcome, host: str, *, last: bool) -> None:
        """An attempt at `host` has ended; the `last` ones before the end of the process give nobody up for age."""
        self._log(kept, outcome, host)
        now = self._keeper.epoch()
        fate = fate_of(outcome, expired=not last and now >= kept.parcel.expires_at)
        given_up = len(fate.lost) + len(fate.unknown)
        self._keeper.tally.attempted(outcome, given_up, len(fate.later), now - kept.created_at)
        reports = []
        if fate.lost:
            reports.append(self._reporter.give_up(kept.parcel, kept.created_at, fate.lost, host))
        if fate.unknown:
            reports.append(self._reporter.give_up(kept.parcel, kept.created_at, fate.unknown, host, unknown=True))
        written = [one for one in reports if one is not None]
        self._tell_events(fate.lost, kept, lambda: self._store_reports(written, kept, outcome, host, fate.remain))

    def _tell_events(self, lost: tuple[Refused, ...], kept: Kept, then: Callable[[], None]) -> None:
        """Have the events of who is given up durable, where there are events, before anything is forgotten."""
        if self._correlation is None or not lost:
            then()
            return

        def told(well: bool) -> None:
            if well:
                then()
            else:
                self._untold.append(lambda: self._tell_events(lost, kept, then))

        self._correlation.gave_up(kept.parcel.header, lost, told)

    def _store_reports(
        self,
        reports: list[tuple[Parcel, Content]],
        kept: Kept,
        outcome: Outcome,
        host: str,
        remaining: tuple[str, ...],
    ) -> None:
        """Store one report after the other, then what became of the parcel."""
        if not reports:
            self._tell_store(kept, outcome, host, remaining)
            return
        (parcel, body), *others = reports

        def stored(well: bool) -> None:
            if well:
                self._store_reports(others, kept, outcome, host, remaining)
            else:
                self._untold.append(lambda: self._store_reports(reports, kept, outcome, host, remaining))

        self._keeper.put([parcel], body, stored)

    def _tell_store(self, kept: Kept, outcome: Outcome, host: str, remaining: tuple[str, ...]) -> None:
        attempts = kept.attempts + 1
        at = self._keeper.epoch() + self._schedule.pause(attempts, self._chance())
        if outcome.stage is Stage.CONNECTION:
            # Its turn comes again as soon as the upstream's does; the pace keeps the crowd away.
            at = self._keeper.epoch() + self._schedule.first * (0.1 + 0.4 * self._chance())
        phase = "final" if outcome.unknown else outcome.stage.value
        noted = Noted(self._keeper.epoch(), host, phase, str(outcome.answer))

        def tell() -> None:
            self._keeper.ask(
                lambda writer: (
                    writer.retry(kept.id, self._owner, at, remaining, noted, not outcome.unknown)
                    if remaining
                    else writer.done(kept.id)
                ),
                lambda _: self._told(kept, at),
                # Until the store knows, nothing else is claimed: what it does not know would be sent again.
                lambda: self._untold.append(tell),
            )

        tell()

    def _log(self, kept: Kept, outcome: Outcome, host: str) -> None:
        self.log.info(
            "id={id} delivery taken={taken} refused={refused} unknown={unknown} attempt={attempt} via={host} "
            "answer={answer}",
            id=kept.parcel.message_id,
            taken=len(outcome.taken),
            refused=len(outcome.refused),
            unknown=len(outcome.unknown),
            attempt=kept.attempts + 1,
            host=host or "-",
            answer=outcome.answer,
            log_sender=kept.parcel.original_sender,
            log_recipients=kept.parcel.recipients,
        )
