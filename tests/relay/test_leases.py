"""
What the pool's ledger promises, whatever happens in whatever order.

`Books` is a second, naive set of books: it carries out every action that the
ledger returns and checks each against what was promised.  Hypothesis plays the
connections, the waiters and the clock.
"""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from smtpbridge.relay.leases import Action, Counts, Dial, Grant, Ledger, Limits, Refuse, Retire, Why

LIMITS = Limits(
    hosts=2,
    max_connections=3,
    max_messages=3,
    max_age=40.0,
    max_idle=10.0,
    max_waiters=4,
    first_pause=1.0,
    longest_pause=5.0,
)


@dataclass
class Carrier:
    host: int
    since: float = 0.0
    idle_since: float = 0.0
    carried: int = 0


class Books(RuleBasedStateMachine):
    """Everybody who deals with the ledger."""

    @initialize()
    def open(self) -> None:
        self.ledger = Ledger(LIMITS)
        self.now = 100.0
        self.closed = False
        self.seen: set[int] = set()
        self.dialling: dict[int, Carrier] = {}
        self.idle: dict[int, Carrier] = {}
        self.leased: dict[int, Carrier] = {}
        self.plain: dict[int, float] = {}
        self.fresh: dict[int, float] = {}
        self.failures = [0] * LIMITS.hosts
        self.alone_until = [0.0] * LIMITS.hosts

    # What is done

    @rule(patience=st.sampled_from([0.5, 3.0, 50.0]), fresh=st.booleans(), bounded=st.booleans())
    def ask(self, patience: float, fresh: bool, bounded: bool) -> None:
        waiting = len(self.plain) + len(self.fresh)
        waiter, actions = self.ledger.ask(self.now, self.now + patience, fresh=fresh, bounded=bounded)
        assert waiter not in self.seen, "a number comes back"
        self.seen.add(waiter)
        (self.fresh if fresh else self.plain)[waiter] = self.now + patience
        self.carry_out(actions, asking=waiter)
        if waiter in self.plain or waiter in self.fresh:
            assert waiting < LIMITS.max_waiters or not bounded, "a crowd was let in"

    @rule()
    def lease(self) -> None:
        newest = list(self.idle)[-1:]
        number = self.ledger.lease(self.now)
        if number is None:
            assert not newest or self.worn_out(self.idle[newest[0]])
        else:
            assert not self.plain, "nobody who waits is passed by"
            assert [number] == newest
            self.leased[number] = carrier = self.idle.pop(number)
            assert not self.worn_out(carrier)
            assert not self.closed

    @precondition(lambda self: self.plain or self.fresh)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(sorted({*self.plain, *self.fresh})))
        self.plain.pop(waiter, None)
        self.fresh.pop(waiter, None)
        self.ledger.withdraw(waiter)

    @precondition(lambda self: self.dialling)
    @rule(data=st.data())
    def opened(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.dialling)))
        carrier = self.dialling.pop(number)
        self.failures[carrier.host], self.alone_until[carrier.host] = 0, 0.0
        carrier.since = carrier.idle_since = self.now
        self.idle[number] = carrier
        self.carry_out(self.ledger.opened(number, self.now))

    @precondition(lambda self: self.dialling)
    @rule(data=st.data())
    def failed(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.dialling)))
        host = self.dialling.pop(number).host
        if self.alone_until[host] <= self.now:
            pause = min(LIMITS.first_pause * 2 ** self.failures[host], LIMITS.longest_pause)
            self.failures[host] += 1
            self.alone_until[host] = self.now + pause
        self.carry_out(self.ledger.failed(number, self.now))

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), usable=st.booleans())
    def returned(self, data: st.DataObject, usable: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.leased)))
        carrier = self.leased.pop(number)
        carrier.carried += 1
        carrier.idle_since = self.now
        self.idle[number] = carrier
        actions = self.ledger.returned(number, self.now, usable=usable)
        if not usable:
            assert Retire(number, Why.UNUSABLE) in actions
        self.carry_out(actions)

    @precondition(lambda self: self.idle)
    @rule(data=st.data())
    def lost(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.idle)))
        del self.idle[number]
        self.carry_out(self.ledger.lost(number, self.now))

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def a_leased_one_is_not_lost(self, data: st.DataObject) -> None:
        assert self.ledger.lost(data.draw(st.sampled_from(sorted(self.leased))), self.now) == []

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 30.0]), tick=st.booleans())
    def wait(self, seconds: float, tick: bool) -> None:
        self.now += seconds
        if tick:
            self.tick()

    def tick(self) -> None:
        self.carry_out(self.ledger.tick(self.now))
        assert all(until > self.now for until in [*self.plain.values(), *self.fresh.values()])
        assert not [one for one in self.idle.values() if self.worn_out(one)]
        waiting = len(self.plain) + len(self.fresh)
        if waiting > len(self.dialling) and not self.closed:
            full = len(self.dialling) + len(self.idle) + len(self.leased) == LIMITS.max_connections
            assert full or self.first_alive() is None, "somebody waits although there is room to dial"
        assert not waiting or self.dialling or self.leased, "somebody waits for nothing"

    @precondition(lambda self: not self.closed)
    @rule(really=st.integers(0, 9))
    def close(self, really: int) -> None:
        if really:
            return  # seldom, or the other rules would see little
        self.closed = True
        self.carry_out(self.ledger.close())
        assert not self.idle
        assert not self.plain
        assert not self.fresh

    # What is promised

    @invariant()
    def there_are_never_more_connections_than_allowed_and_the_counts_are_right(self) -> None:
        assert len(self.dialling) + len(self.idle) + len(self.leased) <= LIMITS.max_connections
        waiting = len(self.plain) + len(self.fresh)
        assert self.ledger.counts() == Counts(len(self.dialling), len(self.idle), len(self.leased), waiting)
        assert all(self.ledger.is_leased(number) for number in self.leased)

    @invariant()
    def the_counts_of_each_host_are_right(self) -> None:
        for place, host in enumerate(self.ledger.host_counts(self.now)):
            kinds = (self.dialling, self.idle, self.leased)
            of_it = [sum(one.host == place for one in kind.values()) for kind in kinds]
            assert [host.dialling, host.idle, host.leased] == of_it
            assert host.resting == max(0.0, self.alone_until[place] - self.now)

    @invariant()
    def nobody_waits_beside_an_idle_connection(self) -> None:
        assert not (self.plain and self.idle)

    def teardown(self) -> None:
        """Nobody waits for ever: ticks alone answer everybody."""
        self.now += 51.0
        self.tick()
        assert not self.plain
        assert not self.fresh

    # Carrying out

    def carry_out(self, actions: list[Action], asking: int = 0) -> None:
        for action in actions:
            match action:
                case Grant():
                    self.grant(action)
                case Dial():
                    assert action.connection not in self.seen, "a number comes back"
                    assert action.host == self.first_alive(), "hosts are tried in order"
                    assert not self.closed
                    self.seen.add(action.connection)
                    self.dialling[action.connection] = Carrier(action.host)
                case Retire():
                    del self.idle[action.connection]
                case Refuse():
                    self.refuse(action, asking)

    def grant(self, grant: Grant) -> None:
        carrier = self.idle.pop(grant.connection)
        assert not self.worn_out(carrier)
        assert not self.closed
        if grant.waiter in self.fresh:
            assert carrier.carried == 0
            assert grant.waiter == next(iter(self.fresh))
            del self.fresh[grant.waiter]
        else:
            assert grant.waiter == next(iter(self.plain)), "the order of asking is kept"
            del self.plain[grant.waiter]
        self.leased[grant.connection] = carrier

    def refuse(self, refusal: Refuse, asking: int) -> None:
        waiting = len(self.plain) + len(self.fresh)
        until = self.fresh.pop(refusal.waiter) if refusal.waiter in self.fresh else self.plain.pop(refusal.waiter)
        match refusal.why:
            case Why.TIME:
                assert until <= self.now
            case Why.CLOSING:
                assert self.closed
            case Why.CROWD:
                assert refusal.waiter == asking
                assert waiting > LIMITS.max_waiters
            case _:
                assert refusal.why is Why.UNREACHABLE
                assert self.first_alive() is None
                assert not self.dialling
                assert not self.leased

    def worn_out(self, carrier: Carrier) -> bool:
        old = self.now - carrier.since >= LIMITS.max_age or self.now - carrier.idle_since >= LIMITS.max_idle
        return old or carrier.carried >= LIMITS.max_messages

    def first_alive(self) -> int | None:
        return next((host for host, until in enumerate(self.alone_until) if until <= self.now), None)


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# The same, to be read


def ledger_with_one_idle(limits: Limits = LIMITS) -> tuple[Ledger, int]:
    """A ledger with one connection that was opened at 0 and carried one message until 1."""
    ledger = Ledger(limits)
    waiter, (dial,) = ledger.ask(0.0, 60.0)
    assert isinstance(dial, Dial)
    assert ledger.opened(dial.connection, 0.0) == [Grant(waiter, dial.connection)]
    assert ledger.returned(dial.connection, 1.0, usable=True) == []
    return ledger, dial.connection


def fail_all(ledger: Ledger, actions: list[Action], now: float) -> list[int]:
    """Let every dial fail at once; return the hosts that were dialled."""
    hosts = []
    while actions:
        action = actions.pop(0)
        if isinstance(action, Dial):
            hosts.append(action.host)
            actions += ledger.failed(action.connection, now)
    return hosts


def test_an_idle_connection_is_granted_at_once() -> None:
    ledger, connection = ledger_with_one_idle()

    waiter, actions = ledger.ask(2.0, 60.0)

    assert actions == [Grant(waiter, connection)]


def test_of_several_idle_connections_the_one_used_last_is_granted() -> None:
    ledger = Ledger(LIMITS)
    dials = [ledger.ask(0.0, 60.0)[1][0] for _ in range(3)]
    first, second, third = [dial.connection for dial in dials if isinstance(dial, Dial)]
    for number in (first, second, third):
        ledger.opened(number, 0.0)
    for number in (first, third, second):
        ledger.returned(number, 1.0, usable=True)

    waiter, actions = ledger.ask(2.0, 60.0)

    assert actions == [Grant(waiter, second)]


def test_an_idle_connection_is_leased_without_a_waiter() -> None:
    ledger, connection = ledger_with_one_idle()

    assert ledger.lease(2.0) == connection
    assert ledger.lease(2.0) is None
    assert ledger.is_leased(connection)
    assert ledger.returned(connection, 3.0, usable=True) == []
    assert ledger.lease(3.0 + LIMITS.max_idle) is None
    assert ledger.tick(3.0 + LIMITS.max_idle) == [Retire(connection, Why.IDLE)]


def test_a_waiter_beyond_the_last_connection_gets_the_one_that_comes_back() -> None:
    ledger = Ledger(Limits(hosts=1, max_connections=1))
    _, (dial,) = ledger.ask(0.0, 60.0)
    assert isinstance(dial, Dial)
    ledger.opened(dial.connection, 0.0)
    waiter, actions = ledger.ask(0.0, 60.0)
    assert actions == []

    assert ledger.returned(dial.connection, 1.0, usable=True) == [Grant(waiter, dial.connection)]


def test_whoever_wants_a_fresh_connection_makes_room_for_it_by_an_idle_one() -> None:
    ledger, connection = ledger_with_one_idle(Limits(hosts=1, max_connections=1))

    _, actions = ledger.ask(2.0, 60.0, fresh=True)

    retire, dial = actions
    assert retire == Retire(connection, Why.ROOM)
    assert isinstance(dial, Dial)


@pytest.mark.parametrize(
    ("limits", "now", "why"),
    [
        (Limits(hosts=1, max_idle=10.0), 11.0, Why.IDLE),
        (Limits(hosts=1, max_idle=99.0, max_age=20.0), 20.0, Why.AGE),
    ],
)
def test_a_connection_that_is_idle_or_old_is_retired_at_the_tick_and_not_granted_before(
    limits: Limits, now: float, why: Why
) -> None:
    ledger, connection = ledger_with_one_idle(limits)
    assert ledger.tick(now - 0.1) == []
    assert ledger.tick(now) == [Retire(connection, why)]

    ledger, connection = ledger_with_one_idle(limits)
    _, actions = ledger.ask(now, 60.0)
    assert actions[0] == Retire(connection, why)
    assert isinstance(actions[1], Dial)


def test_a_connection_that_carried_enough_is_retired_when_it_comes_back() -> None:
    ledger, connection = ledger_with_one_idle(Limits(hosts=1, max_messages=2))
    ledger.ask(1.0, 60.0)

    assert ledger.returned(connection, 2.0, usable=True) == [Retire(connection, Why.COUNT)]


def test_a_dead_host_is_left_alone_for_a_while_that_doubles_up_to_a_bound() -> None:
    ledger = Ledger(Limits(hosts=1, first_pause=1.0, longest_pause=5.0))
    now = 0.0
    for pause in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert fail_all(ledger, ledger.ask(now, now + 60.0)[1], now) == [0]
        waiter, actions = ledger.ask(now + pause - 0.1, now + 60.0)
        assert actions == [Refuse(waiter, Why.UNREACHABLE)]
        now += pause


def test_a_success_makes_the_failures_forgotten() -> None:
    ledger = Ledger(Limits(hosts=1, first_pause=1.0, longest_pause=64.0))
    for now in (0.0, 1.0, 3.0):
        fail_all(ledger, ledger.ask(now, 99.0)[1], now)
    _, (dial,) = ledger.ask(7.0, 99.0)
    assert isinstance(dial, Dial)
    ledger.opened(dial.connection, 7.0)
    ledger.returned(dial.connection, 7.0, usable=False)

    fail_all(ledger, ledger.ask(8.0, 99.0)[1], 8.0)

    assert isinstance(ledger.ask(9.0, 99.0)[1][0], Dial), "left alone for longer than the first pause"


def test_several_dials_that_fail_together_are_one_failure() -> None:
    ledger = Ledger(Limits(hosts=1))
    dials = [action for _ in range(5) for action in ledger.ask(0.0, 60.0)[1]]

    fail_all(ledger, dials, 0.0)

    assert isinstance(ledger.ask(1.0, 60.0)[1][0], Dial)


def test_the_next_host_is_dialled_as_long_as_the_first_is_left_alone() -> None:
    ledger = Ledger(Limits(hosts=3))

    assert fail_all(ledger, ledger.ask(0.0, 60.0)[1], 0.0) == [0, 1, 2]
    assert fail_all(ledger, ledger.ask(1.0, 60.0)[1], 1.0) == [0, 1, 2]


def opened_by(ledger: Ledger, waiters: int) -> list[int]:
    """Let so many ask at 0, and open a connection for each."""
    dials = [ledger.ask(0.0, 200.0, bounded=False)[1][0] for _ in range(waiters)]
    numbers = [dial.connection for dial in dials if isinstance(dial, Dial)]
    for number in numbers:
        ledger.opened(number, 0.0)
    return numbers


def test_a_worn_out_connection_does_not_let_one_more_into_a_full_queue() -> None:
    ledger = Ledger(Limits(hosts=1, max_connections=3, max_waiters=1, max_idle=10.0, first_pause=100.0))
    idle, leased = opened_by(ledger, 2)
    ledger.returned(idle, 1.0, usable=True)
    # The host fails: whoever wants a fresh connection waits, beside one that is idle.
    _, (dial,) = ledger.ask(1.0, 200.0, fresh=True)
    assert isinstance(dial, Dial)
    ledger.failed(dial.connection, 1.0)
    assert ledger.counts() == Counts(dialling=0, idle=1, leased=1, waiting=1)

    waiter, actions = ledger.ask(12.0, 200.0)

    assert actions == [Retire(idle, Why.IDLE), Refuse(waiter, Why.CROWD)]
    assert ledger.is_leased(leased)


def test_a_connection_that_comes_back_makes_room_at_once_for_whoever_wants_a_fresh_one() -> None:
    ledger = Ledger(Limits(hosts=1, max_connections=1))
    (leased,) = opened_by(ledger, 1)
    _, actions = ledger.ask(1.0, 60.0, fresh=True)
    assert actions == []

    retire, dial = ledger.returned(leased, 2.0, usable=True)

    assert retire == Retire(leased, Why.ROOM)
    assert isinstance(dial, Dial)


def test_a_new_connection_goes_first_to_whoever_can_use_no_other() -> None:
    ledger = Ledger(Limits(hosts=1, max_connections=1))
    _, (dial,) = ledger.ask(0.0, 60.0)
    assert isinstance(dial, Dial)
    fresh, _ = ledger.ask(1.0, 60.0, fresh=True)

    assert ledger.opened(dial.connection, 2.0) == [Grant(fresh, dial.connection)]


def test_a_closed_ledger_refuses_everybody_and_retires_what_comes_back() -> None:
    ledger, connection = ledger_with_one_idle()
    ledger.ask(1.0, 60.0)
    waiter, (dial,) = ledger.ask(1.0, 60.0)
    assert isinstance(dial, Dial)

    assert ledger.close() == [Refuse(waiter, Why.CLOSING)]

    late, actions = ledger.ask(2.0, 60.0)
    assert actions == [Refuse(late, Why.CLOSING)]
    assert ledger.opened(dial.connection, 2.0) == [Retire(dial.connection, Why.CLOSING)]
    assert ledger.returned(connection, 2.0, usable=True) == [Retire(connection, Why.CLOSING)]
    assert ledger.counts() == Counts(0, 0, 0, 0)
