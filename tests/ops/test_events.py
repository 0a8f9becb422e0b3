"""The part of the status page about events."""

from dataclasses import replace

from smtpbridge.ops.events import Aim, Kept, Posted, events
from smtpbridge.ops.page import page, sections
from tests.ops.sights import NOW, an_events_seen, facts, known
from tests.ops.test_markup import Reader

TROUBLED = an_events_seen("spur")
WELL = Posted(12_345, 0, 0, "", 0.0)


def test_a_bridge_without_events_shows_nothing_of_them() -> None:
    without = replace(facts("x"), events=None)

    assert sections(without, known("x"))["events"] == ""
    assert "<h2>Events</h2>" not in page(without, known("x"))
    assert "<h2>Events</h2>" in page(facts("x"), known("x"))


def test_the_inbox_is_shown_with_what_waits_and_since_when() -> None:
    read = Reader(events(TROUBLED, NOW)).text

    assert "Requests taken (200)1,001Requests refused2To be translated3Oldest of them1 min 0 s" in read
    assert "The ledger of events cannot be used: spur" in read


def test_a_target_that_fails_says_how_often_until_when_it_is_left_alone_and_its_answer() -> None:
    read = Reader(events(replace(TROUBLED, aims=TROUBLED.aims[:1]), NOW)).text

    assert "spur461,0072 min 0 s89" in read
    assert "NOT TAKEN: 5 posts in a row. Paused until 2026-09-21T14:13:30Z. spur" in read


def test_a_target_is_well_new_or_configured_no_more_in_words() -> None:
    kept = Kept(0, None, 0, 0)
    aims = (Aim("a", WELL, kept), Aim("b", replace(WELL, events=0), kept), Aim("c", None, kept))
    read = Reader(events(replace(TROUBLED, aims=aims, fault=""), NOW)).text

    assert "a12,34500-00Well." in read
    assert "b000-00Nothing posted yet." in read
    assert "c--0-00Not configured any more: nothing is posted." in read
    assert "cannot be used" not in read


def test_what_nobody_knows_is_no_zero() -> None:
    seen = replace(TROUBLED, waiting=None, oldest=None, aims=(Aim("a", WELL, None),))
    read = Reader(events(seen, NOW)).text

    assert "To be translated-Oldest of them-" in read
    assert "a12,3450----Well." in read


def test_without_targets_the_part_says_so() -> None:
    assert "No target is configured." in events(replace(TROUBLED, aims=()), NOW)
