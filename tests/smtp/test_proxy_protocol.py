"""What a balancer says of a connection: read whole, octet by octet, with octets left over; and what is refused."""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpbridge.smtp.proxy_protocol import MOST_OCTETS, BadHeader, Header, HeaderReader, Peer, Tls, Whole

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SOURCE, DESTINATION = Peer("192.0.2.7", 56324), Peer("198.51.100.1", 25)
SIX, SEVEN = Peer("2001:db8::7", 1), Peer("2001:db8::1", 65535)
REST = b"EHLO client.test\r\n\0\xff"
TCP4, TCP6, UNIX = 0x11, 0x21, 0x31


# What follows writes headers by the text of the specification, for the tests alone.


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def addresses(source: Peer, destination: Peer) -> bytes:
    packed = [ip_address(one.address).packed for one in (source, destination)]
    return b"".join(packed) + struct.pack("!HH", source.port, destination.port)


def v2(block: bytes = b"", *, first: int = 0x21, family: int = TCP4) -> bytes:
    return SIGNATURE + struct.pack("!BBH", first, family, len(block)) + block


def v2_tcp4(*tlvs: bytes) -> bytes:
    return v2(addresses(SOURCE, DESTINATION) + b"".join(tlvs))


def ssl(*inner: bytes, client: int = 0x01, verify: int = 1) -> bytes:
    return tlv(0x20, struct.pack("!BI", client, verify) + b"".join(inner))


def crc32c(octets: bytes) -> int:
    """Bit by bit, as RFC 4960, Appendix B has it (the polynomial 0x1EDC6F41, reflected)."""
    remainder = 0xFFFFFFFF
    for octet in octets:
        remainder ^= octet
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def with_checksum(*others: bytes, off_by: int = 0) -> bytes:
    """Return a header with a CRC32C TLV between the others and a NOOP."""
    empty = v2_tcp4(*others, tlv(0x03, b"\0\0\0\0"), tlv(0x04, b"padding"))
    value = struct.pack("!I", crc32c(empty) ^ off_by)
    return v2_tcp4(*others, tlv(0x03, value), tlv(0x04, b"padding"))


def v1(source: Peer, destination: Peer) -> bytes:
    family = "TCP6" if ":" in source.address else "TCP4"
    return f"PROXY {family} {source.address} {destination.address} {source.port} {destination.port}\r\n".encode()


def read(*pieces: bytes) -> Whole | BadHeader | None:
    """Feed the pieces to a reader until it says something; what comes behind that is not fed."""
    reader = HeaderReader()
    for at, piece in enumerate(pieces):
        if (found := reader.feed(piece)) is not None:
            left = b"".join(pieces[at + 1 :])
            return Whole(found.header, found.rest + left) if isinstance(found, Whole) else found
    return None


def header(octets: bytes) -> Header:
    found = read(octets)
    assert isinstance(found, Whole), found
    assert found.rest == b""
    return found.header


def why(octets: bytes) -> str:
    found = read(octets)
    assert isinstance(found, BadHeader), found
    return found.why


GOOD = [
    (v1(SOURCE, DESTINATION), Header(SOURCE, DESTINATION)),
    (v1(SIX, SEVEN), Header(SIX, SEVEN)),
    (b"PROXY TCP6 2001:DB8:0:0:0:0:0:7 2001:db8::1 1 65535\r\n", Header(SIX, SEVEN)),
    (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", Header(Peer("0.0.0.0", 0), Peer("255.255.255.255", 65535))),
    (b"PROXY UNKNOWN\r\n", Header()),
    (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", Header()),
    (b"PROXY UNKNOWN ffff::1 what \xff ever\r\n", Header()),
    (v2_tcp4(), Header(SOURCE, DESTINATION)),
    (v2(addresses(SIX, SEVEN), family=TCP6), Header(SIX, SEVEN)),
    (v2(first=0x20, family=0x00), Header()),
    (
        v2_tcp4(tlv(0x01, b"smtp"), tlv(0x04, b""), tlv(0x05, b"id"), tlv(0xEA, b"\x01vpce-1")),
        Header(SOURCE, DESTINATION),
    ),
    (v2_tcp4(ssl(tlv(0x21, b"TLSv1.3"))), Header(SOURCE, DESTINATION, Tls("TLSv1.3"))),
    (with_checksum(ssl(tlv(0x21, b"TLSv1.2"))), Header(SOURCE, DESTINATION, Tls("TLSv1.2"))),
]


@pytest.mark.parametrize(("octets", "expected"), GOOD)
def test_a_header_is_read_whole_octet_by_octet_and_with_octets_left_over(octets: bytes, expected: Header) -> None:
    assert read(octets) == Whole(expected, b"")
    assert read(octets + REST) == Whole(expected, REST)
    pieces = [octets[at : at + 1] for at in range(len(octets))]
    assert read(*pieces[:-1]) is None
    assert read(*pieces, REST) == Whole(expected, REST)


PEERS = st.builds(Peer, st.ip_addresses(v=4).map(str), st.integers(0, 65535))
PEERS_6 = st.builds(
    Peer, st.ip_addresses(v=6).map(str).filter(lambda text: not text.startswith("::ffff:")), st.integers(0, 65535)
)
CUTS = st.lists(st.integers(0, 120), max_size=4)


def cut(octets: bytes, at: list[int]) -> list[bytes]:
    ends = [0, *sorted(at), len(octets)]
    return [octets[begin:end] for begin, end in pairwise(ends)]


@given(st.one_of(st.tuples(PEERS, PEERS), st.tuples(PEERS_6, PEERS_6)), st.binary(max_size=40), CUTS)
def test_to_write_a_header_and_read_it_is_the_identity(pair: tuple[Peer, Peer], rest: bytes, cuts: list[int]) -> None:
    source, destination = pair
    family = TCP6 if ":" in source.address else TCP4
    expected = Whole(Header(source, destination), rest)

    assert read(*cut(v1(source, destination) + rest, cuts)) == expected
    assert read(*cut(v2(addresses(source, destination), family=family) + rest, cuts)) == expected


@given(
    st.one_of(st.none(), st.text("TLSv1.23", max_size=12)),
    st.one_of(st.none(), st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80)),
    st.lists(st.tuples(st.integers(0xE0, 0xF7), st.binary(max_size=60)), max_size=5),
)
def test_what_the_fields_of_version_2_say_is_read_whatever_stands_around_them(
    version: str | None, name: str | None, others: list[tuple[int, bytes]]
) -> None:
    known = [] if version is None else [ssl(tlv(0x21, version.encode()))]
    known += [] if name is None else [tlv(0x02, name.encode())]
    further = [tlv(kind, value) for kind, value in others]

    found = header(with_checksum(*further, *known, *further))

    assert found == Header(SOURCE, DESTINATION, None if version is None else Tls(version), name or "")


@given(
    st.one_of(
        st.binary(max_size=150),
        st.binary(max_size=150).map(lambda tail: b"PROXY " + tail),
        st.binary(max_size=150).map(lambda tail: SIGNATURE + tail),
        st.binary(max_size=150).map(lambda block: v2(block)),
        st.binary(max_size=60).map(lambda tail: v2_tcp4(tail)),
        st.binary(max_size=60).map(lambda inner: v2_tcp4(ssl(inner))),
        st.text("PROXY TCP46 .:0123456789abf\r\n", max_size=120).map(str.encode),
    ),
    CUTS,
)
@example(SIGNATURE + b"\x21\x11\xff\xff" + b"\0" * 100, [])
@example(b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", [])
def test_any_octets_give_a_header_an_error_or_the_wish_for_more_wherever_they_are_cut(
    octets: bytes, cuts: list[int]
) -> None:
    found = read(octets)
    in_pieces = read(*cut(octets, cuts))

    # What is refused is refused in any case, but how much of it is quoted depends on how much had come.
    assert in_pieces == found or (isinstance(in_pieces, BadHeader) and isinstance(found, BadHeader))
    match found:
        case Whole():
            assert octets.endswith(found.rest)
        case BadHeader():
            assert found.why.isascii()
            assert found.why.isprintable()
            assert len(found.why) < 200
        case None:
            assert len(octets) < MOST_OCTETS


@pytest.mark.parametrize("start", [b"PROXY ", b"PROXY UNKNOWN ", SIGNATURE + b"\x21\x11", SIGNATURE + b"\x20\x00"])
def test_no_header_is_waited_for_without_end(start: bytes) -> None:
    reader = HeaderReader()
    taken = len(start)
    found = reader.feed(start)
    while found is None:
        found = reader.feed(b"\xff")
        taken += 1
        assert taken <= MOST_OCTETS

    assert isinstance(found, BadHeader)


def test_a_header_of_version_2_up_to_the_limit_is_read_and_one_beyond_it_refused_before_it_comes() -> None:
    room = MOST_OCTETS - len(v2_tcp4()) - 3

    assert header(v2_tcp4(tlv(0x04, b"\0" * room))) == Header(SOURCE, DESTINATION)
    assert why(v2_tcp4(tlv(0x04, b"\0" * (room + 1)))[:16]) == (
        f"a header of {MOST_OCTETS + 1} octets, over the {MOST_OCTETS} that are read"
    )


@pytest.mark.parametrize(
    "first", [b"EHLO client.test\r\n", b"\x16\x03\x01", b"P0", b"PROXY\r\n", b"proxy TCP4", b"\r\n\r\n\0\r\nQUIT\r"]
)
def test_what_is_no_header_is_refused_as_soon_as_it_cannot_become_one(first: bytes) -> None:
    assert why(first).startswith("no PROXY header, but ")


def test_what_came_instead_of_a_header_is_told_in_printable_text() -> None:
    assert why(b"EHLO \xff\x1b[2J\r\n" + b"x" * 500) == f"no PROXY header, but EHLO ??[2J??{'x' * 25}..."


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY  TCP4 192.0.2.7 198.51.100.1 56324 25\r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 56324 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25 \r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\t25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25 1\r\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 56324 25\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.1 56324 25\r\n",
        b"PROXY TCP4 192.0.2 198.51.100.1 56324 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 056324 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1_0 25\r\n",
        b"PROXY TCP4 192.0.2.7 2001:db8::1 56324 25\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 25\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 56324 25\r\n",
        b"PROXY TCP6 2001:db8::7::1 2001:db8::1 1 1\r\n",
        b"PROXY TCP6 2001:db8::00007 2001:db8::1 1 1\r\n",
        b"PROXY TCP6 fe80::1%eth0 2001:db8::1 1 1\r\n",
        "PROXY TCP4 192.0.2.\u0667 198.51.100.1 1 1\r\n".encode(),
        b"PROXY tcp4 192.0.2.7 198.51.100.1 56324 25\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 56324 25\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY TCP4 192.0.2.7\r198.51.100.1 56324 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\0\r\n",
    ],
)
def test_a_line_that_is_not_exactly_as_specified_is_refused(line: bytes) -> None:
    assert why(line).startswith("a PROXY line that is not as specified: ")


@pytest.mark.parametrize("start", [b"PROXY UNKNOWN", b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25"])
def test_only_crlf_ends_a_line(start: bytes) -> None:
    assert why(start + b"\n") == "a PROXY line that a bare LF ends"
    assert read(start + b"\r") is None


def test_a_line_has_at_most_107_octets_with_its_end() -> None:
    longest = b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n"

    assert len(longest) == 107
    assert header(longest) == Header()
    assert why(longest[:-2] + b"f\r\n") == "a PROXY line over 107 octets"
    assert why(longest[:-2] + b"ff") == "a PROXY line over 107 octets"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (v2(first=0x11), "a header of version 1 in binary form"),
        (v2(first=0x31), "a header of version 3 in binary form"),
        (v2(first=0x22), "an unknown command, 2"),
        (v2(family=0x41), "an unknown address family or transport, 0x41"),
        (v2(family=0x13), "an unknown address family or transport, 0x13"),
        (v2(addresses(SOURCE, DESTINATION)[:-1]), "11 octets of addresses, too few"),
        (v2(addresses(SOURCE, DESTINATION), family=TCP6), "12 octets of addresses, too few"),
        (v2_tcp4(b"\x04\x00"), "a field that is cut off"),
        (v2_tcp4(b"\x04\x00\x01"), "a field that is cut off"),
        (v2_tcp4(tlv(0x04, b"x"), b"\x01\xff\xff" + b"x" * 50), "a field that is cut off"),
        (v2_tcp4(tlv(0x20, b"\x01\0\0\0")), "a TLS field that is too short"),
        (v2_tcp4(ssl(b"\x21\x00\x09TLSv1.3")), "a field that is cut off"),
        (v2_tcp4(ssl(), ssl(client=0)), "field 0x20 twice"),
        (v2_tcp4(tlv(0x02, b"a"), tlv(0x02, b"b")), "field 0x02 twice"),
        (v2_tcp4(ssl(tlv(0x22, b"a"), tlv(0x22, b"b"))), "field 0x22 twice"),
        (v2_tcp4(tlv(0x03, b"\0\0\0")), "a checksum of 3 octets"),
        (with_checksum(off_by=1), "a checksum that does not fit"),
    ],
)
def test_a_binary_header_that_breaks_the_specification_is_refused_with_the_reason(octets: bytes, reason: str) -> None:
    assert why(octets) == reason


def test_a_checksum_is_that_of_the_header_and_not_of_what_follows() -> None:
    # RFC 3720, B.4: the CRC32C of 32 octets of zeros.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert read(with_checksum() + REST) == Whole(Header(SOURCE, DESTINATION), REST)
    damaged = bytearray(with_checksum())
    damaged[16] ^= 1
    assert why(bytes(damaged)) == "a checksum that does not fit"


@pytest.mark.parametrize("block", [b"", b"\xff" * 12, addresses(SOURCE, DESTINATION) + ssl(), b"\x20\x00"])
@pytest.mark.parametrize("family", [0x00, TCP4, TCP6, 0xFF])
def test_of_a_local_command_nothing_else_is_looked_at(block: bytes, family: int) -> None:
    assert read(v2(block, first=0x20, family=family) + REST) == Whole(Header(), REST)


@pytest.mark.parametrize("family", [0x00, 0x01, 0x02, 0x10, 0x12, 0x20, 0x22, 0x30, UNIX, 0x32])
@pytest.mark.parametrize("block", [b"", b"\x01" * 216 + ssl()])
def test_an_address_that_is_not_of_tcp_is_as_good_as_none(family: int, block: bytes) -> None:
    assert header(v2(block, family=family)) == Header()


def test_an_ipv4_address_in_ipv6_clothes_is_shown_as_what_it_is() -> None:
    mapped = Peer("::ffff:192.0.2.7", 56324)
    packed = IPv6Address("::ffff:198.51.100.1").packed
    assert packed.endswith(IPv4Address("198.51.100.1").packed)

    for found in (
        header(v2(addresses(mapped, Peer("::ffff:198.51.100.1", 25)), family=TCP6)),
        header(b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c633:6401 56324 25\r\n"),
    ):
        assert found == Header(SOURCE, DESTINATION)


def test_a_client_came_over_tls_only_where_the_balancer_says_so() -> None:
    assert header(v2_tcp4()).tls is None
    assert header(v2_tcp4(ssl(client=0))).tls is None
    # A certificate without TLS is no TLS.
    assert header(v2_tcp4(ssl(client=0x06, verify=0))).tls is None
    assert header(v2_tcp4(ssl())).tls == Tls()
    assert header(v2_tcp4(tlv(0x02, b"bridge.example.com"), ssl(tlv(0x21, b"TLSv1.3")))) == Header(
        SOURCE, DESTINATION, Tls("TLSv1.3"), "bridge.example.com"
    )


@pytest.mark.parametrize(
    ("client", "verify", "name"), [(0x03, 0, "app.test"), (0x05, 0, "app.test"), (0x03, 1, ""), (0x01, 0, "")]
)
def test_a_client_has_a_name_only_by_a_certificate_that_was_verified(client: int, verify: int, name: str) -> None:
    found = header(v2_tcp4(ssl(tlv(0x21, b"TLSv1.3"), tlv(0x22, b"app.test"), client=client, verify=verify)))

    assert found.tls == Tls("TLSv1.3", name)


def test_texts_of_a_header_are_printable_and_short() -> None:
    found = header(
        v2_tcp4(
            tlv(0x02, "b\u00fccher\r\n.test\xff".encode()),
            ssl(tlv(0x21, b"T" * 500), tlv(0x22, b"a\0b" + b"c" * 900), client=3, verify=0),
        )
    )

    assert found.server_name == "b??cher??.test??"
    assert found.tls == Tls("T" * 29 + "...", "a?b" + "c" * 249 + "...")
