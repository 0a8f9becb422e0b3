"""
Read the configuration again, and put it in force: all of it or nothing.

Theory of operation
-------------------

A reload reads in a thread, because disks and resolvers may be slow.  What needs a restart is refused, with a sentence
for each key; else `apply` builds what is new and puts it in force, in this process or in all workers.  Until that has
succeeded nothing has changed, and what is wrong is logged, and told to whoever asked.

One reload is under way at a time.  Whoever asks meanwhile waits for the next one, and all who wait share it, so a
hundred signals in a row are two reloads.

`refresh` is for files that changed by themselves: the text of the configuration stays as it was when it was read last,
because nobody has said that it is ready.  A refresh that finds nothing new says nothing.

What must not be known here: what a relay is, and where files are.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from smtpbridge.config import ConfigError
from smtpbridge.errors import SmtpbridgeError
from smtpbridge.ops.metrics import Figure, Kind, Sample
from smtpbridge.reloading.certificates import new_certificates
from smtpbridge.settings.changes import bound, changes, in_order
from smtpbridge.settings.record import Record
from smtpbridge.settings.values import Config

T = TypeVar("T")
Reading: TypeAlias = tuple[Config, Record]
Read: TypeAlias = Callable[[Record], Reading]
Apply: TypeAlias = Callable[[Config, Config, Record], Awaitable[None]]

# What waits in front of the words that say who asked, in the log.
FILES = "files"
_STOPPING = "the bridge is stopping"
_BROKEN = "internal error; the log has more"


class NotApplied(SmtpbridgeError):
    """A configuration without a fault could not be put in force; `faults` says why, a sentence each."""

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reload: what has changed, a key each, or every fault."""

    well: bool
    lines: tuple[str, ...]


class Reloads:
    """The configuration that is in force, and how it becomes another one."""

    log = Logger()

    def __init__(
        self,
        config: Config,
        record: Record,
        *,
        read: Read,
        reread: Read,
        apply: Apply,
        in_thread: Callable[[Callable[[], Reading]], "Deferred[Reading]"],
        epoch: Callable[[], float],
        notes: Callable[[Config], Sequence[str]] = lambda config: config.notes,
        begun: Callable[[], None] = lambda: None,
        over: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Begin with `config`, which was read into `record`.

        `read` reads all of it again, `reread` only the files that it names; both may raise `ConfigError`.  `apply` puts
        the second of two configurations in the place of the first, or raises `NotApplied`.  `notes` are what the log
        says of a configuration.  `begun` and `over` hear of each reload that somebody asked for.
        """
        self.config = config
        self.record = record
        self.loaded_at = epoch()
        self.outcomes: Counter[bool] = Counter()
        self._read = read
        self._reread = reread
        self._apply = apply
        self._in_thread = in_thread
        self._epoch = epoch
        self._notes = notes
        self._begun = begun
        self._over = over
        self._asked: list[tuple[str, Deferred[Outcome]]] = []
        self._running = self._stopping = False

    def ask(self, by: str) -> "Deferred[Outcome]":
        """Reload; `by` says for the log who asks."""
        told: Deferred[Outcome] = Deferred()
        self._asked.append((by, told))
        self._go_on()
        return told

    async def refresh(self) -> Outcome | None:
        """Take in what has changed in files; return nothing where something else is being done, and say only news."""
        if self._running or self._stopping:
            return None
        self._running = True
        try:
            return await self._turn(FILES, self._reread)
        finally:
            self._running = False
            self._go_on()

    def stop(self) -> None:
        """Reload no more; who waits is told so."""
        self._stopping = True
        asked, self._asked = self._asked, []
        for _, told in asked:
            told.callback(Outcome(False, (_STOPPING,)))

    def say_refused(self, by: str, faults: Sequence[str]) -> None:
        """Log why nothing has changed."""
        for fault in faults:
            self.log.error("not reloaded: {fault}", fault=fault)
        self.log.error(
            "not reloaded by={by} faults={count}: all that was in force stays in force", by=by, count=len(faults)
        )

    def _go_on(self) -> None:
        if self._running or not self._asked:
            return
        if self._stopping:
            self.stop()
            return
        asked, self._asked = self._asked, []
        self._running = True
        Deferred.fromCoroutine(self._serve(asked)).addErrback(
            lambda reason: self.log.failure("a reload ended in a way that nobody foresaw", reason)
        )

    async def _serve(self, asked: Sequence[tuple[str, "Deferred[Outcome]"]]) -> None:
        by = ",".join(dict.fromkeys(who for who, _ in asked))
        self._begun()
        try:
            outcome = await self._turn(by, self._read)
            if not outcome.well:
                self.say_refused(by, outcome.lines)
        finally:
            self._over()
            self._running = False
        for _, told in asked:
            told.callback(outcome)
        self._go_on()

    async def _turn(self, by: str, read: Read) -> Outcome:
        try:
            config, record = await self._in_thread(lambda: read(self.record))
            outcome = await self._follow(by, config, record)
        except (ConfigError, NotApplied) as error:
            outcome = Outcome(False, error.faults)
        except Exception:
            self.log.failure("a configuration could not be put in force")
            outcome = Outcome(False, (_BROKEN,))
        if by != FILES or outcome.lines:
            self.outcomes[outcome.well] += 1
        return outcome

    async def _follow(self, by: str, config: Config, record: Record) -> Outcome:
        if self._stopping:
            raise NotApplied(_STOPPING)
        if faults := bound(self.config, config):
            raise NotApplied(*faults)
        before, config = self.config, in_order(config, [one.endpoint for one in self.config.listeners])
        changed = changes(before, config)
        if changed or by != FILES:
            await self._apply(before, config, record)
            self.loaded_at = self._epoch()
        self.config, self.record = config, record
        if changed or by != FILES:
            self._say(by, before, changed)
        return Outcome(True, changed)

    def _say(self, by: str, before: Config, changed: Sequence[str]) -> None:
        self.log.info("reloaded by={by}: {changed}", by=by, changed="; ".join(changed) or "nothing has changed")
        for one in new_certificates(before, self.config, self._epoch()):
            self.log.info(
                "new certificate of {place} days={days} sha256={fingerprint}",
                place=one.place,
                days=one.days,
                fingerprint=one.fingerprint,
            )
        known = set(self._notes(before))
        for note in self._notes(self.config):
            if note not in known:
                self.log.warn("{note}", note=note)


def figures_of(reloads: Reloads) -> tuple[Figure, ...]:
    """Return what is counted of reloads."""

    def outcomes() -> Iterator[Sample]:
        # Both from the start: an alert on an increase needs the zero before it.
        return (((word,), reloads.outcomes[well]) for word, well in (("done", True), ("refused", False)))

    return (
        Figure(
            "smtpbridge_reloads", Kind.COUNTER, "Configurations and files that were read again.", ("outcome",), outcomes
        ),
        Figure(
            "smtpbridge_config_loaded_timestamp_seconds",
            Kind.GAUGE,
            "When what is in force was put in force.",
            (),
            lambda: [((), reloads.loaded_at)],
        ),
    )
