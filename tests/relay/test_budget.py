"""How much room all messages together may take: nothing is lost, nothing counted twice, and nobody waits for ever."""

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from twisted.trial.unittest import TestCase

from smtpbridge.dialect.plan import Kept, New
from smtpbridge.relay.budget import Budget
from smtpbridge.relay.content import CHUNK, Content
from smtpbridge.relay.spool import HeaderTooLong, NoSpace, Spool
from smtpbridge.smtp.data import Defects

HEADER = b"A: b\r\n\r\n"
SOUND = Defects()
BARE = Defects(bare_line_ends=True)


def spooled(budget: Budget, *blocks: bytes, threshold: int = 1 << 20) -> Spool:
    spool = Spool(threshold, budget)
    for block in blocks:
        spool.write(block)
    return spool


def in_use(budget: Budget) -> tuple[int, int]:
    return budget.memory, budget.temporary


def test_a_message_counts_from_its_first_block_until_its_content_is_closed() -> None:
    budget = Budget()
    spool = spooled(budget, HEADER, b"b" * 100)
    assert in_use(budget) == (108, 0)

    content = spool.seal(SOUND, 1000)
    assert in_use(budget) == (108, 0)

    content.close()
    content.close()
    assert in_use(budget) == (0, 0)


def test_a_message_in_a_file_counts_there_and_only_its_header_in_memory() -> None:
    budget = Budget()
    spool = spooled(budget, HEADER, b"b" * 100, threshold=50)
    assert in_use(budget) == (0, 108)

    content = spool.seal(SOUND, 1000)
    assert in_use(budget) == (len(content.header), 108) == (6, 108)

    content.close()
    content.close()
    assert in_use(budget) == (0, 0)


def test_a_message_that_outgrows_memory_when_it_is_written_anew_leaves_nobody_behind_in_the_line() -> None:
    budget = Budget(max_temporary=100)
    whole = spooled(budget, HEADER, b"b" * 200, threshold=0).seal(SOUND, 1000)
    spool = spooled(budget, HEADER, b"b\n" * 100, threshold=250)

    content = spool.seal(BARE, 1000)

    assert budget.waiting == 0
    content.close()
    whole.close()
    assert in_use(budget) == (0, 0)


@pytest.mark.parametrize("threshold", [0, 1 << 20])
def test_a_message_that_is_given_up_counts_no_more(threshold: int) -> None:
    budget = Budget()
    spool = spooled(budget, HEADER, b"b" * 100, threshold=threshold)

    spool.discard()
    spool.discard()

    assert in_use(budget) == (0, 0)


def test_beyond_the_limit_of_memory_a_small_message_goes_to_a_file_and_nobody_waits() -> None:
    budget = Budget(max_memory=100)
    first = spooled(budget, b"a" * 100)
    second = spooled(budget, b"b")

    assert in_use(budget) == (100, 1)
    assert not second.held_up
    first.discard()
    third = spooled(budget, b"c")
    second.write(b"b")
    assert in_use(budget) == (1, 2)
    for spool in (second, third):
        spool.discard()


@pytest.mark.parametrize("threshold", [0, 1 << 20])
def test_what_is_made_anew_of_a_body_counts_until_the_first_content_is_closed(threshold: int) -> None:
    budget = Budget()
    content = spooled(budget, HEADER, b"b" * 100, threshold=threshold).seal(SOUND, 1000)
    memory, temporary = in_use(budget)

    once = content.reworked((New(b"c" * 30), Kept(0, 10)))
    twice = once.reworked((Kept(0, 20), New(b"d" * 5)))
    # In memory all of it is new; from a file only what is.
    assert in_use(budget) == (memory + (35 if threshold == 0 else 40 + 25), temporary)

    twice.close()
    once.close()
    content.close()
    assert in_use(budget) == (0, 0)
    content.reworked((New(b"late"),))
    assert in_use(budget) == (0, 0)


def test_a_message_that_is_written_anew_counts_as_it_is_then() -> None:
    for threshold in (0, 1 << 20):
        budget = Budget()
        content = spooled(budget, HEADER, b"b\n" * 50, threshold=threshold).seal(BARE, 1000)

        assert content.size == 8 + 150
        assert in_use(budget) == ((6, 158) if threshold == 0 else (158, 0))
        content.close()
        assert in_use(budget) == (0, 0)


def test_a_message_that_is_small_enough_for_memory_when_it_is_written_anew_waits_for_nothing() -> None:
    budget = Budget(max_temporary=300)
    whole = spooled(budget, b"b" * 300, threshold=0).seal(SOUND, 1000)
    spool = spooled(budget, HEADER, b".c\r\n" * 50, threshold=200)
    assert spool.held_up

    content = spool.seal(BARE, 1000)

    assert content.size == 158
    assert (in_use(budget), budget.waiting, spool.held_up) == ((158, 300), 0, False)
    content.close()
    whole.close()
    assert in_use(budget) == (0, 0)


class Sender:
    """A sender that brings a message in blocks, whenever it is read."""

    def __init__(self, budget: Budget, blocks: int, size: int = CHUNK) -> None:
        self.called = 0
        self.left = blocks
        self.content: Content | None = None
        self._size = size
        self.spool = Spool(0, budget, self._room)

    def _room(self) -> None:
        assert not self.spool.held_up
        self.called += 1

    @property
    def is_read(self) -> bool:
        return not self.spool.held_up and self.content is None

    def bring(self) -> None:
        assert self.is_read
        if self.left:
            self.left -= 1
            self.spool.write(b"b" * self._size)
        else:
            self.content = self.spool.seal(SOUND, 1000)


def test_at_the_limit_of_files_a_sender_is_held_up_until_a_verdict_gives_room() -> None:
    budget = Budget(max_temporary=4 * CHUNK)
    whole = spooled(budget, b"b" * 4 * CHUNK, threshold=0).seal(SOUND, 1000)
    sender = Sender(budget, 3)

    sender.bring()
    assert (sender.spool.held_up, budget.waiting, sender.called) == (True, 1, 0)

    whole.close()
    assert (sender.spool.held_up, budget.waiting, sender.called) == (False, 0, 1)
    sender.bring()
    sender.bring()
    sender.bring()
    assert sender.content is not None
    sender.content.close()
    assert in_use(budget) == (0, 0)


def test_what_is_received_while_a_sender_is_held_up_is_kept() -> None:
    budget = Budget(max_temporary=200)
    whole = spooled(budget, b"b" * 200, threshold=0).seal(SOUND, 1000)
    spool = spooled(budget, HEADER, b"c" * 50, b"d" * 50, threshold=0)
    assert spool.held_up

    content = spool.seal(SOUND, 1000)

    assert (content.read(0), budget.waiting, spool.held_up) == (b"c" * 50 + b"d" * 50, 0, False)
    assert budget.temporary == 308
    content.close()
    whole.close()
    assert in_use(budget) == (0, 0)


def test_as_many_are_called_as_find_room_for_a_block_in_the_order_in_which_they_came() -> None:
    budget = Budget(max_temporary=10 * CHUNK)
    wholes = [spooled(budget, b"b" * 5 * CHUNK, threshold=0).seal(SOUND, 1000) for _ in range(2)]
    senders = [Sender(budget, 5, 100) for _ in range(8)]
    for sender in senders:
        sender.bring()
    assert budget.waiting == 8

    wholes[0].close()
    # 800 octets are over the limit, so five blocks less those find room.
    assert [sender.called for sender in senders] == [1, 1, 1, 1, 1, 0, 0, 0]

    # They bring little, so there is room for the others; who was called sees to that.
    senders[0].bring()
    assert [sender.called for sender in senders] == [1] * 8
    wholes[1].close()
    assert [sender.called for sender in senders] == [1] * 8
    for sender in senders:
        sender.spool.discard()
    assert in_use(budget) == (0, 0)


def test_those_who_were_called_and_send_nothing_keep_nobody_waiting_when_they_leave() -> None:
    budget = Budget(max_temporary=CHUNK)
    whole = spooled(budget, b"b" * 2 * CHUNK, threshold=0).seal(SOUND, 1000)
    silent, patient = Sender(budget, 2, 10), Sender(budget, 2, 10)
    silent.bring()
    patient.bring()
    whole.close()
    assert (silent.called, patient.called) == (1, 0)

    silent.spool.discard()

    assert patient.called == 1
    patient.spool.discard()


def test_when_only_half_received_messages_hold_the_room_one_after_the_other_has_the_right_of_way() -> None:
    budget = Budget(max_temporary=20 * CHUNK)
    senders = [Sender(budget, 8) for _ in range(10)]
    whole: list[Content] = []
    most = turns = 0
    while any(sender.content is None for sender in senders):
        turns += 1
        assert turns < 200
        reading = [sender for sender in senders if sender.is_read]
        for sender in reading:
            if sender.is_read:
                sender.bring()
            if sender.content is not None:
                whole.append(sender.content)
        most = max(most, budget.temporary)
        if not reading:
            whole.pop(0).close()

    # The limit, a block for each, one message on its way.
    assert most <= (20 + 10 + 8) * CHUNK
    assert sum(sender.called for sender in senders) > 0
    for content in whole:
        content.close()
    assert (in_use(budget), budget.waiting) == ((0, 0), 0)


@pytest.mark.parametrize("defects", [SOUND, BARE])
def test_the_right_of_way_is_kept_until_the_verdict_so_one_message_alone_is_beyond_the_limit(defects: Defects) -> None:
    budget = Budget(max_temporary=100)
    senders = [Sender(budget, 2, 100) for _ in range(20)]
    for sender in senders:
        sender.bring()
    assert budget.temporary == 20 * 100
    first = senders[0]
    first.bring()

    content = first.spool.seal(defects, 1000)
    assert [one for one in senders[1:] if one.is_read] == []

    content.close()
    assert [one for one in senders[1:] if one.is_read] == [senders[1]]
    for sender in senders[1:]:
        sender.spool.discard()
    assert (in_use(budget), budget.waiting) == ((0, 0), 0)


def test_the_right_of_way_passes_on_when_its_holder_gives_up() -> None:
    budget = Budget(max_temporary=100)
    holder, second, third = (Sender(budget, 9, 100) for _ in range(3))
    for sender in (holder, second, third):
        sender.bring()
    assert [one.is_read for one in (holder, second, third)] == [True, False, False]
    holder.bring()
    assert holder.is_read

    holder.spool.discard()

    assert [one.is_read for one in (second, third)] == [True, False]
    second.spool.discard()
    assert third.is_read
    third.spool.discard()
    assert (in_use(budget), budget.waiting) == ((0, 0), 0)


class Defective(TestCase):
    """A defect in one session."""

    def test_a_session_that_fails_when_it_is_called_harms_nobody_who_gives_room_back(self) -> None:
        def fails() -> None:
            raise ZeroDivisionError("a defect")

        budget = Budget(max_temporary=100)
        whole = spooled(budget, b"b" * 200, threshold=0).seal(SOUND, 1000)
        broken, sound = Spool(0, budget, fails), Sender(budget, 2, 1)
        broken.write(b"b")
        sound.bring()

        whole.close()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        broken.discard()

        self.assertEqual(sound.called, 1)
        sound.spool.discard()
        self.assertEqual(in_use(budget), (0, 0))


class Messages(RuleBasedStateMachine):
    """Spools and contents of one budget, in any order, on a disk that comes and goes."""

    spools = Bundle("spools")
    contents = Bundle("contents")

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(max_memory=1500, max_temporary=3000)
        # For each message that is not whole, what of it is in memory and in its file.
        self.open: dict[Spool, list[int]] = {}
        self.whole: dict[int, tuple[Content, list[int]]] = {}

    @rule(there=st.booleans())
    def the_disk_comes_and_goes(self, there: bool) -> None:
        self.budget.folder = None if there else str(Path(__file__) / "no folder")

    @rule(target=spools, threshold=st.sampled_from([0, 400, 5000]))
    def begin(self, threshold: int) -> Spool:
        spool = Spool(threshold, self.budget)
        self.open[spool] = [0, 0]
        return spool

    @rule(spool=spools, block=st.sampled_from([HEADER, b"A: b\r\n", b"b\n" * 200, b".c\r\n" * 110, b"d" * 700, b""]))
    def write(self, spool: Spool, block: bytes) -> None:
        before = in_use(self.budget)
        spool.write(block)
        grown = [after - was for after, was in zip(in_use(self.budget), before, strict=True)]
        counts = self.open[spool]
        # It stays, or moves to the file, or the disk has failed and all of it is gone.
        assert grown in ([len(block), 0], [-counts[0], counts[0] + len(block)], [-counts[0], -counts[1]])
        self.open[spool] = [counts[0] + grown[0], counts[1] + grown[1]]

    @rule(spool=consumes(spools))
    def discard(self, spool: Spool) -> None:
        spool.discard()
        del self.open[spool]

    @rule(
        target=contents,
        spool=consumes(spools),
        defects=st.sampled_from([SOUND, BARE]),
        max_header=st.sampled_from([5, 5000]),
    )
    def seal(self, spool: Spool, defects: Defects, max_header: int) -> Content | None:
        del self.open[spool]
        try:
            content = spool.seal(defects, max_header)
        except (NoSpace, HeaderTooLong):
            return None
        in_memory = content.in_memory is not None
        counts = [content.size, 0] if in_memory else [len(content.header), content.size]
        self.whole[id(content)] = content, counts
        return content

    @rule(content=contents, keep=st.integers(0, 300))
    def rework(self, content: Content | None, keep: int) -> None:
        if content is None:
            return
        body_size = min(keep, content.body_size)
        if id(content) in self.whole:
            self.whole[id(content)][1][0] += 7 if content.in_memory is None else 7 + body_size
        content.reworked((New(b"1234567"), Kept(0, body_size))).close()

    @rule(content=contents)
    def close(self, content: Content | None) -> None:
        if content is not None:
            content.close()
            self.whole.pop(id(content), None)

    @invariant()
    def what_is_counted_is_there(self) -> None:
        counts = [*self.open.values(), *(counts for _, counts in self.whole.values())]
        assert in_use(self.budget) == (sum(one[0] for one in counts), sum(one[1] for one in counts))

    @invariant()
    def everybody_in_the_line_is_held_up_and_nobody_else(self) -> None:
        assert self.budget.waiting == sum(spool.held_up for spool in self.open)

    @invariant()
    def somebody_can_always_go_on_or_has_room_to_give_back(self) -> None:
        if self.budget.waiting:
            reads = any(counts[1] and not spool.held_up for spool, counts in self.open.items())
            assert reads or any(counts[1] for _, counts in self.whole.values())

    def teardown(self) -> None:
        for spool in self.open:
            spool.discard()
        for content, _ in self.whole.values():
            content.close()
        assert (in_use(self.budget), self.budget.waiting) == ((0, 0), 0)


TestMessages = Messages.TestCase
TestMessages.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
