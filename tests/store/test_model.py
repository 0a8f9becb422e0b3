"""Whatever is asked in whatever order, the store answers like a few lists in memory would."""

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from smtpbridge.store.values import Attempt, Body, Counts, Kept, Parcel, State
from tests.store.samples import NOW, ids, octets, opened, parcel

OWNERS = st.sampled_from(["one", "two"])
PEOPLE = ("a@example.net", "b@example.net", "c@example.net")
PARCELS = st.builds(
    lambda priority, source, wait, recipients: parcel(
        priority=priority, source=source, not_before=NOW + wait, recipients=tuple(recipients)
    ),
    st.sampled_from([0, 1]),
    st.sampled_from(["x", "y", "z"]),
    st.integers(0, 20),
    st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True),
)


@dataclass
class Entry:
    """A parcel as the model keeps it."""

    id: str
    parcel: Parcel
    # The id of the first parcel that was put with the body.
    message: str
    body: bytes
    created_at: float
    next_attempt: float
    held: bool = False
    owner: str = ""
    interruptions: int = 0
    history: list[Attempt] = field(default_factory=list)

    @property
    def state(self) -> State:
        return State.HELD if self.held else State.LEASED if self.owner else State.QUEUED

    def as_kept(self) -> Kept:
        return Kept(
            id=self.id,
            parcel=self.parcel,
            state=self.state,
            attempts=len(self.history),
            next_attempt=self.next_attempt,
            created_at=self.created_at,
            owner=self.owner,
            interruptions=self.interruptions,
            history=tuple(self.history),
            body_size=len(self.body),
        )


class StoreAsModel(RuleBasedStateMachine):
    """The store beside its model; the clock only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.new_id = ids()
        self.store = opened(self.base / "state", new_id=self.new_id)
        self.now = NOW
        self.kept: list[Entry] = []
        self.answers: dict[bytes, tuple[str, float]] = {}
        self.last: dict[int, str] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.base)

    def one(self, choice: int) -> Entry | None:
        return self.kept[choice % len(self.kept)] if self.kept else None

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(parcels=st.lists(PARCELS, min_size=1, max_size=4), body=st.binary(max_size=200))
    def put(self, parcels: list[Parcel], body: bytes) -> None:
        given = self.store.put(parcels, Body.of(body), self.now)
        self.kept += [
            Entry(kept_id, one, given[0], body, self.now, one.not_before)
            for kept_id, one in zip(given, parcels, strict=True)
        ]

    @rule(owner=OWNERS, limit=st.integers(1, 6), seconds=st.integers(1, 20))
    def claim(self, owner: str, limit: int, seconds: int) -> None:
        due = [entry for entry in self.kept if not entry.held and entry.next_attempt <= self.now]
        due.sort(key=lambda entry: entry.next_attempt)
        expected: list[Entry] = []
        while due and len(expected) < limit:
            urgent = min(entry.parcel.priority for entry in due)
            sources = {entry.parcel.source for entry in due if entry.parcel.priority == urgent}
            turn = min(sources, key=lambda source: (source <= self.last.get(urgent, ""), source))
            chosen = next(entry for entry in due if entry.parcel.priority == urgent and entry.parcel.source == turn)
            self.last[urgent] = turn
            due.remove(chosen)
            expected.append(chosen)
        until = self.now + seconds
        for entry in expected:
            entry.interruptions += entry.owner != ""
            entry.owner, entry.next_attempt = owner, until

        claimed = self.store.claim(self.now, limit, until, owner)

        assert [kept.id for kept in claimed] == [entry.id for entry in expected]

    @rule(owner=OWNERS, seconds=st.integers(1, 20))
    def renew(self, owner: str, seconds: int) -> None:
        theirs = [entry for entry in self.kept if entry.owner == owner]
        for entry in theirs:
            entry.next_attempt = self.now + seconds

        assert self.store.renew(owner, self.now + seconds) == len(theirs)

    @rule(choice=st.integers(0), gone=st.booleans())
    def remove(self, choice: int, gone: bool) -> None:
        if (entry := self.one(choice)) is not None:
            self.kept.remove(entry)
            assert (self.store.done if gone else self.store.give_up)(entry.id)
            assert not self.store.done(entry.id)

    @rule(choice=st.integers(0), owner=OWNERS, remaining=st.sets(st.sampled_from(PEOPLE)), certain=st.booleans())
    def retry(self, choice: int, owner: str, remaining: set[str], certain: bool) -> None:
        entry = self.one(choice)
        if entry is None:
            return
        attempt, at = Attempt(self.now, "host", "data", f"450 {len(entry.history)}"), self.now + 3
        left = tuple(address for address in entry.parcel.recipients if address in remaining)
        if left:
            sure = entry.parcel.certain and certain
            entry.parcel = replace(entry.parcel, recipients=left, certain=sure, last_reply=attempt.reply)
            entry.history.append(attempt)
            if entry.owner in ("", owner):
                entry.owner, entry.next_attempt = "", at
        else:
            self.kept.remove(entry)

        assert self.store.retry(entry.id, owner, at, remaining, attempt, certain) == bool(left)

    @rule(choice=st.integers(0))
    def hold(self, choice: int) -> None:
        if (entry := self.one(choice)) is not None:
            entry.held = True
            entry.parcel = replace(entry.parcel, held=True)
            assert self.store.hold(entry.id)

    @rule(choice=st.integers(0))
    def release(self, choice: int) -> None:
        if (entry := self.one(choice)) is not None:
            entry.held = False
            entry.parcel = replace(entry.parcel, held=False)
            if not entry.owner:
                entry.next_attempt = self.now
            assert self.store.release(entry.id, self.now)

    @rule(key=st.sampled_from([b"", b"\xff", b"k"]), answer=st.text(max_size=5), seconds=st.integers(-5, 20))
    def remember(self, key: bytes, answer: str, seconds: int) -> None:
        self.answers[key] = (answer, self.now + seconds)
        self.store.remember(key, answer, self.now + seconds)

    @rule()
    def purge(self) -> None:
        expired = [key for key, (_, until) in self.answers.items() if until <= self.now]
        for key in expired:
            del self.answers[key]

        purged = self.store.purge(self.now)

        assert (purged.answers, purged.bodies, purged.files) == (len(expired), 0, 0)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = opened(self.base / "state", new_id=self.new_id)
        # Whose turn it is, is all that a restart forgets.
        self.last = {}

    @invariant()
    def the_store_is_as_the_model(self) -> None:
        assert list(self.store.list()) == [entry.as_kept() for entry in self.kept]
        assert [octets(self.store, entry.id) for entry in self.kept] == [entry.body for entry in self.kept]
        bodies = {entry.message: len(entry.body) for entry in self.kept}
        held = sum(entry.held for entry in self.kept)
        oldest = self.kept[0].created_at if self.kept else None
        assert self.store.counts() == Counts(len(self.kept), held, oldest, sum(bodies.values()))
        for key, (answer, until) in self.answers.items():
            assert self.store.recall(key, self.now) == (answer if until > self.now else None)


TestStoreAsModel = StoreAsModel.TestCase
TestStoreAsModel.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
