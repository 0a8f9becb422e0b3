"""
What a server answers, read and judged.

The reader is compared with a reference that goes line by line over the whole,
and with itself over the same octets in pieces.
"""

import re

from smtpbridge.relay.verdict import final_refusal, for_sender, worst
from smtpbridge.smtp.capabilities import Capabilities
from smtpbridge.smtp.replies import BadReply, Reply, ReplyReader
from tests.fuzz.checks import replies_in
from tests.fuzz.script import read_script

_MOST_OCTETS, _MOST_LINES = 4096, 128


def run(octets: bytes) -> None:
    """Read replies, cut as the script says, and judge each."""
    script, wire = read_script(octets)
    found, whole = _read(list(script.cut(wire)))
    codes, sound = _reference(wire)
    assert [answer.code for answer in found] == codes
    assert whole == sound
    assert (found, whole) == _read([wire]), "where the stream is cut makes a difference"
    for answer in found:
        _judge(answer)
    if found:
        assert worst(found) in found


def _read(pieces: list[bytes]) -> tuple[list[Reply], bool]:
    """Return the replies, and whether nothing was wrong up to the last octet."""
    reader, found = ReplyReader(), []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (answer := reader.next()) is not None:
                found.append(answer)
            assert len(reader) < _MOST_OCTETS + _MOST_LINES
    except BadReply as error:
        assert re.fullmatch(r"[ -~]{1,200}", str(error)), "raw octets of the server in a text for the log"
        return found, False
    return found, True


def _reference(wire: bytes) -> tuple[list[int], bool]:
    """Return the codes of the replies, and whether the grammar of RFC 5321, 4.2 held to the end."""
    codes: list[int] = []
    begun: list[bytes] = []
    for line in wire.split(b"\n")[:-1]:
        if len(line) + 1 > _MOST_OCTETS or not line.endswith(b"\r"):
            return codes, False
        code, separator = line[:3], line[3:-1][:1]
        digits = len(code) == 3 and code[0] in b"2345" and code[1] in b"012345" and code[2] in b"0123456789"
        if not digits or separator not in (b"", b" ", b"-") or (begun and begun[0] != code):
            return codes, False
        if separator == b"-":
            begun.append(code)
            if len(begun) >= _MOST_LINES:
                return codes, False
        else:
            codes.append(int(code))
            begun.clear()
    return codes, True


def _judge(answer: Reply) -> None:
    assert sum((answer.is_positive, answer.is_intermediate, answer.is_transient, answer.is_permanent)) == 1
    (encoded,) = replies_in(answer.encode())
    assert int(encoded[:3]) == answer.code
    assert re.fullmatch(r"[ -~]{3,510}", str(answer))
    offered = Capabilities.read(answer)
    assert offered.size is None or 0 <= offered.size < 10**20
    heard = for_sender(answer)
    assert heard.is_transient or heard.is_permanent, "no refusal for the sender"
    assert heard.lines == answer.lines, "the provider's own words are lost"
    assert not final_refusal(answer) or answer.is_permanent
    (again,) = _read([answer.encode()])[0]
    assert again.code == answer.code
    if all(line.isascii() and line.isprintable() and len(line) < 450 for line in answer.lines):
        assert _read([again.encode()])[0] == [again]
