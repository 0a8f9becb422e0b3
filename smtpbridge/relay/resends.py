"""
Recognise a message that a sender sends again because it did not hear the answer.

Theory of operation
-------------------

A sender that hung up behind its final dot, or was told 451 because its time was up, sends
the message again.  If it was taken meanwhile, it must not go out twice.

While such a message is still under way it waits here, and its twin is joined to
it: it hears the same verdict.  Once it was taken, the answer is remembered for some hours,
in memory and in the store, until the sender has asked for it.

Comparing whole messages would cost every message a digest.  So the cheap things are
compared first, sender, recipients and size, and the octets only of what
agrees in them with something that is remembered.  After a restart those cheap things
are unknown; until what the store remembers has expired, every message is digested.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from smtpbridge.dialect.policy import Defaults
from smtpbridge.relay.keeper import Keeper
from smtpbridge.relay.submission import Submission
from smtpbridge.smtp.replies import Reply
from smtpbridge.store.interface import Store

REMEMBER_SECONDS = 4 * 3600.0

Tell = Callable[[Reply], None]


@dataclass(frozen=True, slots=True)
class Looks:
    """What two sendings of one message have in common at first sight."""

    sender: str
    recipients: frozenset[str]
    size: int
    subaccount: str
    defaults: Defaults


def looks_of(message: Submission) -> Looks:
    """Return what is compared first."""
    envelope = message.envelope
    return Looks(
        envelope.sender, frozenset(envelope.recipients), message.content.size, message.subaccount, message.defaults
    )


def digest_of(message: Submission) -> bytes:
    """Return 32 octets that stand for sender, recipients and content, and for whom it is sent."""
    digest = sha256()
    for text in (
        message.subaccount,
        repr(message.defaults),
        message.envelope.sender,
        *sorted(message.envelope.recipients),
    ):
        digest.update(text.encode() + b"\0")
    digest.update(message.content.header + b"\r\n")
    at = 0
    while block := message.content.read(at):
        digest.update(block)
        at += len(block)
    return digest.digest()


class Resends:
    """What was taken although its sender did not hear it, or may still be."""

    def __init__(self, keeper: Keeper) -> None:
        """Remember in `keeper`'s store as well as here."""
        self._keeper = keeper
        # By digest: the answer and until when it counts; by looks: how many of those there are.
        self._answers: dict[bytes, tuple[str, float, Looks]] = {}
        self._open: dict[bytes, list[Tell]] = {}
        self._seen: dict[Looks, int] = {}
        self._from_before = 0.0
        keeper.when_open(self._load)

    @property
    def knows_none(self) -> bool:
        """Tell whether no message can be one that was sent before, whatever it is."""
        return not self._seen and not self._from_before

    def watch(self, message: Submission) -> bytes:
        """The sender of a message under way will not hear its answer: return the key for `settled`."""
        key = digest_of(message)
        self._open.setdefault(key, [])
        self._count(looks_of(message), 1)
        return key

    def settled(self, key: bytes, message: Submission, answer: Reply) -> None:
        """A watched message has its verdict: tell its twins, and remember that it was taken."""
        looks = looks_of(message)
        now = self._keeper.epoch()
        self._count(looks, -1)
        self._forget_old(now)
        twins = self._open.pop(key, [])
        if answer.is_positive and not twins:
            self._count(looks, 1)
            self._forget(key)
            self._answers[key] = (str(answer), now + REMEMBER_SECONDS, looks)
            self._keeper.ask(lambda writer: writer.remember(key, str(answer), now + REMEMBER_SECONDS), lambda _: None)
        for tell in twins:
            tell(answer)

    def ask(self, message: Submission, tell: Tell, new: Callable[[], None]) -> None:
        """Have `tell` hear the answer to the twin of `message`, now or later; call `new` when it has none."""
        now = self._keeper.epoch()
        self._forget_old(now)
        before = self._from_before > now
        if not before:
            self._from_before = 0.0
        if not before and (not self._seen or looks_of(message) not in self._seen):
            new()
            return
        key = digest_of(message)
        if key in self._open:
            self._open[key].append(tell)
        elif key in self._answers:
            self._tell_once(key, self._answers[key][0], tell)
        elif before:
            self._keeper.ask(
                lambda writer: writer.recall(key, now),
                lambda said: self._tell_once(key, said, tell) if said else new(),
                new,
            )
        else:
            new()

    def _tell_once(self, key: bytes, said: str, tell: Tell) -> None:
        """
        Give the answer to who asks again, and forget it.

        The sender has its answer now.  Who sends the same once more means it: an alert without a date looks the same
        each time, and must not vanish.
        """
        self._forget(key)
        self._keeper.ask(lambda writer: writer.remember(key, "", self._keeper.epoch()), lambda _: None)
        tell(_answer_from(said))

    def _load(self, store: Store) -> None:
        self._from_before = store.remembered_until()

    def _count(self, looks: Looks, by: int) -> None:
        count = self._seen.get(looks, 0) + by
        if count > 0:
            self._seen[looks] = count
        else:
            self._seen.pop(looks, None)

    def _forget_old(self, now: float) -> None:
        """All answers live equally long, so the oldest stand first."""
        while self._answers:
            key = next(iter(self._answers))
            if self._answers[key][1] > now:
                return
            self._forget(key)

    def _forget(self, key: bytes) -> None:
        if (answer := self._answers.pop(key, None)) is not None:
            self._count(answer[2], -1)


def _answer_from(text: str) -> Reply:
    code, _, rest = text.partition(" ")
    return Reply(int(code), "", (rest,))
