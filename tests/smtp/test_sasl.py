"""What is promised of the AUTH dialogue: both sides agree, and whatever is no response is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.smtp.replies import Reply
from smtpbridge.smtp.sasl import Exchange, LoginAttempt, Prompt, client_responses

_WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def refusal(step: Prompt | LoginAttempt | Reply) -> tuple[int, str]:
    assert isinstance(step, Reply), step
    return step.code, step.enhanced


@given(_WORDS, _WORDS)
def test_what_a_client_says_the_server_understands(user: str, secret: str) -> None:
    (plain,) = client_responses("PLAIN", user, secret)
    name, word = client_responses("LOGIN", user, secret)

    assert Exchange("PLAIN").begin(plain.decode()) == LoginAttempt(user, secret, "PLAIN")
    later = Exchange("PLAIN")
    assert later.begin(None) == Prompt(b"334 \r\n")
    assert later.respond(plain) == LoginAttempt(user, secret, "PLAIN")
    login = Exchange("LOGIN")
    assert login.begin(None) == Prompt(b"334 VXNlcm5hbWU6\r\n")
    assert login.respond(name) == Prompt(b"334 UGFzc3dvcmQ6\r\n")
    assert login.respond(word) == LoginAttempt(user, secret, "LOGIN")


def test_login_takes_the_user_as_initial_response() -> None:
    exchange = Exchange("LOGIN")

    assert exchange.begin(b64("SMTP_Injection")) == Prompt(b"334 UGFzc3dvcmQ6\r\n")
    assert exchange.respond(b64("a key").encode()) == LoginAttempt("SMTP_Injection", "a key", "LOGIN")


def test_a_password_may_be_empty_and_a_user_name_hold_colons() -> None:
    user = "SMTP_Injection:X-MSYS-SUBACCOUNT=12"

    assert Exchange("PLAIN").begin(b64(f"\0{user}\0")) == LoginAttempt(user, "", "PLAIN")


def test_an_authorization_identity_is_without_effect() -> None:
    assert Exchange("PLAIN").begin(b64("other\0user\0secret")) == LoginAttempt("user", "secret", "PLAIN")


def test_an_equals_sign_is_a_response_of_no_octets() -> None:
    exchange = Exchange("LOGIN")

    assert exchange.begin("=") == Prompt(b"334 UGFzc3dvcmQ6\r\n")
    assert exchange.respond(b64("x").encode()) == LoginAttempt("", "x", "LOGIN")
    assert refusal(Exchange("PLAIN").begin("=")) == (501, "5.5.2")


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
def test_an_asterisk_cancels_at_every_step(mechanism: str) -> None:
    assert refusal(Exchange(mechanism).respond(b"*")) == (501, "5.7.0")
    exchange = Exchange(mechanism)
    exchange.begin(None)
    assert refusal(exchange.respond(b"*")) == (501, "5.7.0")
    login = Exchange("LOGIN")
    login.begin(b64("user"))
    assert refusal(login.respond(b"*")) == (501, "5.7.0")


@pytest.mark.parametrize("line", [b"!", b"abc", b"ab c=", b"YQ==YQ==", b"\xff\xfe", b"/w==", b"**", b"=", b"YQ\0="])
@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
def test_what_is_not_base64_of_utf8_is_refused(mechanism: str, line: bytes) -> None:
    assert refusal(Exchange(mechanism).respond(line)) == (501, "5.5.2")


@pytest.mark.parametrize("text", ["", "user", "\0user", "\0\0secret", "a\0b\0c\0d"])
def test_what_is_not_a_response_of_plain_is_refused(text: str) -> None:
    assert refusal(Exchange("PLAIN").respond(b64(text).encode())) == (501, "5.5.2")


@given(st.sampled_from(["LOGIN", "PLAIN"]), st.binary(max_size=30), st.binary(max_size=30))
def test_any_octets_give_a_step_or_a_refusal(mechanism: str, first: bytes, second: bytes) -> None:
    for octets in (first, base64.b64encode(first)):
        exchange = Exchange(mechanism)
        step = exchange.respond(octets)
        if isinstance(step, Prompt):
            assert mechanism == "LOGIN"
            step = exchange.respond(second)
        assert isinstance(step, LoginAttempt) or refusal(step)[0] == 501


def test_an_attempt_does_not_show_its_secret() -> None:
    assert "sesame" not in repr(LoginAttempt("user", "sesame", "PLAIN"))
