"""
Recognise a message that a sender sends again because it did not hear the answer.

Theory of operation
-------------------

A sender that hung up behind its final dot, or was told 451 because its time was up, sends
the message again.  If it was taken meanwhile, it must not go out twice.

While such a message is still under way it waits here, and its twin is joined to
it: it hears the same verdict.  Once it was taken, the answer is remembered for some hours,
in memory and in the store.

Comparing whole messages would cost every message a digest.  So the cheap things are
compared first, sender, recipients and size, and the octets only of what
agrees in them with something that is remembered.  After a restart those cheap things
are unknown; until what the store remembers has expired, every message is digested.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

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


def looks_of(message: Submission) -> Looks:
    """Return what is compared first."""
    return Looks(message.envelope.sender, frozenset(message.envelope.recipients), message.content.size)


def digest_of(message: Submission) -> bytes:
    """Return 32 octets that stand for sender, recipients and content."""
    digest = sha256()
    for text in (message.envelope.sender, *sorted(message.envelope.recipients)):
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

    def watch(self, message: Submission) -> bytes:
        """The sender of a message under way will not hear its answer: return the key for `settled`."""
        key = digest_of(message)
        self._open.setdefault(key, [])
        self._count(looks_of(message), 1)
        return key

    def settled(self, key: bytes, message: Submission, answer: Reply) -> None:
        """A watched message has its verdict: tell its twins, and remember that it was taken."""
        looks = looks_of(message)
        self._count(looks, -1)
        if answer.is_positive:
            until = self._keeper.epoch() + REMEMBER_SECONDS
            if key not in self._answers:
                self._count(looks, 1)
            self._answers[key] = (str(answer), until, looks)
            self._keeper.ask(lambda writer: writer.remember(key, str(answer), until), lambda _: None)
        for tell in self._open.pop(key, ()):
            tell(answer)

    def ask(self, message: Submission, tell: Tell, new: Callable[[], None]) -> None:
        """Have `tell` hear the answer to the twin of `message`, now or later; call `new` when it has none."""
        now = self._keeper.epoch()
        before = self._from_before > now
        if not before and looks_of(message) not in self._seen:
            new()
            return
        key = digest_of(message)
        if key in self._open:
            self._open[key].append(tell)
        elif key in self._answers and self._answers[key][1] > now:
            tell(_answer_from(self._answers[key][0]))
        elif before:
            self._keeper.ask(
                lambda writer: writer.recall(key, now),
                lambda said: new() if said is None else tell(_answer_from(said)),
                new,
            )
        else:
            new()
        self._forget_old(now)

    def _load(self, store: Store) -> None:
        self._from_before = store.remembered_until()

    def _count(self, looks: Looks, by: int) -> None:
        count = self._seen.get(looks, 0) + by
        if count > 0:
            self._seen[looks] = count
        else:
            self._seen.pop(looks, None)

    def _forget_old(self, now: float) -> None:
        for key in [key for key, (_, until, _) in self._answers.items() if until <= now]:
            self._count(self._answers.pop(key)[2], -1)


def _answer_from(text: str) -> Reply:
    code, _, rest = text.partition(" ")
    return Reply(int(code), "", (rest,))
