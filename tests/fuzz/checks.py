"""What is asked of anything that we write, in plain expressions that do not use the code under test."""

import re

# RFC 5321, 4.2: code, blank or hyphen, text; 4.5.3.1.5: 512 octets with CRLF.
_REPLY_LINE = re.compile(rb"([2-5][0-5][0-9])([ -])[ -~]{0,506}\r\n")
_COMMAND = re.compile(rb"(?:EHLO|STARTTLS|AUTH|MAIL|RCPT|DATA|RSET|QUIT)(?: [ -~]+)?\r\n")
_HEADER = re.compile(rb"(?:[^\r\n]+\r\n)*")


def replies_in(octets: bytes) -> list[bytes]:
    """Return the replies in what a server wrote, each with all its lines; fail where something else is there."""
    found, part, code = [], b"", b""
    for line in octets.split(b"\n")[:-1]:
        match = _REPLY_LINE.fullmatch(line + b"\n")
        assert match is not None, f"no line of a reply: {line!r}"
        assert not part or match[1] == code, f"the code changes within a reply: {part + line!r}"
        part, code = part + line + b"\n", match[1]
        if match[2] == b" ":
            found.append(part)
            part = b""
    assert b"".join(found) == octets, f"half a reply: {octets!r}"
    return found


def commands_in(octets: bytes) -> list[bytes]:
    """Return the command lines in what a client wrote."""
    lines = octets.splitlines(keepends=True)
    for line in lines:
        assert _COMMAND.fullmatch(line), f"no command: {line!r}"
    return lines


def check_header(octets: bytes) -> None:
    """Fail where a header block holds a bare CR or LF, or an empty line."""
    assert _HEADER.fullmatch(octets), "a bare line end or an empty line in a header"


def check_path(address: str) -> None:
    """Fail where an address could leave its angle brackets (RFC 5321, 4.1.2), going character by character."""
    if address.lower() in ("", "postmaster"):
        return
    assert address.isascii(), address
    assert address.isprintable(), address
    quoted = escaped = False
    for at, character in enumerate(address):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
            assert at == 0 or not quoted, f"a quote within a local part: {address!r}"
        else:
            assert quoted or character not in "<> \\,;()", f"{character!r} outside of quotes: {address!r}"
    assert not quoted, f"an open quote: {address!r}"
    local, at_sign, domain = address.rpartition("@")
    assert local, address
    assert at_sign, address
    assert domain, address
