"""Whose defaults a message carries: the listener's until somebody logs in, then those of the secret that fitted."""

import base64
from dataclasses import replace
from itertools import count
from typing import cast

from twisted.internet.task import Clock

from smtpbridge.dialect.policy import UNSAID, Defaults
from smtpbridge.relay.auth import Account, Accounts, UserName, read_user_name
from smtpbridge.relay.bridge import Bridge
from smtpbridge.relay.deadlines import Deadlines
from smtpbridge.relay.listener import Gate
from smtpbridge.relay.sender import Sender
from smtpbridge.relay.site import Habits
from smtpbridge.secret import Secret
from tests.relay.fakes import SERVER_TLS
from tests.relay.test_listener import HABITS, MESSAGE, QUEUED, ListenerCase

HERE = Defaults(open_tracking=True, click_tracking=True, ip_pool="here")
SHOP = Defaults(click_tracking=False, transactional=True)
ACCOUNTS = (
    Account("SMTP_Injection", Secret(b"news-key")),
    Account("smtp_injection", Secret(b"shop-key"), SHOP),
    Account("SMTP_Injection", Secret(b"news-key"), Defaults(transactional=False)),
    Account("other", Secret(b"other-key"), Defaults(open_tracking=False)),
)


def test_the_account_whose_secret_fits_is_the_one_that_is_let_in() -> None:
    accounts = Accounts(ACCOUNTS)

    assert accounts.admit(UserName("SMTP_INJECTION"), "shop-key") is ACCOUNTS[1]
    assert accounts.admit(read_user_name("Other:X-MSYS-SUBACCOUNT=7"), "other-key") is ACCOUNTS[3]


def test_of_two_equal_accounts_the_first_counts() -> None:
    assert Accounts(ACCOUNTS).admit(UserName("SMTP_Injection"), "news-key") is ACCOUNTS[0]


def test_a_secret_of_another_name_lets_nobody_in() -> None:
    accounts = Accounts(ACCOUNTS)

    assert accounts.admit(UserName("other"), "shop-key") is None
    assert accounts.admit(UserName("SMTP_Injection"), "other-key") is None


class SenderDefaultsTest(ListenerCase):
    habits = replace(HABITS, defaults=HERE)

    def build(self, habits: Habits, *, local: bool = False) -> Gate:
        numbers = count(1)
        self.clock = Clock()
        self.taker.at_once = QUEUED
        return Gate(
            habits,
            Accounts(ACCOUNTS),
            cast(Bridge, self.taker),
            Deadlines(self.clock),
            new_id=lambda: f"ID{next(numbers)}",
            epoch=lambda: 1_700_000_000.0,
            tls=SERVER_TLS,
            local=local,
        )

    def sent(self, sender: Sender) -> tuple[Defaults, str]:
        sender.dataReceived(MESSAGE)
        message = self.taker.messages[-1]
        return message.defaults, message.subaccount

    def log_in(self, sender: Sender, secret: str, user: str = "SMTP_Injection") -> None:
        sender.dataReceived(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{secret}".encode()) + b"\r\n")

    def test_without_a_login_those_of_the_listener_count(self) -> None:
        sender, _ = self.hello()
        self.assertEqual(self.sent(sender), (HERE, ""))

    def test_a_login_goes_before_the_listener_key_by_key(self) -> None:
        sender, line = self.hello()
        self.log_in(sender, "shop-key", "smtp_injection:X-MSYS-SUBACCOUNT=12")
        self.assertEqual(self.codes(line), [235])
        joined = Defaults(open_tracking=True, click_tracking=False, transactional=True, ip_pool="here")
        self.assertEqual(self.sent(sender), (joined, "12"))

    def test_each_message_of_a_session_carries_one_and_the_same_value(self) -> None:
        sender, _ = self.hello()
        self.log_in(sender, "shop-key")
        self.assertIs(self.sent(sender)[0], self.sent(sender)[0])

    def test_a_login_that_says_nothing_leaves_those_of_the_listener(self) -> None:
        sender, _ = self.hello()
        self.log_in(sender, "news-key")
        self.assertIs(self.sent(sender)[0], HERE)

    def test_a_login_that_was_refused_changes_nothing(self) -> None:
        sender, line = self.hello()
        self.log_in(sender, "wrong-key", "SMTP_Injection:X-MSYS-SUBACCOUNT=12")
        self.wait(2)
        self.assertEqual(self.codes(line), [535])
        self.assertEqual(self.sent(sender), (HERE, ""))

    def test_starttls_forgets_who_logged_in_before(self) -> None:
        sender, line = self.hello()
        self.log_in(sender, "shop-key", "SMTP_Injection:X-MSYS-SUBACCOUNT=12")
        sender.dataReceived(b"STARTTLS\r\n")
        sender.handshakeCompleted()
        sender.dataReceived(b"EHLO client.test\r\n")
        self.assertEqual(self.codes(line), [235, 220, 250])
        self.assertEqual(self.sent(sender), (HERE, ""))

    def test_where_nothing_is_configured_the_one_empty_value_is_carried(self) -> None:
        self.gate = self.build(HABITS)
        sender, _ = self.hello()
        self.log_in(sender, "news-key")
        self.assertIs(self.sent(sender)[0], UNSAID)
