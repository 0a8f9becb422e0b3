"""What is promised of Cc and Bcc: every cc entry is shown once, and what the sender wrote stays."""

from email import policy
from email.parser import BytesParser

from smtpbridge.dialect.copy_fields import bcc_field, with_cc
from smtpbridge.dialect.instructions import Mailbox
from smtpbridge.mail.headers import HeaderBlock

_ANN, _BOB = Mailbox("ann@x.example", "Ann"), Mailbox("bob@x.example")


def _shown(header: HeaderBlock) -> list[tuple[str, str]]:
    message = BytesParser(policy=policy.SMTP).parsebytes(header.octets() + b"\r\n")
    return [(box.addr_spec, box.display_name) for box in message["Cc"].addresses]


def _with_cc(text: bytes, *cc: Mailbox) -> HeaderBlock:
    return with_cc(HeaderBlock.parse(text), cc)


def test_a_new_cc_stands_behind_to() -> None:
    header = _with_cc(b"From: f@x.example\r\nTo: t@x.example\r\nSubject: s\r\n", _ANN, _BOB)

    assert header.names == (b"from", b"to", b"cc", b"subject")
    assert _shown(header) == [("ann@x.example", "Ann"), ("bob@x.example", "")]


def test_a_new_cc_stands_behind_from_where_there_is_no_to() -> None:
    assert _with_cc(b"From: f@x.example\r\nSubject: s\r\n", _ANN).names == (b"from", b"cc", b"subject")


def test_a_new_cc_stands_first_where_there_is_neither() -> None:
    assert _with_cc(b"Subject: s\r\n", _ANN).names == (b"cc", b"subject")


def test_entries_that_a_cc_does_not_name_are_put_behind_its_own_text() -> None:
    text = b"cC:  Eve   <eve@x.example>,\r\n\tBOB@x.example\r\n"

    header = _with_cc(text + b"To: t@x.example\r\n", _ANN, _BOB)

    assert header.names == (b"cc", b"to")
    assert header.fields[0].startswith(text[:-2])
    assert _shown(header) == [("eve@x.example", "Eve"), ("BOB@x.example", ""), ("ann@x.example", "Ann")]


def test_a_cc_that_names_everybody_stays_as_it_is() -> None:
    text = b'Cc: "Ann, the first" <ANN@x.example> (comment, with (a, part) \\) in it), team: bob@x.example;\r\n'

    assert _with_cc(text, _ANN, _BOB).octets() == text


def test_an_address_in_a_display_name_or_a_comment_does_not_count_as_named() -> None:
    header = _with_cc(b'Cc: "ann@x.example" <eve@x.example> (bob@x.example)\r\n', _ANN, _BOB)

    assert [address for address, _ in _shown(header)] == ["eve@x.example", "ann@x.example", "bob@x.example"]


def test_an_empty_cc_is_filled() -> None:
    assert _shown(_with_cc(b"Cc: \r\n", _ANN)) == [("ann@x.example", "Ann")]


def test_a_cc_that_ends_with_a_comma_gets_no_second_one() -> None:
    assert b",," not in _with_cc(b"Cc: eve@x.example, \r\n", _ANN).octets()


def test_an_entry_that_is_given_twice_is_shown_once() -> None:
    assert _shown(_with_cc(b"To: t@x.example\r\n", _BOB, Mailbox("BOB@x.example", "Bob"))) == [("bob@x.example", "Bob")]


def test_a_cc_of_unclosed_quotes_and_comments_is_read_in_linear_time() -> None:
    # A reader that tries again at every quote takes hours for this.
    for unclosed in (b'"\\', b"(", b"<"):
        assert _with_cc(b"Cc: " + unclosed * 120_000 + b"\r\n", _ANN).octets().endswith(b" Ann <ann@x.example>\r\n")


def test_a_cc_is_looked_through_for_a_quarter_of_a_mebibyte_and_what_is_named_behind_that_is_named_again() -> None:
    for others, named in ((10_000, 1), (40_000, 2)):
        cc = b"Cc: " + b"e@x.ex," * others + b"bob@x.example\r\n"

        assert _with_cc(cc, _BOB).octets().count(b"bob@x.example") == named


def test_a_bcc_field_names_this_recipient_only() -> None:
    assert bcc_field(_BOB) == b"Bcc: bob@x.example\r\n"
    assert bcc_field(_ANN) == b"Bcc: Ann <ann@x.example>\r\n"
