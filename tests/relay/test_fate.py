"""What becomes of a parcel after an attempt."""

import pytest

from smtpbridge.relay.fate import Fate, fate_of
from smtpbridge.relay.verdict import Outcome, Refused
from smtpbridge.smtp.replies import Reply

NO = Reply(550, "5.1.1", ("no such user",))
LATER = Reply(452, "4.2.2", ("full",))
LOST = Reply(451, "4.4.2", ("no answer",))
GONE, BUSY = Refused("gone@example.org", NO), Refused("busy@example.org", LATER)


def outcome(*unknown: str) -> Outcome:
    return Outcome(("taken@example.org",), (GONE, BUSY), unknown, LOST)


def test_who_is_refused_for_good_is_given_up_and_all_others_are_tried_again() -> None:
    fate = fate_of(outcome("who@example.org"), expired=False)

    assert fate == Fate((GONE,), (), ("busy@example.org",), ("busy@example.org", "who@example.org"))


def test_when_its_time_is_over_everybody_is_given_up_and_of_whom_nobody_knows_apart() -> None:
    fate = fate_of(outcome("who@example.org"), expired=True)

    assert fate == Fate((GONE, BUSY), (Refused("who@example.org", LOST),), (), ())


@pytest.mark.parametrize("expired", [False, True])
def test_who_was_taken_has_no_further_fate(expired: bool) -> None:
    assert fate_of(Outcome(("a@example.org",), (), (), LOST), expired=expired) == Fate((), (), (), ())
