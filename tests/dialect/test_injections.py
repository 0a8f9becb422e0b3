"""The injections of a message: the octets that `event` would write, for each recipient."""

from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from smtpbridge.dialect.injections import injection_id, injections
from smtpbridge.dialect.number import Number
from smtpbridge.dialect.sent import MOST_TRANSMISSION_ID, Copy, Shared, sent_of, written_metadata
from smtpbridge.dialect.sparkpost_event import Account
from tests.events.examples import injection

TEXTS = st.text(max_size=12)
METADATA = st.none() | st.dictionaries(TEXTS, TEXTS | st.booleans() | st.none() | st.just(Number("1.50")), max_size=3)
ADDRESSES = st.tuples(TEXTS, st.sampled_from(["", "@", "@Example.NET", "@ä.example"])).map("".join)
SHARED = st.builds(
    Shared,
    campaign=TEXTS,
    metadata=METADATA,
    tags=st.lists(TEXTS, max_size=2).map(tuple),
    subject=TEXTS,
    friendly_from=ADDRESSES,
    msg_from=TEXTS,
    open_tracking=st.booleans(),
    click_tracking=st.booleans(),
    transactional=st.booleans(),
    subaccount=TEXTS,
    ip_pool=TEXTS,
)
RECIPIENTS = ADDRESSES.filter(bool)
COPIES = st.lists(
    st.tuples(RECIPIENTS, st.sampled_from(Copy), st.sampled_from(["", "0001f2a46b5e93c7d810"])), max_size=3
)
TIMES = st.floats(0, 4e9)
ACCOUNTS = st.builds(Account, customer_id=st.sampled_from(["", "1521"]), initial_pixel=st.booleans())
MESSAGE = Shared(campaign="spring")


@given(SHARED, st.integers(1, MOST_TRANSMISSION_ID), st.integers(0, 10**9), TIMES, COPIES, ACCOUNTS)
def test_they_are_what_any_other_event_of_the_message_would_be(
    shared: Shared, id_: int, size: int, at: float, copies: list[tuple[str, Copy, str]], account: Account
) -> None:
    written = injections(shared, written_metadata(shared), id_, size, at, copies, account)

    events = [
        injection(sent_of(shared, id_, size, at, message_id, copy, recipient), account)
        for recipient, copy, message_id in copies
    ]
    assert [one.octets for one in written] == [one.write() for one in events]
    assert [one.id for one in written] == [one.id for one in events]
    assert [one.recipient for one in written] == [recipient.lower() for recipient, *_ in copies]


def test_recipients_of_one_message_have_injections_of_their_own() -> None:
    copies = [("a@b.example", Copy.ENVELOPE, f"{number:020}") for number in range(2)]

    one, other = injections(MESSAGE, "{}", 1, 0, 1.0, copies, Account())

    assert one.id != other.id


def test_the_same_message_has_the_same_injections() -> None:
    copies = [("a@b.example", Copy.ENVELOPE, "0" * 20)]

    one, again = (injections(Shared(**asdict(MESSAGE)), "{}", 1, 0, 1.0, copies, Account()) for _ in range(2))

    assert one == again


def test_ids_of_injections_are_those_of_sparkpost_and_come_in_the_order_of_time() -> None:
    second = 1_000_000 << 11
    ids = [
        int(injection_id(1_780_000_000 * second + number * second // 10, "0001f2a46b5e93c7d810"))
        for number in range(50)
    ]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(0 <= one < 1 << 63 for one in ids)
    assert int(injection_id(MOST_TRANSMISSION_ID, "")) < 1 << 63
