"""
A command line from a client, and the paths in it.

What was read must be fit to be written (`encode`), and what was written must be
read as the same again; an address is looked at character by character.
"""

from smtpbridge.smtp.commands import Auth, Hello, Mail, Plain, Recipient, Verb, read_command
from smtpbridge.smtp.paths import MAX_ADDRESS, BadParameter, BadPath, is_address, read_parameters, read_path
from smtpbridge.smtp.replies import Reply
from tests.fuzz.checks import check_path, commands_in, replies_in


def run(octets: bytes) -> None:
    """Read each line of `octets` as a command, and as a bare path."""
    for line in octets.split(b"\r\n", 20):
        _read(line)
        _read_path(line.decode("latin-1"))


def _read(line: bytes) -> None:
    command = read_command(line)
    match command:
        case Reply():
            assert command.is_permanent
            (said,) = replies_in(command.encode())
            assert said.startswith(b"5")
        case Mail():
            check_path(command.sender)
            assert command.size is None or 0 <= command.size < 10**20
            assert read_command(command.encode()[:-2]) == command
        case Recipient():
            assert command.address
            check_path(command.address)
            assert read_command(command.encode()[:-2]) == command
        case Hello():
            assert 1 <= len(command.name) <= 255
            assert read_command(command.encode()[:-2]) == command
            commands_in(command.encode().replace(b"HELO", b"EHLO", 1))
        case Auth():
            assert repr(command) == repr(Auth(command.mechanism)), "a secret is shown"
        case Plain():
            assert command.verb not in (Verb.EHLO, Verb.HELO, Verb.MAIL, Verb.RCPT, Verb.AUTH)
            assert line[:4].upper() == command.verb.value.encode()[:4]


def _read_path(text: str) -> None:
    try:
        address, tail = read_path(text)
    except BadPath as error:
        assert error.beyond_ascii == (not text.isascii())
        return
    check_path(address)
    assert is_address(address)
    assert len(address) <= MAX_ADDRESS
    assert text.endswith(tail)
    head = text[: len(text) - len(tail)].strip(" ")
    assert head.removesuffix(">").endswith(address), "the address is not what stands there"
    try:
        parameters = read_parameters(tail)
    except BadParameter:
        return
    written = [f"{name}={value}" if value else name for name, value in parameters.items()]
    assert [part.partition("=")[0].upper() for part in tail.split()] == list(parameters)
    assert read_parameters(" ".join(written)) == parameters
