"""A store in memory that answers at once, and a reactor whose threads are the caller: for tests with a clock."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

from smtpbridge.store.errors import StoreError
from smtpbridge.store.values import Attempt, Body, Kept, Parcel, Purged, State

Value = TypeVar("Value")


class AtOnce:
    """What is used of a reactor's threads."""

    def callInThread(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)


class InMemory:
    """A body that was kept."""

    def __init__(self, octets: bytes) -> None:
        self.in_memory = octets
        self.size = len(octets)

    def read(self, at: int) -> bytes:
        return self.in_memory[at : at + 65_536]

    def close(self) -> None:
        """Nothing is open."""


class Shelf:
    """The store and its writer in one; `fault` makes every call fail that changes something."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.bodies: dict[str, bytes] = {}
        self.answers: dict[bytes, tuple[str, float]] = {}
        self.fault: StoreError | None = None
        self.asked: list[str] = []
        self.held: list[str] = []
        self.closed = False
        self._serial = count()

    @property
    def writer(self) -> "Shelf":
        return self

    def put(self, parcels: Sequence[Parcel], body: Body, now: float) -> Future[tuple[str, ...]]:
        octets = b"".join(body.blocks)

        def change() -> tuple[str, ...]:
            ids = tuple(f"{next(self._serial):06d}" for _ in parcels)
            for kept_id, parcel in zip(ids, parcels, strict=True):
                self.bodies[kept_id] = octets
                self.kept[kept_id] = Kept(
                    kept_id, parcel, State.QUEUED, 0, parcel.not_before, now, "", 0, (), len(octets)
                )
            return ids

        return self._change("put", change)

    def claim(
        self, now: float, limit: int, lease_until: float, owner: str, without: Collection[str] = ()
    ) -> Future[tuple[Kept, ...]]:
        due = [one for one in self.kept.values() if one.next_attempt <= now and one.parcel.upstream not in without]
        due = sorted(due, key=lambda one: (one.parcel.priority, one.next_attempt, one.id))[:limit]
        for one in due:
            self.kept[one.id] = replace(one, state=State.LEASED, owner=owner, next_attempt=lease_until)
        return self._done("claim", tuple(self.kept[one.id] for one in due))

    def renew(self, owner: str, until: float) -> Future[int]:
        mine = [one for one in self.kept.values() if one.owner == owner]
        for one in mine:
            self.kept[one.id] = replace(one, next_attempt=until)
        return self._done("renew", len(mine))

    def done(self, kept_id: str) -> Future[bool]:
        return self._change("done", lambda: self.kept.pop(kept_id, None) is not None)

    def retry(
        self, kept_id: str, owner: str, at: float, remaining: Collection[str], attempt: Attempt, certain: bool = True
    ) -> Future[bool]:
        def change() -> bool:
            old = self.kept[kept_id]
            parcel = replace(old.parcel, recipients=tuple(remaining), certain=certain, last_reply=attempt.reply)
            history = (*old.history, attempt)
            self.kept[kept_id] = replace(
                old, parcel=parcel, owner="", next_attempt=at, attempts=old.attempts + 1, history=history
            )
            return True

        return self._change("retry", change)

    def hold(self, kept_id: str) -> Future[bool]:
        self.held.append(kept_id)
        return self._done("hold", True)

    def remember(self, key: bytes, answer: str, until: float) -> Future[None]:
        def change() -> None:
            self.answers[key] = answer, until

        return self._change("remember", change)

    def recall(self, key: bytes, now: float) -> Future[str | None]:
        answer, until = self.answers.get(key, ("", 0.0))
        return self._done("recall", answer if until > now else None)

    def remembered_until(self) -> float:
        return max((until for _, until in self.answers.values()), default=0.0)

    def purge(self, now: float) -> Future[Purged]:
        return self._done("purge", Purged(0, 0, 0))

    def body(self, kept_id: str) -> InMemory:
        return InMemory(self.bodies[kept_id])

    def close(self) -> None:
        self.closed = True

    def _change(self, name: str, change: Callable[[], Value]) -> "Future[Value]":
        if self.fault is None:
            return self._done(name, change())
        self.asked.append(name)
        future: Future[Any] = Future()
        future.set_exception(self.fault)
        return future

    def _done(self, name: str, value: Value) -> "Future[Value]":
        self.asked.append(name)
        future: Future[Value] = Future()
        future.set_result(value)
        return future
