"""
Decide about logins: right, wrong, or not now.

Theory of operation
-------------------

`Guesses` says whether an attempt is looked into at all, `Accounts` whether it is
right.  An attempt that quick hashes can decide is decided at once, with no
Deferred: a sender may log in anew for each of thousands of messages.

A password is looked at in a thread, few at a time, because each costs memory and a
quarter of a second of a processor.  The others stand in line, and when that is full
the answer is "not now".  Attempts with one name and one secret are looked at
together: a program that starts with a hundred connections pays once.

Every answer but a yes comes late, also to a session that has ended meanwhile: its
place among the attempts of its address stays taken, so hanging up gains nothing.

Each attempt is one log line in a fixed form, which etc/fail2ban reads.  What the
peer chose stands last and in quotes, so it cannot pass for the rest.

What must not be known here: SMTP, where the accounts come from.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smtpbridge.relay.auth import Account, Accounts, UserName
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.guesses import Guesses, Patience, place_of
from smtpbridge.relay.tally import Limit, Tally
from smtpbridge.smtp.replies import printable

# Passwords looked at together.  Each may take 128 MiB.
_AT_A_TIME = 2
# Those that wait or are looked at: the last one has its answer in some eight seconds.
_LONGEST_LINE = 64
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Claim:
    """
    Somebody at `address`, empty for a local socket, claims to be `user`.

    `trusted` says that the operator named the address.
    """

    address: str
    user: UserName
    secret: str = field(repr=False)
    mechanism: str
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The secret is right."""

    account: Account


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """It was not looked into."""


Outcome: TypeAlias = Accepted | Refused | PutOff
Tell: TypeAlias = Callable[[Outcome], None]
InThread: TypeAlias = Callable[[Callable[[], Account | None]], "Deferred[Account | None]"]
_REFUSED = Refused()
_PUT_OFF = PutOff()


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A claim under way; `place` is what counts as its address."""

    claim: Claim
    place: str
    proof: bytes
    tell: Tell


@dataclass(slots=True)
class _Look:
    """A password that is looked at, or is to be, for all who presented it."""

    accounts: Accounts
    attempts: list[_Attempt]


class Logins:
    """The logins of one process, at all of its listeners."""

    log = Logger()

    def __init__(
        self,
        deadlines: Deadlines,
        in_thread: InThread,
        *,
        patience: Patience | None = None,
        delay: float = 1.0,
        tally: Tally | None = None,
    ) -> None:
        """Answer no after `delay` seconds at the earliest; `in_thread` runs a function elsewhere."""
        self._deadlines = deadlines
        self._in_thread = in_thread
        self._guesses = Guesses(patience or Patience())
        self._delay = delay
        self._tally = tally or Tally()
        self._looks: dict[bytes, _Look] = {}
        self._line: deque[bytes] = deque()
        self._running = 0

    def renew(self, patience: Patience, delay: float) -> None:
        """Obey these from now on; what is known of failures stays."""
        self._guesses.renew(patience)
        self._delay = delay

    def decide(self, accounts: Accounts, claim: Claim, tell: Tell) -> None:
        """Find out whether `claim` is right and `tell`, at once or later."""
        attempt = _Attempt(claim, place_of(claim.address), accounts.proof(claim.user, claim.secret), tell)
        if not self._guesses.begin(attempt.place, attempt.proof):
            self._tally.reached(Limit.MAX_FAILED_LOGINS)
            self._note_pause(claim, "parallel", 0.0)
            tell(_PUT_OFF)
            return
        now = self._deadlines.now()
        name = claim.user.name.lower()
        pause = self._guesses.pause(attempt.place, name, attempt.proof, now, trusted=claim.trusted)
        if pause is not None:
            self._tally.reached(Limit.MAX_FAILED_LOGINS)
            self._note_pause(claim, pause.whose.value, pause.seconds)
            self._answer_late(attempt, _PUT_OFF)
        elif found := accounts.admit(claim.user, claim.secret) or accounts.remembered(attempt.proof):
            self._accept(attempt, found)
        elif accounts.slow:
            self._look_at(accounts, attempt)
        else:
            self._refuse(attempt)

    # Passwords

    def _look_at(self, accounts: Accounts, attempt: _Attempt) -> None:
        look = self._looks.get(attempt.proof)
        if look is not None:
            look.attempts.append(attempt)
        elif len(self._looks) < _LONGEST_LINE:
            self._looks[attempt.proof] = _Look(accounts, [attempt])
            self._line.append(attempt.proof)
            self._move_on()
        else:
            self._note_pause(attempt.claim, "busy", 0.0)
            self._answer(attempt, _PUT_OFF)

    def _move_on(self) -> None:
        while self._line and self._running < _AT_A_TIME:
            proof = self._line.popleft()
            look = self._looks[proof]
            claim = look.attempts[0].claim
            self._running += 1
            done = self._in_thread(partial(look.accounts.admit_slowly, claim.user, claim.secret))
            done.addCallbacks(self._looked, self._broken, callbackArgs=(proof,), errbackArgs=(proof,))

    def _looked(self, found: Account | None, proof: bytes) -> None:
        look = self._end_look(proof)
        if found is not None:
            look.accounts.remember(proof, found)
        for attempt in look.attempts:
            if found is None:
                self._refuse(attempt)
            else:
                self._accept(attempt, found)
        self._move_on()

    def _broken(self, reason: Failure, proof: bytes) -> None:
        self.log.failure("a password could not be looked at; the sender hears 454", reason)
        for attempt in self._end_look(proof).attempts:
            self._answer_late(attempt, _PUT_OFF)
        self._move_on()

    def _end_look(self, proof: bytes) -> _Look:
        self._running -= 1
        return self._looks.pop(proof)

    # Answers

    def _accept(self, attempt: _Attempt, account: Account) -> None:
        claim = attempt.claim
        self._guesses.succeeded(attempt.place, claim.user.name.lower(), attempt.proof)
        self._tally.login(accepted=True)
        self._note("accepted", claim)
        self._answer(attempt, Accepted(account))

    def _refuse(self, attempt: _Attempt) -> None:
        claim = attempt.claim
        self._guesses.failed(attempt.place, claim.user.name.lower(), attempt.proof, self._deadlines.now())
        self._tally.login(accepted=False)
        self._note("refused", claim)
        self._answer_late(attempt, _REFUSED)

    def _answer_late(self, attempt: _Attempt, outcome: Outcome) -> None:
        self._deadlines.watch(_Late(self._deadlines, self._delay, partial(self._answer, attempt, outcome)))

    def _answer(self, attempt: _Attempt, outcome: Outcome) -> None:
        self._guesses.end(attempt.place, attempt.proof)
        attempt.tell(outcome)

    # The log

    def _note(self, outcome: str, claim: Claim) -> None:
        self.log.info(
            "login {outcome} client={client} mechanism={mechanism} user={user}{odd}",
            outcome=outcome,
            client=claim.address or "local",
            mechanism=claim.mechanism,
            user=_quoted(claim.user.name),
            odd=f" unknown_suffix={_quoted(claim.user.odd)}" if claim.user.odd else "",
        )

    def _note_pause(self, claim: Claim, limit: str, seconds: float) -> None:
        self.log.info(
            "login paused client={client} limit={limit} seconds={seconds:.0f} mechanism={mechanism} user={user}",
            client=claim.address or "local",
            limit=limit,
            seconds=seconds,
            mechanism=claim.mechanism,
            user=_quoted(claim.user.name),
        )


class _Late:
    """An answer that waits for its time, to the second in which `Deadlines` looks."""

    def __init__(self, deadlines: Deadlines, seconds: float, act: Callable[[], None]) -> None:
        self.deadline = deadlines.now() + seconds
        self._deadlines = deadlines
        self._act = act

    def deadline_passed(self) -> None:
        self._deadlines.forget(self)
        self._act()


def _quoted(text: str) -> str:
    """Return what a peer chose as one printable word in quotes."""
    shown = printable(text, _LONGEST_NAME).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown}"'
