"""
The PROXY header, both versions, against a reference that knows addresses and ports only.

The first decision of the script says whether the octets are a header as they
are, or what stands behind signature and length in one of version 2, which
chance would hardly ever get right.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from smtpbridge.smtp.proxy_protocol import MOST_OCTETS, BadHeader, Header, HeaderReader, Peer, Whole
from tests.fuzz.script import Script, read_script

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_TEXT = re.compile(r"[ -~]{1,250}")
_COMMANDS = (0x21, 0x20, 0x22, 0x11)
_FAMILIES = (0x11, 0x21, 0x00, 0x31, 0x12, 0x41)
_ADDRESS_LENGTHS = {0x11: 4, 0x21: 16}


def run(octets: bytes) -> None:
    """Read a header, cut as the script says."""
    script, wire = read_script(octets)
    if script.yes():
        wire = _framed(script, wire)
    answer = _read(list(script.cut(wire)))
    assert answer == _read([wire]), "where the stream is cut makes a difference"
    match answer:
        case None:
            assert len(wire) < MOST_OCTETS, "it waits for ever"
            assert wire.startswith((_SIGNATURE[: len(wire)], b"PROXY "[: len(wire)]))
        case BadHeader():
            assert _TEXT.fullmatch(answer.why), "raw octets of the peer in a text for the log"
        case Whole():
            assert wire.endswith(answer.rest)
            header = wire[: len(wire) - len(answer.rest)]
            assert len(header) <= MOST_OCTETS
            _check(answer.header)
            assert answer.header.source == _reference_source(header)


def _framed(script: Script, block: bytes) -> bytes:
    command, family = _COMMANDS[script.choose(4)], _FAMILIES[script.choose(6)]
    rest = (b"", b"EHLO x\r\n")[script.choose(2)]
    return _SIGNATURE + bytes((command, family)) + len(block).to_bytes(2, "big") + block + rest


def _read(pieces: list[bytes]) -> Whole | BadHeader | None:
    reader = HeaderReader()
    for number, piece in enumerate(pieces):
        answer = reader.feed(piece)
        assert reader.begun or not piece
        match answer:
            case Whole():
                return Whole(answer.header, answer.rest + b"".join(pieces[number + 1 :]))
            case BadHeader():
                # How much of the stranger's first words is shown depends on how much had come.
                return BadHeader(answer.why.partition(",")[0].partition(":")[0])
    return None


def _check(header: Header) -> None:
    for peer in (header.source, header.destination):
        if peer is not None:
            assert str(ip_address(peer.address)) == peer.address
            assert 0 <= peer.port <= 0xFFFF
    assert (header.source is None) == (header.destination is None)
    texts = (
        [header.server_name] if header.tls is None else [header.server_name, header.tls.version, header.tls.client_name]
    )
    for text in texts:
        assert len(text) <= 255
        assert text.isascii()
        assert not text or text.isprintable()


def _reference_source(octets: bytes) -> Peer | None:
    """Return the source in a header that is right, read word by word or at its fixed places."""
    if octets.startswith(b"PROXY "):
        line = octets.removesuffix(b"\r\n").decode("ascii", "replace")
        _, protocol, *words = line.split(" ")
        if protocol == "UNKNOWN":
            return None
        source, _, source_port, _ = words
        assert protocol == ("TCP6" if ":" in source else "TCP4")
        return _peer(ip_address(source), int(source_port))
    length = _ADDRESS_LENGTHS.get(octets[13], 0) if octets[12] == 0x21 else 0
    if not length:
        return None
    port = 16 + 2 * length
    return _peer(ip_address(octets[16 : 16 + length]), int.from_bytes(octets[port : port + 2], "big"))


def _peer(address: IPv4Address | IPv6Address, port: int) -> Peer:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return Peer(str(mapped or address), port)
