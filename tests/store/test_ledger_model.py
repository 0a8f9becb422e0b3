"""Whatever is asked in whatever order, the ledger answers like a few dicts in memory would."""

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from smtpbridge.store.ledger import (
    Batch,
    Copy,
    DeadBatch,
    Delivery,
    Entry,
    EventFilter,
    Found,
    Kept,
    Notice,
    Outgoing,
    Standing,
    TargetCounts,
)
from tests.store.ledger_samples import opened, outgoing, purged, token
from tests.store.samples import NOW, ids

PEOPLE = ("ann@example.net", "bob@example.net")
TARGETS = ("one", "two")
EVENTS = st.builds(
    lambda serial, recipient, targets: outgoing(serial, recipient=recipient, targets=tuple(targets)),
    st.integers(0, 30),
    st.sampled_from(PEOPLE),
    st.lists(st.sampled_from(TARGETS), unique=True).map(sorted),
)
FILTERS = st.builds(
    EventFilter,
    since=st.none() | st.integers(0, 90).map(lambda wait: NOW + wait),
    target=st.none() | st.sampled_from(TARGETS),
    standing=st.none() | st.sampled_from(Standing),
    recipient=st.none() | st.sampled_from(PEOPLE),
)


@dataclass
class Posted:
    """A batch as the model keeps it."""

    id: str
    target: str
    created_at: float
    next_attempt: float
    standing: Standing = Standing.SENDING
    attempts: int = 0
    answer: str = ""


@dataclass
class Event:
    """An event as the model keeps it: for each target its batch, if it is in one."""

    made: Outgoing
    at_targets: dict[str, Posted | None] = field(default_factory=dict)

    def delivery(self, target: str) -> Delivery:
        batch = self.at_targets[target]
        if batch is None:
            return Delivery(target, Standing.WAITING)
        due = batch.next_attempt if batch.standing is Standing.SENDING else None
        return Delivery(target, batch.standing, batch.id, batch.attempts, due, batch.answer)

    def as_kept(self, order: list[str]) -> Kept:
        made, targets = self.made, sorted(self.at_targets, key=order.index)
        told = tuple(self.delivery(target) for target in targets)
        return Kept(made.id, made.type, made.octets, made.at, made.recipient, made.subaccount, told)

    def fitting(self, wanted: EventFilter) -> list[str]:
        return [
            target
            for target in self.at_targets
            if wanted.target in (None, target) and wanted.standing in (None, self.delivery(target).standing)
        ]

    def fits(self, wanted: EventFilter) -> bool:
        return (
            (wanted.since is None or self.made.at >= wanted.since)
            and wanted.recipient in (None, self.made.recipient)
            and ((wanted.target is None and wanted.standing is None) or bool(self.fitting(wanted)))
        )


class LedgerAsModel(RuleBasedStateMachine):
    """The ledger beside its model; the clock only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.new_id = ids()
        self.ledger = opened(self.base / "state", new_id=self.new_id)
        self.now = NOW
        self.serials = count()
        self.entries: list[Entry] = []
        self.notices: list[Notice] = []
        self.events: list[Event] = []
        self.batches: list[Posted] = []
        self.order: list[str] = []

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.base)

    def members(self, batch: Posted | None, target: str) -> list[Event]:
        return [event for event in self.events if event.at_targets.get(target, self) is batch]

    def note(self, made: list[Outgoing]) -> list[Outgoing]:
        now = [replace(event, at=self.now) for event in made]
        for event in now:
            if event.id not in {known.made.id for known in self.events}:
                self.order += [target for target in event.targets if target not in self.order]
                self.events.append(Event(event, dict.fromkeys(event.targets)))
        return now

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(recipients=st.lists(st.sampled_from(PEOPLE), unique=True), common=st.binary(max_size=9))
    def enter(self, recipients: list[str], common: bytes) -> None:
        copies = tuple(Copy(recipient, common + recipient.encode()) for recipient in recipients)
        entry = Entry(token(next(self.serials)), self.now, common, copies)
        self.entries.append(entry)
        self.ledger.enter(entry)

    @rule(octets=st.binary(max_size=9))
    def take_in(self, octets: bytes) -> None:
        self.notices.append(Notice(self.ledger.take_in(octets, self.now), octets, self.now))

    @rule(choice=st.integers(0), made=st.lists(EVENTS, max_size=4))
    def translated(self, choice: int, made: list[Outgoing]) -> None:
        if self.notices:
            notice = self.notices.pop(choice % len(self.notices))
            self.ledger.translated(notice.id, self.note(made))

    @rule(made=st.lists(EVENTS, max_size=4))
    def add(self, made: list[Outgoing]) -> None:
        self.ledger.add(self.note(made))

    # `target` is a word of Hypothesis.
    @rule(at=st.sampled_from(TARGETS), most=st.integers(1, 4))
    def form(self, at: str, most: int) -> None:
        target = at
        chosen = self.members(None, target)[:most]

        formed = self.ledger.form_batch(target, most, self.now)

        if not chosen:
            assert formed is None
            return
        assert formed is not None
        batch = Posted(formed.id, target, self.now, self.now)
        for event in chosen:
            event.at_targets[target] = batch
        self.batches.append(batch)
        assert formed == Batch(batch.id, target, 0, tuple(event.made.octets for event in chosen), self.now)

    @rule(at=st.sampled_from(TARGETS), outcome=st.sampled_from(["delivered", "retry", "dead"]))
    def settle(self, at: str, outcome: str) -> None:
        target = at
        open_ = [one for one in self.batches if one.target == target and one.standing is Standing.SENDING]
        batch = min(open_, key=lambda one: one.next_attempt, default=None)
        found = self.ledger.due(target, self.now)
        if batch is None or batch.next_attempt > self.now:
            assert found is None
            return
        events = tuple(event.made.octets for event in self.members(batch, target))
        assert found == Batch(batch.id, target, batch.attempts, events, batch.created_at)
        match outcome:
            case "delivered":
                batch.standing = Standing.DELIVERED
                assert self.ledger.delivered(batch.id)
            case "retry":
                batch.attempts, batch.next_attempt, batch.answer = batch.attempts + 1, self.now + 5, "503"
                assert self.ledger.retry(batch.id, self.now + 5, "503")
            case _:
                batch.standing, batch.attempts, batch.answer = Standing.DEAD, batch.attempts + 1, "410"
                assert self.ledger.dead(batch.id, "410")

    @rule(wanted=FILTERS)
    def replay(self, wanted: EventFilter) -> None:
        expected = 0
        for event in [event for event in self.events if event.fits(wanted)]:
            for target in event.fitting(wanted):
                if event.delivery(target).standing in (Standing.DELIVERED, Standing.DEAD):
                    event.at_targets[target] = None
                    expected += 1

        assert self.ledger.replay(wanted) == expected

    @rule(wanted=FILTERS)
    def look_for(self, wanted: EventFilter) -> None:
        expected = [event.made.id for event in self.events if event.fits(wanted)]

        assert [kept.id for kept in self.ledger.list(wanted)] == expected

    @rule(age=st.integers(10, 60))
    def purge(self, age: int) -> None:
        before = self.now - age
        entries = [entry for entry in self.entries if entry.at < before]
        events = [event for event in self.events if event.made.at < before]
        undelivered = sum(
            any(event.delivery(target).standing is not Standing.DELIVERED for target in event.at_targets)
            for event in events
        )
        self.entries = [entry for entry in self.entries if entry.at >= before]
        self.events = [event for event in self.events if event.made.at >= before]

        removed = purged(self.ledger, before=before)

        assert (removed.entries, removed.events, removed.undelivered) == (len(entries), len(events), undelivered)
        assert [self.ledger.find(entry.token, PEOPLE[0]) for entry in entries] == [None] * len(entries)

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = opened(self.base / "state", new_id=self.new_id)

    @invariant()
    def the_ledger_is_as_the_model(self) -> None:
        # A batch is gone with its last event.
        self.batches = [batch for batch in self.batches if self.members(batch, batch.target)]
        for entry in self.entries:
            own = {copy.recipient: copy.own for copy in entry.copies}
            for recipient in PEOPLE:
                assert self.ledger.find(entry.token, recipient) == Found(entry.at, entry.common, own.get(recipient))
        assert self.ledger.notices(99) == tuple(self.notices)
        assert [*self.ledger.list()] == [event.as_kept(self.order) for event in self.events]
        assert self.ledger.dead_list() == tuple(
            DeadBatch(one.id, one.target, len(self.members(one, one.target)), one.attempts, one.created_at, one.answer)
            for one in self.batches
            if one.standing is Standing.DEAD
        )
        counts = self.ledger.counts()
        assert counts.entries == len(self.entries)
        assert counts.oldest_entry == (self.entries[0].at if self.entries else None)
        assert (counts.notices, counts.events) == (len(self.notices), len(self.events))
        assert counts.targets == tuple(self.counted(target) for target in sorted(self.order))

    def counted(self, target: str) -> TargetCounts:
        here = [event for event in self.events if target in event.at_targets]
        standings = [event.delivery(target).standing for event in here]
        waiting = self.members(None, target)
        sending = [one for one in self.batches if one.target == target and one.standing is Standing.SENDING]
        # By the order of their coming, which is that of their times but for clocks that are set back.
        oldest = [*waiting[:1], *(self.members(one, target)[0] for one in sending)]
        return TargetCounts(
            target,
            len(waiting),
            min((event.made.at for event in oldest), default=None),
            standings.count(Standing.SENDING),
            standings.count(Standing.DEAD),
        )


TestLedgerAsModel = LedgerAsModel.TestCase
TestLedgerAsModel.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
