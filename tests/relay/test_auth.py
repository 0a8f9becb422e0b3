"""Who may log in, and which networks need not."""

from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.policy import Defaults
from smtpbridge.relay.auth import Account, Accounts, UserName, allowed, read_user_name
from smtpbridge.relay.rates import Rates
from smtpbridge.secret import ScryptCost, ScryptHash, Secret, Sha256Hash

NETWORKS = [ip_network("127.0.0.0/8"), ip_network("10.1.2.0/24"), ip_network("::1/128"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("SMTP_Injection", UserName("SMTP_Injection")),
        ("SMTP_Injection:X-MSYS-SUBACCOUNT=123", UserName("SMTP_Injection", "123")),
        ("smtp_injection:x-msys-subaccount=007", UserName("smtp_injection", "007")),
        ("SMTP_Injection:X-MSYS-SUBACCOUNT= 12 ", UserName("SMTP_Injection", "12")),
        ("SMTP_Injection:x-bird-workspace-id=6f1c", UserName("SMTP_Injection")),
        ("SMTP_Injection:X-Bird-Workspace-Id=6f1c", UserName("SMTP_Injection")),
        ("SMTP_Injection:", UserName("SMTP_Injection")),
        ("SMTP_Injection:X-MSYS-SUBACCOUNT=", UserName("SMTP_Injection", odd="X-MSYS-SUBACCOUNT=")),
        ("SMTP_Injection:X-MSYS-SUBACCOUNT=a1", UserName("SMTP_Injection", odd="X-MSYS-SUBACCOUNT=a1")),
        ("SMTP_Injection:X-MSYS-SUBACCOUNT=-1", UserName("SMTP_Injection", odd="X-MSYS-SUBACCOUNT=-1")),
        ("SMTP_Injection:X-MSYS-SUBACCOUNT=\u0661", UserName("SMTP_Injection", odd="X-MSYS-SUBACCOUNT=\u0661")),
        ("SMTP_Injection:region=eu", UserName("SMTP_Injection", odd="region=eu")),
        ("", UserName("")),
    ],
)
def test_a_user_name_is_taken_apart(text: str, read: UserName) -> None:
    assert read_user_name(text) == read


@given(st.text())
def test_no_user_name_fails_and_a_subaccount_is_digits(text: str) -> None:
    user = read_user_name(text)

    assert text.startswith(user.name)
    assert user.subaccount == "" or (user.subaccount.isascii() and user.subaccount.isdigit())


@pytest.mark.parametrize("name", ["SMTP_Injection", "smtp_injection", "SMTP_INJECTION"])
def test_the_name_is_compared_without_case_and_the_secret_with(name: str) -> None:
    accounts = Accounts([Account("SMTP_Injection", Secret(b"Key"))])

    assert accounts.admit(UserName(name), "Key")
    assert not accounts.admit(UserName(name), "key")


def test_the_suffix_plays_no_part() -> None:
    accounts = Accounts([Account("SMTP_Injection", Secret(b"key"))])

    assert accounts.admit(read_user_name("SMTP_Injection:X-MSYS-SUBACCOUNT=12"), "key")
    assert accounts.admit(read_user_name("SMTP_Injection:whatever"), "key")


def test_several_credentials_may_have_one_name_and_each_opens() -> None:
    accounts = Accounts(Account(name, Secret(key)) for name, key in [("app", b"old"), ("App", b"new"), ("b", b"other")])

    assert accounts.admit(UserName("app"), "old")
    assert accounts.admit(UserName("app"), "new")
    assert not accounts.admit(UserName("app"), "other"), "the secret of another name"
    assert not accounts.admit(UserName("nobody"), "old")
    assert not accounts.admit(UserName("app"), "")


def test_a_hash_stands_for_its_secret() -> None:
    accounts = Accounts([Account("app", Sha256Hash(sha256(b"a key with spaces").digest()))])

    assert accounts.admit(UserName("app"), "a key with spaces")
    assert not accounts.admit(UserName("app"), "a key")


class Counted(ScryptHash):
    """A password's hash that tells who computed it, and computes next to nothing."""

    asked: ClassVar[list[str]] = []

    def of(self, secret: bytes) -> bytes:
        Counted.asked.append(self.salt.decode())
        return secret.ljust(32)[:32]


def counted(salt: str, password: str) -> Counted:
    return Counted(ScryptCost(ln=2, r=1, p=1), salt.encode(), password.encode().ljust(32))


MANY = [
    Account("ann", counted("ann 1", "first")),
    Account("ANN", counted("ann 2", "second"), Defaults(transactional=True)),
    Account("bob", counted("bob", "third")),
    Account("ann", Secret(b"a key")),
]


@pytest.mark.parametrize("user", ["ann", "bob", "nobody"])
@pytest.mark.parametrize("password", ["first", "third", "wrong"])
def test_every_name_costs_as_many_passwords_as_the_name_that_has_most(user: str, password: str) -> None:
    accounts = Accounts(MANY)
    Counted.asked.clear()

    accounts.admit_slowly(UserName(user), password)

    assert len(Counted.asked) == 2


def test_each_password_of_a_name_opens_it_and_no_other_does() -> None:
    accounts = Accounts(MANY)

    assert accounts.slow
    assert accounts.admit_slowly(UserName("Ann"), "first") is MANY[0]
    assert accounts.admit_slowly(UserName("ann"), "second") is MANY[1]
    assert accounts.admit_slowly(UserName("bob"), "third") is MANY[2]
    assert accounts.admit_slowly(UserName("ann"), "third") is None
    assert accounts.admit_slowly(UserName("bob"), "first") is None, "a decoy's password"
    assert accounts.admit_slowly(UserName("nobody"), "first") is None


def test_the_quick_look_computes_no_password() -> None:
    accounts = Accounts(MANY)
    Counted.asked.clear()

    assert accounts.admit(UserName("ann"), "first") is None
    assert accounts.admit(UserName("ann"), "a key") is MANY[3]
    assert Counted.asked == []
    assert not Accounts(MANY[3:]).slow


def test_what_is_remembered_is_one_name_with_one_secret() -> None:
    accounts = Accounts(MANY)
    accounts.remember(accounts.proof(UserName("Ann"), "first"), MANY[0])

    assert accounts.remembered(accounts.proof(UserName("ann", "7"), "first")) is MANY[0]
    assert accounts.remembered(accounts.proof(UserName("bob"), "first")) is None
    assert accounts.remembered(accounts.proof(UserName("ann"), "second")) is None
    assert accounts.remembered(Accounts(MANY).proof(UserName("ann"), "first")) is None, "another process"


def test_where_a_name_ends_and_its_secret_begins_makes_a_difference() -> None:
    accounts = Accounts([])

    assert accounts.proof(UserName("ab"), "c") != accounts.proof(UserName("a"), "bc")


def test_only_the_latest_are_remembered() -> None:
    accounts = Accounts(MANY)
    proofs = [accounts.proof(UserName("ann"), str(number)) for number in range(5000)]
    for proof in proofs:
        accounts.remember(proof, MANY[0])

    found = [accounts.remembered(proof) for proof in proofs]
    assert (found[0], found[-1]) == (None, MANY[0])
    assert len(found) - found.count(None) == 4096


def test_a_secret_of_any_octets_can_be_presented() -> None:
    octets = b"p\xffss\xc3\xbc"
    accounts = Accounts([Account("app", Secret(octets))])

    assert accounts.admit(UserName("app"), octets.decode("utf-8", "surrogateescape"))


def test_without_accounts_nobody_can_log_in() -> None:
    assert not Accounts([])
    assert not Accounts([]).admit(UserName(""), "")
    assert Accounts([Account("app", Secret(b"key"))])


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.1", True),
        ("127.255.255.255", True),
        ("10.1.2.3", True),
        ("10.1.3.3", False),
        ("::1", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:0a01:0203", True),
        ("::ffff:10.1.3.3", False),
        ("2001:db8::1%eth0", True),
        ("", False),
        ("/run/socket", False),
        ("10.1.2", False),
        ("10.1.2.3 ", False),
    ],
)
def test_an_address_is_in_a_network_or_not(address: str, inside: bool) -> None:
    assert allowed(address, NETWORKS) is inside


@pytest.mark.parametrize(
    ("network", "address", "inside"),
    [
        ("::ffff:10.0.0.0/104", "10.200.0.1", True),
        ("::ffff:10.0.0.0/104", "::ffff:10.200.0.1", True),
        ("::ffff:10.0.0.0/104", "11.0.0.1", False),
        ("::ffff:192.0.2.7/128", "192.0.2.7", True),
        ("::ffff:192.0.2.7/128", "192.0.2.8", False),
        ("::ffff:0:0/96", "203.0.113.1", True),
        ("::ffff:0:0/96", "2001:db8::1", False),
        ("::/0", "203.0.113.1", False),
        ("::/0", "::ffff:203.0.113.1", False),
        ("::/0", "2001:db8::1", True),
    ],
)
def test_a_network_that_is_written_ipv4_mapped_means_the_ipv4_network(network: str, address: str, inside: bool) -> None:
    assert allowed(address, [ip_network(network)]) is inside


def test_an_ipv4_network_does_not_hold_the_ipv6_address_of_the_same_number() -> None:
    networks: list[IPv4Network | IPv6Network] = [ip_network("0.0.0.0/0")]

    assert not allowed("::7f00:1", networks)
    assert allowed("192.0.2.1", networks)


def test_those_who_come_after_keep_what_is_known_of_who_stays() -> None:
    staying = Account("shop", counted("a", "one"), messages=Rates(10))
    leaving = Account("shop", counted("b", "two"))
    before = Accounts([staying, leaving])
    user = UserName("shop")
    for secret, account in (("one", staying), ("two", leaving)):
        before.remember(before.proof(user, secret), account)
    staying.messages.take("", 0.0)

    after = before.successor([Account("shop", counted("a", "one"), messages=Rates(10)), Account("new", Secret(b"x"))])

    assert after.proof(user, "one") == before.proof(user, "one")
    assert after.remembered(after.proof(user, "one")) is staying
    assert after.remembered(after.proof(user, "two")) is None
    assert after.admit(UserName("new"), "x") is not None
    assert after.admit_slowly(user, "two".ljust(32)) is None


def test_who_may_send_more_often_than_before_is_counted_anew() -> None:
    before = Account("shop", Secret(b"x"), messages=Rates(10))
    after = Accounts([before]).successor([Account("shop", Secret(b"x"), messages=Rates(20))])
    found = after.admit(UserName("shop"), "x")

    assert found is not None
    assert found.messages.per_minute == 20
