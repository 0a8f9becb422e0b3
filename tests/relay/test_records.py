"""TLS records by OpenSSL's own functions and by pyOpenSSL's methods: the same octets, the same faults."""

from typing import Any

import pytest
import trustme
from OpenSSL import SSL

from smtpbridge.relay.records import RECORD, DirectRecords, PublicRecords, Records, records_of
from smtpbridge.relay.tls import server_context
from smtpbridge.secret import Secret

KINDS = [DirectRecords, PublicRecords]
SIZES = [1, 300, RECORD - 1, RECORD, RECORD + 1, 65_536, 300_000]
CERTIFICATE = trustme.CA().issue_cert("localhost")


def shaken() -> tuple[SSL.Connection, SSL.Connection]:
    """Return a client and a server whose handshake is complete, and who have nothing to say."""
    chain = b"".join(pem.bytes() for pem in CERTIFICATE.cert_chain_pems)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    server: Any = SSL.Connection(server_context(chain, Secret(CERTIFICATE.private_key_pem.bytes())).getContext(), None)
    client.set_connect_state()
    server.set_accept_state()
    done: set[object] = set()
    while len(done) < 2:
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
                done.add(one)
            except SSL.WantReadError:
                pass
            carry(one, other)
    for one in (client, server):
        with pytest.raises(SSL.WantReadError):
            one.recv(1)
    return client, server


def carry(one: SSL.Connection, other: SSL.Connection) -> None:
    try:
        other.bio_write(one.bio_read(65_536))
    except SSL.WantReadError:
        pass


def opened(records: Records) -> bytes:
    """Return all that can be read, as `SecureLine` reads it."""
    octets = records.open()
    while records.more():
        try:
            octets += records.open()
        except SSL.WantReadError:
            break
    return octets


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reader", KINDS)
@pytest.mark.parametrize("writer", KINDS)
def test_what_one_kind_writes_the_other_reads(writer: type, reader: type, size: int) -> None:
    client, server = shaken()
    text = bytes(at % 251 for at in range(size))
    one, other = writer(client), reader(server)

    for _ in range(2):
        other.take(bytes(one.seal(text)))
        assert opened(other) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_record_is_waited_for_wherever_it_is_cut(kind: type) -> None:
    client, server = shaken()
    for cut in range(1, 28):
        octets = bytes(kind(client).seal(b"NOOP\r\n"))
        records = kind(server)
        records.take(octets[:cut])
        with pytest.raises(SSL.WantReadError):
            records.open()
        records.take(octets[cut:])

        assert opened(records) == b"NOOP\r\n"


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_and_the_faults_are_those_of_pyopenssl(kind: type) -> None:
    client, server = shaken()
    client.shutdown()
    records = kind(server)
    records.take(client.bio_read(RECORD))
    with pytest.raises(SSL.ZeroReturnError):
        records.open()

    client, server = shaken()
    octets = bytearray(kind(client).seal(b"NOOP\r\n"))
    octets[-1] ^= 1
    records = kind(server)
    records.take(bytes(octets))
    with pytest.raises(SSL.Error, match="bad record mac"):
        records.open()
    with pytest.raises(SSL.Error):
        records.seal(b"250 OK\r\n")


def test_only_the_direct_kind_knows_that_nothing_is_left_and_it_is_the_one_that_is_used() -> None:
    client, server = shaken()
    one, other = records_of(client), records_of(server)
    assert isinstance(other, DirectRecords)
    other.take(bytes(one.seal(b"a")) + bytes(one.seal(b"b")))

    assert (other.open(), other.more()) == (b"a", True)
    assert (other.open(), other.more()) == (b"b", False)


def test_where_pyopenssls_names_are_others_its_methods_are_used() -> None:
    class Other:
        bio_write = recv = sendall = bio_read = None

    strange: Any = Other()
    assert isinstance(records_of(strange), PublicRecords)
