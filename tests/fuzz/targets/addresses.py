"""
Addresses as text from JSON and from a From field.

What passes the gate of `mail` must be fit for a command of `smtp`, which has
its own grammar; what is written as a mailbox must be read as the same one.
"""

from smtpbridge.mail.addresses import (
    BadAddress,
    NamedAddress,
    domain_of,
    first_address,
    format_mailbox,
    format_mailboxes,
    key,
    parse_address,
    parse_mailbox,
)
from smtpbridge.mail.words import decode_text
from smtpbridge.smtp.commands import Mail, Recipient, read_command
from tests.fuzz.checks import check_header, check_path

_LONGEST_LINE = 998


def run(octets: bytes) -> None:
    """Read `octets` as an address, as a mailbox and as a From field; write what was found."""
    text = octets.decode("utf-8", "surrogateescape")
    _read_address(text)
    found = first_address(octets)
    if found is not None:
        _check_address(found)
    try:
        mailbox = parse_mailbox(text)
    except BadAddress as error:
        assert error.reason.isascii()
        return
    _check_address(mailbox.address)
    _write(mailbox)


def _read_address(text: str) -> None:
    try:
        address = parse_address(text)
    except BadAddress as error:
        assert error.reason.isascii()
        return
    _check_address(address)
    assert address.rpartition("@")[0] == text.rpartition("@")[0]
    assert parse_mailbox(address) == NamedAddress(address)
    # A comment, or what looks like an encoded word, is read as one in a From field.
    if "(" not in address and "=?" not in address:
        assert first_address(address.encode("ascii")) == address, "a plain From is not found"


def _check_address(address: str) -> None:
    check_path(address)
    assert parse_address(address) == address, "what passed the gate once does not pass it again"
    assert read_command(Recipient(address).encode()[:-2]) == Recipient(address)
    assert read_command(Mail(address).encode()[:-2]) == Mail(address)
    assert key(address).endswith("@" + domain_of(address))


def _write(mailbox: NamedAddress) -> None:
    name = "".join(
        " " if ord(character) < 32 or 127 <= ord(character) < 160 else character for character in mailbox.name
    )
    name = name.strip(" ")
    written = format_mailbox(mailbox.address, name, column=4)
    assert written.isascii()
    check_header(b"Cc: " + written + b"\r\n")
    assert all(len(line) <= _LONGEST_LINE for line in written.split(b"\r\n"))
    assert all(line.strip() for line in written.split(b"\r\n")[1:]), "a line of blanks"
    assert first_address(written) == mailbox.address
    read = parse_mailbox(_unfolded(written))
    assert read.address == mailbox.address
    if not any("\ud800" <= character <= "\udfff" for character in name):
        assert decode_text(read.name) == name, "a name is shown as another"
    two = NamedAddress(mailbox.address, name), NamedAddress("b@example.com")
    assert _unfolded(format_mailboxes(two, 4)) == _unfolded(written) + ", b@example.com"


def _unfolded(written: bytes) -> str:
    return written.replace(b"\r\n", b"").decode("ascii")
