"""What is kept of a message comes back as it was, whatever it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.instructions import Json
from smtpbridge.dialect.number import Number
from smtpbridge.dialect.sent import (
    Copy,
    Damaged,
    Sent,
    Shared,
    read,
    sent_of,
    write_own,
    write_shared,
    written_metadata,
)

MESSAGE_ID = "0001527d155b119d5ed2"
SCALARS: st.SearchStrategy[Json] = st.none() | st.booleans() | st.text() | st.integers().map(lambda n: Number(str(n)))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
SHARED = st.builds(
    Shared,
    campaign=st.text(),
    metadata=st.none() | st.dictionaries(st.text(), VALUES),
    tags=st.lists(st.text()).map(tuple),
    subject=st.text(st.characters(codec=None)),
    friendly_from=st.text(),
    msg_from=st.text(),
    open_tracking=st.booleans(),
    click_tracking=st.booleans(),
    transactional=st.booleans(),
    subaccount=st.text(),
    ip_pool=st.text(),
)


def shared_of(shared: Shared, transmission: int, size: int) -> bytes:
    return write_shared(shared, written_metadata(shared), transmission, size)


@given(SHARED, st.integers(1, 2**63 - 1), st.integers(0, 2**40), st.sampled_from(Copy))
def test_what_was_written_of_a_copy_is_read_again(shared: Shared, transmission: int, size: int, copy: Copy) -> None:
    sent = sent_of(shared, transmission, size, 1795154400.25, MESSAGE_ID, copy, "Ann@Example.com")

    octets = shared_of(shared, transmission, size)
    own = write_own(MESSAGE_ID, copy, "Ann@Example.com")

    assert read(1795154400.25, octets, own, "ann@example.com") == sent
    assert octets.isascii()


def test_numbers_in_metadata_are_kept_as_they_were_written() -> None:
    metadata: dict[str, Json] = {
        "big": Number("12345678901234567890123"),
        "exact": Number("1.10"),
        "far": Number("1e400"),
    }

    found = read(1.0, shared_of(Shared(metadata=metadata), 1, 0), None, "a@b.example")

    assert found.metadata == metadata
    assert all(isinstance(number, Number) for number in found.metadata.values())


def test_a_recipient_who_did_not_get_the_message_has_what_all_have_and_no_message_id() -> None:
    found = read(1.0, shared_of(Shared(campaign="spring"), 7, 5), None, "who@example.com")

    assert (found.campaign, found.message_id, found.recipient, found.transmission_id) == (
        "spring",
        "",
        "who@example.com",
        7,
    )


def test_a_spelling_is_kept_only_where_it_is_not_the_one_in_lower_case() -> None:
    assert len(write_own(MESSAGE_ID, Copy.BCC, "ann@example.com")) == 11
    assert read(1.0, shared_of(Shared(), 1, 0), write_own(MESSAGE_ID, Copy.BCC, "a@b.example"), "a@b.example") == Sent(
        1, MESSAGE_ID, "a@b.example", 1.0, Copy.BCC
    )


def test_what_was_written_before_there_was_a_field_reads_as_if_it_were_empty() -> None:
    found = read(1.0, b'[5,10,1,"spring",["a"],{},"Hello"]', None, "a@b.example")

    assert found == Sent(
        5, "", "a@b.example", 1.0, campaign="spring", tags=("a",), subject="Hello", size=10, open_tracking=True
    )


@pytest.mark.parametrize("octets", [b"", b"{}", b"[1]", b'["x",1,1,"",[],{}]', b"\xff", b'[0,1,1,"",[],{}]', b"null"])
def test_octets_that_were_not_written_here_are_an_error(octets: bytes) -> None:
    with pytest.raises(Damaged):
        read(1.0, octets, None, "a@b.example")


@pytest.mark.parametrize("own", [b"", b"0123456789", b"0123456789x", b"0123456789e\xff"])
def test_what_is_kept_of_a_recipient_is_no_less_looked_at(own: bytes) -> None:
    with pytest.raises(Damaged):
        read(1.0, shared_of(Shared(), 1, 0), own, "a@b.example")
