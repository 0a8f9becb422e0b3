"""What becomes of a login: right, wrong, not now; who waits for whom; and the line in the log."""

import base64
from collections.abc import Callable
from itertools import count
from typing import cast

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from smtpbridge.relay.auth import Account, Accounts, read_user_name
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.guesses import Patience
from smtpbridge.relay.listener import Gate
from smtpbridge.relay.logins import Accepted, Claim, Logins, Outcome, PutOff, Refused
from smtpbridge.relay.site import Habits
from smtpbridge.relay.tally import Limit, Tally
from smtpbridge.secret import ScryptCost, ScryptHash, Secret
from tests.relay.fakes import SERVER_TLS, Line, log_lines
from tests.relay.test_listener import HABITS, ListenerCase
from tests.relay.world import Caller, RelayCase

KEY, PASSWORD = "a long and random key", "a password 91"
SALT = b"s" * 16
SHOP = Account("shop", ScryptHash.make(PASSWORD.encode(), SALT, ScryptCost(ln=2, r=1, p=1)))
APP = Account("SMTP_Injection", Secret(KEY.encode()))
THEIRS, OURS = "203.0.113.9", "192.0.2.1"
DELAY = 3.0


class LoginsCase(TestCase):
    """Logins with a clock, and a thread in which the test itself works."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines = log_lines(self)
        self.tally = Tally()
        self.looks: list[tuple[Callable[[], Account | None], Deferred[Account | None]]] = []
        self.looked = 0
        self.logins = Logins(
            Deadlines(self.clock),
            self.in_thread,
            patience=Patience(most=3, window=100.0, longest=200.0),
            delay=DELAY,
            tally=self.tally,
        )
        self.keys = Accounts([APP])
        self.mixed = Accounts([APP, SHOP])

    def in_thread(self, look: Callable[[], Account | None]) -> "Deferred[Account | None]":
        done: Deferred[Account | None] = Deferred()
        self.looks.append((look, done))
        return done

    def work(self) -> None:
        """Do what waits in the thread, and what that brings."""
        while self.looks:
            look, done = self.looks.pop(0)
            self.looked += 1
            done.callback(look())

    def claim(
        self,
        secret: str,
        user: str = "SMTP_Injection",
        address: str = THEIRS,
        *,
        accounts: Accounts | None = None,
        trusted: bool = False,
    ) -> list[Outcome]:
        """Claim to be `user`; the outcome is in the list once it is told."""
        told: list[Outcome] = []
        claim = Claim(address, read_user_name(user), secret, "PLAIN", trusted=trusted)
        self.logins.decide(accounts or self.keys, claim, told.append)
        return told

    def wait(self, seconds: float = DELAY + 1) -> None:
        self.clock.pump([1.0] * int(seconds))


class KeysTest(LoginsCase):
    def test_who_is_right_is_told_at_once_and_nothing_is_left_to_do(self) -> None:
        self.assertEqual(self.claim(KEY), [Accepted(APP)])
        self.assertEqual((self.looks, self.clock.getDelayedCalls()), ([], []))
        self.assertEqual(self.tally.logins, {True: 1})

    def test_who_is_wrong_is_told_late_and_the_log_at_once(self) -> None:
        told = self.claim("one guess")

        self.assertEqual(len([line for line in self.lines if "login refused" in line]), 1)
        self.wait(DELAY - 1)
        self.assertEqual(told, [])
        self.wait(1)
        self.assertEqual(told, [Refused()])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.tally.logins, {False: 1})

    def test_a_wrong_name_and_a_wrong_secret_are_told_alike_and_at_the_same_time(self) -> None:
        one, other = self.claim("one guess"), self.claim(KEY, "nobody")

        self.assertEqual((one, other), ([], []))
        self.wait()
        self.assertEqual((one, other), ([Refused()], [Refused()]))

    def test_an_address_that_fails_too_often_is_not_looked_into_even_where_it_is_right(self) -> None:
        for number in range(3):
            self.claim(f"guess {number}")
            self.wait()
        told = self.claim(KEY)

        self.assertEqual(told, [])
        self.wait()
        self.assertEqual(told, [PutOff()])
        self.assertEqual(self.tally.limits[Limit.MAX_FAILED_LOGINS], 1)
        self.assertEqual(self.tally.logins, {False: 3})
        self.wait(30)
        self.assertEqual(self.claim(KEY), [Accepted(APP)])

    def test_a_good_sender_goes_on_beside_a_broken_one_at_the_same_address(self) -> None:
        self.assertEqual(self.claim(KEY), [Accepted(APP)])
        for _ in range(200):
            self.claim("the old key")

        self.assertEqual(self.claim(KEY), [Accepted(APP)])

    def test_parallel_connections_guess_no_faster_than_their_address_may(self) -> None:
        told = [self.claim(f"guess {number}") for number in range(50)]

        self.assertEqual(self.tally.logins, {False: 3}, "so many were looked into")
        self.assertEqual([one for one in told if one], [[PutOff()]] * 47)
        self.wait()
        self.assertEqual(told[:3], [[Refused()]] * 3)

    def test_who_is_right_there_is_not_told_from_the_others_while_too_many_are_under_way(self) -> None:
        self.claim(KEY)
        for number in range(3):
            self.claim(f"guess {number}")

        self.assertEqual(self.claim(KEY), [PutOff()])

    def test_a_flood_of_guesses_from_everywhere_does_not_lock_out_who_was_in_before_or_is_trusted(self) -> None:
        self.assertEqual(self.claim(KEY, address=OURS), [Accepted(APP)])
        for number in range(60):
            self.claim(f"guess {number}", address=f"198.51.100.{number}")

        self.assertEqual(self.claim(KEY, address=OURS), [Accepted(APP)])
        self.assertEqual(self.claim(KEY, address="10.0.0.1", trusted=True), [Accepted(APP)])
        stranger = self.claim(KEY, address="192.0.2.200")
        self.wait()
        self.assertEqual(stranger, [PutOff()])

    def test_a_local_socket_is_never_put_off(self) -> None:
        for number in range(20):
            self.claim(f"guess {number}", address="", trusted=True)

        self.assertEqual(self.claim(KEY, address="", trusted=True), [Accepted(APP)])


class PasswordsTest(LoginsCase):
    def claim_shop(self, secret: str, address: str = THEIRS) -> list[Outcome]:
        return self.claim(secret, "shop", address, accounts=self.mixed)

    def test_a_password_is_looked_at_in_the_thread_and_then_remembered(self) -> None:
        told = self.claim_shop(PASSWORD)
        self.assertEqual(told, [])
        self.work()

        self.assertEqual(told, [Accepted(SHOP)])
        self.assertEqual(self.claim_shop(PASSWORD), [Accepted(SHOP)])
        self.assertEqual(self.claim_shop(PASSWORD, OURS), [Accepted(SHOP)])
        self.assertEqual(self.looked, 1)

    def test_a_key_waits_for_no_password(self) -> None:
        self.claim_shop("one guess")
        self.assertEqual(self.claim(KEY, accounts=self.mixed), [Accepted(APP)])

    def test_a_name_that_nobody_has_is_looked_at_like_any_other(self) -> None:
        told = self.claim(PASSWORD, "nobody", accounts=self.mixed)
        self.assertEqual(len(self.looks), 1)
        self.work()
        self.wait()

        self.assertEqual(told, [Refused()])

    def test_no_more_than_two_are_looked_at_together_and_the_line_has_an_end(self) -> None:
        told = [self.claim_shop(f"guess {number}", f"198.51.100.{number}") for number in range(70)]

        self.assertEqual(len(self.looks), 2)
        self.assertEqual([one for one in told if one], [[PutOff()]] * 6)
        self.work()
        self.assertEqual(self.looked, 64)
        self.wait()
        self.assertEqual(told[:64], [[Refused()]] * 64)
        self.assertEqual(self.claim_shop("one guess more", "198.51.100.200"), [])

    def test_those_who_present_the_same_are_looked_at_together(self) -> None:
        right = [self.claim_shop(PASSWORD) for _ in range(100)]
        wrong = [self.claim_shop("the old password", OURS) for _ in range(5)]
        self.work()
        self.wait()

        self.assertEqual(self.looked, 2)
        self.assertEqual(right, [[Accepted(SHOP)]] * 100)
        self.assertEqual(wrong, [[Refused()]] * 5)

    def test_what_goes_wrong_in_the_thread_is_logged_and_the_sender_may_try_again(self) -> None:
        told = self.claim_shop(PASSWORD)
        self.looks.pop()[1].errback(MemoryError("no room"))

        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
        self.wait()
        self.assertEqual(told, [PutOff()])
        self.assertEqual(self.claim_shop(PASSWORD), [])
        self.work()
        self.assertEqual(self.tally.logins, {True: 1})

    async def test_a_real_thread_finds_what_is_right(self) -> None:
        logins = Logins(Deadlines(cast(Clock, _reactor)), deferToThread)
        told: Deferred[Outcome] = Deferred()
        logins.decide(self.mixed, Claim(OURS, read_user_name("shop"), PASSWORD, "PLAIN"), told.callback)

        self.assertFalse(told.called)
        self.assertEqual(await told, Accepted(SHOP))


class LogTest(LoginsCase):
    def test_there_is_one_line_for_each_attempt_in_a_fixed_form(self) -> None:
        self.claim(KEY, "smtp_injection:X-MSYS-SUBACCOUNT=7", OURS)
        self.claim(KEY, "SMTP_Injection:region=eu", OURS)
        self.claim(KEY, address="")
        for _ in range(4):
            self.claim("one guess", "shop", "2001:db8::9")

        self.assertEqual(
            [line for line in self.lines if "login " in line],
            [
                'login accepted client=192.0.2.1 mechanism=PLAIN user="smtp_injection"',
                'login accepted client=192.0.2.1 mechanism=PLAIN user="SMTP_Injection" unknown_suffix="region=eu"',
                'login accepted client=local mechanism=PLAIN user="SMTP_Injection"',
                *['login refused client=2001:db8::9 mechanism=PLAIN user="shop"'] * 3,
                'login paused client=2001:db8::9 limit=address seconds=30 mechanism=PLAIN user="shop"',
            ],
        )

    def test_no_line_holds_a_secret_and_no_text_of_a_claim_does(self) -> None:
        for secret in (KEY, "one guess"):
            self.claim(secret)
        claim = Claim(OURS, read_user_name("shop"), PASSWORD, "PLAIN")

        self.assertNotIn(PASSWORD, repr(claim))
        self.assertEqual([line for line in self.lines if KEY in line or "one guess" in line], [])

    def test_a_name_is_printable_bounded_and_cannot_leave_its_quotes(self) -> None:
        self.claim("guess of x", 'a" client=10.0.0.1\r\nlogin refused \\')
        self.claim("guess of x", "\x1b[2J\0ü" + "n" * 5000)

        one, other = (line for line in self.lines if "login " in line)
        start = f"login refused client={THEIRS} mechanism=PLAIN user="
        self.assertEqual(one, start + '"a\\" client=10.0.0.1??login refused \\\\"')
        self.assertTrue(other.startswith(start + '"?[2J??nnn'), other)
        self.assertLess(len(other), 160)


class RelayTest(RelayCase):
    """The same in the daemon, as an operator writes it."""

    async def answer(self, caller: Caller, secret: str) -> str:
        return await caller.say("AUTH PLAIN " + base64.b64encode(f"\0shop\0{secret}".encode()).decode())

    async def test_two_listeners_have_one_memory_and_a_password_is_looked_at_in_a_thread(self) -> None:
        await self.upstream()
        known = ScryptHash.make(PASSWORD.encode(), SALT, ScryptCost(ln=14, r=8, p=1))
        more = f"""
            [[credential]]
            username = "shop"
            secret_hash = "{known.written()}"
            [logins]
            max_failed_logins = 1
            delay_seconds = 0.1
            [[listener]]
            endpoint = "tcp:0:interface=127.0.0.1"
        """
        service = await self.relay(more=more)
        right = await self.caller()
        self.assertEqual((await self.answer(right, PASSWORD))[:3], "235")
        wrong = await self.caller()
        self.assertEqual((await self.answer(wrong, "one guess"))[:3], "535")
        service.ports.reverse()

        self.assertEqual((await self.answer(await self.caller(), "another guess"))[:3], "454")
        self.assertEqual((await self.answer(await self.caller(), PASSWORD))[:3], "235")
        self.assertEqual([line for line in self.log() if PASSWORD in line or "guess" in line], [])


class SessionTest(ListenerCase):
    """The same through a session."""

    def build(self, habits: Habits, *, local: bool = False) -> Gate:
        numbers = count(1)
        self.looks: list[Deferred[Account | None]] = []
        deadlines = Deadlines(self.clock)
        return Gate(
            habits,
            Accounts([APP, SHOP]),
            cast(Bridge, self.taker),
            deadlines,
            new_id=lambda: f"ID{next(numbers)}",
            epoch=lambda: 1_700_000_000.0,
            tls=SERVER_TLS,
            local=local,
            logins=Logins(deadlines, self.in_thread, patience=Patience(most=2)),
        )

    def in_thread(self, look: Callable[[], Account | None]) -> "Deferred[Account | None]":
        self.looks.append(Deferred())
        return self.looks[-1]

    def plain(self, user: str, secret: str) -> bytes:
        return b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{secret}".encode()) + b"\r\n"

    def answers(self, line: Line) -> list[bytes]:
        return line.take().splitlines()

    def test_535_says_the_same_whatever_was_wrong(self) -> None:
        said = set()
        for number, (user, secret) in enumerate((("SMTP_Injection", "x"), ("nobody", KEY), ("shop", "x"), ("", "x"))):
            sender, line = self.hello(f"127.0.0.{number + 1}")
            wire = self.plain(user, secret) if user else b"AUTH LOGIN =\r\n" + base64.b64encode(b"x") + b"\r\n"
            sender.dataReceived(wire)
            for look in self.looks:
                look.callback(None)
            self.looks.clear()
            self.wait(3)
            said.add(self.answers(line)[-1])

        self.assertEqual(said, {b"535 5.7.8 Authentication failed"})

    def test_who_failed_too_often_hears_454_and_may_go_on_without_a_login(self) -> None:
        sender, line = self.hello()
        for number in range(2):
            sender.dataReceived(self.plain("nobody", f"guess {number}"))
            self.looks.pop().callback(None)
            self.wait(3)
        line.take()
        sender.dataReceived(self.plain("SMTP_Injection", KEY))
        self.assertEqual(line.value(), b"")
        self.wait(3)

        self.assertTrue(line.take().startswith(b"454 4.7.0 "))
        sender.dataReceived(b"NOOP\r\n")
        self.assertEqual(self.codes(line), [250])

    def test_a_flood_at_a_name_does_not_touch_a_sender_in_an_allowed_network(self) -> None:
        for number in range(40):
            claim = Claim(f"198.51.100.{number}", read_user_name("SMTP_Injection"), f"guess {number}", "PLAIN")
            self.gate.logins.decide(Accounts([APP]), claim, lambda _: None)
        stranger: list[Outcome] = []
        claim = Claim("192.0.2.1", read_user_name("SMTP_Injection"), KEY, "PLAIN")
        self.gate.logins.decide(Accounts([APP]), claim, stranger.append)
        sender, line = self.hello("127.0.0.9")
        sender.dataReceived(self.plain("SMTP_Injection", KEY))

        self.assertEqual(self.codes(line), [235])
        self.wait(3)
        self.assertEqual(stranger, [PutOff()])

    def test_what_a_peer_sends_while_its_login_is_looked_at_waits(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(self.plain("shop:X-MSYS-SUBACCOUNT=9", PASSWORD) + b"NOOP\r\n")
        self.assertEqual(line.value(), b"")
        self.looks.pop().callback(SHOP)

        self.assertEqual(self.codes(line), [235, 250])

    def test_a_peer_that_hangs_up_meanwhile_is_answered_nothing_and_counted_all_the_same(self) -> None:
        lines = []
        for number in range(3):
            sender, line = self.hello()
            sender.dataReceived(self.plain("nobody", f"guess {number}"))
            lines.append(line)
            line.take()
            sender.connectionLost()
            for look in self.looks:
                look.callback(None)
            self.looks.clear()
        self.wait(5)

        self.assertEqual([line.value() for line in lines], [b""] * 3)
        self.assertEqual(len(self.logged("login refused")), 2)
        self.assertEqual(len(self.logged("login paused", "limit=parallel")), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_session_that_ended_by_a_deadline_is_not_revived_by_its_login(self) -> None:
        sender, line = self.hello()
        sender.dataReceived(self.plain("shop", PASSWORD))
        self.wait(HABITS.idle + 2)
        self.assertEqual(self.codes(line), [421])
        self.looks.pop().callback(SHOP)

        self.assertEqual(line.value(), b"")
