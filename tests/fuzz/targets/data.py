"""
The end of a message and its rewriting, against a reference that goes octet by octet or line by line.

The reference knows nothing of blocks: it is what RFC 5321, 4.1.1.4 and 4.5.2
say, written down with no care for speed.
"""

import re

from smtpbridge.smtp.data import Block, Defects, End, EndFinder, canonical, stuff, unstuff, whole
from tests.fuzz.script import Script, read_script


def run(octets: bytes) -> None:
    """Find the end of a message, cut as the script says, and write the message anew."""
    script, wire = read_script(octets)
    body, end = _found(list(script.cut(wire)))
    expected = _reference_end(wire)
    if expected is None:
        assert end is None, "an end where there is none"
        assert wire.startswith(body)
        held = wire[len(body) :]
        assert b"\r\n.\r\n".startswith((b"\r\n" + held, held)), "more is held back than the beginning of an end"
        return
    assert end is not None, "the end was not seen"
    assert body == expected
    assert whole(wire) in (None, body)
    assert end == End(_reference_defects(body), wire[len(body) + 3 :])
    _write_anew(body, script)


def _write_anew(body: bytes, script: Script) -> None:
    anew = b"".join(canonical(script.cut(body)))
    assert anew == _reference_canonical(body)
    assert _reference_defects(anew) == Defects(nul=b"\0" in body), "a bare line end or a single dot came through"
    assert not anew or anew.endswith(b"\r\n")
    # Whoever reads the new form sees one message, however its blocks are cut, and the same content.
    assert _found([*script.cut(anew), b".\r\n", b"QUIT\r\n"]) == (anew, End(Defects(nul=b"\0" in body), b"QUIT\r\n"))
    assert stuff(unstuff(anew)) == anew
    if not _reference_defects(body):
        assert anew == body, "sound data were changed"


def _found(pieces: list[bytes]) -> tuple[bytes, End | None]:
    finder = EndFinder()
    body = b""
    for number, piece in enumerate(pieces):
        for found in finder.feed(piece):
            match found:
                case Block():
                    assert found.octets, "an empty block"
                    body += found.octets
                case End():
                    return body, End(found.defects, found.rest + b"".join(pieces[number + 1 :]))
    return body, None


def _reference_end(wire: bytes) -> bytes | None:
    """Return what stands before the final dot: a line that is a dot, between CRLF and CRLF."""
    at = (b"\r\n" + wire).find(b"\r\n.\r\n")
    return None if at < 0 else wire[:at]


def _reference_defects(body: bytes) -> Defects:
    bare = dot = False
    for at, octet in enumerate(body):
        before, behind = body[max(at - 1, 0) : at], body[at + 1 : at + 2]
        bare = bare or (octet == 13 and behind != b"\n") or (octet == 10 and before != b"\r")
        begins = at == 0 or body[max(at - 2, 0) : at] == b"\r\n"
        dot = dot or (octet == 46 and begins and behind != b".")
    return Defects(bare, dot, 0 in body)


def _reference_canonical(body: bytes) -> bytes:
    content = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in body.split(b"\r\n"))
    lines = [line.replace(b"\r", b" ") for line in re.split(rb"\r?\r\n|\n", content)]
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
