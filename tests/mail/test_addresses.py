"""Promises of `mail.addresses`: what passes the gate is harmless, and what is shown is read back by other readers."""

from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.mail.addresses import (
    BadAddress,
    NamedAddress,
    NonAsciiLocalPart,
    domain_of,
    first_address,
    format_mailbox,
    format_mailboxes,
    key,
    parse_address,
    parse_mailbox,
)

NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029")).map(
    lambda name: " ".join(name.split())
)
LONG = "a" * 64 + "@" + ".".join(["b" * 62] * 4) + ".cd"


@pytest.mark.parametrize(
    "address",
    [
        "a@b",
        "A.b+c@Example.COM",
        '"a b"@c.example',
        r'"a\"\\@b"@c.example',
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        LONG,
    ],
)
def test_an_address_of_ascii_passes_as_it_is(address: str) -> None:
    assert parse_address(address) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [("a@bücher.example", "a@xn--bcher-kva.example"), ("a@BÜCHER。example", "a@xn--bcher-kva.example")],
)
def test_an_internationalised_domain_becomes_its_xn_form(text: str, address: str) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "@", "a@", "@b", "a b@c", "a.@b", ".a@b", "a..b@c", "a@b.", "a@.b", "a@-b", "a@b-", "a@b_c", "a@b@c",
        '"a@b', '"a"b@c', "<a@b>", "a@b c", "a@b,c@d",
        "a@[1.2.3]", "a@[1.2.3.256]", "a@[IPv6:::g]", "a@[IPv6:1.2.3.4]", "a@[x:y]", "a@[]",
        "a\r\n@b", "a@b\r\n", "a@b\n", "\na@b", "a@b\0", "a@\0b", '"a\r\n"@b', '"a\0"@b', "a\t@b", "a@b\x7f",
        "a@\ud800", "a@ü\r\n.example", "a@ü\uff20b", "a@ü\uff0cb",
        "a" * 65 + "@b", "a@" + "b" * 64, "a" + LONG, "a@" + "b." * 128 + "cc", "a@" + "ü" * 250,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parse_address(text)

    assert not isinstance(caught.value, NonAsciiLocalPart)
    assert caught.value.reason.isascii()


@pytest.mark.parametrize(
    "text",
    [
        "a@b.c, d@e.f", "a@b.c,d@e.f", "a@b.c; d@e.f", "a@b.c d@e.f", "a@b.c, x, d@e.f",
        "One <a@b.c>, Two <d@e.f>", "<a@b.c>, <d@e.f>", ", ".join(["a@b.example"] * 50),
    ],
)  # fmt: skip
def test_a_list_of_addresses_is_told_that_one_is_wanted(text: str) -> None:
    with pytest.raises(BadAddress, match=r"^more than one address where one is wanted$"):
        parse_mailbox(text)


@pytest.mark.parametrize("text", ["a@b@c.example", "a, b@c.example", "a b@c.example", f"{'a' * 400}@b.c"])
def test_a_single_wrong_address_is_not_taken_for_a_list(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parse_mailbox(text)

    assert "more than one" not in caught.value.reason


def test_a_local_part_outside_ascii_is_a_kind_of_its_own() -> None:
    with pytest.raises(NonAsciiLocalPart):
        parse_address("jürgen@b.example")


@given(
    st.text()
    | st.lists(st.sampled_from(["a", "@", ".", '"', "\\", "\r", "\n", "\0", "ü", "[", "<", ">", " "])).map("".join)
)
def test_any_text_gives_a_harmless_address_or_bad_address(text: str) -> None:
    for parse in (parse_address, lambda text: parse_mailbox(text).address):
        try:
            address = parse(text)
        except BadAddress:
            continue
        assert address.isascii()
        assert address.isprintable()
        assert parse_address(address) == address


@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("a@b", "a@b", ""),
        (" <a@b> ", "a@b", ""),
        ("Jürgen M. <a@b>", "a@b", "Jürgen M."),
        ('"Doe, \\"J\\" <x@y>" <a@b>', "a@b", 'Doe, "J" <x@y>'),
        ('"A" B "C"<a@b>', "a@b", "A B C"),
        ('6" pipe <a@b>', "a@b", '6" pipe'),
        ('Q <"a>b"@c>', '"a>b"@c', "Q"),
        ("x@y <a@b>", "a@b", "x@y"),
        ("two\r\nlines <a@b>", "a@b", "two\r\nlines"),
    ],
)
def test_a_mailbox_is_an_address_and_a_name(text: str, address: str, name: str) -> None:
    assert parse_mailbox(text) == NamedAddress(address, name)


@pytest.mark.parametrize(
    "text", ["Name", "<>", "Name <>", "a@b, c@d", "<a@b", "a@b>", "A <a@b> B <c@d>", "A <a@b\r\n>"]
)
def test_what_is_no_single_mailbox_is_refused(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_mailbox(text)


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("", b"a@b"),
        ("Ann Other", b"Ann Other <a@b>"),
        ("Other, Ann", b'"Other, Ann" <a@b>'),
        ('A "B" \\', b'"A \\"B\\" \\\\" <a@b>'),
        ("Jürgen", b"=?UTF-8?Q?J=C3=BCrgen?= <a@b>"),
        ("=?x?q?y?=", b"=?UTF-8?B?PT94P3E/eT89?= <a@b>"),
        ("A\r\nBcc: x@y", b"=?UTF-8?B?QQ0KQmNjOiB4QHk=?= <a@b>"),
    ],
)
def test_a_name_is_written_in_the_plainest_way_that_holds_it(name: str, octets: bytes) -> None:
    assert format_mailbox("a@b", name) == octets


@given(st.lists(st.builds(NamedAddress, st.sampled_from(["a@b.example", LONG]), NAME), min_size=1), st.integers(4, 20))
def test_another_reader_finds_the_names_and_addresses_that_were_written(
    mailboxes: list[NamedAddress], column: int
) -> None:
    octets = format_mailboxes(mailboxes, column)
    first, *rest = octets.split(b"\r\n")
    found = getaddresses([octets.decode("ascii").replace("\r\n", "")])

    assert [NamedAddress(address, str(make_header(decode_header(name)))) for name, address in found] == mailboxes
    assert all(line.startswith(b" ") and line.strip() for line in rest)
    assert all(len(line) <= (76 if len(line.split()) > 1 else 998) for line in [b"x" * column + first, *rest])


def test_nobody_is_an_empty_value() -> None:
    assert format_mailboxes([], 4) == b""


@pytest.mark.parametrize(
    "value",
    [
        b" a@b.example",
        b" <a@b.example>",
        b" Ann <a@b.example>",
        b'\r\n "Other, Ann <x@y.example>"\r\n\t<a@b.example>, c@d.example',
        b" Ann (x@y.example (really), <z@y.example>) <a@b.example(home)> (work)",
        b" Team: a@b.example, c@d.example;",
        b" undisclosed:;, a@b.example",
        b" =?utf-8?Q?x@y.example,_Ann?= <a@b.example>",
        b" =?utf-8?B?QW5u?=\r\n =?utf-8?Q?_Other?= <a@b.example>",
        b" =?utf-8?Q?Ann_=3Ca@b.example=3E?=",
        b" x@y.example <a@b.example>",
        b" Other, Ann <a@b.example>",
        b" <@relay.example,@other.example:a@b.example>",
        b" a @ b.example",
        b' 6" pipe <a@b.example>',
        b" :-( <a@b.example>",
        b" J\xfcrgen <a@b.example>",
        b" j\xc3\xbcrgen@c.example, a@b.example",
    ],
)
def test_the_first_address_of_a_from_field_is_found(value: bytes) -> None:
    assert first_address(value) == "a@b.example"


@pytest.mark.parametrize(
    "value", [b"", b" ", b" Ann", b" <>", b" (a@b)", b" undisclosed-recipients:;", b' "a@b"', b"=?x?q?a@b?="]
)
def test_a_from_field_without_an_address_gives_none(value: bytes) -> None:
    assert first_address(value) is None


@given(
    st.binary()
    | st.lists(st.sampled_from([b"a@b", b"<", b">", b'"', b"(", b")", b",", b":", b"\\", b"=?utf-8?q?", b"?="])).map(
        b"".join
    )
)
def test_any_from_field_gives_an_address_or_none(value: bytes) -> None:
    found = first_address(value)

    assert found is None or parse_address(found) == found


def test_two_spellings_have_one_key_and_one_domain() -> None:
    assert key("A@B.Example") == key("a@b.eXAMPLE")
    assert domain_of('"a@x"@B.Example') == "b.example"


@pytest.mark.parametrize("text", ["a@b.example, X <c@d.example>", "a@b.example; <c@d.example>"])
def test_an_address_in_front_of_a_comma_is_not_taken_for_a_name(text: str) -> None:
    with pytest.raises(BadAddress, match="more than one address"):
        parse_mailbox(text)


def test_a_quoted_name_may_hold_an_address_and_a_comma() -> None:
    assert parse_mailbox('"a@b.example, or so" <c@d.example>').address == "c@d.example"


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ('"a" "b" c', "a b c"),
        ('a "b', 'a "b'),
        ('"a" "b', 'a "b'),
        ('"a""b"', "ab"),
        ('"a \\" b"', 'a " b'),
        ('"a\\\\"" b', 'a\\" b'),
        ('a\\ "b"', "a\\ b"),
    ],
)
def test_quotes_around_parts_of_a_name_go_and_one_that_nobody_closed_stays(phrase: str, name: str) -> None:
    assert parse_mailbox(f"{phrase} <c@d.example>").name == name


@pytest.mark.parametrize("name", ["@" * 500_000, "a@" * 250_000, "@a" * 250_000, "a@b " * 125_000])
def test_a_name_of_nothing_but_ats_is_gone_through_once(name: str) -> None:
    # This test takes hours where each @ is tried as the one of an address.
    assert parse_mailbox(f"{name} <c@d.example>").address == "c@d.example"
    with pytest.raises(BadAddress, match="more than one address"):
        parse_mailbox(f"{name}x, <c@d.example>")


def test_a_name_that_is_too_long_to_be_quoted_on_a_line_becomes_encoded_words() -> None:
    for length, start in ((73, b'"'), (74, b"=?UTF-8?"), (100_000, b"=?UTF-8?")):
        assert format_mailbox("c@d.example", "," * length).startswith(start)
