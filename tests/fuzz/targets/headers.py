"""A header block, against a reference that reads it line by line (RFC 5322, 2.2)."""

from smtpbridge.mail.headers import HeaderBlock, end_of_header, unfold
from tests.fuzz.checks import check_header

_NAME = frozenset(range(33, 127)) - {ord(":")}


def run(octets: bytes) -> None:
    """Read `octets` as they are, and as the CRLF lines that a listener would have made of them."""
    _read(octets)
    lines = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    if lines and not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    block = _read(lines)
    assert [field for _, field in block] == _reference_fields(lines)
    check_header(block.octets())
    _find_end(lines)


def _read(octets: bytes) -> HeaderBlock:
    block = HeaderBlock.parse(octets)
    assert list(block.names) == [_reference_name(field) for field in block.fields]
    assert HeaderBlock.parse(block.octets()) == block, "what is written is read otherwise"
    for name in set(block.names) - {b""}:
        values = block.values(name)
        assert len(values) == block.count(name)
        assert name in block
        for value in values:
            assert b"\r\n" not in unfold(value)
        rest = block.without([name])
        assert name not in rest
        assert list(rest) == [(other, field) for other, field in block if other != name]
    return block


def _reference_fields(lines: bytes) -> list[bytes]:
    fields: list[bytes] = []
    for line in lines.split(b"\r\n"):
        if not line:
            continue
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] += line + b"\r\n"
        else:
            fields.append(line + b"\r\n")
    return fields


def _reference_name(field: bytes) -> bytes:
    name, colon, _ = field.partition(b":")
    name = name.rstrip(b" \t")
    return name.lower() if colon and name and _NAME.issuperset(name) else b""


def _find_end(lines: bytes) -> None:
    length, start = end_of_header(lines)
    assert 0 <= length <= start <= len(lines)
    assert start - length in (0, 2)
    header = lines[:length]
    assert b"\r\n\r\n" not in header
    if length == start == 0:
        first = lines.split(b"\r\n")[0]
        assert not _reference_name(first)
    elif length < start:
        assert lines[length:start] == b"\r\n"
    else:
        assert start == len(lines)
