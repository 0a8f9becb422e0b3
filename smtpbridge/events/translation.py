"""
From notifications as they came to events for their targets: in the background, out of the ledger and into it.

Theory of operation
-------------------

The inbox keeps octets; here they are read, led back to the message that they are about, and translated
(`dialect.events`).  A turn takes some notices out of the ledger, in a thread, and asks for each that its events be put
in its place; all of a turn become durable together.  How many it takes goes by their size, so that a few large ones
need no more room than many small ones.  While the inbox is busy a turn waits, because both want the one interpreter.

A notification leads back by its token.  One that is none of ours is about other mail of the same account, or made up:
no event comes of it.  One of ours that the ledger has forgotten becomes an event with what the notification says, which
is what SparkPost did for old mail; where the message had no such recipient there is also what all of its copies share.

What happens twice (the provider repeats, or a crash comes before the commit) gives the same ids, and the ledger ignores
events that it has.  A notice that we fail at stays where it is and is passed over until the next start, when there may
be a version that does not.

What must not be known here: HTTP, and where a ledger lies.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from smtpbridge.dialect import infobip_reports
from smtpbridge.dialect.audience import NO_SUBACCOUNT, Listening, audience
from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.events import Silence, translate
from smtpbridge.dialect.notifications import About, Notification, PlatformEvent, Unreadable
from smtpbridge.dialect.sent import Damaged, Sent
from smtpbridge.dialect.sparkpost_event import Event
from smtpbridge.events.ledger_access import AGAIN_SECONDS, LedgerAccess
from smtpbridge.events.loop import Loop
from smtpbridge.events.tallies import FAILED, UNREADABLE, TranslationTally, Unmatched
from smtpbridge.store.errors import StoreError
from smtpbridge.store.ledger import Ledger, Notice, Outgoing

# Notices in a turn, and octets that make it smaller or larger.
_FEWEST, _MOST = 4, 256
_MUCH, _LITTLE = 4 * 1024 * 1024, 1024 * 1024
# Nobody but this process takes notices in; the look is for what a crash has left, and a word that was missed.
_LONGEST_LOOK = 5.0
# How long a turn waits for a busy inbox, and how often it looks.
_LONGEST_WAIT, _WAIT = 1.0, 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """
    How notifications are led back and translated.

    `token_of` reads the text of a token, None for one that is none of ours; `sent_of` reads what the ledger has: when
    the message was accepted, what its copies share, what the recipient's has of its own, and which recipient that is.
    """

    token_of: Callable[[str], bytes | None]
    sent_of: Callable[[float, bytes, bytes | None, str], Sent]
    options: EventOptions
    targets: tuple[Listening, ...]


class Reader:
    """Translate single notices; called in a thread, one notice at a time."""

    log = Logger()

    def __init__(self, reading: Reading, epoch: Callable[[], float], tally: TranslationTally | None = None) -> None:
        """Read as `reading` says; `epoch` is the time of day."""
        self.tally = tally or TranslationTally()
        self._reading = reading
        self._epoch = epoch

    def events_of(self, notice: Notice, ledger: Ledger) -> list[Outgoing]:
        """Return what a notice means; what cannot be read is logged and counted.  Raises `StoreError`."""
        found: list[Outgoing] = []
        for one in infobip_reports.read(notice.octets, notice.received_at):
            if isinstance(one, Unreadable):
                self.tally.silent[UNREADABLE] += 1
                self.log.warn(
                    "a notification cannot be read ({kind}) notification={notice}: {text}; no event comes of it",
                    notice=notice.id,
                    kind=one.kind,
                    text=one.text,
                )
            else:
                found += self._of(one, notice, ledger)
        return found

    def _of(self, one: Notification, notice: Notice, ledger: Ledger) -> list[Outgoing]:
        sent: Sent | None = None
        if not isinstance(one, PlatformEvent):
            matched = self._match(one.about, notice, ledger)
            if matched is Unmatched.FOREIGN:
                return []
            sent = matched if isinstance(matched, Sent) else None
        translation = translate(one, sent, self._reading.options)
        if translation.silence is not None:
            self.tally.silent[translation.silence.value] += 1
            self._say(one, translation.silence, notice)
        return [self._outgoing(event) for event in translation.events]

    def _match(self, about: About, notice: Notice, ledger: Ledger) -> Sent | Unmatched:
        """Return what was sent, or why that is not known."""
        token = self._reading.token_of(about.token)
        if token is None:
            return self._unmatched(Unmatched.FOREIGN, about, notice)
        found = ledger.find(token, about.recipient.lower())
        if found is None:
            return self._unmatched(Unmatched.EXPIRED, about, notice)
        if found.own is None:
            self._unmatched(Unmatched.NO_SUCH_RECIPIENT, about, notice)
        try:
            return self._reading.sent_of(found.at, found.common, found.own, about.recipient)
        except Damaged:
            return self._unmatched(Unmatched.DAMAGED, about, notice)

    def _unmatched(self, why: Unmatched, about: About, notice: Notice) -> Unmatched:
        self.tally.unmatched[why] += 1
        if why is Unmatched.FOREIGN:
            self.tally.silent[why.value] += 1
        self.log.info(
            "a notification fits no message of ours ({why}) notification={notice} recipient={recipient} "
            "message_id={message_id}",
            notice=notice.id,
            why=why.value,
            recipient=about.recipient,
            message_id=about.message_id,
        )
        return why

    def _say(self, one: Notification, silence: Silence, notice: Notice) -> None:
        if isinstance(one, PlatformEvent):
            self.log.warn(
                "the provider warns: {kind} domain={domain} scope={scope} rate={rate} threshold={threshold}",
                kind=one.kind,
                domain=one.domain,
                scope=one.scope,
                rate=one.bounce_rate,
                threshold=one.threshold,
            )
        elif silence in (Silence.UNDECIDED, Silence.DUPLICATE_ID):
            self.log.info(
                "a notification makes no event ({silence}) notification={notice} recipient={recipient}",
                notice=notice.id,
                silence=silence.value,
                recipient=one.about.recipient,
            )

    def _outgoing(self, event: Event) -> Outgoing:
        self.tally.events[event.type] += 1
        return outgoing(event, self._epoch(), self._reading.targets)


def outgoing(event: Event, at: float, targets: Sequence[Listening]) -> Outgoing:
    """Return an event as the ledger takes it, for the targets that want it; it comes there `at`."""
    subaccount = str(event.fields.get("subaccount_id") or NO_SUBACCOUNT)
    return Outgoing(
        id=event.id,
        type=event.type.value,
        octets=event.write(),
        at=at,
        recipient=str(event.fields.get("rcpt_to", "")),
        subaccount=subaccount,
        targets=audience(targets, event.type, subaccount),
    )


class Translator:
    """The loop in the background."""

    log = Logger()

    def __init__(
        self,
        reader: Reader,
        access: LedgerAccess,
        clock: IReactorTime,
        *,
        done: Callable[[], None] = lambda: None,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Translate by `reader`; `done` hears, after a turn, that there may be new events.

        `busy` tells that the inbox has its hands full: then it goes first.
        """
        self.reader = reader
        self._access = access
        self._clock = clock
        self._done = done
        self._busy = busy
        self._most = _FEWEST
        self._after = 0
        self._loop = Loop(self._turn, clock)
        self._passing: Deferred[None] | None = None

    def start(self) -> None:
        """Begin; the ledger is open."""
        self._loop.start()

    async def stop(self) -> None:
        """End after the turn that is under way."""
        # The wait ends by its cancellation, the loop by what is said here first.
        self._loop.is_stopping = True
        if self._passing is not None:
            self._passing.cancel()
        await self._loop.stop()

    def wake(self) -> None:
        """There is something new to read."""
        self._loop.wake()

    async def _turn(self) -> float:
        await self._let_pass()
        try:
            found = await self._access.read(self._translate)
        except StoreError as error:
            self._access.has_failed(error)
            return AGAIN_SECONDS
        if not found:
            return _LONGEST_LOOK
        self._done()
        return 0

    async def _let_pass(self) -> None:
        """Wait while the inbox is busy: a burst is taken in first, and translated when it is over; but not for ever."""
        until = self._clock.seconds() + _LONGEST_WAIT
        while self._busy() and not self._loop.is_stopping and self._clock.seconds() < until:
            self._passing = deferLater(self._clock, _WAIT)
            with suppress(CancelledError):
                await self._passing

    def _translate(self, ledger: Ledger) -> int:
        """Translate some notices, in a thread, and return how many."""
        # A busy inbox that let us pass after all gets the interpreter back soon.
        notices = ledger.notices(_FEWEST if self._busy() else self._most, self._after)
        changes: list[Future[None]] = []
        for notice in notices:
            try:
                events = self.reader.events_of(notice, ledger)
            except StoreError:
                raise
            except Exception:
                self._failed(notice)
                continue
            changes.append(ledger.writer.translated(notice.id, events))
        for change in changes:
            change.result()
        if notices:
            self._after = notices[-1].id
            self._adapt(sum(len(notice.octets) for notice in notices), len(notices))
        return len(notices)

    def _failed(self, notice: Notice) -> None:
        """Count a fault of ours, and log it: what fails once may fail for all, so fewer and fewer of them."""
        count = self.reader.tally.silent[FAILED] = self.reader.tally.silent[FAILED] + 1
        if count & (count - 1) == 0:
            self.log.failure(
                "a notification could not be translated notification={notice} count={count}: a fault of the bridge, "
                "please report it; they are kept and tried again at the next start",
                notice=notice.id,
                count=count,
            )

    def _adapt(self, octets: int, count: int) -> None:
        """Take more in the next turn when these were small, less when they were large."""
        if octets > _MUCH:
            self._most = max(_FEWEST, self._most // 2)
        elif octets < _LITTLE and count == self._most:
            self._most = min(_MOST, self._most * 2)
