"""`smtpbridge hash`, called as a person calls it, also at a terminal."""

import os
import pty
import sys
import tomllib

import pytest
from click.testing import CliRunner, Result

from smtpbridge.cli import main
from smtpbridge.secret import KeyedHash, ScryptHash, SecretHash, fits, read_hash
from tests.overheard import EVERYTHING

KEY = "0123456789abcdef0123456789abcdef01234567"
PASSWORD = "correct horse battery staple"


def called(*args: str, given: str | bytes) -> Result:
    result = CliRunner().invoke(main, ["hash", *args], input=given)
    EVERYTHING.said(result.output)
    return result


def known_from(output: str) -> SecretHash:
    found = read_hash(tomllib.loads(output)["secret_hash"])
    assert not isinstance(found, str)
    return found


def test_a_key_from_standard_input_becomes_a_line_of_the_configuration() -> None:
    result = called(given=f"{KEY}\n")

    assert (result.exit_code, result.stderr) == (0, "")
    known = known_from(result.stdout)
    assert isinstance(known, KeyedHash)
    assert fits(known, KEY.encode())
    assert KEY not in result.stdout


def test_a_password_becomes_a_scrypt_hash() -> None:
    result = called("--password", given=PASSWORD)

    assert (result.exit_code, result.stderr) == (0, "")
    known = known_from(result.stdout)
    assert isinstance(known, ScryptHash)
    assert known.cost.fault() is None
    assert fits(known, PASSWORD.encode())


@pytest.mark.parametrize("args", [(), ("--password",)])
def test_two_runs_give_two_hashes(args: tuple[str, ...]) -> None:
    assert called(*args, given=KEY).stdout != called(*args, given=KEY).stdout


def test_a_short_key_is_refused_and_not_shown() -> None:
    result = called(given="hunter2")

    assert result.exit_code == 1
    assert "a key of 7 characters" in result.stderr
    assert "hunter2" not in result.output


def test_a_short_password_is_hashed_with_a_warning() -> None:
    result = called("--password", given="pässword")

    assert result.exit_code == 0
    assert fits(known_from(result.stdout), "pässword".encode())
    assert result.stderr.startswith("note: 8 characters ")


@pytest.mark.parametrize("given", [b"", b"\n", b"one\ntwo\n", b"nul\0nul"])
def test_what_is_not_one_line_is_refused(given: bytes) -> None:
    result = called(given=given)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: the secret ")


def test_a_secret_is_never_an_argument_and_one_that_was_is_not_shown() -> None:
    result = called(KEY, given="")

    assert result.exit_code == 2
    assert "standard input" in result.stderr
    assert KEY not in result.output


def test_the_help_has_examples() -> None:
    result = called("--help", given="")

    assert result.exit_code == 0
    assert "smtpbridge hash < sender.key" in result.stdout


def rest_of(terminal: int) -> bytes:
    """Read to the end; on Linux a terminal that nobody has open any more gives an error."""
    octets = b""
    try:
        while more := os.read(terminal, 1024):
            octets += more
    except OSError:
        pass
    return octets


def test_at_a_terminal_it_asks_twice_without_echo() -> None:
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-c", "from smtpbridge.cli import main; main()", "hash"])
    shown = b""
    try:
        for question in (b"Key: ", b"Repeat for confirmation: "):
            while not shown.endswith(question):
                shown += os.read(terminal, 1024)
            os.write(terminal, KEY.encode() + b"\n")
        shown += rest_of(terminal)
    finally:
        _, status = os.waitpid(child, 0)
        os.close(terminal)
    EVERYTHING.said(shown)

    assert KEY.encode() not in shown
    assert status == 0
    (line,) = [one for one in shown.decode().splitlines() if one.startswith("secret_hash")]
    assert fits(known_from(line), KEY.encode())
