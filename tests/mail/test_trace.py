"""What is promised of the trace fields: right, and closed to what a peer says of itself."""

import re
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.mail import trace as fields
from smtpbridge.mail.trace import Trace, rfc5322_date

_DATE = "Fri, 20 Nov 2026 06:00:00 +0000"


def _trace(from_name: str = "app.example", from_address: str = "192.0.2.7") -> Trace:
    return Trace("bridge.example.com", from_name, from_address, "ESMTPS", "8K2mq", _DATE)


def test_received_says_from_whom_by_whom_how_and_when() -> None:
    assert fields.received(_trace()) == (
        b"Received: from app.example ([192.0.2.7])\r\n"
        b" by bridge.example.com with ESMTPS id 8K2mq;\r\n"
        b" Fri, 20 Nov 2026 06:00:00 +0000\r\n"
    )


def test_an_ipv6_peer_is_written_with_its_tag() -> None:
    assert b"from app.example ([IPv6:2001:db8::7])\r\n" in fields.received(_trace(from_address="2001:db8::7"))


def test_a_peer_on_a_local_socket_has_no_address() -> None:
    assert fields.received(_trace(from_address="")).startswith(b"Received: from app.example\r\n by ")


def test_an_empty_helo_name_is_unknown() -> None:
    assert fields.received(_trace(from_name="")).startswith(b"Received: from unknown ([192.0.2.7])")


@given(st.text(), st.text())
def test_nothing_that_a_peer_says_of_itself_can_change_the_shape_of_received(name: str, address: str) -> None:
    field = fields.received(_trace(name, address))

    assert re.fullmatch(
        rb"Received: from [A-Za-z0-9._:?\[\]-]{1,255}( \(\[(IPv6:)?[A-Za-z0-9._:?\[\]-]{1,255}\]\))?\r\n"
        rb" by bridge\.example\.com with ESMTPS id 8K2mq;\r\n Fri, 20 Nov 2026 06:00:00 \+0000\r\n",
        field,
    )


def test_message_id_is_the_bridges_id_at_the_bridges_name() -> None:
    assert fields.message_id(_trace()) == b"Message-ID: <8K2mq@bridge.example.com>\r\n"


def test_date_is_the_time_of_arrival() -> None:
    assert fields.date(_trace()) == b"Date: Fri, 20 Nov 2026 06:00:00 +0000\r\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
        (951782400.9, "Tue, 29 Feb 2000 00:00:00 +0000"),
        (1795154400, _DATE),
    ],
)
def test_a_time_is_written_as_rfc_5322_wants_it(seconds: float, text: str) -> None:
    assert rfc5322_date(seconds) == text


@given(st.integers(0, 4102444800))
def test_a_date_reads_back_as_the_same_second(seconds: int) -> None:
    assert parsedate_to_datetime(rfc5322_date(seconds)).timestamp() == seconds
