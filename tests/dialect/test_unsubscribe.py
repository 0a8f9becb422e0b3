"""What is promised of List-Unsubscribe: one recipient's own, on lines that fit, with its companion where it may be."""

import pytest

from smtpbridge.dialect.unsubscribe import unsubscribe_fields


def test_the_recipient_is_percent_encoded() -> None:
    assert unsubscribe_fields("<mailto:u@x.example?subject={recipient}>", ('"a b"+1@y.example',)) == (
        b"List-Unsubscribe: <mailto:u@x.example?subject=%22a%20b%22%2B1%40y.example>\r\n"
    )


def test_an_https_address_brings_the_one_click_companion() -> None:
    assert unsubscribe_fields("<https://x.example/u/{recipient}>", ("a@y.example",)) == (
        b"List-Unsubscribe: <https://x.example/u/a%40y.example>\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    )


@pytest.mark.parametrize("recipients", [("a@y.example", "b@y.example"), ()])
def test_several_recipients_cannot_share_one_recipients_address(recipients: tuple[str, ...]) -> None:
    assert unsubscribe_fields("<https://x.example/u/{recipient}>", recipients) == b""


def test_a_template_that_names_nobody_is_for_everybody() -> None:
    fields = unsubscribe_fields("<mailto:u@x.example>", ("a@y.example", "b@y.example"))

    assert fields == b"List-Unsubscribe: <mailto:u@x.example>\r\n"


def test_a_long_list_is_folded_between_its_addresses() -> None:
    template = "<https://x.example/u/{recipient}>, <mailto:u@x.example?subject={recipient}>"

    lines = unsubscribe_fields(template, ("somebody@long-domain.example",)).split(b"\r\n")

    assert lines[:2] == [
        b"List-Unsubscribe: <https://x.example/u/somebody%40long-domain.example>,",
        b" <mailto:u@x.example?subject=somebody%40long-domain.example>",
    ]


@pytest.mark.parametrize(
    "template", ["<https://x.example/" + "u" * 990 + ">", "<https://x.example/\u00fc>", "<a>\nX: y"]
)
def test_what_does_not_fit_a_line_is_left_out(template: str) -> None:
    assert unsubscribe_fields(template, ("a@y.example",)) == b""
