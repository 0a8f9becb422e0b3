"""What receiving servers say, and what class it is: hard only where the words leave no doubt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.bounce_class import HARD, BounceClass
from smtpbridge.dialect.server_reply import ServerReply, read


@pytest.mark.parametrize(
    ("text", "code", "bounce_class"),
    [
        ("550 5.1.1 <a@example.com>: user does not exist", "550", BounceClass.INVALID_RECIPIENT),
        ("550-5.1.1 The account is not here.\r\n550 5.1.1 See the manual", "550", BounceClass.INVALID_RECIPIENT),
        ("smtp; 550 5.1.1 Gone", "550", BounceClass.INVALID_RECIPIENT),
        ("550 #5.1.1 Gone", "550", BounceClass.INVALID_RECIPIENT),
        ("550 No such user here", "550", BounceClass.INVALID_RECIPIENT),
        ("550 5.0.0 User unknown", "550", BounceClass.INVALID_RECIPIENT),
        ("550 5.1.2 Bad destination system", "550", BounceClass.DNS_FAILURE),
        ("556 5.1.10 Null MX", "556", BounceClass.DNS_FAILURE),
        ("552 5.2.2 Over quota", "552", BounceClass.MAILBOX_FULL),
        ("550 Mailbox is full", "550", BounceClass.MAILBOX_FULL),
        ("452 4.2.2 Mailbox full", "452", BounceClass.MAILBOX_FULL),
        ("552 Too much", "552", BounceClass.TOO_LARGE),
        ("552 5.3.4 Message size exceeds fixed limit", "552", BounceClass.TOO_LARGE),
        ("554 5.4.7 Delivery time expired", "554", BounceClass.TIMEOUT),
        ("451 4.4.4 Name server failed", "451", BounceClass.DNS_FAILURE),
        ("550 5.7.1 Service refused, listed by Spamhaus", "550", BounceClass.SPAM_BLOCK),
        ("550 5.7.1 This message looks like spam", "550", BounceClass.SPAM_CONTENT),
        ("550 5.7.1 Attachment type is not allowed", "550", BounceClass.PROHIBITED_ATTACHMENT),
        ("550 5.7.1 Relay access denied", "550", BounceClass.RELAYING_DENIED),
        ("550 5.7.26 Fails the policy of the domain", "550", BounceClass.MAIL_BLOCK),
        ("554 Your address is on our block list", "554", BounceClass.SPAM_BLOCK),
        ("450 4.2.1 Too fast", "450", BounceClass.SOFT_BOUNCE),
        ("421 4.7.28 Unusual rate of mail", "421", BounceClass.TRANSIENT_FAILURE),
        ("451 Try again later", "451", BounceClass.SOFT_BOUNCE),
        ("550 4.1.1 The two codes disagree", "550", None),
        ("550 Requested action not taken: mailbox unavailable", "550", None),
        ("550 5.1.0 Sender rejected", "550", None),
        ("550 5.1.8 Sender: no such user", "550", None),
        ("550 Sender unknown user", "550", None),
        ("550 5.2.1 Mailbox disabled", "550", None),
        ("250 2.0.0 OK", "250", None),
        ("2500 OK", "", None),
        ("Connection timed out", "", None),
        ("", "", None),
    ],
)
def test_a_reply_says_its_code_and_its_class(text: str, code: str, bounce_class: BounceClass | None) -> None:
    assert read(text) == ServerReply(code, bounce_class)


@given(st.from_regex(r"4[0-9]{2}[ -](4\.[0-9]\.[0-9]{1,2} )?", fullmatch=True), st.text())
def test_a_temporary_reply_is_never_hard(start: str, words: str) -> None:
    assert read(f"{start}{words} no such user").bounce_class not in {None, *HARD}


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    reply = read(text)

    assert reply.code == "" or reply.is_positive + reply.is_temporary + reply.is_permanent == 1
