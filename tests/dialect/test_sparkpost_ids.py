"""Ids of SparkPost's form."""

import re

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.sparkpost_ids import message_id, queue_id, transmission_id

SECONDS = st.floats(1, 4e9)


def test_the_id_of_a_250_is_the_one_that_sparkpost_gave_beside_that_message_id() -> None:
    # Both are from one message that SparkPost delivered: Message-ID and X-MSFBL.
    assert queue_id("0001527d155b119d5ed2") == "E5/2D-40209-25D751B5"


@given(SECONDS, st.binary(min_size=6, max_size=6))
def test_a_message_id_is_20_hexadecimal_digits_with_the_second_in_them(at: float, chance: bytes) -> None:
    found = message_id(at, chance)

    assert re.fullmatch(r"[0-9a-f]{20}", found)
    assert int.from_bytes(bytes.fromhex(found[4:12]), "little") == int(at)
    assert re.fullmatch(r"[0-9A-F]{2}/[0-9A-F]{2}-[0-9]{1,5}-[0-9A-F]{8}", queue_id(found))


@given(SECONDS, st.binary(min_size=2, max_size=2))
def test_a_transmission_id_fits_a_signed_column_of_64_bits(at: float, chance: bytes) -> None:
    assert 0 < transmission_id(at, chance) < 2**63


def test_transmission_ids_grow_with_time_and_differ_by_chance() -> None:
    first, later = transmission_id(1795154400.0, b"\xff\xff"), transmission_id(1795154400.000002, b"\0\0")

    assert first < later
    assert transmission_id(1795154400.0, b"\0\1") != transmission_id(1795154400.0, b"\0\2")
