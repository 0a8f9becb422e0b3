"""Behind a balancer: who counts as the client, what happens without a header, and that nobody else can claim one."""

import base64
import struct
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import cast

from twisted.python.failure import Failure

from smtpbridge.relay.balancer import Balancer
from smtpbridge.relay.sender import Sender
from smtpbridge.relay.tally import Limit
from tests.relay.fakes import Line, cut
from tests.relay.test_listener import ENVELOPE, HABITS, MESSAGE, SECRET, ListenerCase

BALANCER = "10.0.0.7"
PROXIED = replace(HABITS, allow=[ip_network("192.0.2.0/24")], proxy_from=[ip_network("10.0.0.0/24")], proxy=5.0)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
UNKNOWN = b"PROXY UNKNOWN\r\n"
PLAIN = base64.b64encode(f"\0SMTP_Injection\0{SECRET}".encode())


def v1(client: str) -> bytes:
    return (
        f"PROXY TCP{6 if ':' in client else 4} {client} {'::1' if ':' in client else '10.9.9.9'} 40000 25\r\n".encode()
    )


def v2(client: str, *, tls: bool | None = None) -> bytes:
    block = ip_address(client).packed + ip_address("10.9.9.9").packed + struct.pack("!HH", 40_000, 25)
    if tls is not None:
        block += b"\x20\x00\x05" + bytes([tls]) + b"\0\0\0\x01"
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x11, len(block)) + block


class Served:
    """A connection, by whoever serves it now: first it is the balancer's, then its client's."""

    def __init__(self, line: Line) -> None:
        self._line = line

    @property
    def _protocol(self) -> Sender | Balancer:
        assert isinstance(self._line.protocol, Sender | Balancer)
        return self._line.protocol

    @property
    def address(self) -> str:
        return self._protocol.address

    def dataReceived(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def handshakeCompleted(self) -> None:
        assert isinstance(self._protocol, Sender)
        self._protocol.handshakeCompleted()

    def connectionLost(self, reason: Failure) -> None:
        self._protocol.connectionLost(reason)


class ProxiedCase(ListenerCase):
    habits = PROXIED

    def connect(self, address: str = "127.0.0.1") -> tuple[Sender, Line]:
        _, line = super().connect(address)
        return cast(Sender, Served(line)), line

    def by_balancer(self, octets: bytes, balancer: str = BALANCER) -> tuple[Sender, Line]:
        """Connect as the balancer and send these octets."""
        sender, line = self.connect(balancer)
        self.assertEqual(line.value(), b"", "a balancer is not greeted before it has spoken")
        sender.dataReceived(octets)
        return sender, line

    def offered(self, sender: Sender, line: Line) -> bytes:
        line.take()
        sender.dataReceived(b"EHLO client.test\r\n")
        return line.take()


class ClientTest(ProxiedCase):
    def test_a_client_is_greeted_once_its_header_is_whole(self) -> None:
        for header in (v1("192.0.2.7"), v2("192.0.2.7"), v1("2001:db8::7"), LOCAL, UNKNOWN):
            sender, line = self.connect(BALANCER)
            for at in range(len(header)):
                self.assertEqual(line.value(), b"")
                sender.dataReceived(header[at : at + 1])

            self.assertEqual(self.codes(line), [220])

    def test_the_clients_address_decides_who_may_relay(self) -> None:
        trusted, line = self.by_balancer(v1("192.0.2.7") + b"EHLO a\r\n")
        trusted.dataReceived(ENVELOPE)
        self.assertEqual(self.codes(line), [220, 250, 250, 250, 354])
        stranger, line = self.by_balancer(v2("198.51.100.7") + b"EHLO a\r\n")
        stranger.dataReceived(b"MAIL FROM:<s@example.com>\r\n")

        self.assertEqual([code // 100 for code in self.codes(line)], [2, 2, 5])

    def test_a_balancer_in_an_allowed_network_passes_its_trust_on_to_nobody(self) -> None:
        self.gate = self.build(replace(PROXIED, allow=PROXIED.proxy_from))
        stranger, line = self.by_balancer(v1("198.51.100.7") + b"EHLO a\r\n")
        stranger.dataReceived(b"MAIL FROM:<s@example.com>\r\n")

        self.assertEqual([code // 100 for code in self.codes(line)], [2, 2, 5])

    def test_trace_log_and_source_name_the_client(self) -> None:
        sender, _ = self.by_balancer(v2("192.0.2.7") + b"EHLO a\r\n" + ENVELOPE)
        sender.dataReceived(b"Subject: one\r\n\r\nbody\r\n.\r\n")

        (message,) = self.taker.messages
        self.assertEqual((message.trace.from_address, message.source), ("192.0.2.7", "192.0.2.7"))
        self.assertEqual(len(self.logged("received client=192.0.2.7 ")), 1)

    def test_an_ipv4_client_of_an_ipv6_socket_is_one_and_the_same_everywhere(self) -> None:
        _, line = self.by_balancer(v1("::ffff:192.0.2.7") + b"EHLO a\r\n" + MESSAGE, "::ffff:10.0.0.7")

        self.assertEqual(self.codes(line), [220, 250, 250, 250, 354])
        self.assertEqual(self.taker.messages[0].trace.from_address, "192.0.2.7")

    def test_what_follows_the_header_is_the_clients_and_a_second_header_is_a_bad_command(self) -> None:
        sender, line = self.by_balancer(v1("192.0.2.7") + b"EHLO a\r\nNOOP\r\nQUIT\r\n")
        self.assertEqual(self.codes(line), [220, 250, 250, 221])
        self.assertTrue(line.disconnecting)
        sender, line = self.by_balancer(v1("198.51.100.7") + v1("192.0.2.7"))

        self.assertEqual(self.codes(line), [220, 500])
        self.assertEqual(sender.address, "198.51.100.7")
        self.assertEqual(self.logged("proxy_from"), [], "no key would change that")

    def test_sessions_are_counted_by_client_and_counted_out_again(self) -> None:
        self.gate = self.build(replace(PROXIED, max_sessions=3, max_sessions_per_address=1))
        first, line = self.by_balancer(v1("192.0.2.7"))
        _, second = self.by_balancer(v1("192.0.2.7"))
        _, other = self.by_balancer(v1("192.0.2.8"))

        self.assertEqual([self.codes(one) for one in (line, second, other)], [[220], [421], [220]])
        self.assertEqual(self.gate.tally.limits[Limit.MAX_SESSIONS_PER_ADDRESS], 1)
        self.assertEqual(len(self.logged("session refused client=192.0.2.7")), 1)
        cut(first)
        self.assertEqual(len(self.gate.sessions), 1)
        _, again = self.by_balancer(v1("192.0.2.7"))
        self.assertEqual(self.codes(again), [220])

    def test_a_connection_without_a_header_yet_is_no_session(self) -> None:
        self.gate = self.build(replace(PROXIED, max_sessions=1))
        waiting, _ = self.connect(BALANCER)
        _, line = self.by_balancer(v1("192.0.2.7"))

        self.assertEqual(self.codes(line), [220])
        cut(waiting)
        self.assertEqual(len(self.gate.sessions), 1)

    def test_a_header_that_comes_while_the_service_stops_is_answered_421(self) -> None:
        waiting, line = self.connect(BALANCER)
        stopped = self.gate.stop()
        waiting.dataReceived(v1("192.0.2.7"))

        self.assertTrue(line.value().startswith(b"421 4.3.2 "))
        self.successResultOf(stopped)

    def test_the_idle_limit_counts_from_the_header_on(self) -> None:
        sender, line = self.connect(BALANCER)
        self.wait(4)
        sender.dataReceived(v1("192.0.2.7"))
        self.wait(25)
        self.assertEqual(self.codes(line), [220])
        self.wait(10)

        self.assertEqual(self.codes(line), [421])
        self.assertEqual(len(self.logged("timeout client=192.0.2.7")), 1)


class TlsTest(ProxiedCase):
    def test_tls_that_ended_at_the_balancer_is_tls_where_its_header_says_so(self) -> None:
        self.gate = self.build(replace(PROXIED, allow=()))
        sender, line = self.by_balancer(v2("198.51.100.7", tls=True))
        offered = self.offered(sender, line)
        self.assertIn(b"250-AUTH LOGIN PLAIN\r\n", offered)
        self.assertNotIn(b"STARTTLS", offered)
        sender.dataReceived(b"STARTTLS\r\nAUTH PLAIN " + PLAIN + b"\r\n" + ENVELOPE)
        sender.dataReceived(b"Subject: one\r\n\r\nbody\r\n.\r\n")

        self.assertEqual([code for code in self.codes(line) if code != 250], [502, 235, 354])
        self.assertEqual(self.taker.messages[0].trace.protocol, "ESMTPSA")
        self.assertEqual(len(self.logged("login accepted client=198.51.100.7")), 1)

    def test_without_its_word_there_is_no_tls_and_starttls_is_offered(self) -> None:
        for header in (v2("198.51.100.7"), v2("198.51.100.7", tls=False), v1("198.51.100.7")):
            sender, line = self.by_balancer(header)
            offered = self.offered(sender, line)

            self.assertNotIn(b"AUTH ", offered)
            self.assertIn(b"250-STARTTLS\r\n", offered)

    def test_starttls_works_through_a_balancer_and_keeps_the_client(self) -> None:
        sender, line = self.by_balancer(v1("198.51.100.7"))
        sender.dataReceived(b"EHLO a\r\nSTARTTLS\r\n")
        sender.handshakeCompleted()

        self.assertEqual(len(line.tls), 1)
        self.assertIn(b"250-AUTH LOGIN PLAIN\r\n", self.offered(sender, line))
        self.assertEqual(sender.address, "198.51.100.7")

    def test_a_balancer_that_always_ends_tls_need_not_say_so_but_a_peer_that_is_none_gains_nothing(self) -> None:
        self.gate = self.build(replace(PROXIED, proxy_tls_always=True))
        for header in (v1("198.51.100.7"), v2("198.51.100.7"), v2("198.51.100.7", tls=False)):
            sender, line = self.by_balancer(header)
            self.assertIn(b"250-AUTH LOGIN PLAIN\r\n", self.offered(sender, line))
        for address, header in ((BALANCER, LOCAL), (BALANCER, UNKNOWN), ("198.51.100.8", b"")):
            sender, line = self.connect(address)
            sender.dataReceived(header)
            self.assertNotIn(b"AUTH ", self.offered(sender, line))


class ProbeTest(ProxiedCase):
    habits = replace(PROXIED, max_sessions_per_address=1)

    def test_a_probe_is_served_at_the_balancers_own_address_and_not_counted_against_it(self) -> None:
        lines = [self.by_balancer(header)[1] for header in (LOCAL, LOCAL, UNKNOWN, UNKNOWN)]

        self.assertEqual([self.codes(line) for line in lines], [[220]] * 4)
        self.assertEqual({getattr(one, "address", "") for one in self.gate.sessions}, {BALANCER})
        self.assertEqual(len(self.gate.sessions), 4, "they count in all")

    def test_a_probe_that_ends_makes_no_room_for_others(self) -> None:
        probe, _ = self.by_balancer(LOCAL)
        cut(probe)
        lines = [self.by_balancer(v1(BALANCER))[1] for _ in range(2)]

        self.assertEqual([self.codes(line) for line in lines], [[220], [421]])

    def test_a_probe_that_says_quit_or_closes_makes_no_log_line(self) -> None:
        for header in (b"", LOCAL, UNKNOWN, LOCAL + b"QUIT\r\n", UNKNOWN + b"EHLO a\r\nQUIT\r\n"):
            sender, _ = self.connect(BALANCER)
            if header:
                sender.dataReceived(header)
            cut(sender)

        self.assertEqual([one for one in self.lines if "by balancer=" not in one], [])
        self.assertEqual(len(self.gate.sessions), 0)

    def test_a_probe_is_trusted_as_the_balancers_address_is(self) -> None:
        _, line = self.by_balancer(LOCAL + b"EHLO a\r\nMAIL FROM:<s@example.com>\r\n")
        self.assertEqual([code // 100 for code in self.codes(line)], [2, 2, 5])
        self.gate = self.build(replace(PROXIED, allow=PROXIED.proxy_from))
        _, line = self.by_balancer(LOCAL + b"EHLO a\r\nMAIL FROM:<s@example.com>\r\n")
        self.assertEqual([code // 100 for code in self.codes(line)], [2, 2, 2])


class WrongHeaderTest(ProxiedCase):
    def assert_spurned(self, line: Line, *words: str) -> None:
        self.assertEqual(line.value(), b"", "it is closed without a word")
        self.assertTrue(line.disconnected)
        (logged,) = self.lines
        for word in (f"balancer={BALANCER}", *words):
            self.assertIn(word, logged)

    def test_a_balancer_that_sends_none_is_closed_in_time(self) -> None:
        sender, line = self.connect(BALANCER)
        self.wait(4)
        self.assertFalse(line.disconnected)
        self.wait(2)

        self.assert_spurned(line, "no whole header within 5 s", "proxy_seconds")
        self.assertEqual(self.gate.tally.limits[Limit.PROXY_SECONDS], 1)
        cut(sender)
        self.wait(60)
        self.assertEqual(len(self.lines), 1)

    def test_octets_of_a_header_do_not_move_its_deadline(self) -> None:
        sender, line = self.connect(BALANCER)
        for at in range(7):
            self.wait(1)
            if not line.disconnected:
                sender.dataReceived(UNKNOWN[at : at + 1])

        self.assert_spurned(line, "no whole header within 5 s")

    def test_a_client_that_gets_past_a_balancer_without_a_header_is_closed_at_once(self) -> None:
        _, line = self.by_balancer(b"EHLO client.test\r\n")

        self.assert_spurned(line, "no PROXY header, but EHLO client.test")

    def test_a_wrong_header_is_closed_at_once_with_what_was_wrong_and_nothing_of_it_counts(self) -> None:
        sender, line = self.by_balancer(b"PROXY TCP4 192.0.2.007 10.9.9.9 1 25\r\nEHLO a\r\n")
        self.assert_spurned(line, "a PROXY line that is not as specified: PROXY TCP4 192.0.2.007 ")
        sender.dataReceived(b"EHLO a\r\n" + ENVELOPE)
        cut(sender)

        self.assert_spurned(line)
        self.assertEqual((self.gate.sessions, sender.address), (set(), BALANCER))

    def test_a_binary_header_over_the_limit_is_closed_before_it_comes(self) -> None:
        _, line = self.by_balancer(SIGNATURE + b"\x21\x11\xff\xff")

        self.assert_spurned(line, "a header of 65551 octets, over the 2048 that are read")

    def test_a_balancer_that_closes_within_its_header_is_noted(self) -> None:
        sender, _ = self.by_balancer(b"PROXY TCP4 192.")
        cut(sender)

        (logged,) = self.lines
        self.assertIn(f"balancer={BALANCER}: it closed within the header", logged)


class StrangerTest(ProxiedCase):
    def test_a_peer_that_is_no_balancer_is_greeted_at_once_and_served_as_itself(self) -> None:
        sender, line = self.connect("198.51.100.7")

        self.assertEqual(self.codes(line), [220])
        sender.dataReceived(b"EHLO a\r\n")
        self.assertEqual((self.codes(line), sender.address, self.lines), ([250], "198.51.100.7", []))

    def test_its_header_is_a_bad_command_and_the_log_says_which_key_would_change_that(self) -> None:
        for header in (v1("192.0.2.7"), v2("192.0.2.7")):
            self.lines.clear()
            sender, line = self.connect("198.51.100.7")
            line.take()
            sender.dataReceived(header)
            self.assertEqual({code // 100 for code in self.codes(line)}, {5})
            self.assertEqual(sender.address, "198.51.100.7")
            sender.dataReceived(v1("192.0.2.7"))
            (logged,) = self.logged("proxy_from")
            self.assertIn("PROXY header from client=198.51.100.7", logged)

    def test_it_may_not_relay_as_whom_it_claims_to_be(self) -> None:
        sender, line = self.connect("198.51.100.7")
        sender.dataReceived(v1("192.0.2.7") + b"EHLO a\r\nMAIL FROM:<s@example.com>\r\n")

        self.assertEqual([code // 100 for code in self.codes(line)], [2, 5, 2, 5])

    def test_xclient_is_neither_offered_nor_obeyed_not_even_from_a_balancer(self) -> None:
        for sender, line in (self.connect("192.0.2.9"), self.by_balancer(v1("192.0.2.9"))):
            self.assertNotIn(b"XCLIENT", self.offered(sender, line))
            sender.dataReceived(b"XCLIENT ADDR=127.0.0.1 NAME=localhost\r\nXFORWARD ADDR=127.0.0.1\r\n")
            self.assertEqual(self.codes(line), [500, 500])
            self.assertEqual(sender.address, "192.0.2.9")

    def test_a_listener_without_balancers_knows_no_headers(self) -> None:
        self.gate = self.build(HABITS)
        sender, line = self.connect("127.0.0.1")
        sender.dataReceived(v1("192.0.2.7"))

        self.assertEqual(self.codes(line), [220, 500])
        self.assertEqual(sender.address, "127.0.0.1")
