"""Who may log in, and which networks need not."""

from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.relay.auth import Account, Accounts, UserName, allowed, read_user_name
from smtpbridge.secret import Secret, SecretHash

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
    accounts = Accounts([Account("app", SecretHash(sha256(b"a key with spaces").digest()))])

    assert accounts.admit(UserName("app"), "a key with spaces")
    assert not accounts.admit(UserName("app"), "a key")


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


def test_an_ipv4_network_does_not_hold_the_ipv6_address_of_the_same_number() -> None:
    networks: list[IPv4Network | IPv6Network] = [ip_network("0.0.0.0/0")]

    assert not allowed("::7f00:1", networks)
    assert allowed("192.0.2.1", networks)
