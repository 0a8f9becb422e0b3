"""What is promised of paths: real ones are read, and nothing comes out that could not stand in a command of ours."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp.paths import MAX_ADDRESS, BadParameter, BadPath, is_address, read_parameters, read_path

_ODD = st.sampled_from(
    ["<", ">", "@", ".", "a", "b.c", '"', "\\", " ", "[", "]", ":", ",", "\r", "\n", "\0", "é", "-", "="]
)
ODD_TEXTS = st.one_of(st.lists(_ODD, max_size=14).map("".join), st.text(max_size=20))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("<a@example.com>", "a@example.com"),
        ("<>", ""),
        (" <>", ""),
        ("  <a@example.com>", "a@example.com"),
        ("a@example.com", "a@example.com"),
        (" a@example.com", "a@example.com"),
        ("<a+b=c/d{e}!#$%&'*?^_`|~-x.y@sub.example.co.uk>", "a+b=c/d{e}!#$%&'*?^_`|~-x.y@sub.example.co.uk"),
        ('<"a b"@example.com>', '"a b"@example.com'),
        ('<"a\\"b\\\\c>@x"@example.com>', '"a\\"b\\\\c>@x"@example.com'),
        ('<""@example.com>', '""@example.com'),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
        ("<a@under_score.example.com>", "a@under_score.example.com"),
        ("<a@localhost>", "a@localhost"),
        # A source route is read and dropped (RFC 5321, 4.1.1.3 and appendix C).
        ("<@one.example,@two.example:a@example.com>", "a@example.com"),
        ("<Postmaster>", "Postmaster"),
        ("<POSTMASTER>", "POSTMASTER"),
    ],
)
def test_every_form_of_a_path_gives_its_address(text: str, address: str) -> None:
    assert read_path(text) == (address, "")
    assert read_path(f"{text} SIZE=3  BODY=7BIT") == (address, "SIZE=3  BODY=7BIT")
    assert is_address(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a",
        "<a>",
        "<@>",
        "<a@>",
        "<@example.com>",
        "<a@b@c>",
        "<a@example.com",
        "a@example.com>",
        "<<a@example.com>>",
        "<a@example.com>SIZE=1",
        "<a b@example.com>",
        "< a@example.com>",
        "<a@example.com >",
        "<.a@example.com>",
        "<a.@example.com>",
        "<a..b@example.com>",
        "<a@example..com>",
        "<a@.example.com>",
        "<a@example.com.>",
        "<a@-example.com>",
        "<a@exam ple.com>",
        '<"a"b@example.com>',
        '<"a@example.com>',
        '<"a\\"@example.com>',
        "<a@[192.0.2.1>",
        "<a@[]>",
        "<a@[1 2]>",
        "<a@[1>2]>",
        '<a@["]>',
        "<@one.example:>",
        "<@one.example a@example.com>",
        "<postmaster@>",
        "postmaster",
        "<a@example.com>\r\nDATA",
        "<a\r\n@example.com>",
        "<a\0@example.com>",
        '<"a\r\nb"@example.com>',
        '<"a\\\r"@example.com>',
        '<"a\x7f"@example.com>',
        "<a@[1\r\n]>",
        "<" + "a" * MAX_ADDRESS + "@example.com>",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(BadPath) as caught:
        read_path(text)

    assert not caught.value.beyond_ascii


@pytest.mark.parametrize("text", ["<grüße@example.com>", "<a@münchen.example>", "<a@example.com> X=é"])
def test_a_path_that_would_need_smtputf8_is_told_apart(text: str) -> None:
    with pytest.raises(BadPath) as caught:
        read_path(text)

    assert caught.value.beyond_ascii


def test_an_address_may_be_as_long_as_the_limit() -> None:
    address = "a" * (MAX_ADDRESS - len("@example.com")) + "@example.com"

    assert read_path(f"<{address}>") == (address, "")
    with pytest.raises(BadPath):
        read_path(f"<a{address}>")


@given(ODD_TEXTS)
def test_any_text_gives_a_printable_address_without_a_way_out_or_a_refusal(text: str) -> None:
    for form in (text, f"<{text}>", f"<{text}@example.com>", f"<a@{text}>"):
        try:
            address, _ = read_path(form)
        except BadPath:
            continue
        assert re.fullmatch(r"[ -~]*", address)
        assert is_address(address)


@given(ODD_TEXTS)
def test_what_can_stand_in_a_command_is_read_back_as_it_is(text: str) -> None:
    for address in (text, f"{text}@example.com", f'"{text}"@example.com', f"a@[{text}]"):
        if is_address(address):
            assert read_path(f"<{address}> SIZE=1") == (address, "SIZE=1")


@pytest.mark.parametrize(
    "address",
    ["a", "a@b>", "<a@b", "a@b\r\n", "a@b\n", "a b@c", "a@b c", "é@b", '"\n"@b', "postmaster\n", " ", "a@[1>2]"],
)
def test_what_cannot_stand_between_brackets_is_no_address(address: str) -> None:
    assert not is_address(address)


# Parameters


def test_parameters_are_found_by_their_names_in_capitals() -> None:
    assert read_parameters("size=10 Body=8bitMIME  X AUTH=<>") == {
        "SIZE": "10",
        "BODY": "8bitMIME",
        "X": "",
        "AUTH": "<>",
    }
    assert read_parameters("") == {}


@pytest.mark.parametrize("text", ["SIZE=", "=1", "SIZE=1=2", "-X=1", "S!ZE=1", "SIZE=1 size=2", "X X", "A=\x7f", "A=é"])
def test_malformed_and_doubled_parameters_are_refused(text: str) -> None:
    with pytest.raises(BadParameter):
        read_parameters(text)


@given(st.text(max_size=30))
def test_any_text_gives_printable_parameters_or_a_refusal(text: str) -> None:
    try:
        found = read_parameters(text)
    except BadParameter:
        return
    assert all(re.fullmatch(r"[!-~]*", part) for item in found.items() for part in item)
