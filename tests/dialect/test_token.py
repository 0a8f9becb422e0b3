"""The token: what is given out is read again, anything else is not, and it says nothing."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2s

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.token import CHANCE, OCTETS, Tokens, inbox_path, token_of

TOKENS = Tokens(b"a secret of the operator")


@given(st.binary(min_size=OCTETS, max_size=OCTETS))
def test_a_token_comes_back_and_is_one_word_of_printable_ascii(token: bytes) -> None:
    text = TOKENS.write(token)

    assert TOKENS.read(text) == token
    assert TOKENS.read(f" {text}\r\n") == token
    assert len(text) == 40
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text


@given(st.binary(min_size=OCTETS, max_size=OCTETS), st.integers(0, 39), st.characters(codec="ascii"))
def test_a_token_with_another_character_in_it_is_none(token: bytes, at: int, other: str) -> None:
    text = TOKENS.write(token)
    changed = text[:at] + other + text[at + 1 :]

    assert TOKENS.read(changed) == (token if changed == text else None)


@given(st.text())
def test_a_text_that_was_not_given_out_is_no_token(text: str) -> None:
    assert TOKENS.read(text) is None


def test_a_token_under_another_secret_is_none() -> None:
    assert Tokens(b"another secret").read(TOKENS.write(b"0123456789abcdef")) is None


def test_whoever_knows_the_path_of_the_inbox_cannot_make_tokens() -> None:
    secret = b"a secret of the operator"
    path = inbox_path(secret)
    token = b"0123456789abcdef"

    for guess in (path.encode(), urlsafe_b64decode(path)):
        code = blake2s(token, key=guess, digest_size=14).digest()
        assert Tokens(secret).read(urlsafe_b64encode(token + code).decode()) is None
        assert Tokens(secret).read(Tokens(guess).write(token)) is None
    assert path != inbox_path(b"another secret")


def test_tokens_grow_with_time_and_their_texts_do_not_show_it() -> None:
    moments = [1_780_000_000 + at / 10 for at in range(100)]
    tokens = [token_of(at, bytes([number]) * CHANCE) for number, at in enumerate(moments)]

    assert tokens == sorted(tokens)
    assert len({token[:4] for token in tokens}) > 90
    assert all(len(token) == OCTETS for token in tokens)
    # Of octets by chance few are alike.
    assert len({TOKENS.write(token)[:4] for token in tokens}) > 90
    assert len({TOKENS.write(token_of(moments[0], bytes([number]) * CHANCE))[:4] for number in range(100)}) > 90


def test_the_time_in_a_token_goes_round() -> None:
    assert len(token_of(2.0**40, bytes(CHANCE))) == OCTETS
