"""What is promised of the reverse-path: aligned with From where the provider wants it, else the operator's choice."""

import pytest

from smtpbridge.dialect.sender import aligned, envelope_sender, organisational_domain
from smtpbridge.mail.headers import HeaderBlock


def _from(*values: str) -> HeaderBlock:
    return HeaderBlock.parse("".join(f"From: {value}\r\n" for value in values).encode())


@pytest.mark.parametrize(
    ("sender", "kept"),
    [
        ("bounce@sender.example", True),
        ("bounce@mail.sender.example", True),
        ("bounce@MAIL.Sender.Example", True),
        ("bounce@other.example", False),
        ("bounce@notsender.example", False),
        ("", False),
    ],
)
def test_auto_keeps_an_aligned_sender_and_replaces_every_other(sender: str, kept: bool) -> None:
    header = _from("News <news@sender.example>")

    assert envelope_sender(sender, header, "auto") == (sender if kept else "news@sender.example")


def test_auto_takes_the_first_from_that_holds_an_address() -> None:
    assert envelope_sender("", _from("nobody", "one@a.example, two@b.example"), "auto") == "one@a.example"


def test_auto_reads_a_from_too_long_for_the_cache() -> None:
    assert envelope_sender("", _from(f'"{"x" * 600}" <a@a.example>'), "auto") == "a@a.example"


@pytest.mark.parametrize("sender", ["", "bounce@other.example"])
def test_auto_keeps_the_sender_of_a_message_without_from(sender: str) -> None:
    assert envelope_sender(sender, HeaderBlock.parse(b"Subject: x\r\n"), "auto") == sender


@pytest.mark.parametrize("sender", ["", "bounce@other.example"])
def test_keep_keeps_every_sender(sender: str) -> None:
    assert envelope_sender(sender, _from("a@b.example"), "keep") == sender


@pytest.mark.parametrize("sender", ["", "bounce@b.example"])
def test_a_fixed_address_replaces_every_sender(sender: str) -> None:
    assert envelope_sender(sender, _from("a@b.example"), "returns@c.example") == "returns@c.example"


@pytest.mark.parametrize(
    ("domain", "organisation"),
    [
        ("mail.example.com", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("one.github.io", "one.github.io"),
        ("deep.one.github.io", "one.github.io"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
    ],
)
def test_the_organisational_domain_is_one_label_more_than_the_public_suffix(domain: str, organisation: str) -> None:
    assert organisational_domain(domain) == organisation


def test_two_customers_of_one_hosting_firm_are_not_aligned() -> None:
    assert not aligned("a@one.github.io", "a@two.github.io")


def test_two_address_literals_are_aligned_only_when_they_are_the_same() -> None:
    assert aligned("a@[192.0.2.1]", "b@[192.0.2.1]")
    assert not aligned("a@[192.0.2.1]", "b@[198.51.100.1]")
