"""
What the relay does for events: it writes down whose a message is before it goes, and tells what it knows itself.

Theory of operation
-------------------

A message gets a token, which `translate` puts into its header, and an entry under it in the ledger.  Only when the
entry is durable does anything of the message go upstream, or into the queue: so a report can never come for a message
that nobody knows.  Many messages wait for one commit together, and none of them holds a connection meanwhile.  Where
the ledger cannot take the entry the sender hears 451, and nothing was sent.

Each message has a `Letter`, which hears its verdict.  An acceptance is an injection for each recipient; a refusal for
good, a policy_rejection for each who was refused.  Who is refused while others were taken stays with the queue, and
whom the queue gives up is looked up by the token in the parcel's own header: a retry sends the same header, so what is
reported leads to the same entry, however often it was tried.

Nobody waits for injections (`injections`): those of the last second before a crash are lost, the message never is.
Whom the queue gives up it forgets only when the event is durable.

What must not be known here: HTTP, and how a target is reached.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from twisted.logger import Logger

from smtpbridge.dialect import own_events
from smtpbridge.dialect.audience import Listening, audience
from smtpbridge.dialect.event_options import EventOptions
from smtpbridge.dialect.injections import Injection, injections
from smtpbridge.dialect.plan import Plan
from smtpbridge.dialect.remembered import Remembered
from smtpbridge.dialect.sent import Damaged, Sent, read, sent_of, write_own, write_shared, written_metadata
from smtpbridge.dialect.sparkpost_event import Account, Event, EventType
from smtpbridge.dialect.sparkpost_ids import (
    CHANCE_FOR_MESSAGE,
    CHANCE_FOR_TRANSMISSION,
    message_id,
    queue_id,
    transmission_id,
)
from smtpbridge.dialect.token import CHANCE, TEXT_LENGTH, Tokens, token_of
from smtpbridge.relay.ledger_keeper import LedgerKeeper, Then
from smtpbridge.relay.verdict import Outcome, Refused, final_refusal
from smtpbridge.smtp.replies import Reply, reply
from smtpbridge.store.ledger import Copy, Entry, Found, Outgoing

_TOKEN = re.compile(rb"(?mi)^X-IB-Callback-Data: (\S{%d})\r\n" % TEXT_LENGTH)
_INJECTION = EventType.INJECTION.value
# Senders name them.
_SUBACCOUNTS = 256


class Correlation:
    """Entries for messages, and the events of which the relay knows."""

    log = Logger()

    def __init__(
        self,
        keeper: LedgerKeeper,
        tokens: Tokens,
        options: EventOptions,
        targets: Sequence[Listening],
        epoch: Callable[[], float],
        chance: Callable[[int], bytes],
        *,
        id_in_reply: bool = False,
    ) -> None:
        """Use `keeper`; `epoch` is the time of day, `chance` gives so many random octets."""
        self.keeper = keeper
        self.options = options
        self.epoch = epoch
        self.id_in_reply = id_in_reply
        # Asked for each message.
        self._account = options.account
        self._hear_of_injections = lru_cache(maxsize=_SUBACCOUNTS)(self._audience_of_injections)
        self._tokens = tokens
        self._targets = targets
        self._chance = chance

    def new_token(self) -> tuple[bytes, str]:
        """Return a token that no other message has, and its text."""
        token = token_of(self.epoch(), self._chance(CHANCE))
        return token, self._tokens.write(token)

    def enter(
        self, token: bytes, id_: str, size: int, plan: Plan, then: Callable[["Letter | None", bool], None]
    ) -> None:
        """
        Write down what the plan tells of a message that the log knows as `id_`.

        `then` hears its letter and whether it is durable; a plan that has nothing to remember needs no letter.
        """
        known = plan.remembered
        if known is None or not known.copies:
            then(None, True)
            return
        letter = Letter(self, id_, size, known, self._chance)
        self.keeper.enter(letter.entry(token), lambda well: then(letter, well))

    def tell(self, events: Sequence[tuple[Event, Sent]], then: Then) -> None:
        """Add events to the ledger."""
        now = self.epoch()
        self.keeper.add([self._outgoing(event, sent, now) for event, sent in events], then)

    def tell_injected(self, injections: Callable[[Account], Sequence[Injection]], subaccount: str) -> None:
        """Tell that a message of that subaccount was accepted, where anybody wants to know; nobody waits for it."""
        targets = self._hear_of_injections(subaccount)
        if targets:
            now = self.epoch()
            self.keeper.injections.take(
                [
                    Outgoing(one.id, _INJECTION, one.octets, now, one.recipient, subaccount, targets)
                    for one in injections(self._account)
                ]
            )

    def _audience_of_injections(self, subaccount: str) -> tuple[str, ...]:
        return audience(self._targets, EventType.INJECTION, subaccount) if self.options.injection else ()

    def open(self) -> None:
        """Open the ledger."""
        self.keeper.open()

    def close(self) -> None:
        """Write what is left, and close the ledger."""
        self.keeper.close()

    def gave_up(self, header: bytes, lost: Sequence[Refused], then: Then) -> None:
        """
        Tell of recipients that the queue gives up, of a parcel with that header.

        `then` hears whether that is durable; a message from before there were events has nothing to tell.
        """
        token = self._token_in(header)
        if token is None or not lost:
            then(True)
            return
        by_recipient = {one.address.lower(): one for one in lost}

        def found(entries: dict[str, Found] | None) -> None:
            if entries is None:
                then(False)
                return
            events = [told for one, entry in entries.items() if (told := self._given_up(by_recipient[one], entry))]
            if events:
                self.tell(events, then)
            else:
                then(True)

        self.keeper.find(token, list(by_recipient), found)

    def _token_in(self, header: bytes) -> bytes | None:
        match = _TOKEN.search(header)
        return self._tokens.read(match[1].decode("latin-1")) if match else None

    def _given_up(self, one: Refused, entry: Found) -> tuple[Event, Sent] | None:
        try:
            sent = read(entry.at, entry.common, entry.own, one.address.lower())
        except Damaged as error:
            self.log.error(
                "no event of a recipient that was given up to=<{to}>: {error}", to=one.address, error=str(error)
            )
            return None
        now = self.epoch()
        if final_refusal(one.answer):
            return own_events.refused(sent, now, str(one.answer), self.options), sent
        return own_events.expired(sent, now, self.options), sent

    def _outgoing(self, event: Event, sent: Sent, now: float) -> Outgoing:
        return Outgoing(
            id=event.id,
            type=event.type.value,
            octets=event.write(),
            at=now,
            recipient=sent.recipient.lower(),
            subaccount=sent.subaccount,
            targets=audience(self._targets, event.type, sent.subaccount),
        )


class Letter:
    """One message, from its entry to its verdict."""

    def __init__(
        self, correlation: Correlation, id_: str, size: int, known: Remembered, chance: Callable[[int], bytes]
    ) -> None:
        """Give ids to the message and its copies."""
        self._correlation = correlation
        self._id = id_
        self._size = size
        self._known = known
        self._metadata = written_metadata(known.shared)
        self._at = correlation.epoch()
        octets = chance(CHANCE_FOR_TRANSMISSION + CHANCE_FOR_MESSAGE * len(known.copies))
        self._transmission = transmission_id(self._at, octets[:CHANCE_FOR_TRANSMISSION])
        self._message_ids = [
            message_id(self._at, octets[at : at + CHANCE_FOR_MESSAGE])
            for at in range(CHANCE_FOR_TRANSMISSION, len(octets), CHANCE_FOR_MESSAGE)
        ]

    def entry(self, token: bytes) -> Entry:
        """Return what is to be kept."""
        copies = [
            Copy(recipient.lower(), write_own(id_, copy, recipient))
            for (recipient, copy), id_ in zip(self._known.copies, self._message_ids, strict=True)
        ]
        common = write_shared(self._known.shared, self._metadata, self._transmission, self._size)
        return Entry(token, self._at, common, tuple(copies))

    def reply(self, answer: Reply) -> Reply:
        """Return what the sender hears: for an acceptance, where that is asked for, SparkPost's words."""
        if not (answer.is_positive and self._correlation.id_in_reply):
            return answer
        id_ = queue_id(self._message_ids[0])
        self._correlation.log.info("id={id} is known to its sender as {queue_id}", id=self._id, queue_id=id_)
        return reply(250, "2.0.0", f"OK {id_}")

    def ended(self, answer: Reply, outcomes: Sequence[Outcome | None]) -> None:
        """Tell what became of the message; `outcomes` are those of its transactions, none where it was queued."""
        if answer.is_positive:
            self._correlation.tell_injected(self._injections, self._known.shared.subaccount)
        elif answer.is_permanent:
            self._refused([one for outcome in outcomes if outcome is not None for one in outcome.refused])

    def _refused(self, refused: Sequence[Refused]) -> None:
        """Tell of those refused for good; the others are the sender's, who hears so and may try again."""
        answers = {one.address: str(one.answer) for one in refused if final_refusal(one.answer)}
        now, options = self._correlation.epoch(), self._correlation.options
        events = [
            (own_events.refused(sent, now, answers[sent.recipient], options), sent)
            for sent in self._copies()
            if sent.recipient in answers
        ]
        if not events:
            return

        def told(well: bool) -> None:
            if not well:
                self._correlation.log.error(
                    "id={id} lost policy_rejections={count}: the ledger could not keep them",
                    id=self._id,
                    count=len(events),
                )

        self._correlation.tell(events, told)

    def _injections(self, account: Account) -> list[Injection]:
        copies = [(*copy, id_) for copy, id_ in zip(self._known.copies, self._message_ids, strict=True)]
        return injections(self._known.shared, self._metadata, self._transmission, self._size, self._at, copies, account)

    def _copies(self) -> list[Sent]:
        return [
            sent_of(self._known.shared, self._transmission, self._size, self._at, id_, copy, recipient)
            for (recipient, copy), id_ in zip(self._known.copies, self._message_ids, strict=True)
        ]
