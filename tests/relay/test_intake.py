"""From the data of a message to its content, or to the refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from smtpbridge.relay.budget import Budget
from smtpbridge.relay.content import Content
from smtpbridge.relay.intake import MAX_FIELDS, NO_SPACE, content_of, long_header, many_fields, sealed, taken
from smtpbridge.relay.spool import Spool
from smtpbridge.smtp.data import Defects
from smtpbridge.smtp.replies import Reply


def taken_in(
    data: bytes,
    *,
    threshold: int = 1 << 20,
    budget: Budget | None = None,
    defects: Defects | None = None,
    max_header: int = 1 << 20,
    max_fields: int = MAX_FIELDS,
) -> Content | Reply:
    spool = Spool(threshold, budget)
    spool.write(data)
    return sealed(spool, defects or Defects(), reject_bare=True, max_header=max_header, max_fields=max_fields)


@given(
    st.lists(
        st.sampled_from([b"A: b\r\n", b" c\r\n", b"\r\n", b"a.b", b"c", b"From x\r\n", b":", b"\r\n..d"]), min_size=1
    ).map(b"".join),
    st.sampled_from([1 << 20, 20]),
    st.sampled_from([1 << 20, 12]),
    st.sampled_from([1000, 2]),
)
def test_data_in_one_piece_are_taken_as_if_they_had_been_spooled(
    text: bytes, memory: int, max_header: int, max_fields: int
) -> None:
    data = text + b"\r\n"
    budget = Budget(max_memory=memory)
    found = taken(data, budget, threshold=40, max_header=max_header, max_fields=max_fields)
    held = budget.memory
    if isinstance(found, Content):
        found.close()
    spooled = Budget(max_memory=memory)
    expected = taken_in(data, threshold=40, budget=spooled, max_header=max_header, max_fields=max_fields)

    assert (budget.memory, budget.temporary) == (0, 0)
    if len(data) > min(memory, 40):
        assert found is None
        assert spooled.memory == 0 or spooled.temporary > 0
    elif isinstance(found, Content):
        assert isinstance(expected, Content)
        assert found.in_memory is not None
        assert (found.header, found.size, found.body_size) == (expected.header, expected.size, expected.body_size)
        assert found.in_memory == expected.in_memory
        assert held == spooled.memory == len(data)
    else:
        assert found == expected
        assert held == 0
    if isinstance(expected, Content):
        expected.close()


def test_doubled_dots_are_taken_off_in_the_header_and_left_in_the_body() -> None:
    data = b"A: b\r\n..c: d\r\n e\r\n\r\n..body\r\n...\r\n"
    found = taken(data, Budget(), threshold=1 << 20, max_header=1 << 20)

    assert isinstance(found, Content)
    assert found.header == b"A: b\r\n.c: d\r\n e\r\n"
    assert found.in_memory == b"..body\r\n...\r\n"
    found.close()


@pytest.mark.parametrize("threshold", [0, 1 << 20])
def test_a_header_may_have_as_many_fields_as_the_limit_and_not_one_more(threshold: int) -> None:
    budget = Budget()
    for fields, good in ((1000, True), (1001, False)):
        data = b"A:\r\n" * fields + b"\r\nbody\r\n"

        found = taken_in(data, threshold=threshold, budget=budget)

        if good:
            assert isinstance(found, Content)
            found.close()
        else:
            assert found == many_fields(1000)
        assert (budget.memory, budget.temporary) == (0, 0)


def test_lines_that_are_no_field_count_and_the_lines_of_a_folded_one_do_not() -> None:
    folded = b"A: b\r\n" + b" c\r\n\td\r\n" * 5000
    assert isinstance(taken_in(folded + b"\r\nbody\r\n", max_fields=1), Content)

    assert taken_in(b"A: b\r\n" + b"c\r\n" * 3 + b"\r\nbody\r\n", max_fields=3) == many_fields(3)


def test_lines_of_the_body_are_not_counted() -> None:
    assert isinstance(taken_in(b"A: b\r\n\r\n" + b"C: d\r\n" * 5000, max_fields=1), Content)


def test_the_refusals_of_a_header_name_the_limit() -> None:
    assert taken_in(b"A: b\r\n\r\n", max_header=5) == long_header(5)
    assert str(long_header(4_194_304)).startswith("552 5.3.4 ")
    assert "4194304 octets" in str(long_header(4_194_304))
    assert str(many_fields(1000)).startswith("552 5.3.4 ")
    assert "1000 fields" in str(many_fields(1000))


def test_a_message_given_whole_is_judged_alike() -> None:
    octets = b"A: b\r\n" * 4 + b"\r\nbody\r\n"

    assert content_of(octets, max_message=1000, reject_bare=True, max_header=1000, max_fields=3) == many_fields(3)
    assert isinstance(content_of(octets, max_message=1000, reject_bare=True, max_header=1000, max_fields=4), Content)


@pytest.mark.parametrize("threshold", [0, 1 << 20])
@pytest.mark.parametrize("defects", [Defects(nul=True), Defects(bare_line_ends=True)])
def test_whatever_is_refused_gives_its_room_back(threshold: int, defects: Defects) -> None:
    budget = Budget()

    found = taken_in(b"A: b\r\n\r\n\n\0", threshold=threshold, budget=budget, defects=defects)

    assert isinstance(found, Reply)
    assert found.code == 550
    assert (budget.memory, budget.temporary) == (0, 0)


class Unkept(TestCase):
    """What cannot be kept is for the operator's log too."""

    def refuses(self, data: bytes, threshold: int, budget: Budget) -> None:
        room = budget.memory, budget.temporary

        self.assertEqual(taken_in(data, threshold=threshold, budget=budget), NO_SPACE)

        self.assertEqual((budget.memory, budget.temporary), room)

    def test_a_disk_that_takes_nothing_is_a_refusal_for_now(self) -> None:
        self.refuses(b"A: b\r\n\r\n", 0, Budget(folder="/nonexistent/folder"))

    def test_a_long_header_is_refused_for_now_where_memory_is_short_and_an_ordinary_one_never(self) -> None:
        budget = Budget(max_memory=50_000)
        other = Spool(1 << 20, budget)
        other.write(b"b" * 45_000)

        self.refuses(b"A: " + b"b" * 20_000 + b"\r\n\r\n", 0, budget)

        ordinary = taken_in(b"A: " + b"b" * 10_000 + b"\r\n\r\n", threshold=0, budget=budget)
        self.assertIsInstance(ordinary, Content)
        assert isinstance(ordinary, Content)
        self.assertEqual(budget.memory, 45_000 + len(ordinary.header))
        ordinary.close()
        other.discard()
        self.assertEqual((budget.memory, budget.temporary), (0, 0))
