"""`[admin]`: who can reach it, and what stops the start."""

from pathlib import Path

import pytest

from smtpbridge.config import Config, ConfigError, describe, loads

BASE = """
hostname = "bridge.example.com"
[[listener]]
endpoint = "tcp:2525:interface=127.0.0.1"
[upstream.main]
region = "europe"
[admin]
"""
TOKEN_SECRET = "a-token-of-operators-9024"


def read(folder: Path, text: str, token: bytes = TOKEN_SECRET.encode() + b"\n") -> Config:
    file = folder / "token"
    file.write_bytes(token)
    file.chmod(0o600)
    return loads(BASE + text, base=folder, environ={"SMTPBRIDGE_UPSTREAM_MAIN_PASSWORD": "upstream-secret-16"})


def faults(folder: Path, text: str, token: bytes = TOKEN_SECRET.encode()) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, token)
    return "\n".join(caught.value.faults)


def test_on_this_machine_no_token_is_needed(tmp_path: Path) -> None:
    config = read(tmp_path, 'endpoint = "tcp:9225:interface=127.0.0.1"')

    assert config.admin is not None
    assert (config.admin.token, config.admin.host_names) == (None, ())
    assert not [note for note in config.notes if "admin" in note]
    assert "status page and figures at tcp:9225:interface=127.0.0.1, for this machine alone" in describe(config)


@pytest.mark.parametrize("endpoint", ["tcp:9225", "tcp:9225:interface=192.0.2.1", "ssl:9225:privateKey=k:certKey=c"])
def test_elsewhere_nothing_is_shown_without_a_token_and_the_fault_says_what_to_do(
    tmp_path: Path, endpoint: str
) -> None:
    said = faults(tmp_path, f'endpoint = "{endpoint}"')

    assert "nobody is asked who they are" in said
    assert "token_file" in said
    assert "tcp:9225:interface=127.0.0.1" in said


def test_with_a_token_it_may_be_reached_and_a_network_without_tls_is_noted(tmp_path: Path) -> None:
    plain = read(tmp_path, 'endpoint = "tcp:9225"\ntoken_file = "token"')
    secure = read(tmp_path, 'endpoint = "ssl:9225:privateKey=k:certKey=c"\ntoken_file = "token"')

    assert plain.admin is not None
    assert plain.admin.token is not None
    assert plain.admin.token.reveal() == TOKEN_SECRET.encode()
    assert [note for note in plain.notes if "no TLS" in note and "ssl:" in note]
    assert not [note for note in secure.notes if "no TLS" in note]
    assert TOKEN_SECRET not in repr(plain) + "".join(describe(plain)) + "".join(plain.notes)
    assert "status page and figures at tcp:9225, for whoever has the token" in describe(plain)


@pytest.mark.parametrize(
    "token", [b"short", b"", b"two words of some length", "grün und lang genug".encode(), b"a\nb" * 9]
)
def test_a_token_that_can_be_guessed_or_is_none_is_a_fault_that_does_not_show_it(tmp_path: Path, token: bytes) -> None:
    said = faults(tmp_path, 'endpoint = "tcp:9225"\ntoken_file = "token"', token)

    assert "[admin] token_file" in said
    assert token.decode() not in said or not token


def test_a_token_file_that_is_not_there_is_one_fault(tmp_path: Path) -> None:
    said = faults(tmp_path, 'endpoint = "tcp:9225"\ntoken_file = "nowhere"')

    assert said.count("\n") == 0
    assert "nowhere" in said


def test_further_names_are_taken_and_looked_at(tmp_path: Path) -> None:
    local = 'endpoint = "unix:/run/smtpbridge/admin.sock"\nhost_names = '
    config = read(tmp_path, local + '["bridge.example.com"]')

    assert config.admin is not None
    assert config.admin.host_names == ("bridge.example.com",)
    assert "also by the name bridge.example.com" in "".join(describe(config))
    assert "host_names" in faults(tmp_path, local + '["https://bridge.example.com"]')


def test_an_endpoint_is_needed_and_must_not_be_a_listeners(tmp_path: Path) -> None:
    assert "[admin] endpoint: is missing" in faults(tmp_path, "")
    assert "is taken by a [[listener]]" in faults(tmp_path, 'endpoint = "tcp:2525:interface=127.0.0.1"')
