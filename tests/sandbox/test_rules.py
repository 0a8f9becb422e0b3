"""Promises of `smtpbridge.sandbox.rules`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.mail.headers import HeaderBlock
from smtpbridge.sandbox.rules import organisational_domain, refusal, warnings_about
from smtpbridge.smtp.data import Defects

SOUND = Defects()
FROM = b"From: Shop <news@mail.example.com>\r\n"
DOCUMENTED = (
    b"X-IB-Bulk-Id: 1234567890\r\n"
    b"X-IB-Tracking-Url: https://www.example.com/email/webhook/server\r\n"
    b"X-IB-Intermediate-Report: true\r\n"
    b"X-IB-Notify-Url: https://www.example.com/email/delivery/server\r\n"
    b"X-IB-Notify-Content-Type: application/json\r\n"
    b'X-IB-Callback-Data: [{"id": 1,\r\n "desc": "Callback Data Example as JSON"}]\r\n'
    b"X-IB-Track: true\r\n"
    b"X-IB-Track-Clicks: false\r\n"
    b"X-IB-Track-Opens: true\r\n"
    b"X-IB-Client-Priority: HIGH\r\n"
    b"X-IB-Application-Id: shop\r\n"
    b"X-IB-Entity-Id: spring\r\n"
    b"X-IB-Skip-Passive-Storage: true\r\n"
    b"x-ib-skip-active-storage: false\r\n"
)


def block(octets: bytes) -> HeaderBlock:
    return HeaderBlock.parse(octets)


def warned(octets: bytes, recipients: tuple[str, ...] = ("r@example.org",)) -> tuple[str, ...]:
    return warnings_about(block(octets), recipients, SOUND)


@pytest.mark.parametrize(
    "sender", ["b@mail.example.com", "b@example.com", "b@EXAMPLE.com", "b@bounce.eu.example.com", '"a b"@x.example.com']
)
def test_a_sender_under_the_root_domain_of_from_is_aligned(sender: str) -> None:
    assert refusal(sender, block(FROM), organisational_domain) is None


@pytest.mark.parametrize(
    ("sender", "header"),
    [
        ("b@example.org", FROM),
        ("b@notexample.com", FROM),
        ("b@one.co.uk", b"From: a@two.co.uk\r\n"),
        ("b@one.github.io", b"From: a@two.github.io\r\n"),
        ("b@[192.0.2.1]", FROM),
    ],
)
def test_a_sender_under_another_root_domain_is_refused_for_good(sender: str, header: bytes) -> None:
    refused = refusal(sender, block(header), organisational_domain)

    assert refused is not None
    assert (refused.code, refused.enhanced) == (550, "5.7.1")
    assert f"<{sender}>" in refused.text
    assert "guess" in refused.text


def test_the_null_sender_is_refused() -> None:
    refused = refusal("", block(FROM), organisational_domain)

    assert refused is not None
    assert (refused.code, "Envelope From is empty" in refused.text) == (550, True)


@pytest.mark.parametrize("header", [b"", b"To: a@example.com\r\n", b"From: nobody\r\n", b"From:\r\n"])
def test_a_message_without_an_author_is_refused(header: bytes) -> None:
    refused = refusal("a@example.com", block(header), organisational_domain)

    assert refused is not None
    assert (refused.code, refused.enhanced) == (550, "5.6.0")


def test_the_organisational_domain_is_the_callers_to_name() -> None:
    assert refusal("b@other.test", block(FROM), lambda domain: "one and the same") is None


def test_the_documented_example_has_nothing_to_mend() -> None:
    assert warned(FROM + b"To: r@example.org\r\nList-Unsubscribe: <https://example.com/u>\r\n" + DOCUMENTED) == ()


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (b"X-IB-Trak-Opens: true", "X-IB-Trak-Opens is no header that Infobip documents"),
        (b"X-IB-Track-Opens: True", "X-IB-Track-Opens: True is not one of true, false"),
        (b"X-IB-Track: yes", "X-IB-Track: yes is not one of true, false"),
        (b"X-IB-Track-Clicks:", "X-IB-Track-Clicks is empty"),
        (b"X-IB-Client-Priority: high", "X-IB-Client-Priority: high is not one of HIGH, STANDARD, LOW"),
        (b"X-IB-Notify-Content-Type: text/xml", "text/xml is not one of application/json, application/xml"),
        (b"X-IB-Notify-Url: example.com/hook", "example.com/hook is no http or https URL"),
        (b"X-IB-Notify-Url: ftp://example.com/", "is no http or https URL"),
        (b"X-IB-Tracking-Url: https://", "is no http or https URL"),
        (b"X-IB-Tracking-Url: https://example.com/a\r\n b", "is no http or https URL"),
        (b"X-IB-Tracking-Url: https://example.com:port/", "is no http or https URL"),
        (b"X-IB-Bulk-Id: " + b"b" * 101, "101 characters are over 100"),
        (b"X-IB-Entity-Id: " + b"b" * 256, "256 characters are over 255"),
        (b"X-IB-Callback-Data: " + b"\r\n ".join([b"d" * 800] * 5), "4004 octets are over 4000"),
        (b"X-IB-Callback-Data: {\"name\":\"J\xc3\xbcrgen\"}", "X-IB-Callback-Data holds control characters or octets"),
        (b"X-IB-Bulk-Id: a\0b", "X-IB-Bulk-Id holds control characters"),
        (b"X-IB-Bulk-Id: a\r\nx-ib-bulk-id: a", "X-IB-Bulk-Id stands more than once"),
        (b"X-MSYS-API: {}", "X-MSYS-API would reach the recipient"),
        (b"x-msys-subaccount : 1", "x-msys-subaccount would reach the recipient"),
        (b"X-Binding: pool", "X-Binding would reach the recipient"),
        (b"Bcc: other@example.org", "Bcc would reach the recipient, who is not the only one named there"),
        (b"Bcc: r@example.org, other@example.org", "Bcc would reach the recipient"),
        (b"Resent-Bcc: other@example.org", "Resent-Bcc would reach the recipient"),
        (b"From: other@example.com", "From stands more than once"),
        (b"Subject: " + b"s" * 990, "a header line is longer than 998 octets"),
    ],
)  # fmt: skip
def test_what_would_not_work_is_warned_of_once(field: bytes, said: str) -> None:
    (warning,) = warned(FROM + field + b"\r\n")

    assert said in warning


@pytest.mark.parametrize(
    "field",
    [
        b"X-IB-Bulk-Id: " + b"b" * 100,
        b"X-IB-Bulk-Id: =?UTF-8?B?" + b"w7zDvMO8" * 11 + b"?=",
        b"X-IB-Callback-Data: " + b"d" * 800 + b"\r\n " + b"d" * 799 + b"\r\n " + b"d" * 799 + b"\r\n " + b"d" * 799
        + b"\r\n " + b"d" * 799,
        b"Subject: " + b"s" * 989,
        b"Bcc: R <R@example.org>",
        b"X-Mailer: one",
    ],
)  # fmt: skip
def test_what_is_just_within_the_limits_is_not_warned_of(field: bytes) -> None:
    assert warned(FROM + field + b"\r\n") == ()


def test_a_bcc_field_in_a_message_for_two_is_warned_of() -> None:
    assert len(warned(FROM + b"Bcc: r@example.org\r\n", ("r@example.org", "s@example.org"))) == 1


@pytest.mark.parametrize(
    "defects", [Defects(bare_line_ends=True), Defects(single_dots=True), Defects(nul=True)], ids=str
)
def test_damage_on_the_wire_is_warned_of(defects: Defects) -> None:
    assert len(warnings_about(block(FROM), ("r@example.org",), defects)) == 1


@given(st.lists(st.sampled_from([b"X-IB-Notify-Url", b"X-IB-Bulk-Id", b"Bcc", b"From", b":", b"\r\n", b" ", b"@"])
                | st.binary(max_size=20)).map(b"".join))  # fmt: skip
def test_any_header_gets_a_verdict_and_warnings_that_can_be_printed(octets: bytes) -> None:
    header = block(octets)

    refusal("a@example.com", header, organisational_domain)
    for warning in warnings_about(header, ("r@example.org",), SOUND):
        assert warning.isascii()
        assert warning.isprintable()
